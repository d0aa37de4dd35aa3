/* Lookup: address to Listing over the mapped columns of both families, singly and in bulk.

   The buffers are held until close(), so that their mapping stays. Whatever numbers they hold, nothing is read outside
   of them. Callbacks (make, resolve) run Python code that may do anything, close() included: no pointer into a buffer
   is used across one. */
#include "kernel.h"

#define GLOBAL6 0x2 /* the top four bits of the IPv6 space that the root divides */

enum { ROOT4, STARTS4, SETS4, ROOT6, HIGH6, LOW6, SETS6, VIEWS };

typedef struct {
    PyObject_HEAD
    int open;
    Py_buffer views[VIEWS];
    const uint32_t *root4, *starts4, *root6;
    const uint64_t *high6, *low6;
    size_t count4, count6;
    PyObject *listings[2]; /* of IPv4 and IPv6: a list of Listing or None by number of set */
    PyObject *make[2];     /* number of set -> Listing, where the list has None */
    PyObject *resolve;     /* anything but plain text -> (family, value), or its own error */
} lookup;

#define NO_SEGMENT SIZE_MAX

static inline void prefetch_set(const Py_buffer *sets, size_t segment)
{
    __builtin_prefetch((const char *)sets->buf + segment * (size_t)sets->itemsize);
}

/* The last IPv4 segment that starts at or before each value, NO_SEGMENT where the columns lead to none. The searches
   take their steps in turn, and each asks for the memory of its next step, so that they wait together. */
static void segments4(const lookup *self, const uint32_t *values, size_t count, size_t *segments)
{
    size_t left[BATCH], most = 0;
    for (size_t item = 0; item < count; item++)
        __builtin_prefetch(&self->root4[values[item] >> 16]);
    for (size_t item = 0; item < count; item++) {
        size_t slot = values[item] >> 16, from = self->root4[slot], to = self->root4[slot + 1];
        if (from > to || to > self->count4)
            from = to = 0;
        segments[item] = from;
        left[item] = to - from;
        most = left[item] > most ? left[item] : most;
        __builtin_prefetch(self->starts4 + from + left[item] / 2);
    }
    for (; most > 0; most /= 2) { /* a step leaves at most half */
        for (size_t item = 0; item < count; item++) {
            if (left[item] == 0)
                continue;
            size_t half = left[item] / 2, at = segments[item];
            int beyond = self->starts4[at + half] <= values[item];
            at += beyond ? half + 1 : 0;
            left[item] = beyond ? left[item] - half - 1 : half;
            segments[item] = at;
            __builtin_prefetch(self->starts4 + at + left[item] / 2);
        }
    }
    for (size_t item = 0; item < count; item++)
        segments[item]--; /* NO_SEGMENT before the first */
}

/* The same for one value. What is asked for ahead of the search is where it will most likely end. */
static size_t segment4(const lookup *self, uint32_t value)
{
    size_t slot = value >> 16, from = self->root4[slot], to = self->root4[slot + 1];
    if (from > to || to > self->count4)
        return NO_SEGMENT;
    prefetch_set(&self->views[SETS4], from + (to - from) / 2);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (self->starts4[middle] <= value)
            from = middle + 1;
        else
            to = middle;
    }
    return from - 1;
}

static size_t segment6(const lookup *self, uint64_t high, uint64_t low)
{
    size_t from = 0, to = self->count6;
    if (high >> 60 == GLOBAL6) {
        size_t slot = high >> 44 & 0xFFFF;
        from = self->root6[slot];
        to = self->root6[slot + 1];
    } else if (high >> 60 < GLOBAL6) {
        to = self->root6[0];
    } else {
        from = self->root6[ROOT_SLOTS];
    }
    if (from > to || to > self->count6)
        return NO_SEGMENT;
    prefetch_set(&self->views[SETS6], from + (to - from) / 2);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        uint64_t start = self->high6[middle];
        if (start < high || (start == high && self->low6[middle] <= low))
            from = middle + 1;
        else
            to = middle;
    }
    return from - 1;
}

static inline size_t set_of(const Py_buffer *sets, size_t segment)
{
    return sets->itemsize == 2 ? ((const uint16_t *)sets->buf)[segment] : ((const uint32_t *)sets->buf)[segment];
}

static int failed(PyObject *kind, const char *reason)
{
    PyErr_SetString(kind, reason);
    return -1;
}

/* The number of the set of each address; -1 and an exception if one has none. */
static int find_sets(const lookup *self, const address *asked, size_t count, Py_ssize_t *sets)
{
    uint32_t values[BATCH];
    size_t segments[BATCH], segments_four[BATCH], four = 0;
    if (!self->open)
        return failed(PyExc_ValueError, "the snapshot is closed");
    for (size_t item = 0; item < count; item++)
        if (asked[item].family == 4)
            values[four++] = (uint32_t)asked[item].low;
    segments4(self, values, four, segments_four);
    four = 0;
    for (size_t item = 0; item < count; item++) {
        const Py_buffer *view = &self->views[asked[item].family == 6 ? SETS6 : SETS4];
        segments[item] = asked[item].family == 6 ? segment6(self, asked[item].high, asked[item].low)
                                                 : segments_four[four++];
        if (segments[item] == NO_SEGMENT)
            return failed(PyExc_IndexError, "the index leads to no segment");
        prefetch_set(view, segments[item]);
    }
    for (size_t item = 0; item < count; item++)
        sets[item] = (Py_ssize_t)set_of(&self->views[asked[item].family == 6 ? SETS6 : SETS4], segments[item]);
    return 0;
}

/* The same for one address. */
static inline int find_set(const lookup *self, const address *asked, Py_ssize_t *set)
{
    if (!self->open)
        return failed(PyExc_ValueError, "the snapshot is closed");
    int six = asked->family == 6;
    size_t segment = six ? segment6(self, asked->high, asked->low) : segment4(self, (uint32_t)asked->low);
    if (segment == NO_SEGMENT)
        return failed(PyExc_IndexError, "the index leads to no segment");
    *set = (Py_ssize_t)set_of(&self->views[six ? SETS6 : SETS4], segment);
    return 0;
}

static inline PyObject *listing_of(lookup *self, int six, Py_ssize_t set)
{
    PyObject *listing = PyList_GetItem(self->listings[six], set); /* IndexError for a set that is not */
    if (listing == NULL)
        return NULL;
    if (listing != Py_None)
        return Py_NewRef(listing);
    return PyObject_CallFunction(self->make[six], "n", set);
}

int lookup_sets(PyObject *object, const address *asked, size_t count, Py_ssize_t *sets)
{
    return count == 1 ? find_set((lookup *)object, asked, sets) : find_sets((lookup *)object, asked, count, sets);
}

PyObject *lookup_listing(PyObject *object, int six, Py_ssize_t set)
{
    return listing_of((lookup *)object, six, set);
}

Py_ssize_t lookup_set_count(PyObject *object, int six)
{
    const lookup *self = (lookup *)object;
    return self->open ? PyList_Size(self->listings[six]) : 0;
}

/* What the pure code makes of a question: (family, value). */
static int resolve(lookup *self, PyObject *question, address *asked)
{
    PyObject *pair = PyObject_CallFunctionObjArgs(self->resolve, question, NULL);
    if (pair == NULL)
        return 0;
    int done = 0;
    PyObject *value, *bits = NULL, *top = NULL;
    if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "iO!", &asked->family, &PyLong_Type, &value)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "resolve gives family and value");
        goto done;
    }
    if (asked->family != 4 && asked->family != 6) {
        PyErr_SetString(PyExc_ValueError, "a family is 4 or 6");
        goto done;
    }
    asked->low = PyLong_AsUnsignedLongLongMask(value);
    bits = PyLong_FromLong(64);
    top = bits != NULL ? PyNumber_Rshift(value, bits) : NULL;
    if (top == NULL)
        goto done;
    asked->high = PyLong_AsUnsignedLongLong(top);
    if (PyErr_Occurred())
        goto done;
    if (asked->family == 4 && (asked->high != 0 || asked->low > UINT32_MAX)) {
        PyErr_SetString(PyExc_ValueError, "an IPv4 address has 32 bits");
        goto done;
    }
    done = 1;
done:
    Py_XDECREF(top);
    Py_XDECREF(bits);
    Py_DECREF(pair);
    return done;
}

/* A question as an address: text and small integers here, everything else and every mistake by the pure code. */
static inline int read_question(lookup *self, PyObject *question, address *asked)
{
    if (PyUnicode_Check(question)) {
        if (!read_text(question, asked))
            return 0;
        if (asked->family != 0)
            return 1;
    } else if (PyLong_CheckExact(question)) {
        unsigned long long value = PyLong_AsUnsignedLongLong(question);
        if (value <= UINT32_MAX) {
            *asked = (address){0, value, 4};
            return 1;
        }
        PyErr_Clear(); /* negative or too large: the pure code says so */
    }
    return resolve(self, question, asked);
}

PyDoc_STRVAR(lookup_doc, "lookup(question: str | object) -> Listing\n\nThe listing of one address.");

static PyObject *lookup_one(PyObject *object, PyObject *question)
{
    lookup *self = (lookup *)object;
    address asked;
    Py_ssize_t set;
    if (!read_question(self, question, &asked) || find_set(self, &asked, &set) < 0)
        return NULL;
    return listing_of(self, asked.family == 6, set);
}

/* Puts the listings of up to BATCH addresses into answers, from index at. */
static int answer_batch(lookup *self, const address *asked, size_t count, PyObject *answers, Py_ssize_t at)
{
    Py_ssize_t sets[BATCH];
    if (find_sets(self, asked, count, sets) < 0)
        return 0;
    for (size_t item = 0; item < count; item++) {
        PyObject *listing = listing_of(self, asked[item].family == 6, sets[item]);
        if (listing == NULL || PyList_SetItem(answers, at + (Py_ssize_t)item, listing) < 0)
            return 0;
    }
    return 1;
}

PyDoc_STRVAR(many_doc, "lookup_many(questions: Sequence) -> list[Listing]\n\nThe listings of many, in the order asked.");

static PyObject *lookup_many(PyObject *object, PyObject *sequence)
{
    lookup *self = (lookup *)object;
    PyObject *questions = PySequence_Tuple(sequence); /* nobody can change it meanwhile */
    if (questions == NULL)
        return NULL;
    Py_ssize_t total = PyTuple_Size(questions);
    PyObject *answers = PyList_New(total);
    address asked[BATCH];
    for (Py_ssize_t at = 0; answers != NULL && at < total; at += BATCH) {
        size_t count = total - at < BATCH ? (size_t)(total - at) : BATCH;
        int good = 1;
        for (size_t item = 0; item < count; item++) {
            const char *question = (const char *)PyTuple_GetItem(questions, at + (Py_ssize_t)item);
            __builtin_prefetch(question);
            __builtin_prefetch(question + 56); /* the characters of a short text */
        }
        for (size_t item = 0; good && item < count; item++)
            good = read_question(self, PyTuple_GetItem(questions, at + (Py_ssize_t)item), &asked[item]);
        if (!good || !answer_batch(self, asked, count, answers, at))
            Py_CLEAR(answers);
    }
    Py_DECREF(questions);
    return answers;
}

PyDoc_STRVAR(integers_doc, "lookup_many_integers(values: buffer of uint32) -> list[Listing]\n\n"
                           "The listings of many IPv4 addresses.");

static PyObject *lookup_many_integers(PyObject *object, PyObject *source)
{
    lookup *self = (lookup *)object;
    Py_buffer view;
    if (!take_buffer(source, &view, 'u', 4, 0))
        return NULL;
    Py_ssize_t total = view.len / 4;
    PyObject *answers = PyList_New(total);
    address asked[BATCH];
    for (Py_ssize_t at = 0; answers != NULL && at < total; at += BATCH) {
        size_t count = total - at < BATCH ? (size_t)(total - at) : BATCH;
        for (size_t item = 0; item < count; item++)
            asked[item] = (address){0, ((const uint32_t *)view.buf)[(size_t)at + item], 4};
        if (!answer_batch(self, asked, count, answers, at))
            Py_CLEAR(answers);
    }
    PyBuffer_Release(&view);
    return answers;
}

static void release_buffers(lookup *self)
{
    self->open = 0;
    self->root4 = self->starts4 = self->root6 = NULL;
    self->high6 = self->low6 = NULL;
    self->count4 = self->count6 = 0;
    for (int view = 0; view < VIEWS; view++)
        PyBuffer_Release(&self->views[view]); /* does nothing for one that is not held */
}

PyDoc_STRVAR(close_doc, "close() -> None\n\nLet go of the buffers; questions are errors from now on.");

static PyObject *lookup_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    release_buffers((lookup *)object);
    Py_RETURN_NONE;
}

static int take_columns(lookup *self, PyObject *const sources[VIEWS])
{
    static const Py_ssize_t sizes[VIEWS] = {4, 4, 0, 4, 8, 8, 0};
    for (int view = 0; view < VIEWS; view++) {
        Py_ssize_t size = sizes[view];
        if (size == 0) { /* numbers of sets have 16 or 32 bits */
            Py_buffer *sets = &self->views[view];
            if (take_buffer(sources[view], sets, 'u', 2, 0))
                continue;
            PyErr_Clear();
            size = 4;
        }
        if (!take_buffer(sources[view], &self->views[view], 'u', size, 0))
            return 0;
    }
    self->root4 = self->views[ROOT4].buf;
    self->starts4 = self->views[STARTS4].buf;
    self->root6 = self->views[ROOT6].buf;
    self->high6 = self->views[HIGH6].buf;
    self->low6 = self->views[LOW6].buf;
    self->count4 = (size_t)(self->views[STARTS4].len / 4);
    self->count6 = (size_t)(self->views[HIGH6].len / 8);
    const Py_buffer *sets4 = &self->views[SETS4], *sets6 = &self->views[SETS6];
    if (self->views[ROOT4].len == 4 * (ROOT_SLOTS + 1) && self->views[ROOT6].len == 4 * (ROOT_SLOTS + 1) &&
        (size_t)(sets4->len / sets4->itemsize) == self->count4 && (size_t)(self->views[LOW6].len / 8) == self->count6 &&
        (size_t)(sets6->len / sets6->itemsize) == self->count6)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the columns do not fit each other");
    return 0;
}

static PyObject *lookup_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *sources[VIEWS], *listings[2], *make[2], *resolve;
    if (keywords != NULL && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Lookup takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "(OOOO!O)(OOOOO!O)O:Lookup", &sources[ROOT4], &sources[STARTS4], &sources[SETS4],
                          &PyList_Type, &listings[0], &make[0], &sources[ROOT6], &sources[HIGH6], &sources[LOW6],
                          &sources[SETS6], &PyList_Type, &listings[1], &make[1], &resolve))
        return NULL;
    lookup *self = (lookup *)PyType_GenericAlloc(type, 0); /* zeroed */
    if (self == NULL)
        return NULL;
    for (int family = 0; family < 2; family++) {
        self->listings[family] = Py_NewRef(listings[family]);
        self->make[family] = Py_NewRef(make[family]);
    }
    self->resolve = Py_NewRef(resolve);
    if (!take_columns(self, sources)) {
        Py_DECREF(self);
        return NULL;
    }
    self->open = 1;
    return (PyObject *)self;
}

static int lookup_traverse(PyObject *object, visitproc visit, void *arg)
{
    lookup *self = (lookup *)object;
    Py_VISIT(Py_TYPE(object));
    for (int view = 0; view < VIEWS; view++)
        Py_VISIT(self->views[view].obj);
    for (int family = 0; family < 2; family++) {
        Py_VISIT(self->listings[family]);
        Py_VISIT(self->make[family]);
    }
    Py_VISIT(self->resolve);
    return 0;
}

static int lookup_clear(PyObject *object)
{
    lookup *self = (lookup *)object;
    release_buffers(self);
    for (int family = 0; family < 2; family++) {
        Py_CLEAR(self->listings[family]);
        Py_CLEAR(self->make[family]);
    }
    Py_CLEAR(self->resolve);
    return 0;
}

static void lookup_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    lookup_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"lookup", lookup_one, METH_O, lookup_doc},
    {"lookup_many", lookup_many, METH_O, many_doc},
    {"lookup_many_integers", lookup_many_integers, METH_O, integers_doc},
    {"close", lookup_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Lookup((root, starts, sets, listings, make), (root, high, low, sets, listings, make), resolve)\n\n"
                "Address to Listing over the columns of both families."},
    {Py_tp_new, lookup_new},
    {Py_tp_dealloc, lookup_dealloc},
    {Py_tp_traverse, lookup_traverse},
    {Py_tp_clear, lookup_clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec lookup_spec = {
    .name = "blocklistd.kernel._kernel.Lookup",
    .basicsize = sizeof(lookup),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
