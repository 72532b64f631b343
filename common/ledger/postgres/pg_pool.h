/* SPDX-License-Identifier: MIT */
/*
 * The connections of a ledger. Thread-safe: one lock guards the lists and is
 * never held while a connection is opened, used or closed.
 *
 * size connections are kept, overflow more are opened when all are busy and
 * closed after use. A caller waits at most timeout_s for one. A connection older
 * than recycle_s is replaced before its next use.
 */
#ifndef LEDGER_POSTGRES_PG_POOL_H
#define LEDGER_POSTGRES_PG_POOL_H

#include "ledger/postgres/pg_conn.h"

struct pg_pool;

struct pg_pool_options {
    int size;
    int overflow;
    double timeout_s;
    double recycle_s; /* below 0: never */
    double statement_timeout_s;
};

struct pg_pool *pg_pool_new(const struct url *url,
                            const struct pg_pool_options *options);

/* No connection may be out. */
void pg_pool_free(struct pg_pool *pool);

/* thread: any. CELERY_TIMEOUT when none came free in time, CELERY_IO when the
 * server cannot be reached. */
enum celery_status pg_pool_borrow(struct pg_pool *pool, struct pg_conn **ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* thread: any. A broken connection is closed, not kept. */
void pg_pool_return(struct pg_pool *pool, struct pg_conn *conn);

void pg_pool_stats(struct pg_pool *pool, int *ret_active, int *ret_max);

/* One statement on a borrowed connection; the caller clears *ret. What failed
 * because a kept connection had died is tried once more on a new one, so sql
 * must bear being executed twice; deadlocks and serialization failures are
 * tried three times. */
enum celery_status pg_run(struct pg_pool *pool, const char *sql,
                          const struct pg_params *params, PGresult **ret,
                          struct celery_error *err) CELERY_MUST_CHECK;

/* The same, tried once where the caller has a better idea after a deadlock. */
enum celery_status pg_run_once(struct pg_pool *pool, const char *sql,
                               const struct pg_params *params, PGresult **ret,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* The pause before the n-th repetition after a deadlock, with jitter. */
void pg_pause(unsigned n);

#endif /* LEDGER_POSTGRES_PG_POOL_H */
