/* SPDX-License-Identifier: MIT */
/*
 * The harmless spellings of numbers in webhooks: integers as decimal strings or
 * behind 0x, decimals with an exponent, amounts in base units. Exact: no double.
 * Pure.
 */
#ifndef WEBHOOK_SPELLING_H
#define WEBHOOK_SPELLING_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/json_scan.h"

enum { SPELLING_DECIMAL_MAX = 128 };

/* null, absent and "" alike. */
bool spelling_absent(struct celery_json value);

/* 12, "12", "0xc": 0 … max. */
bool spelling_integer(struct celery_json value, struct celery_arena *arena,
                      int64_t max, int64_t *ret);

/* 12.5, "12.5", "1e-7", 1.25E2 as plain decimal text "digits[.digits]", a '-'
 * before it where there was one. false: no finite decimal of that size. */
bool spelling_decimal(struct celery_json value, struct celery_arena *arena,
                      char ret[SPELLING_DECIMAL_MAX]);

/* An integer of base units ("12500000", "0xbebc20", 12500000), of which 10 to
 * the decimals make one, in the same form. */
bool spelling_base_units(struct celery_json value, struct celery_arena *arena,
                         int decimals, char ret[SPELLING_DECIMAL_MAX]);

#endif /* WEBHOOK_SPELLING_H */
