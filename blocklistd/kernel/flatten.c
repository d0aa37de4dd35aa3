/* Intervals of many feeds to disjoint segments: the twin of the sums and numbers of index/flatten.py.

   The space is cut into 65,536 windows. Each feed waits in the list of the window that holds its next border; a window
   takes the borders of all feeds that wait there, sorts these few and walks over them. So all work stays in the cache
   and no array of all borders is ever made. */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

#define WINDOWS 65536
#define NOBODY UINT32_MAX
#define FEW 32   /* so many borders are sorted by insertion alone */
#define SOME 512 /* so many by one round over their upper digit, then insertion */

/* The merged intervals of one feed and how far they were walked: border 2i is start i, border 2i + 1 is end i. */
typedef struct {
    const int64_t *start;
    const int64_t *end;
    size_t borders;
    size_t at;
} walk;

/* Distinct sets, found by the sums of their tokens. */
typedef struct {
    uint64_t *sums;     /* two a set */
    uint32_t *offsets;  /* set s owns members[offsets[s]:offsets[s + 1]] */
    uint16_t *members;
    uint32_t *slots;    /* a hash table of set numbers, 0 is free: the empty set is never looked up */
    size_t count, set_room, member_count, member_room, slot_count;
} catalogue;

typedef struct {
    walk *walks;
    size_t feeds;
    const uint64_t *tokens; /* all first halves, then all second halves */
    uint64_t end;
    unsigned shift; /* position >> shift is the window */
    uint32_t *waiting, *next;
    uint32_t *keys, *spare; /* the borders of a window: position within it << 16 | feed */
    size_t key_room;
    uint64_t *held; /* one bit a feed */
    catalogue sets;
    uint32_t *starts, *numbers;
    size_t room, count;
} sweep;

enum { DONE, NO_MEMORY, NOT_MERGED, NO_ROOM };

static int grow(void **array, size_t *room, size_t wanted, size_t item)
{
    if (wanted <= *room)
        return 1;
    size_t larger = *room < 512 ? 1024 : *room * 2;
    larger = larger < wanted ? wanted : larger;
    void *grown = larger <= PTRDIFF_MAX / item ? realloc(*array, larger * item) : NULL;
    if (grown == NULL)
        return 0;
    *array = grown;
    *room = larger;
    return 1;
}

static inline uint64_t border(const walk *one)
{
    return (uint64_t)(one->at & 1 ? one->end[one->at >> 1] : one->start[one->at >> 1]);
}

/* Puts a feed into the list of the window of its next border; the end of all space is no border. */
static inline void wait_for_next(sweep *all, uint32_t feed)
{
    const walk *one = &all->walks[feed];
    if (one->at == one->borders)
        return;
    uint64_t position = border(one);
    if (position >= all->end)
        return;
    all->next[feed] = all->waiting[position >> all->shift];
    all->waiting[position >> all->shift] = feed;
}

/* Takes all borders of a window, feed by feed; gives how many. */
static int collect(sweep *all, uint32_t window, size_t *found)
{
    uint64_t base = (uint64_t)window << all->shift, behind = base + ((uint64_t)1 << all->shift);
    size_t count = 0;
    uint32_t feed = all->waiting[window];
    behind = behind < all->end ? behind : all->end;
    while (feed != NOBODY) {
        walk *one = &all->walks[feed];
        uint32_t following = all->next[feed];
        uint64_t last = base, position;
        int first = 1;
        while (one->at < one->borders && (position = border(one)) < behind) {
            if (position < last || (position == last && !first))
                return NOT_MERGED;
            if (count == all->key_room) {
                size_t room = all->key_room;
                if (!grow((void **)&all->keys, &room, count + 1, sizeof *all->keys) ||
                    !grow((void **)&all->spare, &all->key_room, room, sizeof *all->spare))
                    return NO_MEMORY;
            }
            all->keys[count++] = (uint32_t)(position - base) << 16 | feed;
            last = position;
            first = 0;
            one->at++;
        }
        if (one->at < one->borders && border(one) < base)
            return NOT_MERGED;
        wait_for_next(all, feed);
        feed = following;
    }
    *found = count;
    return DONE;
}

static void insertion_sort(uint32_t *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* One round of a radix sort: stable by the eight bits from shift on. */
static void sort_digit(const uint32_t *keys, uint32_t *into, size_t count, int shift)
{
    size_t places[256] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        places[keys[i] >> shift & 0xFF]++;
    for (int digit = 0; digit < 256; digit++) {
        size_t here = places[digit];
        places[digit] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        into[places[keys[i] >> shift & 0xFF]++] = keys[i];
}

/* Ascending by position; feeds of one position in any order, for XOR does not mind. Gives where the sorted keys are. */
static const uint32_t *sort_keys(uint32_t *keys, uint32_t *spare, size_t count)
{
    if (count <= FEW) {
        insertion_sort(keys, count);
        return keys;
    }
    if (count <= SOME) {
        sort_digit(keys, spare, count, 24);
        insertion_sort(spare, count);
        return spare;
    }
    sort_digit(keys, spare, count, 16);
    sort_digit(spare, keys, count, 24);
    return keys;
}

static int widen_slots(catalogue *sets)
{
    size_t count = sets->slot_count ? sets->slot_count * 2 : 4096;
    uint32_t *slots = count <= PTRDIFF_MAX / sizeof *slots ? calloc(count, sizeof *slots) : NULL;
    if (slots == NULL)
        return 0;
    for (size_t set = 1; set < sets->count; set++) {
        size_t at = (size_t)sets->sums[2 * set] & (count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)set;
    }
    free(sets->slots);
    sets->slots = slots;
    sets->slot_count = count;
    return 1;
}

static int add_set(catalogue *sets, uint64_t one, uint64_t other, const uint64_t *held, size_t feeds)
{
    size_t room = sets->set_room;
    if (sets->count >= UINT32_MAX - 1 || !grow((void **)&sets->sums, &room, sets->count + 2, 2 * sizeof *sets->sums) ||
        !grow((void **)&sets->offsets, &sets->set_room, room, sizeof *sets->offsets))
        return 0;
    for (size_t word = 0; word < (feeds + 63) / 64; word++) {
        for (uint64_t bits = held[word]; bits != 0; bits &= bits - 1) {
            if (sets->member_count == UINT32_MAX ||
                !grow((void **)&sets->members, &sets->member_room, sets->member_count + 1, sizeof *sets->members))
                return 0;
            sets->members[sets->member_count++] = (uint16_t)(word * 64 + (size_t)__builtin_ctzll(bits));
        }
    }
    sets->sums[2 * sets->count] = one;
    sets->sums[2 * sets->count + 1] = other;
    sets->offsets[++sets->count] = (uint32_t)sets->member_count;
    return 1;
}

/* The number of the set with these sums, a new one where there was none; NOBODY without memory. */
static uint32_t number_of(catalogue *sets, uint64_t one, uint64_t other, const uint64_t *held, size_t feeds)
{
    if ((one | other) == 0)
        return 0;
    size_t mask = sets->slot_count - 1, at = (size_t)one & mask;
    for (uint32_t set; (set = sets->slots[at]) != 0; at = (at + 1) & mask)
        if (sets->sums[2 * (size_t)set] == one && sets->sums[2 * (size_t)set + 1] == other)
            return set;
    uint32_t number = (uint32_t)sets->count;
    if (!add_set(sets, one, other, held, feeds))
        return NOBODY;
    sets->slots[at] = number;
    if (sets->count * 2 > sets->slot_count && !widen_slots(sets))
        return NOBODY;
    return number;
}

static int emit(sweep *all, uint64_t position, uint64_t one, uint64_t other)
{
    uint32_t number = number_of(&all->sets, one, other, all->held, all->feeds);
    if (number == NOBODY)
        return NO_MEMORY;
    if (all->count > 0 && all->numbers[all->count - 1] == number)
        return DONE;
    if (all->count == all->room)
        return NO_ROOM;
    all->starts[all->count] = (uint32_t)position;
    all->numbers[all->count++] = number;
    return DONE;
}

static int walk_space(sweep *all)
{
    uint64_t one = 0, other = 0;
    size_t windows = (size_t)((all->end - 1) >> all->shift) + 1;
    for (uint32_t feed = 0; feed < all->feeds; feed++)
        if (all->walks[feed].borders > 0 && all->walks[feed].start[0] < 0)
            return NOT_MERGED;
        else
            wait_for_next(all, feed);
    for (size_t window = 0; window < windows; window++) {
        size_t count = 0;
        int trouble = all->waiting[window] == NOBODY ? DONE : collect(all, (uint32_t)window, &count);
        const uint32_t *keys = sort_keys(all->keys, all->spare, count);
        if (window == 0 && (count == 0 || keys[0] >> 16 != 0) && trouble == DONE)
            trouble = emit(all, 0, 0, 0);
        for (size_t i = 0; i < count && trouble == DONE;) {
            uint32_t offset = keys[i] >> 16;
            do {
                uint32_t feed = keys[i] & 0xFFFF;
                one ^= all->tokens[feed];
                other ^= all->tokens[all->feeds + feed];
                all->held[feed >> 6] ^= (uint64_t)1 << (feed & 63);
            } while (++i < count && keys[i] >> 16 == offset);
            trouble = emit(all, ((uint64_t)window << all->shift) + offset, one, other);
        }
        if (trouble != DONE)
            return trouble;
    }
    return DONE;
}

static int prepare(sweep *all)
{
    size_t words = (all->feeds + 63) / 64;
    while ((all->end - 1) >> all->shift >= WINDOWS)
        all->shift++;
    all->waiting = malloc(WINDOWS * sizeof *all->waiting);
    all->next = malloc((all->feeds + 1) * sizeof *all->next);
    all->held = calloc(words + 1, sizeof *all->held);
    all->sets.count = 0;
    if (all->waiting == NULL || all->next == NULL || all->held == NULL || !widen_slots(&all->sets) ||
        !grow((void **)&all->keys, &all->key_room, 1, sizeof *all->keys))
        return 0;
    memset(all->waiting, 0xFF, WINDOWS * sizeof *all->waiting);
    all->spare = malloc(all->key_room * sizeof *all->spare);
    if (all->spare == NULL || !add_set(&all->sets, 0, 0, all->held, 0))
        return 0;
    all->sets.offsets[0] = 0;
    return 1;
}

static void clean(sweep *all)
{
    void *parts[] = {all->waiting,     all->next,         all->keys,         all->spare,     all->held,
                     all->sets.sums,   all->sets.offsets, all->sets.members, all->sets.slots};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
}

/* Takes the columns of all feeds; 0 with an exception if one of them does not fit. */
static int take_columns(PyObject *starts, PyObject *ends, Py_buffer *views, Py_ssize_t *taken, sweep *all)
{
    for (Py_ssize_t feed = 0; feed < (Py_ssize_t)all->feeds; feed++) {
        for (int side = 0; side < 2; side++, ++*taken) {
            PyObject *column = PySequence_GetItem(side ? ends : starts, feed);
            int fits = column != NULL && take_buffer(column, &views[*taken], 'i', 8, 0);
            Py_XDECREF(column);
            if (!fits)
                return 0;
        }
        const Py_buffer *start = &views[*taken - 2], *end = &views[*taken - 1];
        if (start->len != end->len) {
            PyErr_SetString(PyExc_ValueError, "a feed needs as many ends as starts");
            return 0;
        }
        all->walks[feed] = (walk){start->buf, end->buf, (size_t)(start->len / 8) * 2, 0};
    }
    return 1;
}

static PyObject *run(sweep *all)
{
    int trouble = prepare(all) ? walk_space(all) : NO_MEMORY;
    if (trouble == NO_MEMORY)
        return PyErr_NoMemory();
    if (trouble != DONE) {
        PyErr_SetString(PyExc_ValueError, trouble == NO_ROOM ? "the segments have too little room"
                                                             : "intervals are neither merged nor within the space");
        return NULL;
    }
    const catalogue *sets = &all->sets;
    const char *members = sets->members == NULL ? "" : (const char *)sets->members;
    return Py_BuildValue("(ny#y#)", (Py_ssize_t)all->count, (const char *)sets->offsets,
                         (Py_ssize_t)((sets->count + 1) * sizeof *sets->offsets), members,
                         (Py_ssize_t)(sets->member_count * sizeof *sets->members));
}

PyObject *flatten(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *starts, *ends, *tokens, *into[2], *found = NULL;
    Py_buffer fixed[3], *views = NULL;
    unsigned long long end;
    Py_ssize_t taken = 0;
    int held = 0;
    sweep all = {0};
    if (!PyArg_ParseTuple(arguments, "OOOKOO:flatten", &starts, &ends, &tokens, &end, &into[0], &into[1]))
        return NULL;
    Py_ssize_t feeds = PySequence_Size(starts), others = PySequence_Size(ends);
    if (feeds < 0 || others < 0)
        return NULL;
    if (!take_buffer(tokens, &fixed[0], 'u', 8, 0))
        return NULL;
    for (held = 1; held < 3; held++)
        if (!take_buffer(into[held - 1], &fixed[held], 'u', 4, PyBUF_WRITABLE))
            goto done;
    if (feeds != others || feeds > 65536 || fixed[0].len / 16 != feeds || end == 0 || end > (uint64_t)1 << 32 ||
        fixed[1].len != fixed[2].len) {
        PyErr_SetString(PyExc_ValueError, "at most 65,536 feeds, two tokens each, in a space of 1 to 2**32");
        goto done;
    }
    all.feeds = (size_t)feeds;
    all.tokens = fixed[0].buf;
    all.end = end;
    all.starts = fixed[1].buf;
    all.numbers = fixed[2].buf;
    all.room = (size_t)fixed[1].len / 4;
    all.walks = calloc((size_t)feeds + 1, sizeof *all.walks);
    views = calloc(2 * (size_t)feeds + 1, sizeof *views);
    if (all.walks == NULL || views == NULL)
        PyErr_NoMemory();
    else if (take_columns(starts, ends, views, &taken, &all))
        found = run(&all);
    clean(&all);
done:
    while (taken-- > 0)
        PyBuffer_Release(&views[taken]);
    free(views);
    free(all.walks);
    while (held-- > 0)
        PyBuffer_Release(&fixed[held]);
    return found;
}

PyObject *merge(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *sources[4], *result = NULL;
    Py_buffer views[4];
    int held = 0;
    if (!PyArg_ParseTuple(arguments, "OOOO:merge", &sources[0], &sources[1], &sources[2], &sources[3]))
        return NULL;
    for (; held < 4; held++)
        if (!take_buffer(sources[held], &views[held], held < 2 ? 'u' : 'i', held < 2 ? 4 : 8,
                         held < 2 ? 0 : PyBUF_WRITABLE))
            goto done;
    const uint32_t *first = views[0].buf, *last = views[1].buf;
    int64_t *start = views[2].buf, *end = views[3].buf;
    size_t count = (size_t)views[0].len / 4, merged = 0, at = 0;
    if (views[1].len == views[0].len && views[2].len == 2 * views[0].len && views[3].len == views[2].len) {
        for (; at < count && first[at] <= last[at] && (at == 0 || first[at] >= first[at - 1]); at++) {
            int64_t behind = (int64_t)last[at] + 1;
            if (merged == 0 || (int64_t)first[at] > end[merged - 1]) {
                start[merged] = first[at];
                end[merged++] = behind;
            } else if (behind > end[merged - 1]) {
                end[merged - 1] = behind;
            }
        }
        result = at == count ? PyLong_FromSize_t(merged) : NULL;
    }
    if (result == NULL)
        PyErr_SetString(PyExc_ValueError, "ranges ascend, and there is room for as many intervals");
done:
    while (held-- > 0)
        PyBuffer_Release(&views[held]);
    return result;
}

PyObject *measure(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *sources[3], *result = NULL;
    Py_buffer start, set, sum;
    unsigned long long end;
    if (!PyArg_ParseTuple(arguments, "OOKO:measure", &sources[0], &sources[1], &end, &sources[2]))
        return NULL;
    if (!take_buffer(sources[0], &start, 'u', 4, 0))
        return NULL;
    int narrow = take_buffer(sources[1], &set, 'u', 2, 0);
    if (!narrow)
        PyErr_Clear();
    if (!narrow && !take_buffer(sources[1], &set, 'u', 4, 0))
        goto no_set;
    if (!take_buffer(sources[2], &sum, 'u', 8, PyBUF_WRITABLE))
        goto no_sum;
    const uint32_t *starts = start.buf, *wide = set.buf;
    const uint16_t *small = set.buf;
    uint64_t *covered = sum.buf;
    size_t count = (size_t)start.len / 4, sets = (size_t)sum.len / 8, at = 0;
    if ((size_t)set.len / (narrow ? 2 : 4) == count) {
        for (; at < count; at++) {
            uint64_t behind = at + 1 < count ? starts[at + 1] : end;
            size_t number = narrow ? small[at] : wide[at];
            if (number >= sets || behind <= starts[at])
                break;
            covered[number] += behind - starts[at];
        }
        result = at == count ? Py_NewRef(Py_None) : NULL;
    }
    if (result == NULL)
        PyErr_SetString(PyExc_ValueError, "segments ascend and have a set each");
    PyBuffer_Release(&sum);
no_sum:
    PyBuffer_Release(&set);
no_set:
    PyBuffer_Release(&start);
    return result;
}
