/* SPDX-License-Identifier: MIT */
#include "ledger/amount.h"

#include <string.h>

/* 10^38: the first value of 39 digits. Fits: 2^127 is 1.7 * 10^38. */
static amount_units limit(void)
{
    amount_units n = 1;
    for (int i = 0; i < AMOUNT_INTEGER_DIGITS + AMOUNT_DECIMALS; i++)
        n *= 10;
    return n;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(struct celery_str text, size_t from)
{
    size_t n = 0;
    while (from + n < text.len && is_digit(text.data[from + n]))
        n++;
    return n;
}

/* The two runs of digits of "digits[.digits]"; false for any other text. */
static bool split(struct celery_str text, struct celery_str *ret_whole,
                  struct celery_str *ret_part)
{
    if (text.len == 0 || text.len > AMOUNT_INPUT_MAX)
        return false;
    size_t whole = digits(text, 0);
    size_t part = 0;
    if (whole == 0)
        return false;
    if (whole < text.len) {
        if (text.data[whole] != '.')
            return false;
        part = digits(text, whole + 1);
        if (part == 0 || whole + 1 + part != text.len)
            return false;
    }
    *ret_whole = (struct celery_str){text.data, whole};
    *ret_part = (struct celery_str){text.data + text.len - part, part};
    return true;
}

enum celery_status amount_parse_cut(struct celery_str text, struct amount *ret,
                                    int *ret_decimals)
{
    struct celery_str whole = {0};
    struct celery_str part = {0};
    if (!split(text, &whole, &part))
        return CELERY_MALFORMED;
    while (whole.len > 0 && whole.data[0] == '0') {
        whole.data++;
        whole.len--;
    }
    if (whole.len > AMOUNT_INTEGER_DIGITS)
        return CELERY_TOO_LARGE;
    while (part.len > 0 && part.data[part.len - 1] == '0')
        part.len--;

    amount_units units = 0;
    for (size_t i = 0; i < whole.len; i++)
        units = units * 10 + (whole.data[i] - '0');
    for (size_t i = 0; i < AMOUNT_DECIMALS; i++)
        units = units * 10 + (i < part.len ? part.data[i] - '0' : 0);
    ret->units = units;
    *ret_decimals = (int)part.len;
    return CELERY_OK;
}

enum celery_status amount_parse(struct celery_str text, struct amount *ret)
{
    struct amount amount = {0};
    int decimals = 0;
    enum celery_status st = amount_parse_cut(text, &amount, &decimals);
    if (st != CELERY_OK)
        return st;
    if (decimals > AMOUNT_DECIMALS)
        return CELERY_UNSUPPORTED;
    if (amount.units == 0)
        return CELERY_INVALID;
    *ret = amount;
    return CELERY_OK;
}

enum celery_status amount_parse_signed(struct celery_str text,
                                       struct amount *ret)
{
    struct amount amount = {0};
    int decimals = 0;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative) {
        text.data++;
        text.len--;
    }
    enum celery_status st = amount_parse_cut(text, &amount, &decimals);
    if (st != CELERY_OK)
        return st;
    if (decimals > AMOUNT_DECIMALS)
        return CELERY_UNSUPPORTED;
    ret->units = negative ? -amount.units : amount.units;
    return CELERY_OK;
}

bool amount_add(struct amount a, struct amount b, struct amount *ret)
{
    amount_units sum = 0;
    if (__builtin_add_overflow(a.units, b.units, &sum))
        return false;
    if (sum >= limit() || sum <= -limit())
        return false;
    ret->units = sum;
    return true;
}

int amount_compare(struct amount a, struct amount b)
{
    return (a.units > b.units) - (a.units < b.units);
}

void amount_format(struct amount amount, char ret_text[AMOUNT_TEXT_MAX])
{
    bool negative = amount.units < 0;
    amount_units rest = negative ? -amount.units : amount.units;
    char reversed[AMOUNT_TEXT_MAX];
    size_t len = 0;
    bool shown = false; /* a decimal that is no trailing zero was written */

    for (int i = 0; i < AMOUNT_DECIMALS; i++) {
        char digit = (char)('0' + (int)(rest % 10));
        rest /= 10;
        shown = shown || digit != '0';
        if (shown)
            reversed[len++] = digit;
    }
    if (shown)
        reversed[len++] = '.';
    do {
        reversed[len++] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    if (negative)
        reversed[len++] = '-';
    for (size_t i = 0; i < len; i++)
        ret_text[i] = reversed[len - 1 - i];
    ret_text[len] = '\0';
}
