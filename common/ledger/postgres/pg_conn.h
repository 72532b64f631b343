/* SPDX-License-Identifier: MIT */
/*
 * One connection to PostgreSQL: connect and execute, each with a deadline, over
 * libpq's non-blocking calls. Used by one thread at a time.
 */
#ifndef LEDGER_POSTGRES_PG_CONN_H
#define LEDGER_POSTGRES_PG_CONN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/url.h"
#include "celery/error.h"
#include "ledger/postgres/pg_params.h"

/* How to reach the server; owned texts, made once from the URL. */
enum { PG_TARGET_MAX = 32 };
struct pg_target {
    char *keys[PG_TARGET_MAX + 1]; /* NULL-terminated, as libpq wants them */
    char *values[PG_TARGET_MAX + 1];
    size_t count;
    double connect_timeout_s;
    double statement_timeout_s;
};

void pg_target_init(struct pg_target *target, const struct url *url,
                    double statement_timeout_s);
void pg_target_done(struct pg_target *target);

struct pg_conn {
    PGconn *pg;
    int64_t opened_us; /* monotonic */
    double timeout_s;  /* for the server; the client waits a little longer */
    bool fresh;        /* no statement has ended on it yet */
    bool late;         /* the last failure was our deadline */
};

enum celery_status pg_conn_open(const struct pg_target *target,
                                struct pg_conn **ret, struct celery_error *err)
    CELERY_MUST_CHECK;
void pg_conn_free(struct pg_conn *conn);

/* false when the server has closed it meanwhile. Does not block. */
bool pg_conn_alive(struct pg_conn *conn);

/* Executes one statement with params, or with params NULL one or more plain
 * ones, whose last result counts; the caller clears *ret. err->detail is the
 * SQLSTATE as pg_sqlstate() packs it; 08007 when the statement was sent and no
 * answer came: it may be done or not. After a failure that is not the
 * statement's own the connection is broken: pg_conn_alive() is false. */
enum celery_status pg_exec(struct pg_conn *conn, const char *sql,
                           const struct pg_params *params, PGresult **ret,
                           struct celery_error *err) CELERY_MUST_CHECK;

/* The same without a result. */
enum celery_status pg_do(struct pg_conn *conn, const char *sql,
                         struct celery_error *err) CELERY_MUST_CHECK;

/* Five characters in base 36; 0 for other texts. */
int pg_sqlstate(const char *text);

/* Was it a serialization failure or a deadlock, which pass when repeated? */
bool pg_error_repeatable(const struct celery_error *err);

/* Was it the data's fault: the same statement fails again? */
bool pg_error_of_data(const struct celery_error *err);

#endif /* LEDGER_POSTGRES_PG_CONN_H */
