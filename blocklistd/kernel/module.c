/* The module blocklistd.kernel._kernel: compiled twins of addresses.parse_address, collect.ranges.scan_lines,
   index.flatten, index.search.Lookup and web.hot.HotPath. Their pure twins say what is right; tests/kernel and fuzz/ hold the two together. */
#include "kernel.h"

#include <string.h>

#define INTERFACE 2 /* equals blocklistd.kernel.INTERFACE, so that an outdated build is never used */

/* Items as the struct module names them; a byte order of its own is refused. */
static int has_format(const char *format, char kind)
{
    const char *codes = kind == 'u' ? "BHILQ" : kind == 'i' ? "bhilq" : "?";
    if (format == NULL)
        return kind == 'u';
    if (*format == '@' || *format == '=' || *format == '<')
        format++;
    return *format != '\0' && strchr(codes, *format) != NULL && format[1] == '\0';
}

int take_buffer(PyObject *source, Py_buffer *view, char kind, Py_ssize_t item_size, int flags)
{
    if (PyObject_GetBuffer(source, view, PyBUF_ND | PyBUF_FORMAT | flags) < 0) {
        view->obj = NULL;
        return 0;
    }
    if (view->ndim == 1 && view->itemsize == item_size && view->len % item_size == 0 && has_format(view->format, kind) &&
        (uintptr_t)view->buf % (uintptr_t)item_size == 0)
        return 1;
    PyErr_Format(PyExc_ValueError, "a buffer of %zd-byte %s is needed", item_size,
                 kind == 'u' ? "unsigned integers" : kind == 'i' ? "signed integers" : "truth values");
    PyBuffer_Release(view);
    return 0;
}

int read_text(PyObject *text, address *found)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    *found = bytes != NULL ? read_address(bytes, (size_t)length) : (address){0, 0, 0};
    if (bytes == NULL && !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return 0;
    if (bytes == NULL)
        PyErr_Clear(); /* lone surrogates have no UTF-8 and are in no address */
    return 1;
}

static PyObject *wide_integer(uint64_t high, uint64_t low)
{
    PyObject *value = PyLong_FromUnsignedLongLong(high);
    PyObject *bits = PyLong_FromLong(64);
    PyObject *shifted = value != NULL && bits != NULL ? PyNumber_Lshift(value, bits) : NULL;
    Py_XDECREF(value);
    Py_XDECREF(bits);
    PyObject *rest = shifted != NULL ? PyLong_FromUnsignedLongLong(low) : NULL;
    PyObject *whole = rest != NULL ? PyNumber_Or(shifted, rest) : NULL;
    Py_XDECREF(shifted);
    Py_XDECREF(rest);
    return whole;
}

PyDoc_STRVAR(parse_address_doc, "parse_address(text: str) -> tuple[int, int] | None\n\n"
                                "Family and value of one plain address; None if the text is none.");

static PyObject *parse_address(PyObject *module, PyObject *text)
{
    (void)module;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "an address is a text");
        return NULL;
    }
    address found;
    if (!read_text(text, &found))
        return NULL;
    if (found.family == 0)
        Py_RETURN_NONE;
    PyObject *value = found.family == 4 || found.high == 0 ? PyLong_FromUnsignedLongLong(found.low)
                                                           : wide_integer(found.high, found.low);
    if (value == NULL)
        return NULL;
    return Py_BuildValue("(iN)", found.family, value);
}

PyDoc_STRVAR(scan_lines_doc,
             "scan_lines(block, lines, first, last, masked, odd, starts, ends) -> tuple[int, int, int]\n\n"
             "Read a block of whole lines into arrays that have room for an item a line.\n"
             "Gives how many lines, plain entries and odd lines there are.");

static PyObject *scan_lines(PyObject *module, PyObject *arguments)
{
    (void)module;
    static const struct {
        char kind;
        Py_ssize_t item_size;
    } shape[7] = {{'i', 8}, {'u', 4}, {'u', 4}, {'?', 1}, {'i', 8}, {'i', 8}, {'i', 8}};
    PyObject *sources[7], *counts = NULL;
    Py_buffer block, views[7];
    int taken = 0;
    if (!PyArg_ParseTuple(arguments, "y*OOOOOOO:scan_lines", &block, &sources[0], &sources[1], &sources[2], &sources[3],
                          &sources[4], &sources[5], &sources[6]))
        return NULL;
    line_scan scan = {0};
    for (; taken < 7; taken++) {
        Py_buffer *view = &views[taken];
        if (!take_buffer(sources[taken], view, shape[taken].kind, shape[taken].item_size, PyBUF_WRITABLE))
            goto done;
        size_t room = (size_t)(view->len / view->itemsize);
        if (taken == 0 || room < scan.capacity)
            scan.capacity = room;
    }
    scan.lines = views[0].buf;
    scan.first = views[1].buf;
    scan.last = views[2].buf;
    scan.masked = views[3].buf;
    scan.odd = views[4].buf;
    scan.starts = views[5].buf;
    scan.ends = views[6].buf;
    if (block.len > 0 && ((const char *)block.buf)[block.len - 1] != '\n')
        PyErr_SetString(PyExc_ValueError, "a block ends with a newline");
    else if (!scan_text(block.buf, (size_t)block.len, &scan))
        PyErr_SetString(PyExc_ValueError, "the block has more lines than the arrays have room");
    else
        counts = Py_BuildValue("(nnn)", (Py_ssize_t)scan.line_count, (Py_ssize_t)scan.plain_count,
                               (Py_ssize_t)scan.odd_count);
done:
    while (taken-- > 0)
        PyBuffer_Release(&views[taken]);
    PyBuffer_Release(&block);
    return counts;
}

PyDoc_STRVAR(flatten_doc,
             "flatten(starts, ends, tokens, end, into_starts, into_sets) -> tuple[int, bytes, bytes]\n\n"
             "Flatten the merged intervals of all feeds over [0, end) into arrays with room for an item a segment.\n"
             "Gives how many segments there are, and offsets and members of the sets as packed integers.");

PyDoc_STRVAR(merge_doc, "merge(first, last, into_start, into_end) -> int\n\n"
                        "Unite inclusive ranges, ascending by their first, into half-open intervals; gives how many.");

PyDoc_STRVAR(measure_doc, "measure(starts, sets, end, covered) -> None\n\n"
                          "Add the length of every segment to the number of its set in covered.");

PyDoc_STRVAR(overlay_doc,
             "overlay(starts, sets, become, upper_starts, upper_sets, empty, into_starts, into_sets) -> "
             "tuple[int, bytes]\n\n"
             "Lay segments over segments whose sets become others, and number the pairs as they appear.\n"
             "Gives how many segments there are, and the pairs from number 1 on as packed integers.");

static PyMethodDef functions[] = {
    {"parse_address", parse_address, METH_O, parse_address_doc},
    {"scan_lines", scan_lines, METH_VARARGS, scan_lines_doc},
    {"flatten", flatten, METH_VARARGS, flatten_doc},
    {"merge", merge, METH_VARARGS, merge_doc},
    {"measure", measure, METH_VARARGS, measure_doc},
    {"overlay", overlay, METH_VARARGS, overlay_doc},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    state->lookup_type = PyType_FromModuleAndSpec(module, &lookup_spec, NULL);
    state->hot_path_type = PyType_FromModuleAndSpec(module, &hot_path_spec, NULL);
    if (state->lookup_type == NULL || state->hot_path_type == NULL ||
        PyModule_AddObjectRef(module, "Lookup", state->lookup_type) < 0 ||
        PyModule_AddObjectRef(module, "HotPath", state->hot_path_type) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->lookup_type);
    Py_VISIT(state->hot_path_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->lookup_type);
    Py_CLEAR(state->hot_path_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_types}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_kernel",
    .m_doc = "Compiled twins of the code that is called most.",
    .m_size = sizeof(module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
