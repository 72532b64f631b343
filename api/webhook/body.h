/* SPDX-License-Identifier: MIT */
/*
 * A webhook's JSON into a deposit, validated. Pure: no clock, no ledger; the
 * fuzz target's subject.
 */
#ifndef WEBHOOK_BODY_H
#define WEBHOOK_BODY_H

#include "celery/arena.h"
#include "ledger/ledger.h"
#include "webhook/chains.h"

enum { WEBHOOK_BODY_MAX = 64 * 1024 };

struct webhook_rules {
    const char *currency; /* when the body names none */
    int64_t confirmations_required;
    const struct chains *chains;
};

/* Why a body was refused. */
struct webhook_fault {
    int status;        /* 400 no JSON object, or a key is missing; 422 */
    const char *error; /* static */
    const char *field; /* static; NULL: the body as a whole */
};

/* Fills *ret, whose slices borrow from body and arena. chain is what the path
 * says. false: ret_fault says why. A deposit whose money cannot be taken as it
 * is has a conflict_reason: it is stored, not refused. */
bool webhook_body_read(struct celery_str body, struct celery_str chain,
                       const struct webhook_rules *rules,
                       struct celery_arena *arena, struct ledger_deposit *ret,
                       struct webhook_fault *ret_fault);

#endif /* WEBHOOK_BODY_H */
