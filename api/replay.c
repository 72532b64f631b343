/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <stdio.h>
#include <string.h>

#include "app.h"
#include "base/cleanup.h"
#include "celery/timestamp.h"
#include "ledger/ledger.h"
#include "secrets.h"
#include "webhook/body.h"

enum { PAGE = 64 };

struct replay {
    struct ledger *ledger;
    struct secrets *secrets;
    struct webhook_rules rules;
    unsigned done;
    unsigned refused;
};

/* --- one webhook ------------------------------------------------------------ */

static void print(const struct ledger_webhook *webhook,
                  const struct ledger_ingested *deposits)
{
    (void)printf("%s %s", webhook->inbox_id,
                 ledger_outcome_name(webhook->outcome));
    for (size_t i = 0; i < webhook->deposit_count; i++)
        (void)printf(" %s=%s", deposits[i].tx_id,
                     ledger_state_name(deposits[i].state));
    if (webhook->error != NULL)
        (void)printf(" %s%s%s", webhook->field != NULL ? webhook->field : "",
                     webhook->field != NULL ? ": " : "", webhook->error);
    (void)puts("");
}

static bool any_failed(const struct ledger_ingested *deposits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (deposits[i].result == LEDGER_INGEST_FAILED)
            return true;
    }
    return false;
}

/* How much of a webhook was taken. */
static int taken(enum ledger_outcome outcome)
{
    if (outcome == LEDGER_STORED)
        return 2;
    return outcome == LEDGER_PARTIAL ? 1 : 0;
}

static enum celery_status store(struct replay *replay,
                                struct ledger_webhook *webhook,
                                enum ledger_outcome before,
                                struct celery_arena *arena,
                                struct celery_error *err)
{
    size_t room = (webhook->deposit_count + 1) * sizeof(struct ledger_ingested);
    struct ledger_ingested *deposits = celery_arena_alloc(arena, room);
    if (deposits == NULL)
        return celery_fail(err, CELERY_NOMEM, "out of memory");
    memset(deposits, 0, room);
    enum celery_status st =
        ledger_ingest(replay->ledger, webhook->deposits, webhook->deposit_count,
                      deposits, err);
    if (st == CELERY_OK && any_failed(deposits, webhook->deposit_count)) {
        webhook->outcome = LEDGER_REFUSED;
        webhook->error = "the ledger refused this deposit";
    }
    /* What was taken stays so, whatever its source says now. */
    bool lower = taken(webhook->outcome) < taken(before);
    if (st == CELERY_OK && !lower)
        st = ledger_inbox_replayed(replay->ledger, webhook, deposits, err);
    if (st != CELERY_OK)
        return st;
    print(webhook, deposits);
    replay->done++;
    replay->refused += webhook->outcome == LEDGER_REFUSED;
    return CELERY_OK;
}

static void read_again(struct replay *replay,
                       const struct ledger_inbox_row *row,
                       struct celery_arena *arena,
                       struct ledger_webhook *webhook)
{
    const struct webhook_source *source =
        sources_named(replay->secrets->sources, row->source);
    struct webhook_read read = {0};
    struct webhook_fault fault = {422, "its source is not known any more",
                                  "source"};
    if (source != NULL) {
        fault = (struct webhook_fault){0};
        (void)webhook_body_read(celery_buf_str(&row->body), source,
                                &replay->rules, arena, &read, &fault);
    }
    *webhook = (struct ledger_webhook){.source = row->source,
                                       .deposits = read.deposits,
                                       .deposit_count = read.deposit_count};
    memcpy(webhook->inbox_id, row->inbox_id, sizeof webhook->inbox_id);
    webhook_judge(&read, &fault, webhook);
}

static enum celery_status replay_one(struct replay *replay,
                                     const char *inbox_id,
                                     struct celery_error *err)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct ledger_inbox_row row = {.body = CELERY_BUF_INIT};
    struct ledger_webhook webhook;
    bool found = false;
    enum celery_status st =
        ledger_inbox_get(replay->ledger, inbox_id, &row, &found, err);
    if (st == CELERY_OK && !found)
        st = celery_fail(err, CELERY_INVALID, "there is no webhook %.60s",
                         inbox_id);
    if (st == CELERY_OK) {
        read_again(replay, &row, &arena, &webhook);
        st = store(replay, &webhook, row.outcome, &arena, err);
    }
    celery_buf_done(&row.body);
    return st;
}

/* --- many --------------------------------------------------------------------- */

static enum celery_status replay_since(struct replay *replay, int64_t since_us,
                                       struct celery_error *err)
{
    char ids[PAGE][LEDGER_ID_MAX];
    char after[LEDGER_ID_MAX] = "";
    size_t count = 0;
    enum celery_status st = CELERY_OK;
    do {
        st = ledger_inbox_open(replay->ledger, since_us,
                               after[0] != '\0' ? after : NULL, PAGE, ids,
                               &count, err);
        for (size_t i = 0; i < count && st == CELERY_OK; i++) {
            memcpy(after, ids[i], sizeof after);
            st = replay_one(replay, ids[i], err);
        }
    } while (st == CELERY_OK && count == PAGE);
    return st;
}

static enum celery_status run(struct replay *replay, const char *inbox_id,
                              const char *since, struct celery_error *err)
{
    int64_t since_us = 0;
    if (since == NULL)
        return replay_one(replay, inbox_id, err);
    if (celery_timestamp_parse((struct celery_str){since, strlen(since)},
                               &since_us)
        != CELERY_OK)
        return celery_fail(err, CELERY_INVALID,
                           "--since='%.40s' is not accepted; accepted: a time "
                           "such as 2026-11-29T06:00:00Z",
                           since);
    return replay_since(replay, since_us, err);
}

int replay_run(const struct conf *conf, const char *inbox_id, const char *since)
{
    struct celery_error err = {0};
    struct replay replay = {.rules = {.currency = conf_text(conf, "CURRENCY"),
                                      .confirmations_required = conf_int(
                                          conf, "CONFIRMATION_THRESHOLD")}};
    enum celery_status st = secrets_read(conf, &replay.secrets, &err);
    if (st == CELERY_OK)
        st = app_open_ledger(conf, &replay.ledger, &err);
    bool wrong = st != CELERY_OK;
    if (st == CELERY_OK)
        st = run(&replay, inbox_id, since, &err);
    ledger_close(replay.ledger);
    secrets_free(replay.secrets);
    if (st != CELERY_OK)
        (void)fprintf(stderr, "cricalgo-api: %s\n", err.msg);
    else
        (void)printf("%u replayed, %u still refused\n", replay.done,
                     replay.refused);
    if (wrong)
        return APP_MISCONFIGURED;
    return st == CELERY_OK && replay.refused == 0 ? APP_OK : APP_FAILED;
}
