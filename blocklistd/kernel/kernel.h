/* What the parts of the kernel know of each other. text.c knows nothing of Python; the other files hold its types. */
#ifndef BLOCKLISTD_KERNEL_H
#define BLOCKLISTD_KERNEL_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>

#define GAP_LIMIT 64       /* so many blanks after an address are stepped over, as in collect/ranges.py */
#define ROOT_SLOTS 65536   /* the root divides its space into so many slots, as in index/search.py */

/* One address; family 4, 6, or 0 for none. An IPv4 address stands in low. */
typedef struct {
    uint64_t high;
    uint64_t low;
    int family;
} address;

/* Reads exactly length bytes as one plain address, as glibc's inet_pton does; IPv4-mapped ones are IPv4. */
address read_address(const char *text, size_t length);

#define TEXT_ROOM 48 /* the longest address as text, and some */

/* Writes an address as RFC 5952 has it and gives the number of characters; no NUL follows. */
size_t write_address(const address *asked, char text[TEXT_ROOM]);

/* Where scan_text writes: one item a line in each array. */
typedef struct {
    size_t capacity;
    int64_t *lines;
    uint32_t *first;
    uint32_t *last;
    uint8_t *masked;
    int64_t *odd;
    int64_t *starts; /* of odd lines, as ends */
    int64_t *ends;
    size_t line_count;
    size_t plain_count;
    size_t odd_count;
} line_scan;

/* Reads a block whose last byte is a newline; false if it has more lines than the arrays have room. */
int scan_text(const unsigned char *block, size_t size, line_scan *scan);

/* Takes a contiguous buffer of items of one kind ("u": unsigned, "i": signed, "?": bool) and size, aligned and in the
   byte order of the machine; on failure sets ValueError and holds nothing. */
int take_buffer(PyObject *source, Py_buffer *view, char kind, Py_ssize_t item_size, int flags);

/* Reads a str; family 0 if it is no address. False with an exception if its characters cannot be had. */
int read_text(PyObject *text, address *found);

/* lookup.c: object is a Lookup in all of these. */
extern PyType_Spec lookup_spec;

#define BATCH 128 /* addresses looked up together; more gain nothing */

/* The sets of up to BATCH addresses; -1 and an exception if the Lookup is closed or its columns are damaged. */
int lookup_sets(PyObject *object, const address *asked, size_t count, Py_ssize_t *sets);

/* A new reference to the listing of a set; may run Python code. */
PyObject *lookup_listing(PyObject *object, int six, Py_ssize_t set);

/* How many sets a family has. */
Py_ssize_t lookup_set_count(PyObject *object, int six);

/* hot.c */
extern PyType_Spec hot_path_spec;

/* flatten.c: functions of the module */
PyObject *flatten(PyObject *module, PyObject *arguments);
PyObject *merge(PyObject *module, PyObject *arguments);
PyObject *measure(PyObject *module, PyObject *arguments);

/* patch.c */
PyObject *overlay(PyObject *module, PyObject *arguments);

/* The state of the module: its types. */
typedef struct {
    PyObject *lookup_type;
    PyObject *hot_path_type;
} module_state;

#endif
