/* HotPath: request bytes to response bytes, the twin of web/hot.py, where requests and answers are described.

   What a request may hold is decided there: a header block is answered only if it is among known, a text only if it is
   one plain address. The address and the end of the block are all that is looked for here. */
#include "kernel.h"

#include <stdio.h>
#include <string.h>

#define MOST 64           /* requests answered in one call */
#define LONGEST_HEAD 2048 /* bytes of a request among several */
#define LONGEST_TEXT 45   /* characters of an address */

static const char GET[] = "GET /v1/ip/";
static const char VERSION[] = " HTTP/1.1\r\n";
static const char END[] = "\r\n\r\n";
static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
static const char BODY[] = "{\"ip\":\"";

#define LENGTH(literal) (sizeof(literal) - 1)

/* The end of an answer, the same for all addresses of a set. */
typedef struct {
    PyObject *text; /* bytes, NULL until made */
    int listed;
} tail;

typedef struct {
    PyObject_HEAD
    PyObject *lookup;
    PyObject *known;   /* header blocks, only read */
    PyObject *tail_of; /* Listing -> (bytes, listed) */
    PyObject *date;    /* what stands between Content-Length and the address */
    tail *tails[2];    /* of IPv4 and IPv6, by set */
    Py_ssize_t counts[2];
} hot_path;

/* The tail of a set: a borrowed reference in it; NULL and an exception if it cannot be made. */
static const tail *tail_of_set(hot_path *self, int six, Py_ssize_t set)
{
    if (set >= self->counts[six]) {
        PyErr_SetString(PyExc_IndexError, "the index leads to no set");
        return NULL;
    }
    if (self->tails[six][set].text == NULL) {
        PyObject *listing = lookup_listing(self->lookup, six, set);
        PyObject *made = listing != NULL ? PyObject_CallFunctionObjArgs(self->tail_of, listing, NULL) : NULL;
        Py_XDECREF(listing);
        if (made == NULL)
            return NULL;
        PyObject *text;
        int listed;
        if (!PyTuple_Check(made) || !PyArg_ParseTuple(made, "O!p", &PyBytes_Type, &text, &listed)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "tail_of gives bytes and whether they name a list");
            Py_DECREF(made);
            return NULL;
        }
        tail *kept = &self->tails[six][set];
        PyObject *former = kept->text; /* Python code ran: it may have come here too */
        kept->text = Py_NewRef(text);
        kept->listed = listed;
        Py_XDECREF(former);
        Py_DECREF(made);
    }
    return &self->tails[six][set];
}

static char *append(char *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

/* The whole answer about an address whose text is given. */
static PyObject *compose(const hot_path *self, const char *text, size_t length, const tail *end)
{
    char digits[24];
    size_t tail_length = (size_t)PyBytes_Size(end->text), date_length = (size_t)PyBytes_Size(self->date);
    int count = snprintf(digits, sizeof digits, "%zu", LENGTH(BODY) + length + tail_length);
    size_t total = LENGTH(HEAD) + (size_t)count + date_length + length + tail_length;
    PyObject *response = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    if (response == NULL)
        return NULL;
    char *at = append(PyBytes_AsString(response), HEAD, LENGTH(HEAD));
    at = append(at, digits, (size_t)count);
    at = append(at, PyBytes_AsString(self->date), date_length);
    at = append(at, text, length);
    append(at, PyBytes_AsString(end->text), tail_length);
    return response;
}

/* The answer to exactly one request; NULL without an exception if it is not usual. */
static PyObject *answer_one(hot_path *self, const char *request, size_t size, int *listed)
{
    if (size < LENGTH(GET) || memcmp(request, GET, LENGTH(GET)) != 0)
        return NULL;
    const char *text = request + LENGTH(GET), *behind = request + size;
    size_t room = (size_t)(behind - text) < LONGEST_TEXT + 1 ? (size_t)(behind - text) : LONGEST_TEXT + 1;
    const char *version = memchr(text, ' ', room); /* no address holds a blank */
    if (version == NULL || (size_t)(behind - version) < LENGTH(VERSION) ||
        memcmp(version, VERSION, LENGTH(VERSION)) != 0)
        return NULL;
    size_t length = (size_t)(version - text);
    address asked = read_address(text, length);
    if (asked.family == 0)
        return NULL;
    const char *block = version + LENGTH(VERSION);
    PyObject *headers = PyBytes_FromStringAndSize(block, behind - block);
    if (headers == NULL)
        return NULL;
    int harmless = PySequence_Contains(self->known, headers);
    Py_DECREF(headers);
    if (harmless <= 0)
        return NULL;
    Py_ssize_t set;
    const tail *end = lookup_sets(self->lookup, &asked, 1, &set) < 0 ? NULL : tail_of_set(self, asked.family == 6, set);
    if (end == NULL)
        return NULL;
    *listed = end->listed;
    char canonical[TEXT_ROOM];
    if (memchr(text, ':', length) != NULL) {
        length = write_address(&asked, canonical);
        text = canonical;
    }
    return compose(self, text, length, end);
}

/* The number of bytes up to and with the first empty line, 0 if it does not end within size. */
static size_t find_end(const char *data, size_t size)
{
    const char *at = data, *behind = data + size;
    while ((size_t)(behind - at) >= LENGTH(END) && (at = memchr(at, '\r', (size_t)(behind - at))) != NULL) {
        if ((size_t)(behind - at) >= LENGTH(END) && memcmp(at, END, LENGTH(END)) == 0)
            return (size_t)(at - data) + LENGTH(END);
        at++;
    }
    return 0;
}

PyDoc_STRVAR(answer_doc, "answer(data: bytes) -> tuple[bytes, int, int, int]\n\n"
                         "(response, consumed, answered, listed) for the usual requests that data begins with.");

static PyObject *hot_path_answer(PyObject *object, PyObject *argument)
{
    hot_path *self = (hot_path *)object;
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    if (self->lookup == NULL) { /* the garbage collector has been here */
        PyErr_SetString(PyExc_ValueError, "the snapshot is closed");
        return NULL;
    }
    PyObject *first = NULL, *responses = NULL, *joined = NULL;
    size_t position = 0, total = (size_t)size;
    Py_ssize_t answered = 0, found = 0;
    while (answered < MOST && position < total) {
        size_t left = total - position;
        size_t length = find_end(data + position, left < LONGEST_HEAD ? left : LONGEST_HEAD);
        if (length == 0) {
            if (position > 0)
                break;
            length = left; /* alone, and known to end */
        }
        int listed = 0;
        PyObject *response = answer_one(self, data + position, length, &listed);
        if (response == NULL) {
            if (PyErr_Occurred())
                goto failed;
            break;
        }
        if (first == NULL) {
            first = response;
        } else {
            if (responses == NULL && ((responses = PyList_New(0)) == NULL || PyList_Append(responses, first) < 0)) {
                Py_DECREF(response);
                goto failed;
            }
            int status = PyList_Append(responses, response);
            Py_DECREF(response);
            if (status < 0)
                goto failed;
        }
        answered++;
        found += listed;
        position += length;
    }
    if (responses != NULL) {
        PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
        joined = empty != NULL ? PyObject_CallMethod(empty, "join", "O", responses) : NULL;
        Py_XDECREF(empty);
        Py_DECREF(responses);
        Py_DECREF(first);
    } else {
        joined = first != NULL ? first : PyBytes_FromStringAndSize(NULL, 0);
    }
    return joined != NULL ? Py_BuildValue("(Nnnn)", joined, (Py_ssize_t)position, answered, found) : NULL;
failed:
    Py_XDECREF(responses);
    Py_XDECREF(first);
    return NULL;
}

/* The object about one address of many. */
static PyObject *compose_item(const address *asked, const tail *end)
{
    char text[TEXT_ROOM];
    size_t length = write_address(asked, text), tail_length = (size_t)PyBytes_Size(end->text);
    PyObject *item = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(LENGTH(BODY) + length + tail_length));
    if (item == NULL)
        return NULL;
    char *at = append(PyBytes_AsString(item), BODY, LENGTH(BODY));
    at = append(at, text, length);
    append(at, PyBytes_AsString(end->text), tail_length);
    return item;
}

/* Puts the objects about up to BATCH addresses into items; places says where. Gives how many are listed, or -1. */
static Py_ssize_t compose_batch(hot_path *self, const address *asked, const Py_ssize_t *places, size_t count,
                                PyObject *items)
{
    Py_ssize_t sets[BATCH], listed = 0;
    if (lookup_sets(self->lookup, asked, count, sets) < 0)
        return -1;
    for (size_t one = 0; one < count; one++) {
        const tail *end = tail_of_set(self, asked[one].family == 6, sets[one]);
        PyObject *item = end != NULL ? compose_item(&asked[one], end) : NULL;
        if (item == NULL)
            return -1;
        listed += end->listed;
        if (PyList_SetItem(items, places[one], item) < 0)
            return -1;
    }
    return listed;
}

PyDoc_STRVAR(items_doc, "items(questions: Sequence) -> tuple[list[bytes | None], int, int]\n\n"
                        "(items, answered, listed): the JSON object about each text that is an address, else None.");

static PyObject *hot_path_items(PyObject *object, PyObject *sequence)
{
    hot_path *self = (hot_path *)object;
    if (self->lookup == NULL) { /* the garbage collector has been here */
        PyErr_SetString(PyExc_ValueError, "the snapshot is closed");
        return NULL;
    }
    PyObject *questions = PySequence_Tuple(sequence); /* nobody can change it meanwhile */
    if (questions == NULL)
        return NULL;
    Py_ssize_t total = PyTuple_Size(questions), answered = 0, found = 0, places[BATCH];
    PyObject *items = PyList_New(total);
    address asked[BATCH];
    size_t count = 0;
    for (Py_ssize_t at = 0; items != NULL && at < total; at++) {
        PyObject *question = PyTuple_GetItem(questions, at);
        asked[count].family = 0;
        if (PyUnicode_Check(question) && !read_text(question, &asked[count])) {
            Py_CLEAR(items);
            break;
        }
        if (asked[count].family != 0)
            places[count++] = at;
        else if (PyList_SetItem(items, at, Py_NewRef(Py_None)) < 0)
            Py_CLEAR(items);
        if (items != NULL && (count == BATCH || at == total - 1)) {
            Py_ssize_t listed = compose_batch(self, asked, places, count, items);
            if (listed < 0)
                Py_CLEAR(items);
            answered += (Py_ssize_t)count;
            found += listed;
            count = 0;
        }
    }
    Py_DECREF(questions);
    return items != NULL ? Py_BuildValue("(Nnn)", items, answered, found) : NULL;
}

PyDoc_STRVAR(set_date_doc, "set_date(date: bytes) -> None\n\nThe value of the header Date from now on.");

static PyObject *hot_path_set_date(PyObject *object, PyObject *argument)
{
    hot_path *self = (hot_path *)object;
    char *text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &text, &size) < 0)
        return NULL;
    static const char before[] = "\r\nDate: ", after[] = "\r\nServer: blocklistd\r\n\r\n";
    PyObject *date = PyBytes_FromStringAndSize(
        NULL, (Py_ssize_t)(LENGTH(before) + (size_t)size + LENGTH(after) + LENGTH(BODY)));
    if (date == NULL)
        return NULL;
    char *at = append(PyBytes_AsString(date), before, LENGTH(before));
    at = append(at, text, (size_t)size);
    at = append(at, after, LENGTH(after));
    append(at, BODY, LENGTH(BODY));
    PyObject *former = self->date;
    self->date = date;
    Py_XDECREF(former);
    Py_RETURN_NONE;
}

static PyObject *hot_path_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *lookup, *known, *tail_of;
    const module_state *state = PyType_GetModuleState(type);
    if (keywords != NULL && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "HotPath takes no keywords");
        return NULL;
    }
    if (state == NULL || !PyArg_ParseTuple(arguments, "O!OO:HotPath", (PyTypeObject *)state->lookup_type, &lookup, &known,
                                           &tail_of))
        return NULL;
    hot_path *self = (hot_path *)PyType_GenericAlloc(type, 0); /* zeroed */
    if (self == NULL)
        return NULL;
    self->lookup = Py_NewRef(lookup);
    self->known = Py_NewRef(known);
    self->tail_of = Py_NewRef(tail_of);
    self->date = PyBytes_FromStringAndSize(NULL, 0);
    for (int six = 0; six < 2 && self->date != NULL; six++) {
        Py_ssize_t count = lookup_set_count(lookup, six);
        self->tails[six] = PyMem_Calloc((size_t)count, sizeof(tail)); /* of none, too, it is not NULL */
        if (self->tails[six] == NULL) {
            PyErr_NoMemory();
            break;
        }
        self->counts[six] = count;
    }
    if (self->date == NULL || self->tails[0] == NULL || self->tails[1] == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int hot_path_traverse(PyObject *object, visitproc visit, void *arg)
{
    hot_path *self = (hot_path *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->lookup);
    Py_VISIT(self->known);
    Py_VISIT(self->tail_of);
    return 0; /* dates and tails are bytes and lead nowhere */
}

static int hot_path_clear(PyObject *object)
{
    hot_path *self = (hot_path *)object;
    Py_CLEAR(self->lookup);
    Py_CLEAR(self->known);
    Py_CLEAR(self->tail_of);
    return 0;
}

static void hot_path_dealloc(PyObject *object)
{
    hot_path *self = (hot_path *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    hot_path_clear(object);
    Py_CLEAR(self->date);
    for (int six = 0; six < 2; six++) {
        for (Py_ssize_t set = 0; set < self->counts[six]; set++)
            Py_XDECREF(self->tails[six][set].text);
        PyMem_Free(self->tails[six]);
    }
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"answer", hot_path_answer, METH_O, answer_doc},
    {"items", hot_path_items, METH_O, items_doc},
    {"set_date", hot_path_set_date, METH_O, set_date_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "HotPath(lookup, known, tail_of)\n\nAnswers plain lookups from bytes to bytes, and many at once."},
    {Py_tp_new, hot_path_new},
    {Py_tp_dealloc, hot_path_dealloc},
    {Py_tp_traverse, hot_path_traverse},
    {Py_tp_clear, hot_path_clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec hot_path_spec = {
    .name = "blocklistd.kernel._kernel.HotPath",
    .basicsize = sizeof(hot_path),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
