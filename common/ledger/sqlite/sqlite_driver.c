/* SPDX-License-Identifier: MIT */
/*
 * SQLite as a ledger: opening, the schema, the driver's table.
 *
 * sqlite:///P names the file /P; sqlite:///./P one relative to the working
 * folder. The four slashes that others write for an absolute path mean the same
 * file.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ledger/migrate.h"
#include "ledger/sqlite/sqlite_ledger.h"

static enum celery_status open_db(const struct ledger_options *options,
                                  const struct url *url, void **ret_impl,
                                  struct celery_error *err)
{
    struct sqlite_db *db = NULL;
    const char *path = url->path;
    if (url->host != NULL || path[0] == '\0' || path[1] == '\0')
        return celery_fail(err, CELERY_INVALID,
                           "a SQLite ledger is sqlite:///path/of/the/file");
    if (strncmp(path, "/./", 3) == 0)
        path += 1;
    int readers = options->pool_size + options->max_overflow;
    enum celery_status st = sqlite_db_open(path, readers > 0 ? readers : 1,
                                           options->pool_timeout_s, &db, err);
    if (st == CELERY_OK)
        *ret_impl = db;
    return st;
}

static void close_db(void *impl)
{
    sqlite_db_close(impl);
}

static void stats(void *impl, int *ret_active, int *ret_max)
{
    sqlite_db_stats(impl, ret_active, ret_max);
}

static enum celery_status is_applied(struct sqlite_conn *conn, int version,
                                     bool *ret, struct celery_error *err)
{
    static const char sql[] =
        "SELECT 1 FROM schema_migrations WHERE version = ?1";
    enum celery_status st = sqlite_script(
        conn,
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY"
        " KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)",
        err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, version);
    st = sqlite_step_row(conn, stmt, ret, err);
    if (st == CELERY_OK)
        (void)sqlite3_reset(stmt);
    return st;
}

static enum celery_status apply_step(struct sqlite_conn *conn,
                                     const struct migration *step,
                                     struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO schema_migrations (version, name, applied_at)"
        " VALUES (?1, ?2, ?3)";
    bool applied = false;
    enum celery_status st = is_applied(conn, step->version, &applied, err);
    if (st != CELERY_OK || applied)
        return st;
    st = sqlite_script(conn, step->sql, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, step->version);
    sqlite_bind(stmt, 2, step->name);
    sqlite_bind_number(stmt, 3, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

static enum celery_status apply(void *arg, const struct migration *step,
                                struct celery_error *err)
{
    struct sqlite_db *db = arg;
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(db, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = apply_step(conn, step, err);
    if (st == CELERY_OK)
        return sqlite_commit(db, conn, err);
    sqlite_rollback(db, conn);
    return st;
}

static enum celery_status migrate(void *impl, struct celery_error *err)
{
    return migrate_all(sqlite_migrations, sqlite_migrations_count, apply, impl,
                       err);
}

/* Would a write succeed? What was written in the last second says so; else the
 * only row of write_probe is touched. */
static enum celery_status probe_write(struct sqlite_db *db,
                                      struct celery_error *err)
{
    static const char sql[] = "UPDATE write_probe SET at = ?1";
    struct sqlite_conn *conn = NULL;
    int64_t written_us = sqlite_written_us(db);
    if (written_us != 0 && clock_monotonic_us() - written_us < USEC_PER_SEC)
        return CELERY_OK;
    enum celery_status st = sqlite_begin(db, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, clock_wall_us());
    st = sqlite_step_done(conn, stmt, err);
    if (st == CELERY_OK)
        return sqlite_commit(db, conn, err);
    sqlite_rollback(db, conn);
    return st;
}

static enum celery_status ready(void *impl, struct celery_error *err)
{
    static const char sql[] =
        "SELECT COALESCE(max(version), 0) FROM schema_migrations";
    struct sqlite_conn *conn = NULL;
    bool row = false;
    int version = 0;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    st = sqlite_step_row(conn, stmt, &row, err);
    if (st == CELERY_OK && row)
        version = sqlite3_column_int(stmt, 0);
    sqlite_end_read(impl, conn);
    if (st == CELERY_OK)
        st = migrate_check(version, sqlite_migrations_count, err);
    return st == CELERY_OK ? probe_write(impl, err) : st;
}

const struct ledger_driver sqlite_driver = {
    .scheme = "sqlite",
    .open = open_db,
    .close = close_db,
    .migrate = migrate,
    .ready = ready,
    .pool_stats = stats,
    .ingest = sqlite_ingest,
    .mark_enqueued = sqlite_mark_enqueued,
    .sweep = sqlite_sweep,
    .settle = sqlite_settle,
    .inbox_get = sqlite_inbox_get,
    .inbox_open = sqlite_inbox_open,
    .inbox_replayed = sqlite_inbox_replayed,
    .inbox_expire = sqlite_inbox_expire,
    .resolve = sqlite_resolve,
    .collisions = sqlite_collisions,
    .check = sqlite_check,
    .transactions = sqlite_transactions,
    .transaction = sqlite_transaction,
    .wallet = sqlite_wallet,
    .register_user = sqlite_register_user,
    .explain = sqlite_explain,
    .backlog = sqlite_backlog,
    .audit = sqlite_audit_books,
};
