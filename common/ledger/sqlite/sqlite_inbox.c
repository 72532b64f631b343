/* SPDX-License-Identifier: MIT */
/*
 * The inbox and a human's word on conflicts.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ledger/sqlite/sqlite_ledger.h"

/* --- webhooks in ------------------------------------------------------------- */

#define STAYS                                         \
    "(outcome = 'stored' OR (outcome = 'partial' AND" \
    " excluded.outcome IN ('ignored', 'refused')))"

static enum celery_status insert(struct sqlite_conn *conn,
                                 const struct ledger_webhook *webhook,
                                 const struct ledger_inbox_key *key,
                                 struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO inbox (id, source, key, digest, event_id, request_id,"
        " headers, body, outcome, error, field, received_at, last_seen_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)"
        /* What was not understood then may be now; what was taken stays so. */
        " ON CONFLICT (source, key) DO UPDATE SET seen = seen + 1,"
        " last_seen_at = excluded.last_seen_at,"
        " error = iif(" STAYS ", error, excluded.error),"
        " field = iif(" STAYS ", field, excluded.field),"
        " outcome = iif(" STAYS ", outcome, excluded.outcome)";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, webhook->inbox_id);
    sqlite_bind(stmt, 2, webhook->source);
    sqlite_bind_blob(stmt, 3, (struct celery_str){key->bytes, key->len});
    sqlite_bind_blob(stmt, 4,
                     (struct celery_str){(const char *)key->digest,
                                         sizeof key->digest});
    sqlite_bind(stmt, 5, webhook->event_id);
    sqlite_bind(stmt, 6, webhook->request_id);
    sqlite_bind_slice(stmt, 7, webhook->headers);
    sqlite_bind_blob(stmt, 8, webhook->body);
    sqlite_bind(stmt, 9, ledger_outcome_name(webhook->outcome));
    sqlite_bind(stmt, 10, webhook->error);
    sqlite_bind(stmt, 11, webhook->field);
    sqlite_bind_number(stmt, 12, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* The row that has a webhook's key. */
struct found {
    bool found;
    bool same;  /* with the same body */
    bool taken; /* something of it is in the ledger */
    char id[LEDGER_ID_MAX];
};

static enum celery_status find(struct sqlite_conn *conn, const char *source,
                               const struct ledger_inbox_key *key,
                               struct found *ret, struct celery_error *err)
{
    static const char sql[] =
        "SELECT id, digest = ?3, outcome IN ('stored', 'partial') FROM inbox"
        " WHERE source = ?1 AND key = ?2";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, source);
    sqlite_bind_blob(stmt, 2, (struct celery_str){key->bytes, key->len});
    sqlite_bind_blob(stmt, 3,
                     (struct celery_str){(const char *)key->digest,
                                         sizeof key->digest});
    enum celery_status st = sqlite_step_row(conn, stmt, &ret->found, err);
    if (st != CELERY_OK || !ret->found)
        return st;
    sqlite_copy(stmt, 0, ret->id, sizeof ret->id);
    ret->same = sqlite3_column_int(stmt, 1) != 0;
    ret->taken = sqlite3_column_int(stmt, 2) != 0;
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

/* Nothing was taken of that one: another body may stand for the event. */
static enum celery_status give_up_key(struct sqlite_conn *conn,
                                      const char *inbox_id,
                                      struct celery_error *err)
{
    static const char sql[] =
        "UPDATE inbox SET key = CAST('over:' || hex(digest) || id AS BLOB)"
        " WHERE id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, inbox_id);
    return sqlite_step_done(conn, stmt, err);
}

/* A body whose event id stands for another one is kept under a key of its own:
 * prefix (5 characters) and its digest. */
static enum celery_status put_aside(struct sqlite_conn *conn,
                                    const struct ledger_webhook *webhook,
                                    const char *prefix,
                                    struct ledger_webhook_answer *ret,
                                    struct celery_error *err)
{
    struct ledger_inbox_key key;
    struct found known = {.found = false};
    ledger_inbox_key(webhook, &key);
    memcpy(key.bytes, prefix, 5);
    memcpy(key.bytes + 5, key.digest, sizeof key.digest);
    key.len = 5 + sizeof key.digest;
    enum celery_status st = find(conn, webhook->source, &key, &known, err);
    ret->result = known.found ? LEDGER_INBOX_REPEATED : LEDGER_INBOX_NEW;
    if (known.found)
        memcpy(ret->inbox_id, known.id, sizeof ret->inbox_id);
    return st == CELERY_OK ? insert(conn, webhook, &key, err) : st;
}

static enum celery_status put_reused(struct sqlite_conn *conn,
                                     const struct ledger_webhook *webhook,
                                     struct ledger_webhook_answer *ret,
                                     struct celery_error *err)
{
    struct ledger_webhook kept = *webhook;
    kept.outcome = LEDGER_REFUSED;
    kept.error = "the event id was used with another body";
    kept.field = NULL;
    enum celery_status st = put_aside(conn, &kept, "used:", ret, err);
    ret->result = LEDGER_INBOX_REUSED;
    return st;
}

enum celery_status sqlite_inbox_put(struct sqlite_conn *conn,
                                    const struct ledger_webhook *webhook,
                                    struct ledger_webhook_answer *ret,
                                    struct celery_error *err)
{
    struct ledger_inbox_key key;
    struct found known = {.found = false};
    ledger_inbox_key(webhook, &key);
    enum celery_status st = find(conn, webhook->source, &key, &known, err);
    if (st != CELERY_OK)
        return st;
    if (known.found && !known.same && known.taken)
        return put_reused(conn, webhook, ret, err);
    if (known.found && !known.same
        && (webhook->outcome == LEDGER_IGNORED
            || webhook->outcome == LEDGER_REFUSED))
        return put_aside(conn, webhook, "over:", ret, err);
    if (known.found && !known.same) {
        st = give_up_key(conn, known.id, err);
        known.found = false;
    }
    if (known.found)
        memcpy(ret->inbox_id, known.id, sizeof ret->inbox_id);
    ret->result = known.found ? LEDGER_INBOX_REPEATED : LEDGER_INBOX_NEW;
    return st == CELERY_OK ? insert(conn, webhook, &key, err) : st;
}

/* Those of the list, and those that it told of before. */
#define ALL_IDS(list)                                                         \
    "(SELECT json_group_array(value) FROM (SELECT value FROM json_each(" list \
    ") UNION ALL SELECT value FROM json_each(COALESCE(tx_ids, '[]')) WHERE"   \
    " value NOT IN (SELECT value FROM json_each(" list "))))"

static void write_ids(const struct ledger_ingested *deposits, size_t count,
                      struct celery_buf *ret)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(ret);
    celery_json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        if (deposits[i].tx_id[0] != '\0')
            celery_json_put_text(&w, deposits[i].tx_id);
    }
    celery_json_end_array(&w);
}

enum celery_status sqlite_inbox_link(struct sqlite_conn *conn,
                                     const struct ledger_webhook *webhook,
                                     const struct ledger_webhook_answer *answer,
                                     struct celery_error *err)
{
    static const char sql[] =
        "UPDATE inbox SET tx_ids = " ALL_IDS("?2") " WHERE id = ?1";
    CLEANUP(celery_buf_done) struct celery_buf ids = CELERY_BUF_INIT;
    if (answer->result == LEDGER_INBOX_REUSED || webhook->deposit_count == 0)
        return CELERY_OK;
    write_ids(answer->deposits, webhook->deposit_count, &ids);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, answer->inbox_id);
    sqlite_bind(stmt, 2, ids.data);
    return sqlite_step_done(conn, stmt, err);
}

/* --- and out ------------------------------------------------------------------ */

static enum celery_status read_inbox(struct sqlite_conn *conn,
                                     const char *inbox_id,
                                     struct ledger_inbox_row *ret,
                                     bool *ret_found, struct celery_error *err)
{
    static const char sql[] = "SELECT id, source, request_id, outcome,"
                              " received_at, body FROM inbox WHERE id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, inbox_id);
    enum celery_status st = sqlite_step_row(conn, stmt, ret_found, err);
    if (st != CELERY_OK || !*ret_found)
        return st;
    sqlite_copy(stmt, 0, ret->inbox_id, sizeof ret->inbox_id);
    sqlite_copy(stmt, 1, ret->source, sizeof ret->source);
    sqlite_copy(stmt, 2, ret->request_id, sizeof ret->request_id);
    ret->outcome = ledger_outcome_parse(sqlite_text(stmt, 3));
    ret->received_us = sqlite3_column_int64(stmt, 4);
    const char *body = sqlite3_column_blob(stmt, 5);
    int len = sqlite3_column_bytes(stmt, 5);
    celery_buf_append(&ret->body, (struct celery_str){body, (size_t)len});
    (void)sqlite3_reset(stmt);
    return celery_buf_status(&ret->body);
}

enum celery_status sqlite_inbox_get(void *impl, const char *inbox_id,
                                    struct ledger_inbox_row *ret,
                                    bool *ret_found, struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = read_inbox(conn, inbox_id, ret, ret_found, err);
    sqlite_end_read(impl, conn);
    return st;
}

enum celery_status sqlite_inbox_open(void *impl,
                                     const struct ledger_since *since,
                                     char (*ret_ids)[LEDGER_ID_MAX],
                                     size_t *ret_count,
                                     struct celery_error *err)
{
    static const char sql[] =
        "SELECT id FROM inbox WHERE outcome <> 'stored' AND received_at >= ?1"
        " AND substr(CAST(key AS TEXT), 1, 5) NOT IN ('used:', 'over:')"
        " AND (?2 IS NULL OR (received_at, id) > (SELECT received_at, id"
        "  FROM inbox WHERE id = ?2)) ORDER BY received_at, id LIMIT ?3";
    struct sqlite_conn *conn = NULL;
    bool row = true;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, since->since_us);
    sqlite_bind(stmt, 2, since->after_id);
    sqlite_bind_number(stmt, 3, (int64_t)since->limit);
    while (st == CELERY_OK && *ret_count < since->limit) {
        st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK || !row)
            break;
        sqlite_copy(stmt, 0, ret_ids[(*ret_count)++], LEDGER_ID_MAX);
    }
    if (row)
        (void)sqlite3_reset(stmt);
    sqlite_end_read(impl, conn);
    return st;
}

/* One statement in a transaction of its own; it is bound by the caller. */
static enum celery_status finish(struct sqlite_db *db, struct sqlite_conn *conn,
                                 enum celery_status st,
                                 struct celery_error *err)
{
    if (st == CELERY_OK)
        return sqlite_commit(db, conn, err);
    sqlite_rollback(db, conn);
    return st;
}

/* The webhook that made them, once it was understood. */
static enum celery_status name_inbox(struct sqlite_conn *conn,
                                     const struct ledger_webhook *webhook,
                                     const struct ledger_ingested *deposits,
                                     struct celery_error *err)
{
    static const char sql[] = "UPDATE transactions SET inbox_id = ?2"
                              " WHERE tx_id = ?1 AND inbox_id IS NULL";
    for (size_t i = 0; i < webhook->deposit_count; i++) {
        sqlite3_stmt *stmt = sqlite_statement(conn, sql);
        sqlite_bind_id(stmt, 1, deposits[i].tx_id);
        sqlite_bind_id(stmt, 2, webhook->inbox_id);
        enum celery_status st = sqlite_step_done(conn, stmt, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

static enum celery_status replayed(struct sqlite_conn *conn,
                                   const struct ledger_webhook *webhook,
                                   const struct ledger_ingested *deposits,
                                   struct celery_error *err)
{
    static const char sql[] =
        "UPDATE inbox SET outcome = ?2, error = ?3, field = ?4, tx_ids ="
        " " ALL_IDS("?5") " WHERE id = ?1";
    CLEANUP(celery_buf_done) struct celery_buf ids = CELERY_BUF_INIT;
    write_ids(deposits, webhook->deposit_count, &ids);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, webhook->inbox_id);
    sqlite_bind(stmt, 2, ledger_outcome_name(webhook->outcome));
    sqlite_bind(stmt, 3, webhook->error);
    sqlite_bind(stmt, 4, webhook->field);
    sqlite_bind(stmt, 5, ids.data);
    return sqlite_step_done(conn, stmt, err);
}

enum celery_status sqlite_inbox_replayed(void *impl,
                                         const struct ledger_webhook *webhook,
                                         const struct ledger_ingested *deposits,
                                         struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = replayed(conn, webhook, deposits, err);
    if (st == CELERY_OK)
        st = name_inbox(conn, webhook, deposits, err);
    return finish(impl, conn, st, err);
}

enum celery_status sqlite_inbox_expire(void *impl, int64_t until_us,
                                       size_t limit, int64_t *ret_count,
                                       struct celery_error *err)
{
    static const char sql[] =
        "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox"
        " WHERE received_at < ?1 ORDER BY received_at LIMIT ?2)";
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, until_us);
    sqlite_bind_number(stmt, 2, (int64_t)limit);
    st = sqlite_step_done(conn, stmt, err);
    *ret_count = st == CELERY_OK ? sqlite_changed(conn) : 0;
    return finish(impl, conn, st, err);
}

/* --- conflicts ------------------------------------------------------------------ */

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static enum celery_status set_resolution(
    struct sqlite_conn *conn, const struct ledger_resolution *resolution,
    struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET state = ?2, resolution = ?3,"
        " next_enqueue_at = ?4 WHERE tx_id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, resolution->tx_id);
    sqlite_bind(stmt, 2, resolution->credit ? "received" : "rejected");
    sqlite_bind(stmt, 3, resolution->credit ? "credit" : "reject");
    sqlite_bind_number(stmt, 4, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

static enum celery_status resolve(struct sqlite_conn *conn,
                                  const struct ledger_resolution *resolution,
                                  struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    struct ledger_row row = {0};
    bool found = false;
    enum celery_status st =
        sqlite_find_row(conn, resolution->tx_id, &row, &found, err);
    if (st != CELERY_OK)
        return st;
    enum ledger_state state = LEDGER_STATE_COUNT;
    if (found)
        (void)ledger_state_parse(row.state, &state);
    bool resolved =
        state == LEDGER_CONFLICT
            ? !(resolution->credit && strcmp(row.amount, "0") == 0)
            : !resolution->credit
                  && (state == LEDGER_RECEIVED || state == LEDGER_UNMATCHED
                      || state == LEDGER_AWAITING_CONFIRMATIONS);
    st = ledger_resolution_judge(resolution, found, resolved, row.state, err);
    if (st != CELERY_OK)
        return st;
    celery_json_begin_object(&w);
    put_text(&w, "resolution", resolution->credit ? "credit" : "reject");
    put_text(&w, "reason", resolution->reason);
    put_text(&w, "actor", resolution->actor);
    put_text(&w, "conflict", row.conflict_reason);
    celery_json_end_object(&w);
    st = sqlite_audit(conn, "deposit_resolved", row.tx_id, row.user_id,
                      details.data, err);
    return st == CELERY_OK ? set_resolution(conn, resolution, err) : st;
}

enum celery_status sqlite_resolve(void *impl,
                                  const struct ledger_resolution *resolution,
                                  struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    return finish(impl, conn, resolve(conn, resolution, err), err);
}

enum celery_status sqlite_collisions(void *impl, struct celery_buf *ret_text,
                                     struct celery_error *err)
{
    static const char sql[] =
        "SELECT t.tx_id, t.chain, t.tx_hash, t.log_index, t.state, o.tx_id"
        " FROM transactions t JOIN transactions o ON o.chain = t.chain"
        " AND o.canonical_hash = t.canonical_hash AND o.log_index = t.log_index"
        " AND o.key_collides = 0 WHERE t.key_collides = 1"
        " ORDER BY t.created_at, t.tx_id";
    struct sqlite_conn *conn = NULL;
    bool row = true;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    while (st == CELERY_OK) {
        st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK || !row)
            break;
        struct ledger_collision collision = {
            sqlite_text(stmt, 0), sqlite_text(stmt, 1), sqlite_text(stmt, 2),
            sqlite_text(stmt, 3), sqlite_text(stmt, 4), sqlite_text(stmt, 5)};
        ledger_collision_line(ret_text, &collision);
    }
    sqlite_end_read(impl, conn);
    return st == CELERY_OK ? celery_buf_status(ret_text) : st;
}
