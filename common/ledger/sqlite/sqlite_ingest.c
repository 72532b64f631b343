/* SPDX-License-Identifier: MIT */
/*
 * Webhooks and their deposits in: one write transaction a batch; a deposit that
 * the data forbids undoes its own statement only.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "ledger/chain_kind.h"
#include "ledger/sqlite/sqlite_ledger.h"

static const char *null_if_empty(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* tx_hash has room for the key: it is never longer. */
static void hash_key(const struct ledger_deposit *row,
                     char ret[LEDGER_HASH_MAX])
{
    chain_hash_key((struct celery_str){row->tx_hash, strlen(row->tx_hash)},
                   ret);
}

/* --- the audit log --------------------------------------------------------- */

enum celery_status sqlite_audit(struct sqlite_conn *conn, const char *action,
                                const char *tx_id, const char *user_id,
                                const char *details, struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO audit_log (action, transaction_id, user_id, details,"
        " created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, action);
    sqlite_bind(stmt, 2, tx_id);
    sqlite_bind(stmt, 3, user_id);
    sqlite_bind(stmt, 4, details);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* The same, unless it was recorded before. */
static enum celery_status audit_once(struct sqlite_conn *conn,
                                     const char *action, const char *tx_id,
                                     const char *user_id, const char *details,
                                     struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO audit_log (action, transaction_id, user_id, details,"
        " created_at) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1"
        " FROM audit_log WHERE transaction_id = ?2 AND action = ?1"
        " AND details = ?4)";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, action);
    sqlite_bind(stmt, 2, tx_id);
    sqlite_bind(stmt, 3, user_id);
    sqlite_bind(stmt, 4, details);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* --- a new deposit ---------------------------------------------------------- */

static void bind_identity(sqlite3_stmt *stmt, const struct ledger_deposit *row,
                          const char *tx_id)
{
    sqlite_bind(stmt, 1, tx_id);
    sqlite_bind(stmt, 2, row->chain);
    sqlite_bind(stmt, 3, row->tx_hash);
    sqlite_bind_number(stmt, 4, row->log_index);
    sqlite_bind_number(stmt, 7, row->index_stable);
    sqlite_bind_number(stmt, 20, row->takes_back);
}

static void bind_story(sqlite3_stmt *stmt, const struct ledger_deposit *row,
                       const char *reason)
{
    sqlite_bind(stmt, 9, row->to_address);
    sqlite_bind_number(stmt, 10, row->confirmations);
    sqlite_bind_number(stmt, 11, row->confirmations_required);
    if (row->block_number >= 0)
        sqlite_bind_number(stmt, 12, row->block_number);
    sqlite_bind(stmt, 13, row->provider_status);
    sqlite_bind(stmt, 14, reason);
    sqlite_bind_slice(stmt, 15, row->metadata);
    sqlite_bind(stmt, 17, null_if_empty(row->traceparent));
    sqlite_bind_number(stmt, 18, clock_wall_us());
}

static enum celery_status insert(struct sqlite_conn *conn,
                                 const struct ledger_deposit *row,
                                 const char *tx_id, const char *reason,
                                 const char *inbox_id, struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO transactions (tx_id, chain, tx_hash, log_index,"
        " index_known, index_stable, taken_back, amount, currency, state,"
        " user_id, to_address, confirmations, confirmations_required,"
        " block_number, provider_status, conflict_reason, metadata, inbox_id,"
        " traceparent, created_at)"
        " VALUES (?1, ?2, ?3, iif(?4 >= 0, ?4, COALESCE((SELECT"
        "  min(log_index) - 1 FROM transactions"
        "  WHERE canonical_hash = ?19 AND chain = ?2 AND key_collides = 0"
        "  AND log_index < 0), -1)), ?4 >= 0, ?7, ?20, ?5, ?6,"
        " iif(?14 IS NULL, 'received', 'conflict'), ?8, ?9, ?10, ?11, ?12,"
        " ?13, ?14, ?15, ?16, ?17, ?18)";
    char key[LEDGER_HASH_MAX];
    hash_key(row, key);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    bind_identity(stmt, row, tx_id);
    sqlite_bind(stmt, 5, row->amount);
    sqlite_bind(stmt, 6, row->currency);
    sqlite_bind_id(stmt, 8, row->user_id);
    bind_story(stmt, row, reason);
    sqlite_bind(stmt, 16, inbox_id);
    sqlite_bind(stmt, 19, key);
    return sqlite_step_done(conn, stmt, err);
}

/* Is a transfer of that hash, recipient and amount known under another index, or
 * on another chain, which may be this one under another name? */
static enum celery_status is_possible_duplicate(
    struct sqlite_conn *conn, const struct ledger_deposit *row, bool *ret,
    struct celery_error *err)
{
    static const char sql[] =
        "SELECT 1 FROM transactions WHERE canonical_hash = ?2"
        " AND key_collides = 0 AND iif(chain = ?1, log_index <> ?3 OR ?3 < 0,"
        "  length(canonical_hash) = 64"
        "  AND trim(canonical_hash, '0123456789abcdef') = '')"
        " AND amount = ?4"
        " AND may_be_same_recipient(to_address, user_id, ?5, ?6)"
        " AND NOT (chain = ?1 AND index_stable AND ?7 AND NOT taken_back"
        "  AND block_number IS ?8)"
        " AND state NOT IN ('rejected', 'reversed') LIMIT 1";
    char key[LEDGER_HASH_MAX];
    hash_key(row, key);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->chain);
    sqlite_bind(stmt, 2, key);
    if (row->block_number >= 0)
        sqlite_bind_number(stmt, 8, row->block_number);
    sqlite_bind_number(stmt, 3, row->log_index);
    sqlite_bind(stmt, 4, row->amount);
    sqlite_bind(stmt, 5, row->to_address);
    sqlite_bind_id(stmt, 6, row->user_id);
    sqlite_bind_number(stmt, 7, row->index_stable);
    enum celery_status st = sqlite_step_row(conn, stmt, ret, err);
    if (st == CELERY_OK)
        (void)sqlite3_reset(stmt);
    return st;
}

static enum celery_status add_new(struct sqlite_conn *conn,
                                  const struct ledger_deposit *row,
                                  const char *inbox_id,
                                  struct ledger_ingested *ret,
                                  struct celery_error *err)
{
    const char *reason = row->conflict_reason;
    bool doubled = false;
    enum celery_status st = CELERY_OK;
    if (reason == NULL)
        st = is_possible_duplicate(conn, row, &doubled, err);
    if (st == CELERY_OK && doubled) {
        reason = "possible_duplicate";
        (void)snprintf(ret->detail, sizeof ret->detail, "%s", reason);
    }
    ordered_id(ret->tx_id);
    if (st == CELERY_OK)
        st = insert(conn, row, ret->tx_id, reason, inbox_id, err);
    ret->result = LEDGER_INGEST_NEW;
    ret->state = reason == NULL ? LEDGER_RECEIVED : LEDGER_CONFLICT;
    ret->publish = reason == NULL;
    memcpy(ret->traceparent, row->traceparent, sizeof ret->traceparent);
    return st;
}

/* --- a deposit that is known ------------------------------------------------- */

/* What the ledger holds under a key that came again. */
struct known {
    char amount[LEDGER_AMOUNT_MAX];
    char currency[LEDGER_CURRENCY_MAX];
    char user_id[LEDGER_ID_MAX];
    char reason[LEDGER_DETAIL_MAX];
    int64_t confirmations;
    int64_t required;
    bool never_published;
    bool without_address;
    bool without_block;
};

/* An index that is not told is below 0, one number for each address; it is also
 * that of a row that was told without one first, and of an old row which may not
 * have been told one. */
static enum celery_status find_known(struct sqlite_conn *conn,
                                     const struct ledger_deposit *row,
                                     struct known *ret,
                                     struct ledger_ingested *ret_answer,
                                     bool *ret_found, struct celery_error *err)
{
    static const char sql[] =
        "SELECT tx_id, state, amount, currency, user_id, confirmations,"
        " confirmations_required, next_enqueue_at IS NULL, traceparent,"
        " conflict_reason, to_address IS NULL, block_number IS NULL"
        " FROM transactions WHERE chain = ?1 AND canonical_hash = ?2"
        " AND key_collides = 0 AND ((?3 >= 0 AND log_index = ?3)"
        "  OR (?3 < 0 AND (log_index < 0 OR index_adopted"
        "   OR (log_index = 0 AND index_known IS NULL))"
        "   AND COALESCE(same_address(to_address, ?4), 1)))"
        " ORDER BY same_address(to_address, ?4) DESC NULLS LAST, index_adopted,"
        "  log_index DESC LIMIT 1";
    char key[LEDGER_HASH_MAX];
    hash_key(row, key);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->chain);
    sqlite_bind(stmt, 2, key);
    sqlite_bind_number(stmt, 3, row->log_index);
    sqlite_bind(stmt, 4, row->to_address);
    enum celery_status st = sqlite_step_row(conn, stmt, ret_found, err);
    if (st != CELERY_OK || !*ret_found)
        return st;
    sqlite_copy(stmt, 0, ret_answer->tx_id, sizeof ret_answer->tx_id);
    (void)ledger_state_parse(sqlite_text(stmt, 1), &ret_answer->state);
    sqlite_copy(stmt, 2, ret->amount, sizeof ret->amount);
    sqlite_copy(stmt, 3, ret->currency, sizeof ret->currency);
    sqlite_copy(stmt, 4, ret->user_id, sizeof ret->user_id);
    ret->confirmations = sqlite3_column_int64(stmt, 5);
    ret->required = sqlite3_column_int64(stmt, 6);
    ret->never_published = sqlite3_column_int(stmt, 7) != 0;
    sqlite_copy(stmt, 8, ret_answer->traceparent,
                sizeof ret_answer->traceparent);
    sqlite_copy(stmt, 9, ret->reason, sizeof ret->reason);
    ret->without_address = sqlite3_column_int(stmt, 10) != 0;
    ret->without_block = sqlite3_column_int(stmt, 11) != 0;
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

/* A transfer is often told of before it has an index, as pending. The one row that
 * still waits for confirmations then takes the index over. */
static enum celery_status adopt(struct sqlite_conn *conn,
                                const struct ledger_deposit *row,
                                bool *ret_adopted, struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET log_index = ?3, index_known = 1,"
        " index_adopted = 1, index_stable = ?7"
        " WHERE tx_id = (SELECT iif(count(*) = 1, max(tx_id), NULL)"
        "  FROM transactions WHERE chain = ?1 AND canonical_hash = ?2"
        "  AND key_collides = 0 AND log_index < 0 AND amount = ?4"
        "  AND currency = ?8"
        "  AND may_be_same_recipient(to_address, user_id, ?5, ?6)"
        "  AND state NOT IN ('rejected', 'reversed'))"
        " AND state IN ('received', 'awaiting_confirmations')"
        " AND confirmations < confirmations_required";
    char key[LEDGER_HASH_MAX];
    *ret_adopted = false;
    if (row->log_index < 0)
        return CELERY_OK;
    hash_key(row, key);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->chain);
    sqlite_bind(stmt, 2, key);
    sqlite_bind_number(stmt, 3, row->log_index);
    sqlite_bind(stmt, 4, row->amount);
    sqlite_bind(stmt, 5, row->to_address);
    sqlite_bind_id(stmt, 6, row->user_id);
    sqlite_bind_number(stmt, 7, row->index_stable);
    sqlite_bind(stmt, 8, row->currency);
    enum celery_status st = sqlite_step_done(conn, stmt, err);
    *ret_adopted = st == CELERY_OK && sqlite_changed(conn) == 1;
    return st;
}

static void add_name(struct ledger_ingested *ret, const char *name)
{
    size_t len = strlen(ret->detail);
    if (len > 0)
        len +=
            (size_t)snprintf(ret->detail + len, sizeof ret->detail - len, ", ");
    (void)snprintf(ret->detail + len, sizeof ret->detail - len, "%s", name);
}

/* Names what differs in ret->detail. */
static bool differs(const struct known *known, const struct ledger_deposit *row,
                    struct ledger_ingested *ret)
{
    char reason[LEDGER_DETAIL_MAX] = "";
    if (row->conflict_reason != NULL)
        (void)snprintf(reason, sizeof reason, "%s", row->conflict_reason);
    bool odd = row->conflict_reason != NULL && !row->takes_back
            && strcmp(known->reason, reason) != 0;
    if (odd || strcmp(known->amount, row->amount) != 0)
        add_name(ret, "amount");
    if (strcmp(known->currency, row->currency) != 0)
        add_name(ret, "currency");
    if (known->user_id[0] != '\0' && row->user_id[0] != '\0'
        && strcasecmp(known->user_id, row->user_id) != 0)
        add_name(ret, "user_id");
    return ret->detail[0] != '\0';
}

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static enum celery_status record_difference(struct sqlite_conn *conn,
                                            const struct ledger_deposit *row,
                                            const struct known *known,
                                            const char *tx_id,
                                            struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    celery_json_begin_object(&w);
    put_text(&w, "amount", row->amount);
    put_text(&w, "currency", row->currency);
    put_text(&w, "user_id", null_if_empty(row->user_id));
    put_text(&w, "reason", row->conflict_reason);
    celery_json_end_object(&w);
    return audit_once(conn, "deposit_differs", tx_id,
                      null_if_empty(known->user_id), details.data, err);
}

/* Is there work now that nobody was told of? */
static bool must_publish(const struct known *known,
                         const struct ledger_deposit *row, int64_t told,
                         enum ledger_state state)
{
    switch (state) {
    case LEDGER_RECEIVED:
        return known->never_published;
    case LEDGER_AWAITING_CONFIRMATIONS:
        return known->confirmations < known->required
            && told >= known->required;
    case LEDGER_UNMATCHED:
        return known->user_id[0] == '\0' && row->user_id[0] != '\0';
    case LEDGER_CREDITED:
    case LEDGER_CONFLICT:
    case LEDGER_REJECTED:
    case LEDGER_REVERSED:
    case LEDGER_STATE_COUNT:
        break;
    }
    return false;
}

static enum celery_status update_known(struct sqlite_conn *conn,
                                       const struct ledger_deposit *row,
                                       int64_t told,
                                       const struct ledger_ingested *answer,
                                       struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET confirmations = max(confirmations, ?2),"
        " user_id = iif(state IN ('received', 'unmatched',"
        "  'awaiting_confirmations'), COALESCE(user_id, ?3), user_id),"
        " next_enqueue_at = iif(?4 AND state <> 'received', ?5,"
        "  next_enqueue_at), to_address = COALESCE(to_address, ?6),"
        " block_number = COALESCE(block_number, ?7) WHERE tx_id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, answer->tx_id);
    sqlite_bind_number(stmt, 2, told);
    sqlite_bind_id(stmt, 3, row->user_id);
    sqlite_bind_number(stmt, 4, answer->publish);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    sqlite_bind(stmt, 6, row->to_address);
    if (row->block_number >= 0)
        sqlite_bind_number(stmt, 7, row->block_number);
    return sqlite_step_done(conn, stmt, err);
}

static enum celery_status confirm(struct sqlite_conn *conn,
                                  const struct ledger_deposit *row,
                                  const struct known *known,
                                  struct ledger_ingested *ret,
                                  struct celery_error *err)
{
    int64_t told = row->confirmations;
    /* One that is final by itself was told once at least. */
    if (told >= row->confirmations_required && told == 0
        && known->confirmations < known->required)
        told = 1;
    ret->result = LEDGER_INGEST_DUPLICATE;
    ret->publish = must_publish(known, row, told, ret->state);
    bool changes = ret->publish || told > known->confirmations
                || (known->user_id[0] == '\0' && row->user_id[0] != '\0')
                || (known->without_address && row->to_address != NULL)
                || (known->without_block && row->block_number >= 0);
    return changes ? update_known(conn, row, told, ret, err) : CELERY_OK;
}

static enum celery_status record_contradiction(
    struct sqlite_conn *conn, const struct ledger_deposit *row,
    const struct known *known, const struct ledger_ingested *answer,
    struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    celery_json_begin_object(&w);
    put_text(&w, "reason", row->conflict_reason);
    put_text(&w, "state", ledger_state_name(answer->state));
    celery_json_end_object(&w);
    return audit_once(conn, "deposit_contradicted", answer->tx_id,
                      null_if_empty(known->user_id), details.data, err);
}

/* What was announced is taken back: it is not credited any more; if it was,
 * somebody has to look. */
static enum celery_status contradict(struct sqlite_conn *conn,
                                     const struct ledger_deposit *row,
                                     const struct known *known,
                                     struct ledger_ingested *ret,
                                     struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET taken_back = 1, conflict_reason ="
        " iif(state IN ('received', 'unmatched', 'awaiting_confirmations'), ?2,"
        "  conflict_reason),"
        " state = iif(state IN ('received', 'unmatched',"
        "  'awaiting_confirmations'), 'conflict', state) WHERE tx_id = ?1";
    bool held = ret->state == LEDGER_CONFLICT || ret->state == LEDGER_REJECTED;
    ret->result = held ? LEDGER_INGEST_DUPLICATE : LEDGER_INGEST_DIFFERS;
    (void)snprintf(ret->detail, sizeof ret->detail, "%s", "status");
    enum celery_status st =
        held ? CELERY_OK : record_contradiction(conn, row, known, ret, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, ret->tx_id);
    sqlite_bind(stmt, 2, row->conflict_reason);
    st = sqlite_step_done(conn, stmt, err);
    if (st == CELERY_OK && !held && ret->state != LEDGER_CREDITED
        && ret->state != LEDGER_REVERSED)
        ret->state = LEDGER_CONFLICT;
    return st;
}

static enum celery_status ingest_deposit(struct sqlite_conn *conn,
                                         const struct ledger_deposit *row,
                                         const char *inbox_id,
                                         struct ledger_ingested *ret,
                                         struct celery_error *err)
{
    struct known known = {0};
    bool found = false;
    *ret = (struct ledger_ingested){0};
    bool adopted = false;
    enum celery_status st = find_known(conn, row, &known, ret, &found, err);
    if (st == CELERY_OK && !found)
        st = adopt(conn, row, &adopted, err);
    if (st == CELERY_OK && adopted)
        st = find_known(conn, row, &known, ret, &found, err);
    if (st != CELERY_OK)
        return st;
    if (!found)
        return add_new(conn, row, inbox_id, ret, err);
    if (differs(&known, row, ret)) {
        ret->result = LEDGER_INGEST_DIFFERS;
        return record_difference(conn, row, &known, ret->tx_id, err);
    }
    if (row->takes_back)
        return contradict(conn, row, &known, ret, err);
    return confirm(conn, row, &known, ret, err);
}

/* --- a batch ------------------------------------------------------------------ */

static enum celery_status ingest_deposits(struct sqlite_conn *conn,
                                          const struct ledger_batch *batch,
                                          const char *inbox_id,
                                          struct celery_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        enum celery_status st =
            ingest_deposit(conn, batch->deposits[i], inbox_id,
                           batch->answers[i], err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

/* One webhook with its deposits, or one deposit of none. */
static enum celery_status ingest_part(struct sqlite_conn *conn,
                                      const struct ledger_batch *part,
                                      struct celery_error *err)
{
    if (part->webhook_count == 0)
        return ingest_deposits(conn, part, NULL, err);
    struct ledger_webhook_answer *answer = part->webhook_answers;
    enum celery_status st = sqlite_inbox_put(conn, part->webhooks, answer, err);
    if (st != CELERY_OK || answer->result == LEDGER_INBOX_REUSED)
        return st;
    st = ingest_deposits(conn, part, answer->inbox_id, err);
    return st == CELERY_OK
             ? sqlite_inbox_link(conn, part->webhooks, answer, err)
             : st;
}

/* Under a savepoint; what is the data's own fault is no error. */
static enum celery_status ingest_guarded(struct sqlite_conn *conn,
                                         const struct ledger_batch *part,
                                         struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = sqlite_script(conn, "SAVEPOINT webhook", err);
    if (st != CELERY_OK)
        return st;
    st = ingest_part(conn, part, &why);
    if (st == CELERY_OK)
        return sqlite_script(conn, "RELEASE webhook", err);
    if (st != CELERY_CONFLICT) {
        if (err != NULL)
            *err = why;
        return st;
    }
    ledger_batch_fail(part, &why);
    return sqlite_script(conn, "ROLLBACK TO webhook; RELEASE webhook", err);
}

static enum celery_status ingest_batch(struct sqlite_conn *conn,
                                       const struct ledger_batch *batch,
                                       struct celery_error *err)
{
    struct ledger_batch part;
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; st == CELERY_OK && ledger_batch_part(batch, i, &part);
         i++)
        st = ingest_guarded(conn, &part, err);
    return st;
}

enum celery_status sqlite_ingest(void *impl, const struct ledger_batch *batch,
                                 struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    struct celery_error reused = {0};
    (void)celery_fail(&reused, CELERY_CONFLICT,
                      "the event id was used with another body");
    ledger_batch_fail(batch, &reused);
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = ingest_batch(conn, batch, err);
    if (st == CELERY_OK)
        return sqlite_commit(impl, conn, err);
    sqlite_rollback(impl, conn);
    return st;
}
