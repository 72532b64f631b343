/* SPDX-License-Identifier: MIT */
/*
 * A SQLite database as a ledger keeps it: WAL, synchronous=FULL, busy_timeout
 * 5 s, one writing connection per process and a few that read. Every write
 * transaction is BEGIN IMMEDIATE, so it never has to be given up half-way.
 *
 * Thread-safe: one lock guards who has the writer and which readers are free; it
 * is held for a moment, never while SQLite works.
 */
#ifndef LEDGER_SQLITE_SQLITE_CONN_H
#define LEDGER_SQLITE_SQLITE_CONN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/error.h"

struct sqlite_db;
struct sqlite_conn;

/* path's folder is made (0700). The first use opens the file. */
enum celery_status sqlite_db_open(const char *path, int readers,
                                  double timeout_s, struct sqlite_db **ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;
void sqlite_db_close(struct sqlite_db *db);
void sqlite_db_stats(struct sqlite_db *db, int *ret_active, int *ret_max);

/* A write transaction: begin, then sqlite_commit() or sqlite_rollback(), which
 * give the connection back whatever they return. thread: any. */
enum celery_status sqlite_begin(struct sqlite_db *db, struct sqlite_conn **ret,
                                struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status sqlite_commit(struct sqlite_db *db, struct sqlite_conn *conn,
                                 struct celery_error *err) CELERY_MUST_CHECK;
void sqlite_rollback(struct sqlite_db *db, struct sqlite_conn *conn);

/* When a transaction of this process last changed something, monotonic; 0: never.
 */
int64_t sqlite_written_us(struct sqlite_db *db);

/* A read transaction: one snapshot until sqlite_end_read(). */
enum celery_status sqlite_begin_read(struct sqlite_db *db,
                                     struct sqlite_conn **ret,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;
void sqlite_end_read(struct sqlite_db *db, struct sqlite_conn *conn);

/* The prepared statement of sql, which must be a constant: it is kept by its
 * address. Reset and without bindings; borrowed. NULL: sqlite_fail() tells. */
sqlite3_stmt *sqlite_statement(struct sqlite_conn *conn, const char *sql);

/* Steps a statement that answers no rows. stmt may be NULL. */
enum celery_status sqlite_step_done(struct sqlite_conn *conn,
                                    sqlite3_stmt *stmt,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* Steps to the next row; *ret_row false at the end. */
enum celery_status sqlite_step_row(struct sqlite_conn *conn, sqlite3_stmt *stmt,
                                   bool *ret_row, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Plain statements, several at once. */
enum celery_status sqlite_script(struct sqlite_conn *conn, const char *sql,
                                 struct celery_error *err) CELERY_MUST_CHECK;

/* The connection's last error as ours: CELERY_CONFLICT when the data is at
 * fault, CELERY_TIMEOUT when the file was locked too long, else CELERY_IO. */
enum celery_status sqlite_fail(struct sqlite_conn *conn,
                               struct celery_error *err);

/* Rows the last statement changed. */
int sqlite_changed(struct sqlite_conn *conn);

/* Bindings; the text is borrowed until the statement is used again. */
void sqlite_bind(sqlite3_stmt *stmt, int at, const char *text); /* NULL */
void sqlite_bind_slice(sqlite3_stmt *stmt, int at, struct celery_str text);
void sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct celery_str bytes);
void sqlite_bind_number(sqlite3_stmt *stmt, int at, int64_t n);
/* Ids are kept in lower case; "" is NULL. */
void sqlite_bind_id(sqlite3_stmt *stmt, int at, const char *id);

/* The column's text, borrowed until the next step; NULL for NULL. */
const char *sqlite_text(sqlite3_stmt *stmt, int column);
void sqlite_copy(sqlite3_stmt *stmt, int column, char *ret_text, size_t size);

#endif /* LEDGER_SQLITE_SQLITE_CONN_H */
