/* Text to addresses and ranges. No Python here: bytes and lengths in, numbers out, nothing is read behind a length. */
#include "kernel.h"

#include <string.h>

/* The value of a hexadecimal digit, 16 for any other byte. */
static inline unsigned hexadecimal(unsigned char byte)
{
    unsigned digit = (unsigned)byte - '0';
    if (digit < 10)
        return digit;
    digit = ((unsigned)byte | 0x20) - 'a';
    return digit < 6 ? digit + 10 : 16;
}

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

/* Eight groups of hexadecimal digits; "::" stands for one or more groups of zeros, once. */
static int read_groups(const unsigned char *at, const unsigned char *end, uint64_t *high, uint64_t *low)
{
    uint16_t groups[8] = {0};
    int count = 0, gap = -1;
    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = 0;
        at += 2;
    }
    while (at < end) {
        const unsigned char *token = at;
        unsigned number = 0, digit;
        while (at < end && at - token < 4 && (digit = hexadecimal(*at)) < 16) {
            number = number << 4 | digit;
            at++;
        }
        if (at == token)
            return 0;
        if (at < end && *at == '.') {
            uint32_t quad;
            if (count > 6 || !read_quad(token, end, &quad))
                return 0;
            groups[count++] = (uint16_t)(quad >> 16);
            groups[count++] = (uint16_t)(quad & 0xFFFF);
            break;
        }
        if (count == 8)
            return 0;
        groups[count++] = (uint16_t)number;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return 0;
        if (*at == ':') {
            if (gap >= 0)
                return 0;
            gap = count;
            at++;
        }
    }
    if (gap < 0 ? count != 8 : count > 7)
        return 0;
    uint64_t halves[2] = {0, 0};
    int missing = 8 - count;
    for (int group = 0; group < count; group++) {
        int place = gap >= 0 && group >= gap ? group + missing : group;
        halves[place >> 2] |= (uint64_t)groups[group] << (16 * (3 - (place & 3)));
    }
    *high = halves[0];
    *low = halves[1];
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

/* The address or CIDR a line begins with, zero-padded octets allowed; gives the byte behind it, NULL if there is none. */
static const unsigned char *read_plain(const unsigned char *at, uint32_t *value, uint32_t *span)
{
    uint32_t quad = 0, number;
    int digits;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && *at++ != '.')
            return NULL;
        digits = read_number(at, 3, &number);
        if (digits == 0 || number > 255)
            return NULL;
        quad = quad << 8 | number;
        at += digits;
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
        stop = read_plain(start, &value, &span);
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
            scan->odd[odd++] = (int64_t)line;
        }
        scan->starts[line] = start - block;
        scan->ends[line] = end - block;
        line++;
        at = end + 1;
    }
    scan->line_count = line;
    scan->plain_count = plain;
    scan->odd_count = odd;
    return 1;
}
