/* SPDX-License-Identifier: MIT */
/*
 * Settlement: one call of settle_deposits() for the whole batch. What the
 * database refuses because of one deposit is halved until that one stands
 * alone, and so is what keeps running into deadlocks.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

/* A row for each id asked, in that order; of an id asked twice only the first
 * moved the money. */
static const char settle_sql[] =
    "SELECT s.tx_id IS NOT NULL, s.state,"
    " s.credited_now AND row_number() OVER (PARTITION BY i.id ORDER BY i.ord)"
    " = 1, s.tx_hash, (extract(epoch FROM s.created_at) * 1000000)::bigint,"
    " (extract(epoch FROM s.enqueued_at) * 1000000)::bigint"
    " FROM unnest($1) WITH ORDINALITY AS i (id, ord)"
    " LEFT JOIN settle_deposits($1) s ON s.tx_id = i.id ORDER BY i.ord";

enum { WHOLE_TRIES = 2, SINGLE_TRIES = 6, RANGES_MAX = 16 };

/* What is left to do: halving 256 ids leaves at most 9 ranges open. */
struct range {
    size_t at;
    size_t count;
    unsigned tries;
};

static double seconds(int64_t us)
{
    return (double)us / USEC_PER_SEC;
}

static void read_row(const PGresult *result, int row,
                     struct ledger_settled *ret)
{
    *ret = (struct ledger_settled){0};
    ret->found = pg_bool(result, row, 0);
    if (!ret->found)
        return;
    (void)ledger_state_parse(PQgetvalue(result, row, 1), &ret->state);
    ret->credited_now = pg_bool(result, row, 2);
    pg_copy(result, row, 3, ret->tx_hash, sizeof ret->tx_hash);
    ret->created_at = seconds(pg_int(result, row, 4));
    ret->enqueued_at = seconds(pg_int(result, row, 5));
}

static enum celery_status settle(struct pg_pool *pool,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_begin_array(&params, PG_UUIDS);
    for (size_t i = 0; i < count; i++)
        pg_put_uuid(&params, tx_ids[i]);
    pg_end_array(&params);
    FAILPOINT("before-commit");
    enum celery_status st =
        pg_run_once(pool, settle_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    FAILPOINT("after-commit");
    for (size_t i = 0; i < count && (int)i < PQntuples(result); i++)
        read_row(result, (int)i, &ret[i]);
    PQclear(result);
    return CELERY_OK;
}

/* What the row says while it cannot be settled. */
static void read_unsettled(struct pg_pool *pool, const char *tx_id,
                           const struct celery_error *why,
                           struct ledger_settled *ret)
{
    PGresult *result = NULL;
    *ret = (struct ledger_settled){.found = true, .failed = true};
    ret->error = *why;
    if (pg_find_row(pool, tx_id, &result, NULL) != CELERY_OK)
        return;
    if (PQntuples(result) == 1) {
        struct ledger_row row = pg_read_row(result, 0);
        (void)ledger_state_parse(row.state, &ret->state);
        (void)strncpy(ret->tx_hash, row.tx_hash, sizeof ret->tx_hash - 1);
        ret->created_at = seconds(row.created_us);
        ret->enqueued_at = seconds(row.enqueued_us);
    }
    PQclear(result);
}

/* Decides how a failed range goes on; false: not at all. */
static bool again(struct range range, const struct celery_error *why,
                  struct range *stack, size_t *depth)
{
    bool repeat = pg_error_repeatable(why);
    if (!repeat && !pg_error_of_data(why))
        return false;
    range.tries++;
    if (repeat
        && range.tries < (range.count > 1 ? WHOLE_TRIES : SINGLE_TRIES)) {
        pg_pause(range.tries);
        stack[(*depth)++] = range;
        return true;
    }
    if (range.count == 1)
        return false;
    size_t half = range.count / 2;
    stack[(*depth)++] = (struct range){range.at + half, range.count - half, 0};
    stack[(*depth)++] = (struct range){range.at, half, 0};
    return true;
}

enum celery_status pg_settle(void *impl, const char (*tx_ids)[LEDGER_ID_MAX],
                             size_t count, struct ledger_settled *ret,
                             struct celery_error *err)
{
    struct range stack[RANGES_MAX];
    size_t depth = 0;
    stack[depth++] = (struct range){0, count, 0};
    while (depth > 0) {
        struct range range = stack[--depth];
        struct celery_error why = {0};
        enum celery_status st =
            settle(impl, tx_ids + range.at, range.count, ret + range.at, &why);
        if (st == CELERY_OK || again(range, &why, stack, &depth))
            continue;
        if (!pg_error_of_data(&why)) {
            if (err != NULL)
                *err = why;
            return st;
        }
        read_unsettled(impl, tx_ids[range.at], &why, &ret[range.at]);
    }
    return CELERY_OK;
}
