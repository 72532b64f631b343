/* SPDX-License-Identifier: MIT */
#include "webhook/spelling.h"

#include <stdio.h>
#include <string.h>

#include "base/ascii.h"

enum {
    EXPONENT_MAX = 96,   /* no amount needs more */
    DIGITS_MAX = 96,     /* 2^256 has 78 */
    HEX_DIGITS_MAX = 64, /* 256 bits */
};

bool spelling_absent(struct celery_json value)
{
    return celery_json_null(value)
        || (value.type == CELERY_JSON_STRING && value.text.len == 2);
}

/* A number's token or a string's text. */
static bool text_of(struct celery_json value, struct celery_arena *arena,
                    struct celery_str *ret)
{
    *ret = value.text;
    if (value.type == CELERY_JSON_NUMBER)
        return true;
    return value.type == CELERY_JSON_STRING
        && celery_json_string(value, arena, ret) == CELERY_OK;
}

static bool strip_hex(struct celery_str *text)
{
    if (text->len < 3 || text->data[0] != '0'
        || ascii_lower(text->data[1]) != 'x')
        return false;
    text->data += 2;
    text->len -= 2;
    return true;
}

bool spelling_integer(struct celery_json value, struct celery_arena *arena,
                      int64_t max, int64_t *ret)
{
    struct celery_str text = {0};
    uint64_t n = 0;
    if (!text_of(value, arena, &text) || text.len == 0)
        return false;
    unsigned base = strip_hex(&text) ? 16 : 10;
    for (size_t i = 0; i < text.len; i++) {
        int digit = ascii_hex(text.data[i]);
        if (digit < 0 || (unsigned)digit >= base
            || n > ((uint64_t)max - (uint64_t)digit) / base)
            return false;
        n = n * base + (unsigned)digit;
    }
    *ret = (int64_t)n;
    return true;
}

/* --- decimals ------------------------------------------------------------ */

/* sign, the digits without their point, and where the point is in them. */
struct decimal {
    bool negative;
    char digits[DIGITS_MAX + 1];
    size_t count;
    long point;
};

static bool add_digit(struct decimal *d, char c)
{
    if (d->count == DIGITS_MAX)
        return false;
    d->digits[d->count++] = c;
    return true;
}

/* "digits[.digits]"; returns what is behind it, or NULL. */
static const char *read_digits(const char *p, const char *end,
                               struct decimal *ret)
{
    const char *start = p;
    for (; p < end && ascii_is_digit(*p); p++) {
        if (!add_digit(ret, *p))
            return NULL;
    }
    if (p == start)
        return NULL;
    ret->point = (long)ret->count;
    if (p == end || *p != '.')
        return p;
    start = ++p;
    for (; p < end && ascii_is_digit(*p); p++) {
        if (!add_digit(ret, *p))
            return NULL;
    }
    return p > start ? p : NULL;
}

static bool read_exponent(const char *p, const char *end, struct decimal *ret)
{
    long n = 0;
    bool negative = false;
    if (p == end)
        return true;
    if (ascii_lower(*p++) != 'e' || p == end)
        return false;
    if (*p == '+' || *p == '-')
        negative = *p++ == '-';
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (!ascii_is_digit(*p) || n > EXPONENT_MAX)
            return false;
        n = n * 10 + (*p - '0');
    }
    ret->point += negative ? -n : n;
    return n <= EXPONENT_MAX;
}

/* As "digits[.digits]", with the zeros that the point needs. */
static bool write(const struct decimal *d, char ret[SPELLING_DECIMAL_MAX])
{
    size_t n = 0;
    long last = (long)d->count > d->point ? (long)d->count : d->point;
    long first = d->point < 1 ? d->point - 1 : 0;
    if (last - first + 3 >= SPELLING_DECIMAL_MAX)
        return false;
    if (d->negative)
        ret[n++] = '-';
    for (long i = first; i < last; i++) {
        if (i == d->point)
            ret[n++] = '.';
        bool given = i >= 0 && i < (long)d->count;
        ret[n++] = (char)(given ? d->digits[i] : '0');
    }
    ret[n] = '\0';
    return true;
}

bool spelling_decimal(struct celery_json value, struct celery_arena *arena,
                      char ret[SPELLING_DECIMAL_MAX])
{
    struct celery_str text = {0};
    struct decimal d = {.negative = false};
    if (!text_of(value, arena, &text) || text.len == 0)
        return false;
    const char *end = text.data + text.len;
    d.negative = *text.data == '-';
    const char *p = read_digits(text.data + d.negative, end, &d);
    return p != NULL && read_exponent(p, end, &d) && write(&d, ret);
}

/* --- base units ----------------------------------------------------------- */

/* Hex digits to decimal ones: for each, times 16 and plus it. */
static bool from_hex(struct celery_str text, struct decimal *ret)
{
    unsigned char digits[DIGITS_MAX] = {0}; /* the lowest first */
    size_t count = 1;
    while (text.len > 1 && *text.data == '0') {
        text.data++;
        text.len--;
    }
    if (text.len > HEX_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int hex = ascii_hex(text.data[i]);
        if (hex < 0)
            return false;
        unsigned carry = (unsigned)hex;
        for (size_t k = 0; k < count; k++) {
            unsigned n = digits[k] * 16U + carry;
            digits[k] = (unsigned char)(n % 10);
            carry = n / 10;
        }
        for (; carry > 0 && count < DIGITS_MAX; carry /= 10)
            digits[count++] = (unsigned char)(carry % 10);
    }
    for (size_t k = count; k > 0; k--)
        (void)add_digit(ret, (char)('0' + digits[k - 1]));
    return true;
}

bool spelling_base_units(struct celery_json value, struct celery_arena *arena,
                         int decimals, char ret[SPELLING_DECIMAL_MAX])
{
    struct celery_str text = {0};
    struct decimal d = {.negative = false};
    if (!text_of(value, arena, &text) || text.len == 0)
        return false;
    if (strip_hex(&text)) {
        if (!from_hex(text, &d))
            return false;
        d.point = (long)d.count;
    } else {
        const char *end = text.data + text.len;
        d.negative = *text.data == '-';
        const char *p = read_digits(text.data + d.negative, end, &d);
        if (p == NULL || !read_exponent(p, end, &d)
            || d.point < (long)d.count) /* a part of a base unit */
            return false;
    }
    d.point -= decimals;
    return write(&d, ret);
}
