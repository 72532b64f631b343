/* SPDX-License-Identifier: MIT */
/*
 * What differs from chain to chain: CHAIN_DECIMALS, a JSON object of chain to
 * decimals, and CHAIN_ASSUME_FINAL, a list of chains whose providers announce
 * final deposits only.
 */
#ifndef WEBHOOK_CHAINS_H
#define WEBHOOK_CHAINS_H

#include <stdbool.h>

#include "celery/error.h"
#include "ledger/ledger.h"

enum { CHAINS_MAX = 64 };

struct chain {
    char name[LEDGER_CHAIN_MAX];
    int decimals;      /* an amount with more is set aside as a conflict */
    bool assume_final; /* no confirmations in the body means enough */
};

struct chains {
    struct chain list[CHAINS_MAX];
    size_t count;
};

/* Either text may be NULL. */
enum celery_status chains_init(struct chains *chains, const char *decimals_json,
                               const char *assume_final,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* The chain's settings, or the defaults (18 decimals, not final). */
struct chain chains_find(const struct chains *chains, const char *name);

/* Lower case into ret_name; false when text is no chain's name: 1 to 32
 * letters, digits, '-', '_', the first a letter or a digit. */
bool chain_name(struct celery_str text, char ret_name[LEDGER_CHAIN_MAX]);

#endif /* WEBHOOK_CHAINS_H */
