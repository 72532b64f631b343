/* SPDX-License-Identifier: MIT */
/*
 * A webhook's JSON into the deposits that it announces, as its source says to
 * read it. Pure: no clock, no ledger; the fuzz target's subject.
 */
#ifndef WEBHOOK_BODY_H
#define WEBHOOK_BODY_H

#include "celery/arena.h"
#include "celery/json_scan.h"
#include "ledger/ledger.h"
#include "webhook/source.h"

enum {
    WEBHOOK_NATIVE_MAX = 64 * 1024, /* bytes of our own body */
    WEBHOOK_BODY_MAX = 256 * 1024,  /* of anybody else's */
    WEBHOOK_ITEMS_MAX = LEDGER_BATCH_MAX,
};

struct webhook_rules {
    const char *currency; /* when the body names none; upper case */
    int64_t confirmations_required;
};

/* Why a body, or one entry of its list, was refused. */
struct webhook_fault {
    int status;        /* 400 no JSON object, or a key is missing; 422 */
    const char *error; /* static */
    const char *field; /* static; NULL: the body as a whole */
};

enum webhook_item_result {
    ITEM_DEPOSIT, /* deposits[index] */
    ITEM_IGNORED, /* not for us: another direction, chain, currency, kind */
    ITEM_REFUSED, /* not understood */
};

struct webhook_item {
    enum webhook_item_result result;
    size_t index;               /* ITEM_DEPOSIT */
    struct webhook_fault fault; /* else: why */
};

struct webhook_read {
    struct webhook_item *items; /* in the arena */
    size_t item_count;
    struct ledger_deposit *deposits; /* in the arena */
    size_t deposit_count;
    const char *event_id; /* where the source says that it stands; or NULL */
};

/* Fills *ret, whose slices borrow from body and arena. false: the body as a
 * whole cannot be read, ret_fault says why. A deposit whose money cannot be
 * taken as it is has a conflict_reason: it is stored, not refused. */
bool webhook_body_read(struct celery_str body,
                       const struct webhook_source *source,
                       const struct webhook_rules *rules,
                       struct celery_arena *arena, struct webhook_read *ret,
                       struct webhook_fault *ret_fault);

/* What became of the body before the ledger says more, into webhook's outcome,
 * error and field: refused when anything in it was not understood. fault is the
 * body's, or becomes the first entry's. */
void webhook_judge(const struct webhook_read *read, struct webhook_fault *fault,
                   struct ledger_webhook *webhook);

/* One entry of the list, body_entry.c. root: the whole body. */
struct webhook_item webhook_entry_read(struct celery_json root,
                                       struct celery_json entry,
                                       const struct webhook_source *source,
                                       const struct webhook_rules *rules,
                                       struct celery_arena *arena,
                                       struct ledger_deposit *ret);

#endif /* WEBHOOK_BODY_H */
