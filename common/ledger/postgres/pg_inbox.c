/* SPDX-License-Identifier: MIT */
/*
 * The inbox and a human's word on conflicts
 * (migrations/postgres/0007_identity.sql).
 */
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

#define FROM_US(param) \
    "(timestamptz 'epoch' + interval '1 microsecond' * " param "::bigint)"

/* bytea as text: "\\x" and two digits a byte. */
static enum celery_status append_bytes(struct celery_buf *buf, const char *text)
{
    size_t len = 0;
    unsigned char *bytes = PQunescapeBytea((const unsigned char *)text, &len);
    if (bytes == NULL)
        return CELERY_NOMEM;
    celery_buf_append(buf, (struct celery_str){(const char *)bytes, len});
    PQfreemem(bytes);
    return celery_buf_status(buf);
}

enum celery_status pg_inbox_get(void *impl, const char *inbox_id,
                                struct ledger_inbox_row *ret, bool *ret_found,
                                struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, inbox_id);
    enum celery_status st =
        pg_run(impl,
               "SELECT id, source, COALESCE(request_id, ''), outcome,"
               " (extract(epoch FROM received_at) * 1000000)::bigint, body"
               " FROM inbox WHERE id = $1::uuid",
               &params, &result, err);
    if (st != CELERY_OK)
        return st;
    *ret_found = PQntuples(result) == 1;
    if (*ret_found) {
        pg_copy(result, 0, 0, ret->inbox_id, sizeof ret->inbox_id);
        pg_copy(result, 0, 1, ret->source, sizeof ret->source);
        pg_copy(result, 0, 2, ret->request_id, sizeof ret->request_id);
        ret->outcome = ledger_outcome_parse(PQgetvalue(result, 0, 3));
        ret->received_us = pg_int(result, 0, 4);
        st = append_bytes(&ret->body, PQgetvalue(result, 0, 5));
    }
    PQclear(result);
    return st == CELERY_OK ? st : celery_fail(err, st, "out of memory");
}

enum celery_status pg_inbox_open(void *impl, const struct ledger_since *since,
                                 char (*ret_ids)[LEDGER_ID_MAX],
                                 size_t *ret_count, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_int(&params, since->since_us);
    pg_add_text(&params, since->after_id);
    pg_add_int(&params, (int64_t)since->limit);
    enum celery_status st = pg_run(
        impl,
        "SELECT id FROM inbox WHERE outcome <> 'stored'"
        " AND substr(key, 1, 5) NOT IN ('used:', 'over:') AND received_at "
        ">= " FROM_US(
            "$1") " AND ($2::uuid IS NULL OR (received_at, id) > (SELECT"
                  " a.received_at, a.id FROM inbox a WHERE a.id = $2::uuid))"
                  " ORDER BY received_at, id LIMIT $3::bigint",
        &params, &result, err);
    if (st != CELERY_OK)
        return st;
    for (int i = 0; i < PQntuples(result) && (size_t)i < since->limit; i++)
        pg_copy(result, i, 0, ret_ids[(*ret_count)++], LEDGER_ID_MAX);
    PQclear(result);
    return CELERY_OK;
}

enum celery_status pg_inbox_replayed(void *impl,
                                     const struct ledger_webhook *webhook,
                                     const struct ledger_ingested *deposits,
                                     struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, webhook->inbox_id);
    pg_add_text(&params, ledger_outcome_name(webhook->outcome));
    pg_add_text(&params, webhook->error);
    pg_add_text(&params, webhook->field);
    pg_begin_array(&params, PG_UUIDS);
    for (size_t i = 0; i < webhook->deposit_count; i++)
        pg_put_uuid(&params, deposits[i].tx_id);
    pg_end_array(&params);
    enum celery_status st =
        pg_run(impl,
               "WITH box AS (UPDATE inbox SET outcome = $2, error = $3,"
               "  field = $4, tx_ids = $5 || ARRAY(SELECT u.id"
               "   FROM unnest(tx_ids) AS u (id) WHERE u.id <> ALL ($5))"
               "  WHERE id = $1::uuid)"
               " UPDATE transactions SET inbox_id = $1::uuid"
               " WHERE tx_id = ANY ($5) AND inbox_id IS NULL",
               &params, &result, err);
    if (st == CELERY_OK)
        PQclear(result);
    return st;
}

enum celery_status pg_inbox_expire(void *impl, int64_t until_us, size_t limit,
                                   int64_t *ret_count, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_int(&params, until_us);
    pg_add_int(&params, (int64_t)limit);
    enum celery_status st = pg_run(
        impl,
        "WITH gone AS (DELETE FROM inbox WHERE id IN (SELECT id FROM inbox"
        " WHERE received_at < " FROM_US(
            "$1") " ORDER BY received_at"
                  " LIMIT $2::bigint FOR UPDATE SKIP LOCKED) RETURNING 1)"
                  " SELECT count(*) FROM gone",
        &params, &result, err);
    if (st != CELERY_OK)
        return st;
    *ret_count = pg_int(result, 0, 0);
    PQclear(result);
    return CELERY_OK;
}

enum celery_status pg_resolve(void *impl,
                              const struct ledger_resolution *resolution,
                              struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, resolution->tx_id);
    pg_add_text(&params, resolution->credit ? "t" : "f");
    pg_add_text(&params, resolution->reason);
    pg_add_text(&params, resolution->actor);
    enum celery_status st =
        pg_run(impl,
               "SELECT known, resolved, state FROM"
               " resolve_deposit($1::uuid, $2::boolean, $3::text, $4::text)",
               &params, &result, err);
    if (st != CELERY_OK)
        return st;
    st = ledger_resolution_judge(resolution, pg_bool(result, 0, 0),
                                 pg_bool(result, 0, 1),
                                 PQgetvalue(result, 0, 2), err);
    PQclear(result);
    return st;
}

enum celery_status pg_collisions(void *impl, struct celery_buf *ret_text,
                                 struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    enum celery_status st = pg_run(
        impl,
        "SELECT t.tx_id, t.chain, t.tx_hash, t.log_index, t.state, o.tx_id"
        " FROM transactions t JOIN transactions o"
        " USING (chain, canonical_hash, log_index)"
        " WHERE t.key_collides AND NOT o.key_collides"
        " ORDER BY t.created_at, t.tx_id",
        &params, &result, err);
    if (st != CELERY_OK)
        return st;
    for (int i = 0; i < PQntuples(result); i++) {
        struct ledger_collision collision = {
            PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
            PQgetvalue(result, i, 2), PQgetvalue(result, i, 3),
            PQgetvalue(result, i, 4), PQgetvalue(result, i, 5)};
        ledger_collision_line(ret_text, &collision);
    }
    PQclear(result);
    return celery_buf_status(ret_text);
}
