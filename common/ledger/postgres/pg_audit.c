/* SPDX-License-Identifier: MIT */
/*
 * The running comparison of the books: audit_slice() does the work.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "ledger/postgres/pg_ledger.h"

/* With the pass under way: what is off is told when it is found. */
static const char told_sql[] =
    "SELECT GREATEST(last_wallets_off, wallets_off),"
    " GREATEST(last_credits_off, credits_off), passes,"
    " COALESCE((extract(epoch FROM finished_at) * 1000000)::bigint, 0),"
    " GREATEST(0, (extract(epoch FROM due_at - now()) * 1000000)::bigint)"
    " FROM ledger_audit";

static enum celery_status slice(struct pg_pool *pool, int rows, double pause_s,
                                struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_int(&params, rows);
    pg_add_double(&params, pause_s);
    enum celery_status st =
        pg_run(pool, "SELECT audit_slice($1::integer, $2::double precision)",
               &params, &result, err);
    if (st == CELERY_OK)
        PQclear(result);
    return st;
}

enum celery_status pg_audit(void *impl, int rows, double pause_s,
                            struct ledger_audit *ret, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    enum celery_status st = slice(impl, rows, pause_s, err);
    if (st == CELERY_OK)
        st = pg_run(impl, told_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    if (PQntuples(result) == 1)
        *ret = (struct ledger_audit){
            .wallets_off = pg_int(result, 0, 0),
            .credits_off = pg_int(result, 0, 1),
            .passes = pg_int(result, 0, 2),
            .finished_at = (double)pg_int(result, 0, 3) / USEC_PER_SEC,
            .due_s = (double)pg_int(result, 0, 4) / USEC_PER_SEC,
        };
    PQclear(result);
    return CELERY_OK;
}
