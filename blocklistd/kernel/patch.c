/* Two layers of segments laid over each other: the twin of the loop in index/patch.py.

   Each layer cuts the same space; where either begins a segment, the pair of their numbers may change. Pairs are
   numbered as they first appear, from 1 on; the pair that means "no feed" is number 0. */
#include "kernel.h"

#include <stdlib.h>

/* Numbers of pairs: those with 0 in the upper layer by table, the few others by hash. */
typedef struct {
    uint32_t *plain;
    uint64_t *keys; /* of numbers from 1 on, lower number << 32 | upper number */
    uint32_t *slots;
    size_t plain_count, slot_count, room, count;
} pair_numbers;

static int more_slots(pair_numbers *pairs)
{
    size_t count = 1024;
    while (count < (pairs->count + 1) * 4) /* numbers without a slot count too: at most half are ever taken */
        count *= 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return 0;
    for (size_t number = 1; number <= pairs->count; number++) {
        if ((uint32_t)pairs->keys[number] == 0)
            continue;
        size_t at = (size_t)((pairs->keys[number] * 0x9E3779B97F4A7C15u) >> 32) & (count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)number;
    }
    free(pairs->slots);
    pairs->slots = slots;
    pairs->slot_count = count;
    return 1;
}

static uint32_t add_pair(pair_numbers *pairs, uint64_t key)
{
    if (pairs->count + 1 >= pairs->room) {
        size_t room = pairs->room ? pairs->room * 2 : 1024;
        uint64_t *keys = room < UINT32_MAX ? realloc(pairs->keys, room * sizeof *keys) : NULL;
        if (keys == NULL)
            return 0;
        pairs->keys = keys;
        pairs->room = room;
    }
    pairs->keys[++pairs->count] = key;
    return (uint32_t)pairs->count;
}

/* The number of a pair, a new one at its first appearance; 0 without memory. */
static uint32_t pair_number(pair_numbers *pairs, uint32_t lower, uint32_t upper)
{
    uint64_t key = (uint64_t)lower << 32 | upper;
    if (upper == 0) {
        if (pairs->plain[lower] == 0)
            pairs->plain[lower] = add_pair(pairs, key);
        return pairs->plain[lower];
    }
    if ((pairs->count + 1) * 2 > pairs->slot_count && !more_slots(pairs))
        return 0;
    size_t mask = pairs->slot_count - 1, at = (size_t)((key * 0x9E3779B97F4A7C15u) >> 32) & mask;
    for (; pairs->slots[at] != 0; at = (at + 1) & mask)
        if (pairs->keys[pairs->slots[at]] == key)
            return pairs->slots[at];
    return pairs->slots[at] = add_pair(pairs, key);
}

/* Borrowed columns. */
typedef struct {
    Py_buffer views[7]; /* starts, sets and become of the lower layer; starts and sets of the upper; two to write */
    int held, narrow;
} columns;

static int take_all(columns *all, PyObject **sources)
{
    for (; all->held < 7; all->held++) {
        Py_buffer *view = &all->views[all->held];
        int flags = all->held >= 5 ? PyBUF_WRITABLE : 0;
        if (all->held == 1) {
            all->narrow = take_buffer(sources[1], view, 'u', 2, 0); /* sections keep narrow numbers where they can */
            if (all->narrow)
                continue;
            PyErr_Clear();
        }
        if (!take_buffer(sources[all->held], view, 'u', 4, flags))
            return 0;
    }
    return 1;
}

PyObject *overlay(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *sources[7], *found = NULL;
    unsigned long long empty;
    columns all = {0};
    pair_numbers pairs = {0};
    if (!PyArg_ParseTuple(arguments, "OOOOOKOO:overlay", &sources[0], &sources[1], &sources[2], &sources[3],
                          &sources[4], &empty, &sources[5], &sources[6]))
        return NULL;
    if (!take_all(&all, sources))
        goto done;
    const uint32_t *starts = all.views[0].buf, *sets = all.views[1].buf, *become = all.views[2].buf;
    const uint16_t *narrow = all.views[1].buf;
    const uint32_t *upper_starts = all.views[3].buf, *uppers = all.views[4].buf;
    uint32_t *into_starts = all.views[5].buf, *into_sets = all.views[6].buf;
    size_t count = (size_t)all.views[0].len / 4, upper_count = (size_t)all.views[3].len / 4;
    size_t room = (size_t)all.views[5].len / 4, written = 0, i = 0, j = 0;
    uint32_t lower = 0, upper = 0, last = 0;
    int sound = (size_t)all.views[1].len / (all.narrow ? 2 : 4) == count && all.views[6].len == all.views[5].len &&
                (size_t)all.views[4].len / 4 == upper_count && count > 0 && upper_count > 0 && starts[0] == 0 &&
                upper_starts[0] == 0;
    pairs.plain_count = (size_t)all.views[2].len / 4; /* numbers of the lower layer are at most as many as sets */
    pairs.plain = calloc(pairs.plain_count + 1, sizeof *pairs.plain);
    if (pairs.plain == NULL || add_pair(&pairs, 0) == 0) {
        PyErr_NoMemory();
        goto done;
    }
    pairs.count = 0; /* that was to have the array: number 0 has no pair */
    while (sound && (i < count || j < upper_count)) {
        uint64_t one = i < count ? starts[i] : UINT64_MAX, other = j < upper_count ? upper_starts[j] : UINT64_MAX;
        uint64_t position = one < other ? one : other;
        if (one == position) {
            size_t set = all.narrow ? narrow[i] : sets[i];
            sound = set < pairs.plain_count && become[set] < pairs.plain_count && (i == 0 || starts[i] > starts[i - 1]);
            lower = sound ? become[set] : 0;
            i++;
        }
        if (other == position) {
            sound = sound && (j == 0 || upper_starts[j] > upper_starts[j - 1]);
            upper = uppers[j++];
        }
        if (!sound)
            break;
        uint32_t number = 0;
        if ((lower != empty || upper != 0) && (number = pair_number(&pairs, lower, upper)) == 0) {
            PyErr_NoMemory();
            goto done;
        }
        if (written > 0 && number == last)
            continue;
        sound = written < room;
        if (sound) {
            into_starts[written] = (uint32_t)position;
            into_sets[written++] = last = number;
        }
    }
    if (sound)
        found = Py_BuildValue("(ny#)", (Py_ssize_t)written, (const char *)(pairs.keys + 1),
                              (Py_ssize_t)(pairs.count * sizeof *pairs.keys));
    else
        PyErr_SetString(PyExc_ValueError, "layers begin at 0 and ascend, with a set for each segment");
done:
    free(pairs.plain);
    free(pairs.keys);
    free(pairs.slots);
    while (all.held-- > 0)
        PyBuffer_Release(&all.views[all.held]);
    return found;
}
