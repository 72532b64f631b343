/* SPDX-License-Identifier: MIT */
/*
 * Number tokens to C values. strtod() reads the radix character of the
 * process's locale, so the token is handed to it as digits and an exponent
 * without one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/json_scan.h"

/* 767 significant digits decide any double; more only break ties, for which
 * one digit that stands for "and something" is enough. */
enum { MAX_DIGITS = 800, EXPONENT_CLAMP = 100000 };

bool celery_json_int64(struct celery_json value, int64_t *ret)
{
    const char *p = value.text.data;
    const char *end = p + value.text.len;
    int64_t n = 0;

    if (value.type != CELERY_JSON_NUMBER)
        return false;
    bool negative = *p == '-';
    if (negative)
        p++;
    for (; p != end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        int digit = *p - '0';
        /* Downwards, since INT64_MIN has no positive. */
        if (__builtin_mul_overflow(n, 10, &n)
            || __builtin_sub_overflow(n, digit, &n))
            return false;
    }
    if (!negative && __builtin_mul_overflow(n, -1, &n))
        return false;
    *ret = n;
    return true;
}

struct decimal {
    char digits[MAX_DIGITS + 1];
    size_t len;
    long exponent; /* of the last digit */
};

static void add_digit(struct decimal *d, char digit, bool fraction)
{
    if (d->len == 0 && digit == '0') {
        d->exponent -= fraction;
        return;
    }
    if (d->len < MAX_DIGITS) {
        d->digits[d->len++] = digit;
        d->exponent -= fraction;
        return;
    }
    if (digit != '0')
        d->digits[MAX_DIGITS - 1] = '1';
    d->exponent += !fraction;
}

static long read_exponent(const char *p, const char *end)
{
    long value = 0;
    bool negative = p != end && *p == '-';

    if (p != end && (*p == '-' || *p == '+'))
        p++;
    for (; p != end; p++) {
        if (value < EXPONENT_CLAMP * 100L)
            value = value * 10 + (*p - '0');
    }
    return negative ? -value : value;
}

static double read_decimal(const char *p, const char *end)
{
    struct decimal d = {.len = 0, .exponent = 0};
    bool fraction = false;

    for (; p != end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.')
            fraction = true;
        else
            add_digit(&d, *p, fraction);
    }
    if (d.len == 0)
        return 0.0;
    if (p != end)
        d.exponent += read_exponent(p + 1, end);
    if (d.exponent > EXPONENT_CLAMP)
        d.exponent = EXPONENT_CLAMP;
    if (d.exponent < -EXPONENT_CLAMP)
        d.exponent = -EXPONENT_CLAMP;

    char text[MAX_DIGITS + 32];
    memcpy(text, d.digits, d.len);
    (void)snprintf(text + d.len, sizeof text - d.len, "e%ld", d.exponent);
    return strtod(text, NULL);
}

bool celery_json_double(struct celery_json value, double *ret)
{
    const char *p = value.text.data;
    const char *end = p + value.text.len;
    double d = 0;

    if (value.type != CELERY_JSON_NUMBER)
        return false;
    bool negative = *p == '-';
    if (negative)
        p++;
    if (*p == 'N')
        d = (double)NAN;
    else if (*p == 'I')
        d = (double)INFINITY;
    else
        d = read_decimal(p, end);
    *ret = negative ? -d : d;
    return true;
}

bool celery_json_truthy(struct celery_json value)
{
    double d = 0;

    switch (value.type) {
    case CELERY_JSON_TRUE:
        return true;
    case CELERY_JSON_NUMBER:
        return celery_json_double(value, &d) && fpclassify(d) != FP_ZERO;
    case CELERY_JSON_STRING:
        return value.text.len > 2;
    case CELERY_JSON_ARRAY:
    case CELERY_JSON_OBJECT:
        return celery_json_count(value) != 0;
    case CELERY_JSON_NONE:
    case CELERY_JSON_NULL:
    case CELERY_JSON_FALSE:
    default:
        return false;
    }
}
