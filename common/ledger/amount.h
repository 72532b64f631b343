/* SPDX-License-Identifier: MIT */
/*
 * Money: a decimal of 20 integer digits and 18 decimals, held as a 128-bit
 * count of units of 10^-18. Every operation is checked; no double anywhere.
 *
 * The canonical text has no leading or trailing zeros, no exponent and no
 * '+': "0", "12", "0.5", "-3.25". Pure and thread-safe.
 */
#ifndef LEDGER_AMOUNT_H
#define LEDGER_AMOUNT_H

#include <stdbool.h>

#include "celery/buf.h"
#include "celery/error.h"

__extension__ typedef __int128 amount_units;

enum {
    AMOUNT_DECIMALS = 18,
    AMOUNT_INTEGER_DIGITS = 20,
    AMOUNT_INPUT_MAX = 128, /* longer texts are no amount */
    AMOUNT_TEXT_MAX = 48,   /* a canonical text and its NUL */
};

struct amount {
    amount_units units; /* of 10^-18; |units| < 10^38 */
};

/* Reads "digits[.digits]", above zero. CELERY_MALFORMED: no such text;
 * CELERY_INVALID: zero; CELERY_TOO_LARGE: more than 20 integer digits;
 * CELERY_UNSUPPORTED: decimals that matter past the 18th. */
enum celery_status amount_parse(struct celery_str text, struct amount *ret)
    CELERY_MUST_CHECK;

/* The same, but zero is an amount and decimals past the 18th are cut, not
 * refused. *ret_decimals counts the decimals without trailing zeros, as
 * written. */
enum celery_status amount_parse_cut(struct celery_str text, struct amount *ret,
                                    int *ret_decimals) CELERY_MUST_CHECK;

/* What a ledger holds: may be zero or, with a leading '-', negative. Otherwise
 * as strict as amount_parse(). */
enum celery_status amount_parse_signed(struct celery_str text,
                                       struct amount *ret) CELERY_MUST_CHECK;

/* false when the sum leaves the range; *ret is then not written. */
bool amount_add(struct amount a, struct amount b, struct amount *ret);

/* Below 0, 0 or above 0, as strcmp(3). */
int amount_compare(struct amount a, struct amount b);

void amount_format(struct amount amount, char ret_text[AMOUNT_TEXT_MAX]);

#endif /* LEDGER_AMOUNT_H */
