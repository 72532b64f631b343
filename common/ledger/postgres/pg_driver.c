/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL as a ledger: opening, the schema, the driver's table.
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "ledger/migrate.h"
#include "ledger/postgres/pg_ledger.h"

static const double statement_timeout_default_s = 10.0;
/* A step may have to write a large table anew. */
static const double migrate_timeout_s = 3600.0;

static enum celery_status pg_open(const struct ledger_options *options,
                                  const struct url *url, void **ret_impl,
                                  struct celery_error *err)
{
    struct pg_pool_options pool = {
        .size = options->pool_size,
        .overflow = options->max_overflow,
        .timeout_s = options->pool_timeout_s,
        .recycle_s = options->pool_recycle_s,
        .statement_timeout_s = options->statement_timeout_s > 0
                                 ? options->statement_timeout_s
                                 : statement_timeout_default_s,
    };
    if (pool.size < 1 || pool.overflow < 0)
        return celery_fail(err, CELERY_INVALID,
                           "a pool needs at least one connection");
    *ret_impl = pg_pool_new(url, &pool);
    return CELERY_OK;
}

static void pg_close(void *impl)
{
    pg_pool_free(impl);
}

static void pg_stats(void *impl, int *ret_active, int *ret_max)
{
    pg_pool_stats(impl, ret_active, ret_max);
}

/* In one transaction, under a lock of our own that ends with it. */
static enum celery_status apply_locked(struct pg_conn *conn,
                                       const struct migration *step,
                                       struct celery_error *err)
{
    char sql[200];
    PGresult *result = NULL;
    enum celery_status st = pg_do(
        conn,
        "BEGIN; SET LOCAL statement_timeout = 3600000;"
        "SELECT pg_advisory_xact_lock(4847103310237);"
        /* Who waits for a table lets nobody else near it. */
        "SET LOCAL lock_timeout = 10000;"
        "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY"
        " KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT"
        " now())",
        err);
    if (st != CELERY_OK)
        return st;
    (void)snprintf(sql, sizeof sql,
                   "SELECT 1 FROM schema_migrations WHERE version = %d",
                   step->version);
    st = pg_exec(conn, sql, NULL, &result, err);
    if (st != CELERY_OK)
        return st;
    bool applied = PQntuples(result) > 0;
    PQclear(result);
    if (applied)
        return pg_do(conn, "COMMIT", err);
    st = pg_do(conn, step->sql, err);
    if (st != CELERY_OK)
        return st;
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO schema_migrations (version, name)"
                   " VALUES (%d, '%s'); COMMIT",
                   step->version, step->name);
    return pg_do(conn, sql, err);
}

static enum celery_status apply(void *arg, const struct migration *step,
                                struct celery_error *err)
{
    struct pg_conn *conn = arg;
    enum celery_status st = apply_locked(conn, step, err);
    if (st != CELERY_OK)
        (void)!pg_do(conn, "ROLLBACK", NULL);
    return st;
}

static enum celery_status pg_migrate(void *impl, struct celery_error *err)
{
    struct pg_conn *conn = NULL;
    enum celery_status st = pg_pool_borrow(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    double timeout_s = conn->timeout_s;
    conn->timeout_s = migrate_timeout_s;
    st = migrate_all(postgres_migrations, postgres_migrations_count, apply,
                     conn, err);
    conn->timeout_s = timeout_s;
    pg_pool_return(impl, conn);
    return st;
}

/* A standby, and a primary whose administrator stopped the writes, answer reads as
 * ever. */
static enum celery_status pg_ready(void *impl, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    enum celery_status st =
        pg_run(impl,
               "SELECT COALESCE(max(version), 0), pg_is_in_recovery(),"
               " current_setting('transaction_read_only')::boolean"
               " FROM schema_migrations",
               &params, &result, err);
    if (st != CELERY_OK)
        return st;
    int version = (int)pg_int(result, 0, 0);
    bool standby = pg_bool(result, 0, 1);
    bool read_only = pg_bool(result, 0, 2);
    PQclear(result);
    if (standby || read_only)
        return celery_fail(err, CELERY_IO, "PostgreSQL takes no writes: %s",
                           standby ? "it is a standby"
                                   : "default_transaction_read_only is on");
    return migrate_check(version, postgres_migrations_count, err);
}

const struct ledger_driver postgres_driver = {
    .scheme = "postgresql",
    .open = pg_open,
    .close = pg_close,
    .migrate = pg_migrate,
    .ready = pg_ready,
    .pool_stats = pg_stats,
    .ingest = pg_ingest,
    .mark_enqueued = pg_mark_enqueued,
    .sweep = pg_sweep,
    .settle = pg_settle,
    .inbox_get = pg_inbox_get,
    .inbox_open = pg_inbox_open,
    .inbox_replayed = pg_inbox_replayed,
    .inbox_expire = pg_inbox_expire,
    .resolve = pg_resolve,
    .collisions = pg_collisions,
    .check = pg_check,
    .transactions = pg_transactions,
    .transaction = pg_transaction,
    .wallet = pg_wallet,
    .register_user = pg_register_user,
    .explain = pg_explain,
    .backlog = pg_backlog,
    .audit = pg_audit,
};
