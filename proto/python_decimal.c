/* SPDX-License-Identifier: MIT */
/*
 * repr(decimal.Decimal(text)): the number is normalized by str(), so "1e5" is
 * shown as 1E+5. Source: Lib/_pydecimal.py Decimal.__new__ and __str__.
 */
#include <string.h>

#include "python_text.h"

enum {
    EXPONENT_DIGITS = 18, /* MAX_EMAX of libmpdec has no more */
    PLAIN_ZEROS = 6, /* to_scientific_string: below, an exponent is written */
};

struct decimal {
    struct celery_str whole;    /* digits before the point */
    struct celery_str fraction; /* digits after it */
    int64_t exponent;
};

static struct celery_str take_digits(struct celery_str *rest)
{
    size_t n = 0;

    while (n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9')
        n++;
    struct celery_str digits = {rest->data, n};
    rest->data += n;
    rest->len -= n;
    return digits;
}

/* word is in lower case. */
static bool take_word(struct celery_str *rest, const char *word)
{
    size_t len = strlen(word);

    if (rest->len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = rest->data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != word[i])
            return false;
    }
    rest->data += len;
    rest->len -= len;
    return true;
}

static bool take_exponent(struct celery_str *rest, int64_t *ret)
{
    if (!take_word(rest, "e"))
        return true;
    bool negative = take_word(rest, "-");
    if (!negative)
        (void)take_word(rest, "+");
    struct celery_str digits = take_digits(rest);
    if (digits.len == 0)
        return false;
    while (digits.len > 1 && *digits.data == '0') {
        digits.data++;
        digits.len--;
    }
    if (digits.len > EXPONENT_DIGITS)
        return false;
    for (size_t i = 0; i < digits.len; i++)
        *ret = *ret * 10 + (digits.data[i] - '0');
    if (negative)
        *ret = -*ret;
    return true;
}

static struct celery_str skip_zeros(struct celery_str digits)
{
    while (digits.len != 0 && *digits.data == '0') {
        digits.data++;
        digits.len--;
    }
    return digits;
}

/* The digits of both halves as one number, without zeros before it. */
struct digits {
    struct celery_str part[2];
    size_t len;
};

static struct digits join(const struct decimal *d)
{
    struct digits all = {.part = {skip_zeros(d->whole), d->fraction}};

    if (all.part[0].len == 0)
        all.part[1] = skip_zeros(d->fraction);
    if (all.part[0].len + all.part[1].len == 0)
        all.part[0] = CELERY_STR("0");
    all.len = all.part[0].len + all.part[1].len;
    return all;
}

/* Digits from up to to. */
static void put_digits(struct celery_buf *buf, const struct digits *all,
                       size_t from, size_t to)
{
    size_t first = all->part[0].len;

    for (size_t i = 0; i < 2; i++) {
        size_t base = i == 0 ? 0 : first;
        size_t end = base + all->part[i].len;
        size_t a = from > base ? from : base;
        size_t b = to < end ? to : end;
        if (a < b)
            celery_buf_append(
                buf, (struct celery_str){all->part[i].data + a - base, b - a});
    }
}

static void put_number(struct celery_buf *buf, const struct decimal *d)
{
    const struct digits all = join(d);
    int64_t exponent = d->exponent - (int64_t)d->fraction.len;
    int64_t left = exponent + (int64_t)all.len; /* digits before the point */
    bool plain = exponent <= 0 && left > -PLAIN_ZEROS;
    int64_t point = plain ? left : 1;

    if (point <= 0) {
        celery_buf_append(buf, CELERY_STR("0."));
        for (int64_t i = point; i < 0; i++)
            celery_buf_append(buf, CELERY_STR("0"));
        put_digits(buf, &all, 0, all.len);
    } else {
        put_digits(buf, &all, 0, (size_t)point);
        if ((size_t)point < all.len) {
            celery_buf_append(buf, CELERY_STR("."));
            put_digits(buf, &all, (size_t)point, all.len);
        }
    }
    if (left != point)
        celery_buf_printf(buf, "E%+lld", (long long)(left - point));
}

static bool put_finite(struct celery_buf *buf, struct celery_str rest)
{
    struct decimal d = {0};

    d.whole = take_digits(&rest);
    if (rest.len != 0 && *rest.data == '.') {
        rest.data++;
        rest.len--;
        d.fraction = take_digits(&rest);
    }
    if (d.whole.len + d.fraction.len == 0 || !take_exponent(&rest, &d.exponent)
        || rest.len != 0)
        return false;
    put_number(buf, &d);
    return true;
}

/* NaN and its diagnostic digits. */
static bool put_nan(struct celery_buf *buf, struct celery_str name,
                    struct celery_str rest)
{
    struct celery_str digits = skip_zeros(take_digits(&rest));

    if (rest.len != 0)
        return false;
    celery_buf_append(buf, name);
    celery_buf_append(buf, digits);
    return true;
}

static bool put_any(struct celery_buf *buf, struct celery_str rest)
{
    if (take_word(&rest, "-"))
        celery_buf_append(buf, CELERY_STR("-"));
    else
        (void)take_word(&rest, "+");
    if (take_word(&rest, "nan"))
        return put_nan(buf, CELERY_STR("NaN"), rest);
    if (take_word(&rest, "snan"))
        return put_nan(buf, CELERY_STR("sNaN"), rest);
    if (take_word(&rest, "inf")) {
        (void)take_word(&rest, "inity");
        celery_buf_append(buf, CELERY_STR("Infinity"));
        return rest.len == 0;
    }
    return put_finite(buf, rest);
}

bool cel_repr_decimal(struct celery_buf *buf, struct celery_str text)
{
    size_t from = buf->len;

    celery_buf_append(buf, CELERY_STR("Decimal('"));
    bool good = put_any(buf, text);
    celery_buf_append(buf, CELERY_STR("')"));
    if (!good && celery_buf_status(buf) == CELERY_OK)
        buf->len = from;
    return good;
}
