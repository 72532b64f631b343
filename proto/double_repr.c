/* SPDX-License-Identifier: MIT */
/*
 * Python's repr() of a float: the shortest digits that read back equal, in
 * the notation of float_repr_style 'short'. Only digits go in and out of the
 * C library, so the locale's radix character never matters. Source:
 * Python/pystrtod.c format_float_short, Python/dtoa.c mode 0.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/json_write.h"

enum { MAX_DIGITS = 17 };

struct digits {
    char text[MAX_DIGITS + 2];
    int len;
    int exponent; /* of the first digit */
};

/* d > 0, rounded to len significant digits. */
static struct digits round_to(double d, int len)
{
    struct digits r = {.len = 0};
    char text[40];
    const char *p = text;

    (void)snprintf(text, sizeof text, "%.*e", len - 1, d);
    for (; *p != 'e' && *p != '\0'; p++) {
        if (*p >= '0' && *p <= '9' && r.len < MAX_DIGITS)
            r.text[r.len++] = *p;
    }
    r.exponent = (int)strtol(p + 1, NULL, 10);
    return r;
}

static bool reads_back(const struct digits *r, double d)
{
    char text[MAX_DIGITS + 32];

    memcpy(text, r->text, sizeof r->text);
    (void)snprintf(text + r->len, sizeof text - sizeof r->text, "e%d",
                   r->exponent - (r->len - 1));
    double back = strtod(text, NULL);
    return !(back < d) && !(back > d);
}

/* One more in the last place. */
static void step_up(struct digits *r)
{
    int i = r->len - 1;

    while (i >= 0 && r->text[i] == '9')
        r->text[i--] = '0';
    if (i >= 0) {
        r->text[i]++;
        return;
    }
    r->text[0] = '1'; /* 999 became 000: 1000 */
    r->exponent++;
}

static struct digits shortest(double d)
{
    /* Up to 15 digits survive the way through a normal double, so fewer need
     * no look: trailing zeros are cut. Subnormals have fewer bits. */
    int first = d < DBL_MIN ? 1 : 15;

    for (int len = first; len < MAX_DIGITS; len++) {
        struct digits r = round_to(d, len);
        if (reads_back(&r, d))
            return r;
        /* Below a power of two the neighbours are nearer than above it: the
         * nearest text may miss where the next one hits. */
        step_up(&r);
        if (reads_back(&r, d))
            return r;
    }
    return round_to(d, MAX_DIGITS);
}

/* 1.5e-07: at least two digits of exponent. */
static char *put_exponent(char *p, const struct digits *r)
{
    int e = r->exponent < 0 ? -r->exponent : r->exponent;

    *p++ = r->text[0];
    if (r->len > 1) {
        *p++ = '.';
        memcpy(p, r->text + 1, (size_t)r->len - 1);
        p += r->len - 1;
    }
    *p++ = 'e';
    *p++ = (char)(r->exponent < 0 ? '-' : '+');
    if (e >= 100)
        *p++ = (char)('0' + e / 100);
    *p++ = (char)('0' + e / 10 % 10);
    *p++ = (char)('0' + e % 10);
    return p;
}

/* repr() puts a point into what lies in [1e-4, 1e16), else an exponent. */
static char *put_digits(char *p, const struct digits *r)
{
    int point = r->exponent + 1; /* digits before the point */

    if (point > 16 || point <= -4)
        return put_exponent(p, r);
    if (point <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = point; i < 0; i++)
            *p++ = '0';
    }
    for (int i = 0; i < r->len || i < point; i++) {
        if (i == point && point > 0)
            *p++ = '.';
        *p++ = (char)(i < r->len ? r->text[i] : '0');
    }
    if (point >= r->len) {
        *p++ = '.';
        *p++ = '0';
    }
    return p;
}

size_t celery_double_repr(double d, char ret_text[32])
{
    char *p = ret_text;

    if (isnan(d)) {
        memcpy(ret_text, "nan", 4);
        return 3;
    }
    if (signbit(d)) {
        *p++ = '-';
        d = -d;
    }
    if (isinf(d)) {
        memcpy(p, "inf", 3);
        p += 3;
    } else if (fpclassify(d) == FP_ZERO) {
        memcpy(p, "0.0", 3);
        p += 3;
    } else {
        struct digits r = shortest(d);
        while (r.len > 1 && r.text[r.len - 1] == '0')
            r.len--;
        p = put_digits(p, &r);
    }
    *p = '\0';
    return (size_t)(p - ret_text);
}
