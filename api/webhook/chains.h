/* SPDX-License-Identifier: MIT */
/*
 * The closed list of chains that deposits may come from: WEBHOOK_CHAINS, with
 * the kind of each, and what differs: CHAIN_DECIMALS, a JSON object of chain to
 * decimals, and CHAIN_ASSUME_FINAL, a list of chains whose providers announce
 * final deposits only.
 */
#ifndef WEBHOOK_CHAINS_H
#define WEBHOOK_CHAINS_H

#include <stdbool.h>

#include "celery/error.h"
#include "ledger/chain_kind.h"
#include "ledger/ledger.h"

enum { CHAINS_MAX = 64 };

struct chain {
    char name[LEDGER_CHAIN_MAX];
    enum chain_kind kind;
    int decimals;      /* an amount with more is set aside as a conflict */
    bool assume_final; /* no confirmations in the body means enough */
};

struct chains {
    struct chain list[CHAINS_MAX];
    size_t count;
};

/* list: "name[:kind],…"; a name without a kind is of the kind that chains of
 * that name have. The other two may be NULL; what they say of a chain that is
 * not listed is wrong. */
enum celery_status chains_init(struct chains *chains, const char *list,
                               const char *decimals_json,
                               const char *assume_final,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* NULL: not listed. name in lower case. */
const struct chain *chains_find(const struct chains *chains, const char *name);

/* Lower case into ret_name; false when text is no chain's name: 1 to 32
 * letters, digits, '-', '_', the first a letter or a digit. */
bool chain_name(struct celery_str text, char ret_name[LEDGER_CHAIN_MAX]);

#endif /* WEBHOOK_CHAINS_H */
