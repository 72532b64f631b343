/* SPDX-License-Identifier: MIT */
#include "ledger/postgres/pg_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

/* The client's deadline is later than the server's statement_timeout, so that
 * normally the server ends the statement and the connection survives. */
static const double grace_s = 2.0;
static const double connect_timeout_default_s = 5.0;

static int64_t deadline_after(double seconds)
{
    return clock_monotonic_us() + (int64_t)(seconds * USEC_PER_SEC);
}

/* --- target ------------------------------------------------------------- */

static void target_add(struct pg_target *target, const char *key, char *value)
{
    if (value == NULL || target->count == PG_TARGET_MAX) {
        free(value);
        return;
    }
    target->keys[target->count] = xstrdup(key);
    target->values[target->count++] = value;
}

/* Parameters of the URL are libpq's own; asyncpg's "ssl" is its "sslmode". */
static void target_add_query(struct pg_target *target, const struct url *url)
{
    for (const char *p = url->query; p != NULL && *p != '\0';) {
        size_t pair = strcspn(p, "&");
        size_t len = strcspn(p, "=&");
        if (len > 0 && len < pair) {
            char *name = xstrndup(p, len);
            char *value = url_query(url, name);
            bool ssl = strcmp(name, "ssl") == 0;
            target_add(target, ssl ? "sslmode" : name, value);
            free(name);
        }
        p += pair + (p[pair] == '&');
    }
}

void pg_target_init(struct pg_target *target, const struct url *url,
                    double statement_timeout_s)
{
    *target = (struct pg_target){0};
    target->connect_timeout_s = connect_timeout_default_s;
    target->statement_timeout_s = statement_timeout_s;
    if (url->host != NULL)
        target_add(target, "host", xstrdup(url->host));
    if (url->port != 0)
        target_add(target, "port", xasprintf("%d", url->port));
    if (url->user != NULL)
        target_add(target, "user", xstrdup(url->user));
    if (url->password != NULL)
        target_add(target, "password", xstrdup(url->password));
    if (url->path[0] == '/' && url->path[1] != '\0')
        target_add(target, "dbname", xstrdup(url->path + 1));
    target_add(target, "client_encoding", xstrdup("UTF8"));
    target_add(target, "fallback_application_name", xstrdup("cricalgo"));
    target_add(target, "tcp_user_timeout",
               xasprintf("%d", (int)((statement_timeout_s + grace_s) * 1000)));
    target_add_query(target, url);
}

void pg_target_done(struct pg_target *target)
{
    for (size_t i = 0; i < target->count; i++) {
        free(target->keys[i]);
        explicit_bzero(target->values[i], strlen(target->values[i]));
        free(target->values[i]);
    }
    *target = (struct pg_target){0};
}

/* --- errors ------------------------------------------------------------- */

int pg_sqlstate(const char *text)
{
    int packed = 0;
    if (text == NULL || strlen(text) != 5)
        return 0;
    for (int i = 0; i < 5; i++) {
        char c = text[i];
        packed *= 36;
        if (c >= '0' && c <= '9')
            packed += c - '0';
        else if (c >= 'A' && c <= 'Z')
            packed += c - 'A' + 10;
        else
            return 0;
    }
    return packed;
}

bool pg_error_repeatable(const struct celery_error *err)
{
    return err->detail == pg_sqlstate("40001")
        || err->detail == pg_sqlstate("40P01");
}

bool pg_error_of_data(const struct celery_error *err)
{
    return err->status == CELERY_CONFLICT;
}

/* SQLSTATE classes whose cause is the data; anything else may pass later. */
static bool is_data_class(const char *state)
{
    return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0
        || strncmp(state, "P0", 2) == 0 || strncmp(state, "54", 2) == 0;
}

/* libpq's messages hold no password, but several lines. */
static enum celery_status fail(struct celery_error *err,
                               enum celery_status status, const char *state,
                               const char *text)
{
    (void)celery_fail(err, status, "PostgreSQL%s%s: %.*s",
                      state != NULL ? " " : "", state != NULL ? state : "",
                      (int)strcspn(text, "\n"), text);
    if (err != NULL)
        err->detail = pg_sqlstate(state);
    return status;
}

static enum celery_status fail_result(const PGresult *result,
                                      struct celery_error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (text == NULL)
        text = PQresultErrorMessage(result);
    return fail(err,
                state != NULL && is_data_class(state) ? CELERY_CONFLICT
                                                      : CELERY_IO,
                state, text);
}

/* --- waiting ------------------------------------------------------------ */

static bool wait_for(PGconn *pg, short events, int64_t deadline_us)
{
    struct pollfd fd = {.fd = PQsocket(pg), .events = events};
    int n = -1;
    do {
        n = poll(&fd, 1, clock_poll_ms(deadline_us));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static enum celery_status connect_loop(PGconn *pg, int64_t deadline_us,
                                       struct celery_error *err)
{
    PostgresPollingStatusType turn = PGRES_POLLING_WRITING;
    while (turn != PGRES_POLLING_OK) {
        if (turn == PGRES_POLLING_FAILED)
            return fail(err, CELERY_IO, NULL, PQerrorMessage(pg));
        short events = turn == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(pg, events, deadline_us))
            return fail(err, CELERY_IO, NULL, "no connection in time");
        turn = PQconnectPoll(pg);
    }
    return CELERY_OK;
}

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

enum celery_status pg_conn_open(const struct pg_target *target,
                                struct pg_conn **ret, struct celery_error *err)
{
    struct pg_conn *conn = xcalloc(1, sizeof *conn);
    char setup[160];
    conn->opened_us = clock_monotonic_us();
    conn->timeout_s = target->statement_timeout_s;
    conn->fresh = true;
    conn->pg = PQconnectStartParams((const char *const *)target->keys,
                                    (const char *const *)target->values, 0);
    enum celery_status st = CELERY_OK;
    if (conn->pg == NULL || PQstatus(conn->pg) == CONNECTION_BAD)
        st =
            fail(err, CELERY_IO, NULL,
                 conn->pg != NULL ? PQerrorMessage(conn->pg) : "out of memory");
    else
        st = connect_loop(conn->pg, deadline_after(target->connect_timeout_s),
                          err);
    if (st == CELERY_OK && PQsetnonblocking(conn->pg, 1) != 0)
        st = fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
    if (st == CELERY_OK) {
        (void)PQsetNoticeReceiver(conn->pg, drop_notice, NULL);
        /* As a statement: poolers refuse it as a start parameter. */
        (void)snprintf(setup, sizeof setup,
                       "SET statement_timeout = %d; "
                       "SET synchronous_commit = on",
                       (int)(conn->timeout_s * 1000));
        st = pg_do(conn, setup, err);
    }
    conn->fresh = true;
    if (st != CELERY_OK) {
        pg_conn_free(conn);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}

void pg_conn_free(struct pg_conn *conn)
{
    if (conn == NULL)
        return;
    PQfinish(conn->pg);
    free(conn);
}

bool pg_conn_alive(struct pg_conn *conn)
{
    return !conn->late && PQstatus(conn->pg) == CONNECTION_OK
        && PQconsumeInput(conn->pg) == 1 && PQstatus(conn->pg) == CONNECTION_OK
        && PQtransactionStatus(conn->pg) == PQTRANS_IDLE;
}

/* --- statements --------------------------------------------------------- */

static enum celery_status late(struct pg_conn *conn, struct celery_error *err)
{
    conn->late = true;
    return fail(err, CELERY_IO, NULL, "no answer in time");
}

static enum celery_status flush(struct pg_conn *conn, int64_t deadline_us,
                                struct celery_error *err)
{
    for (;;) {
        int left = PQflush(conn->pg);
        if (left == 0)
            return CELERY_OK;
        if (left < 0)
            return fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
        /* The server may be stuck writing to us: read while we write. */
        if (!wait_for(conn->pg, POLLIN | POLLOUT, deadline_us))
            return late(conn, err);
        if (PQconsumeInput(conn->pg) == 0)
            return fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
    }
}

static enum celery_status wait_result(struct pg_conn *conn, int64_t deadline_us,
                                      struct celery_error *err)
{
    while (PQisBusy(conn->pg) != 0) {
        if (!wait_for(conn->pg, POLLIN, deadline_us))
            return late(conn, err);
        if (PQconsumeInput(conn->pg) == 0)
            return fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
    }
    return CELERY_OK;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
        || status == PGRES_EMPTY_QUERY;
}

/* All results of what was sent: the last one, or the first error. */
static enum celery_status collect(struct pg_conn *conn, int64_t deadline_us,
                                  PGresult **ret, struct celery_error *err)
{
    PGresult *kept = NULL;
    for (;;) {
        enum celery_status st = wait_result(conn, deadline_us, err);
        if (st != CELERY_OK) {
            PQclear(kept);
            return st;
        }
        PGresult *next = PQgetResult(conn->pg);
        if (next == NULL)
            break;
        if (kept != NULL && !is_good(kept)) {
            PQclear(next);
            continue;
        }
        PQclear(kept);
        kept = next;
    }
    if (kept == NULL)
        return fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
    if (!is_good(kept)) {
        enum celery_status st = fail_result(kept, err);
        PQclear(kept);
        return st;
    }
    *ret = kept;
    return CELERY_OK;
}

static int send(PGconn *pg, const char *sql, const struct pg_params *params)
{
    if (params == NULL)
        return PQsendQuery(pg, sql);
    return PQsendQueryParams(pg, sql, params->count, params->types,
                             params->values, params->lengths, params->formats,
                             0);
}

/* The server has the whole statement; what it did with it is not known, unless it
 * said why it did nothing. 57P02 is a crash, which may come after the commit. */
static void mark_unknown(struct celery_error *err)
{
    if (err != NULL
        && (err->detail == 0 || err->detail == pg_sqlstate("57P02")))
        err->detail = pg_sqlstate("08007");
}

enum celery_status pg_exec(struct pg_conn *conn, const char *sql,
                           const struct pg_params *params, PGresult **ret,
                           struct celery_error *err)
{
    int64_t deadline_us = deadline_after(conn->timeout_s + grace_s);
    if (params != NULL && pg_params_status(params) != CELERY_OK)
        return celery_fail(err, CELERY_NOMEM, "no memory for a statement");
    if (send(conn->pg, sql, params) == 0)
        return fail(err, CELERY_IO, NULL, PQerrorMessage(conn->pg));
    enum celery_status st = flush(conn, deadline_us, err);
    if (st != CELERY_OK)
        return st;
    st = collect(conn, deadline_us, ret, err);
    if (st == CELERY_OK)
        conn->fresh = false;
    else
        mark_unknown(err);
    return st;
}

enum celery_status pg_do(struct pg_conn *conn, const char *sql,
                         struct celery_error *err)
{
    PGresult *result = NULL;
    enum celery_status st = pg_exec(conn, sql, NULL, &result, err);
    if (st == CELERY_OK)
        PQclear(result);
    return st;
}
