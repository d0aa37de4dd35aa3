/* Text to addresses and ranges. No Python here: bytes and lengths in, numbers out, nothing is read behind a length. */
#include "kernel.h"

#include <string.h>

/* One more than the value of a hexadecimal digit, 0 for any other byte. */
static const uint8_t HEXADECIMAL[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* Four decimal octets without leading zeros, up to the very end. */
static int read_quad(const unsigned char *at, const unsigned char *end, uint32_t *value)
{
    uint32_t quad = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && (at == end || *at++ != '.'))
            return 0;
        if (at == end)
            return 0;
        uint32_t number = (uint32_t)*at++ - '0';
        if (number > 9)
            return 0;
        if (number > 0) {
            uint32_t digit;
            if (at < end && (digit = (uint32_t)*at - '0') <= 9) {
                number = number * 10 + digit;
                at++;
                if (at < end && (digit = (uint32_t)*at - '0') <= 9) {
                    number = number * 10 + digit;
                    at++;
                }
            }
            if (number > 255)
                return 0;
        }
        quad = quad << 8 | number;
    }
    *value = quad;
    return at == end;
}

/* 128 bits as two halves. */
typedef struct {
    uint64_t high, low;
} wide;

static inline wide append_group(wide value, uint32_t group)
{
    return (wide){value.high << 16 | value.low >> 48, value.low << 16 | group};
}

/* Eight groups of hexadecimal digits; "::" stands for one or more groups of zeros, once. */
static int read_groups(const unsigned char *at, const unsigned char *end, uint64_t *high, uint64_t *low)
{
    wide value = {0, 0}, before = {0, 0}; /* the groups since "::", and those before it */
    int count = 0, gap = -1;
    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = 0;
        at += 2;
    }
    while (at < end) {
        const unsigned char *token = at, *most = end - at < 4 ? end : at + 4;
        uint32_t number = 0, digit;
        while (at < most && (digit = HEXADECIMAL[*at]) != 0) {
            number = number << 4 | (digit - 1);
            at++;
        }
        if (at == token)
            return 0;
        if (at < end && *at == '.') {
            uint32_t quad;
            if (count > 6 || !read_quad(token, end, &quad))
                return 0;
            value = append_group(append_group(value, quad >> 16), quad & 0xFFFF);
            count += 2;
            break;
        }
        if (count == 8)
            return 0;
        value = append_group(value, number);
        count++;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return 0;
        if (*at == ':') {
            if (gap >= 0)
                return 0;
            gap = count;
            before = value;
            value = (wide){0, 0};
            at++;
        }
    }
    if (gap < 0 ? count != 8 : count > 7)
        return 0;
    if (gap > 4) { /* groups before "::" stand at the top, whatever their number */
        value.high |= before.high << 16 * (8 - gap) | before.low >> 16 * (gap - 4);
        value.low |= before.low << 16 * (8 - gap);
    } else if (gap > 0) {
        value.high |= before.low << 16 * (4 - gap);
    }
    *high = value.high;
    *low = value.low;
    return 1;
}

address read_address(const char *text, size_t length)
{
    address none = {0, 0, 0}, found = {0, 0, 6};
    const unsigned char *at = (const unsigned char *)text;
    uint32_t quad;
    if (length > 45) /* the longest notation of IPv6 has 45 characters */
        return none;
    if (read_quad(at, at + length, &quad)) {
        found.low = quad;
        found.family = 4;
        return found;
    }
    if (!read_groups(at, at + length, &found.high, &found.low))
        return none;
    if (found.high == 0 && found.low >> 32 == 0xFFFF) {
        found.low &= 0xFFFFFFFF;
        found.family = 4;
    }
    return found;
}

static char *write_decimal(char *at, unsigned number)
{
    if (number >= 100)
        *at++ = (char)('0' + number / 100);
    if (number >= 10)
        *at++ = (char)('0' + number / 10 % 10);
    *at++ = (char)('0' + number % 10);
    return at;
}

size_t write_address(const address *asked, char text[TEXT_ROOM])
{
    char *at = text;
    if (asked->family == 4) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            at = write_decimal(at, (unsigned)(asked->low >> shift & 0xFF));
            if (shift > 0)
                *at++ = '.';
        }
        return (size_t)(at - text);
    }
    unsigned groups[8];
    int gap = -1, gap_length = 1; /* the first of the longest runs of zeros, if longer than one */
    for (int group = 0; group < 8; group++)
        groups[group] = (unsigned)((group < 4 ? asked->high : asked->low) >> 16 * (3 - (group & 3)) & 0xFFFF);
    for (int group = 0, zeros = 0; group < 8; group++) {
        zeros = groups[group] == 0 ? zeros + 1 : 0;
        if (zeros > gap_length) {
            gap = group - zeros + 1;
            gap_length = zeros;
        }
    }
    for (int group = 0; group < 8; group++) {
        if (group == gap) {
            *at++ = ':';
            *at++ = ':';
            group += gap_length - 1;
            continue;
        }
        if (group > 0 && at[-1] != ':')
            *at++ = ':';
        int shift = groups[group] > 0xFFF ? 12 : groups[group] > 0xFF ? 8 : groups[group] > 0xF ? 4 : 0;
        for (; shift >= 0; shift -= 4)
            *at++ = "0123456789abcdef"[groups[group] >> shift & 0xF];
    }
    return (size_t)(at - text);
}

/* One to most decimal digits; gives how many there were, 0 if none or more. The text ends with a byte that is none. */
static inline int read_number(const unsigned char *at, int most, uint32_t *value)
{
    uint32_t number = 0, digit;
    int digits = 0;
    while ((digit = (uint32_t)at[digits] - '0') <= 9) {
        if (digits == most)
            return 0;
        number = number * 10 + digit;
        digits++;
    }
    *value = number;
    return digits;
}

/* Whether the rest of a line, from the byte that ended the entry up to its newline, leaves it the line's only entry. */
static int ends_well(const unsigned char *start, const unsigned char *stop, const unsigned char *end)
{
    if (*stop == '\n' || *stop == '#' || *stop == ';')
        return 1;
    if (*stop != ' ' && *stop != '\t' && *stop != ',')
        return 0;
    for (int skipped = 0; skipped < GAP_LIMIT && (*stop == ' ' || *stop == '\t'); skipped++)
        stop++;
    if (*stop == '\n' || *stop == '#' || *stop == ';')
        return 1;
    if (*stop == ' ' || *stop == '\t')
        return 0;
    size_t dots = 0;
    int comma = 0, colon = 0;
    for (; start < end; start++) {
        dots += *start == '.';
        comma |= *start == ',';
        colon |= *start == ':';
    }
    return dots == 3 && !(comma && colon);
}

#define LONGEST_QUAD 16 /* four octets of three digits, the dots between them, and the byte behind */

/* Four octets where so many bytes are sure to be there: without a branch on how many digits an octet has, which no
   processor can foresee. Gives the byte behind, NULL if there is no address. */
static inline const unsigned char *read_octets(const unsigned char *at, uint32_t *value)
{
    uint32_t quad = 0, wrong = 0;
    for (int octet = 0; octet < 4; octet++) {
        uint32_t one = (uint32_t)at[0] - '0', two = (uint32_t)at[1] - '0', three = (uint32_t)at[2] - '0';
        uint32_t second = two <= 9, third = second & (three <= 9);
        uint32_t number = one;
        number = second ? number * 10 + two : number;
        number = third ? number * 10 + three : number;
        at += 1 + second + third;
        wrong |= (one > 9) | (number > 255) | ((uint32_t)*at - '0' <= 9) | (octet < 3 && *at != '.');
        at += octet < 3;
        quad = quad << 8 | (number & 0xFF);
    }
    *value = quad;
    return wrong ? NULL : at;
}

/* The address or CIDR a line begins with, zero-padded octets allowed; gives the byte behind it, NULL if there is none. */
static const unsigned char *read_plain(const unsigned char *at, const unsigned char *behind, uint32_t *value,
                                       uint32_t *span)
{
    uint32_t quad = 0, number;
    int digits;
    if (behind - at >= LONGEST_QUAD) {
        at = read_octets(at, &quad);
        if (at == NULL)
            return NULL;
    } else {
        for (int octet = 0; octet < 4; octet++) {
            if (octet > 0 && *at++ != '.')
                return NULL;
            digits = read_number(at, 3, &number);
            if (digits == 0 || number > 255)
                return NULL;
            quad = quad << 8 | number;
            at += digits;
        }
    }
    *value = quad;
    *span = 0;
    if (*at == '/') {
        digits = read_number(at + 1, 2, &number);
        if (digits == 0 || number > 32)
            return NULL;
        *span = number == 0 ? 0xFFFFFFFF : ((uint32_t)1 << (32 - number)) - 1;
        at += 1 + digits;
    }
    return at;
}

int scan_text(const unsigned char *block, size_t size, line_scan *scan)
{
    const unsigned char *at = block, *behind = block + size;
    size_t line = 0, plain = 0, odd = 0;
    while (at < behind) { /* the last byte is a newline, so every loop below stops at one */
        const unsigned char *start = at, *stop, *end;
        uint32_t value, span;
        if (line == scan->capacity)
            return 0;
        stop = read_plain(start, behind, &value, &span);
        end = stop != NULL && *stop == '\n' ? stop : memchr(start, '\n', (size_t)(behind - start));
        if (end == NULL)
            return 0;
        if (stop != NULL && ends_well(start, stop, end)) {
            scan->lines[plain] = (int64_t)line;
            scan->first[plain] = value & ~span;
            scan->last[plain] = value | span;
            scan->masked[plain] = (value & span) != 0;
            plain++;
        } else if (*start != '\n' && *start != '#') {
            scan->odd[odd] = (int64_t)line;
            scan->starts[odd] = start - block;
            scan->ends[odd++] = end - block;
        }
        line++;
        at = end + 1;
    }
    scan->line_count = line;
    scan->plain_count = plain;
    scan->odd_count = odd;
    return 1;
}
