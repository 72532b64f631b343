/* SPDX-License-Identifier: MIT */
#include "ledger/sqlite/sqlite_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/lock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "ledger/sqlite/sqlite_address.h"
#include "ledger/sqlite/sqlite_decimal.h"

enum {
    BUSY_TIMEOUT_MS = 5000,
    BUSY_WAIT_MIN_US = 200,
    BUSY_WAIT_MAX_US = 1500,
    STATEMENTS_MAX = 40,
    READERS_MAX = 16
};

struct sqlite_conn {
    sqlite3 *db;
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } statements[STATEMENTS_MAX];
    size_t count;
    int changes; /* of all its transactions before this one */
};

struct sqlite_db {
    char *path;
    double timeout_s;
    struct lock lock; /* guards what follows, never held while SQLite works */
    pthread_cond_t writer_freed;
    pthread_cond_t reader_freed;
    struct sqlite_conn *writer; /* used by who set writing */
    bool writing;
    int64_t written_us; /* monotonic: the last commit that changed something */
    struct sqlite_conn *idle[READERS_MAX];
    int idle_count;
    int readers_out;
    int readers_max;
};

/* --- errors ------------------------------------------------------------- */

static enum celery_status fail_code(int code, const char *text,
                                    struct celery_error *err)
{
    enum celery_status status = CELERY_IO;
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        status = CELERY_CONFLICT;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        status = CELERY_TIMEOUT;
        break;
    case SQLITE_NOMEM:
        status = CELERY_NOMEM;
        break;
    default:
        break;
    }
    (void)celery_fail(err, status, "SQLite: %s", text);
    if (err != NULL)
        err->detail = code;
    return status;
}

enum celery_status sqlite_fail(struct sqlite_conn *conn,
                               struct celery_error *err)
{
    return fail_code(sqlite3_extended_errcode(conn->db),
                     sqlite3_errmsg(conn->db), err);
}

/* --- opening ------------------------------------------------------------ */

static void conn_free(struct sqlite_conn *conn)
{
    if (conn == NULL)
        return;
    for (size_t i = 0; i < conn->count; i++)
        (void)sqlite3_finalize(conn->statements[i].stmt);
    (void)sqlite3_close(conn->db);
    free(conn);
}

/* SQLite's own busy timeout sleeps longer and longer, up to 100 ms: against a
 * program that commits every millisecond it would come too late each time. Short
 * sleeps of random length find the gap. */
static int wait_for_lock(void *arg, int tries)
{
    (void)arg;
    int64_t wait_us =
        BUSY_WAIT_MIN_US
        + (int64_t)random_below(BUSY_WAIT_MAX_US - BUSY_WAIT_MIN_US);
    if ((int64_t)tries * (BUSY_WAIT_MIN_US + BUSY_WAIT_MAX_US) / 2
        > (int64_t)BUSY_TIMEOUT_MS * USEC_PER_MSEC)
        return 0;
    const struct timespec wait = {.tv_nsec = wait_us * 1000};
    (void)nanosleep(&wait, NULL);
    return 1;
}

/* Changing the journal mode takes a lock that the busy timeout does not wait
 * for; several instances may start at once. */
static int switch_to_wal(sqlite3 *db)
{
    int rc = SQLITE_BUSY;
    for (int i = 0; i < BUSY_TIMEOUT_MS / 10 && (rc & 0xff) == SQLITE_BUSY;
         i++) {
        if (i > 0)
            (void)poll(NULL, 0, 10);
        rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    return rc;
}

static enum celery_status conn_open(const char *path, bool writes,
                                    struct sqlite_conn **ret,
                                    struct celery_error *err)
{
    struct sqlite_conn *conn = xcalloc(1, sizeof *conn);
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &conn->db, flags, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_handler(conn->db, wait_for_lock, NULL);
    if (rc == SQLITE_OK)
        rc = switch_to_wal(conn->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(conn->db,
                          "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite_decimal_register(conn->db);
    if (rc == SQLITE_OK)
        rc = sqlite_address_register(conn->db);
    if (rc == SQLITE_OK && !writes)
        rc = sqlite3_exec(conn->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        enum celery_status st = fail_code(
            rc, conn->db != NULL ? sqlite3_errmsg(conn->db) : "cannot open",
            err);
        conn_free(conn);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}

/* Every missing folder of path, for us alone. */
static enum celery_status make_folders(const char *path,
                                       struct celery_error *err)
{
    char *copy = xstrdup(path);
    enum celery_status st = CELERY_OK;
    for (char *p = copy + 1; *p != '\0' && st == CELERY_OK; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            st = celery_fail(err, CELERY_INVALID, "cannot make folder %s: %s",
                             copy, strerrordesc_np(errno));
        *p = '/';
    }
    free(copy);
    return st;
}

enum celery_status sqlite_db_open(const char *path, int readers,
                                  double timeout_s, struct sqlite_db **ret,
                                  struct celery_error *err)
{
    enum celery_status st = make_folders(path, err);
    if (st != CELERY_OK)
        return st;
    struct sqlite_db *db = xcalloc(1, sizeof *db);
    pthread_condattr_t attr;
    db->path = xstrdup(path);
    db->timeout_s = timeout_s;
    db->readers_max = readers < READERS_MAX ? readers : READERS_MAX;
    (void)pthread_mutex_init(&db->lock.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&db->writer_freed, &attr);
    (void)pthread_cond_init(&db->reader_freed, &attr);
    (void)pthread_condattr_destroy(&attr);
    *ret = db;
    return CELERY_OK;
}

void sqlite_db_close(struct sqlite_db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < db->idle_count; i++)
        conn_free(db->idle[i]);
    conn_free(db->writer);
    (void)pthread_cond_destroy(&db->reader_freed);
    (void)pthread_cond_destroy(&db->writer_freed);
    (void)pthread_mutex_destroy(&db->lock.mutex);
    free(db->path);
    free(db);
}

void sqlite_db_stats(struct sqlite_db *db, int *ret_active, int *ret_max)
{
    lock_acquire(&db->lock);
    *ret_active = db->readers_out + (db->writing ? 1 : 0);
    lock_release(&db->lock);
    *ret_max = db->readers_max + 1;
}

/* --- transactions ------------------------------------------------------- */

static struct timespec until(double seconds)
{
    int64_t us = clock_monotonic_us() + (int64_t)(seconds * USEC_PER_SEC);
    return (struct timespec){.tv_sec = us / USEC_PER_SEC,
                             .tv_nsec = us % USEC_PER_SEC * 1000};
}

/* false when the writer did not come free in time. */
static bool take_writer(struct sqlite_db *db)
{
    struct timespec deadline = until(db->timeout_s);
    int rc = 0;
    lock_acquire(&db->lock);
    while (db->writing && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&db->writer_freed, &db->lock.mutex,
                                    &deadline);
    bool taken = !db->writing;
    db->writing = true;
    lock_release(&db->lock);
    return taken;
}

static void give_writer(struct sqlite_db *db)
{
    lock_acquire(&db->lock);
    db->writing = false;
    (void)pthread_cond_signal(&db->writer_freed);
    lock_release(&db->lock);
}

enum celery_status sqlite_begin(struct sqlite_db *db, struct sqlite_conn **ret,
                                struct celery_error *err)
{
    if (!take_writer(db))
        return celery_fail(err, CELERY_TIMEOUT,
                           "SQLite: the writer was busy for %g s",
                           db->timeout_s);
    enum celery_status st = CELERY_OK;
    if (db->writer == NULL)
        st = conn_open(db->path, true, &db->writer, err);
    if (st == CELERY_OK)
        st = sqlite_script(db->writer, "BEGIN IMMEDIATE", err);
    if (st != CELERY_OK) {
        give_writer(db);
        return st;
    }
    db->writer->changes = sqlite3_total_changes(db->writer->db);
    *ret = db->writer;
    return CELERY_OK;
}

static void reset_all(struct sqlite_conn *conn)
{
    for (size_t i = 0; i < conn->count; i++)
        (void)sqlite3_reset(conn->statements[i].stmt);
}

static void note_written(struct sqlite_db *db)
{
    lock_acquire(&db->lock);
    db->written_us = clock_monotonic_us();
    lock_release(&db->lock);
}

enum celery_status sqlite_commit(struct sqlite_db *db, struct sqlite_conn *conn,
                                 struct celery_error *err)
{
    reset_all(conn);
    FAILPOINT("before-commit");
    enum celery_status st = sqlite_script(conn, "COMMIT", err);
    FAILPOINT("after-commit");
    if (st != CELERY_OK)
        (void)!sqlite_script(conn, "ROLLBACK", NULL);
    else if (sqlite3_total_changes(conn->db) != conn->changes)
        note_written(db);
    give_writer(db);
    return st;
}

void sqlite_rollback(struct sqlite_db *db, struct sqlite_conn *conn)
{
    reset_all(conn);
    (void)!sqlite_script(conn, "ROLLBACK", NULL);
    give_writer(db);
}

int64_t sqlite_written_us(struct sqlite_db *db)
{
    lock_acquire(&db->lock);
    int64_t written_us = db->written_us;
    lock_release(&db->lock);
    return written_us;
}

static bool take_reader(struct sqlite_db *db, struct sqlite_conn **ret)
{
    struct timespec deadline = until(db->timeout_s);
    int rc = 0;
    lock_acquire(&db->lock);
    while (db->readers_out >= db->readers_max && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&db->reader_freed, &db->lock.mutex,
                                    &deadline);
    bool taken = db->readers_out < db->readers_max;
    if (taken) {
        db->readers_out++;
        *ret = db->idle_count > 0 ? db->idle[--db->idle_count] : NULL;
    }
    lock_release(&db->lock);
    return taken;
}

static void give_reader(struct sqlite_db *db, struct sqlite_conn *conn)
{
    lock_acquire(&db->lock);
    db->readers_out--;
    if (conn != NULL)
        db->idle[db->idle_count++] = conn;
    (void)pthread_cond_signal(&db->reader_freed);
    lock_release(&db->lock);
}

enum celery_status sqlite_begin_read(struct sqlite_db *db,
                                     struct sqlite_conn **ret,
                                     struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    if (!take_reader(db, &conn))
        return celery_fail(err, CELERY_TIMEOUT,
                           "SQLite: all %d readers are busy", db->readers_max);
    enum celery_status st = CELERY_OK;
    if (conn == NULL)
        st = conn_open(db->path, false, &conn, err);
    if (st == CELERY_OK)
        st = sqlite_script(conn, "BEGIN", err);
    if (st != CELERY_OK) {
        give_reader(db, conn);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}

void sqlite_end_read(struct sqlite_db *db, struct sqlite_conn *conn)
{
    reset_all(conn);
    (void)!sqlite_script(conn, "COMMIT", NULL);
    give_reader(db, conn);
}

/* --- statements --------------------------------------------------------- */

sqlite3_stmt *sqlite_statement(struct sqlite_conn *conn, const char *sql)
{
    for (size_t i = 0; i < conn->count; i++) {
        if (conn->statements[i].sql == sql) {
            (void)sqlite3_reset(conn->statements[i].stmt);
            (void)sqlite3_clear_bindings(conn->statements[i].stmt);
            return conn->statements[i].stmt;
        }
    }
    if (conn->count == STATEMENTS_MAX)
        abort(); /* a constant of this file: raise it */
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt,
                           NULL)
        != SQLITE_OK)
        return NULL;
    conn->statements[conn->count].sql = sql;
    conn->statements[conn->count++].stmt = stmt;
    return stmt;
}

enum celery_status sqlite_step_row(struct sqlite_conn *conn, sqlite3_stmt *stmt,
                                   bool *ret_row, struct celery_error *err)
{
    int rc = stmt != NULL ? sqlite3_step(stmt) : SQLITE_ERROR;
    *ret_row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return CELERY_OK;
    enum celery_status st = sqlite_fail(conn, err);
    (void)sqlite3_reset(stmt);
    return st;
}

enum celery_status sqlite_step_done(struct sqlite_conn *conn,
                                    sqlite3_stmt *stmt,
                                    struct celery_error *err)
{
    bool row = false;
    enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
    if (st == CELERY_OK)
        (void)sqlite3_reset(stmt);
    return st;
}

enum celery_status sqlite_script(struct sqlite_conn *conn, const char *sql,
                                 struct celery_error *err)
{
    if (sqlite3_exec(conn->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return CELERY_OK;
    return sqlite_fail(conn, err);
}

int sqlite_changed(struct sqlite_conn *conn)
{
    return sqlite3_changes(conn->db);
}

void sqlite_bind(sqlite3_stmt *stmt, int at, const char *text)
{
    (void)sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
}

void sqlite_bind_slice(sqlite3_stmt *stmt, int at, struct celery_str text)
{
    if (text.len > 0)
        (void)sqlite3_bind_text64(stmt, at, text.data, text.len, SQLITE_STATIC,
                                  SQLITE_UTF8);
}

void sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct celery_str bytes)
{
    (void)sqlite3_bind_blob64(stmt, at, bytes.len > 0 ? bytes.data : "",
                              bytes.len, SQLITE_STATIC);
}

void sqlite_bind_number(sqlite3_stmt *stmt, int at, int64_t n)
{
    (void)sqlite3_bind_int64(stmt, at, n);
}

void sqlite_bind_id(sqlite3_stmt *stmt, int at, const char *id)
{
    char lower[40];
    size_t len = 0;
    for (; id[len] != '\0' && len < sizeof lower - 1; len++) {
        lower[len] = ascii_lower(id[len]);
    }
    if (len > 0)
        (void)sqlite3_bind_text(stmt, at, lower, (int)len, SQLITE_TRANSIENT);
}

const char *sqlite_text(sqlite3_stmt *stmt, int column)
{
    return (const char *)sqlite3_column_text(stmt, column);
}

void sqlite_copy(sqlite3_stmt *stmt, int column, char *ret_text, size_t size)
{
    const char *text = sqlite_text(stmt, column);
    (void)snprintf(ret_text, size, "%s", text != NULL ? text : "");
}
