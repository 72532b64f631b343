/* SPDX-License-Identifier: MIT */
/*
 * What makes a deposit one deposit, the inbox, and a human's word on conflicts,
 * on every ledger (ledger_world.h).
 */
#include "base/clock.h"
#include "ledger/migrate.h"
#include "system/ledger_world.h"

/* --- helpers ------------------------------------------------------------- */

/* A number that the database answers. */
static int64_t number(const char *sql)
{
    int64_t n = 0;
    if (strncmp(url, "sqlite", 6) == 0) {
        sqlite3 *db = NULL;
        sqlite3_stmt *stmt = NULL;
        ck_assert_int_eq(sqlite3_open(url + strlen("sqlite://"), &db), 0);
        ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), 0);
        ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
        n = sqlite3_column_int64(stmt, 0);
        (void)sqlite3_finalize(stmt);
        ck_assert_int_eq(sqlite3_close(db), 0);
        return n;
    }
    char database[256];
    (void)snprintf(database, sizeof database, "postgresql%s",
                   url + strlen("postgresql+asyncpg"));
    PGconn *pg = PQconnectdb(database);
    PGresult *result = PQexec(pg, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql,
                  PQerrorMessage(pg));
    n = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    PQfinish(pg);
    return n;
}

static struct ledger_deposit at_index(const char *hash, int32_t index)
{
    struct ledger_deposit d = deposit(hash, "1.5");
    d.log_index = index;
    return d;
}

static void credit(const char *tx_id)
{
    ck_assert(settle(tx_id).credited_now);
}

/* --- keys ------------------------------------------------------------------ */

static void another_index_is_a_possible_duplicate(void)
{
    static const int32_t indexes[] = {-1, 3, 7};
    struct ledger_ingested in[3];
    for (size_t i = 0; i < 3; i++) {
        struct ledger_deposit d = at_index("0xa", indexes[i]);
        in[i] = ingest(&d);
        ck_assert_int_eq(in[i].result, LEDGER_INGEST_NEW);
    }
    ck_assert_int_eq(in[0].state, LEDGER_RECEIVED);
    for (size_t i = 1; i < 3; i++) {
        ck_assert_int_eq(in[i].state, LEDGER_CONFLICT);
        ck_assert_str_eq(in[i].detail, "possible_duplicate");
        ck_assert(!in[i].publish);
        ck_assert(!settle(in[i].tx_id).credited_now);
    }
    credit(in[0].tx_id);
    expect_balance(user, "1.5");
    /* The same again is the row that is there. */
    struct ledger_deposit again = at_index("0xa", 7);
    ck_assert_str_eq(ingest(&again).tx_id, in[2].tx_id);
    ck_assert_int_eq(ingest(&again).result, LEDGER_INGEST_DUPLICATE);
}

static void in_one_batch_too(void)
{
    struct ledger_deposit d[3] = {at_index("0xa", 1), at_index("0xa", 2),
                                  at_index("0xb", 2)};
    struct ledger_ingested in[3];
    OK(ledger_ingest(ledger, d, 3, in, err));
    ck_assert_int_eq(in[0].state, LEDGER_RECEIVED);
    ck_assert_int_eq(in[1].state, LEDGER_CONFLICT);
    ck_assert_int_eq(in[2].state, LEDGER_RECEIVED);
}

static void stable_indexes_are_transfers_of_their_own(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.index_stable = true;
    credit(ingest(&d).tx_id);
    d.log_index = 2;
    credit(ingest(&d).tx_id);
    /* Another source's index is not. */
    d.log_index = 3;
    d.index_stable = false;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    expect_balance(user, "3");
}

static void other_amounts_and_recipients_are_other_transfers(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.to_address = "0xAA";
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xa", 2);
    d.to_address = "0xbb";
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xa", 3);
    d.to_address = "0xaa";
    (void)strcpy(d.amount, "1.6");
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xa", 4);
    d.to_address = "0xcc";
    random_id(d.user_id);
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    /* The spelling of an address is not another recipient. */
    d = at_index("0xa", 5);
    d.to_address = "0xaa";
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    d.log_index = 6;
    d.to_address = NULL;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
}

/* Two batches that have not seen each other's rows: made here by hand. */
static void the_settlement_holds_what_the_webhook_did_not_see(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested first = ingest(&d);
    d.log_index = 2;
    struct ledger_ingested second = ingest(&d);
    ck_assert_int_eq(second.state, LEDGER_CONFLICT);
    if (strncmp(url, "sqlite", 6) == 0)
        return; /* one writer: there are no such batches */
    tamper(
        "UPDATE transactions SET state = 'received', conflict_reason = NULL");
    ck_assert_int_eq(settle(second.tx_id).state, LEDGER_CONFLICT);
    credit(first.tx_id);
    tamper("UPDATE transactions SET state = 'received', conflict_reason = NULL"
           " WHERE state = 'conflict'");
    ck_assert_int_eq(settle(second.tx_id).state, LEDGER_CONFLICT);
    expect_balance(user, "1.5");
}

static void an_odd_amount_is_recorded_and_the_first_stands(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    d.confirmations = 1;
    struct ledger_ingested first = ingest(&d);
    ck_assert_int_eq(settle(first.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    struct ledger_deposit odd = d;
    odd.conflict_reason = "amount has more decimals than its chain";
    for (int i = 0; i < 3; i++) {
        struct ledger_ingested in = ingest(&odd);
        ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
        ck_assert_str_eq(in.detail, "amount");
        ck_assert_int_eq(in.state, LEDGER_AWAITING_CONFIRMATIONS);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log"
                            " WHERE action = 'deposit_differs'"),
                     1);
    d.confirmations = 3;
    ck_assert(ingest(&d).publish);
    credit(first.tx_id);
    expect_balance(user, "1");
}

static void a_contradiction_is_recorded_once(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested first = ingest(&d);
    credit(first.tx_id);
    d.conflict_reason = "the provider says that it failed";
    d.takes_back = true;
    for (int i = 0; i < 3; i++) {
        struct ledger_ingested in = ingest(&d);
        ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
        ck_assert_str_eq(in.detail, "status");
        ck_assert_int_eq(in.state, LEDGER_CREDITED);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log"
                            " WHERE action = 'deposit_contradicted'"),
                     1);
    expect_balance(user, "1");
}

static void what_differs_is_named(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested in = ingest(&d);
    (void)strcpy(d.amount, "2");
    (void)strcpy(d.currency, "EUR");
    random_id(d.user_id);
    in = ingest(&d);
    ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
    ck_assert_str_eq(in.detail, "amount, currency, user_id");
}

/* Pending is told by asking for more confirmations than there are. */
static void what_was_pending_becomes_final(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    d.confirmations = 0;
    d.confirmations_required = 1;
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    d.confirmations_required = 0; /* final, by a threshold of zero */
    ck_assert(ingest(&d).publish);
    credit(in.tx_id);
}

/* --- conflicts ---------------------------------------------------------------- */

static void a_conflict_is_resolved(void)
{
    struct celery_error why = {0};
    struct ledger_due due[256];
    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested first = ingest(&d);
    credit(first.tx_id);
    d.log_index = 2;
    struct ledger_ingested second = ingest(&d);
    d.log_index = 3;
    struct ledger_ingested third = ingest(&d);
    OK(ledger_resolve(ledger, second.tx_id, true, "two payouts", "ann", err));
    ck_assert_uint_eq(sweep(due, 0, 60), 1);
    ck_assert_str_eq(due[0].tx_id, second.tx_id);
    credit(second.tx_id);
    OK(ledger_resolve(ledger, third.tx_id, false, "told twice", "ann", err));
    ck_assert_int_eq(settle(third.tx_id).state, LEDGER_REJECTED);
    ck_assert_int_eq(ingest(&d).state, LEDGER_REJECTED);
    expect_balance(user, "3");
    ck_assert(check().balanced);
    ck_assert_int_eq(check().count[LEDGER_REJECTED], 1);
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log WHERE"
                            " action = 'deposit_resolved'"),
                     2);
    ck_assert_int_eq(ledger_resolve(ledger, second.tx_id, true, "again", "ann",
                                    &why),
                     CELERY_INVALID);
    ck_assert_ptr_nonnull(strstr(why.msg, "is credited"));
    ck_assert_int_eq(ledger_resolve(ledger, "no", true, "x", "ann", &why),
                     CELERY_INVALID);
}

static void an_amount_of_zero_can_only_be_rejected(void)
{
    struct celery_error why = {0};
    struct ledger_deposit d = deposit("0xa", "0");
    d.conflict_reason = "amount has more decimals than its chain";
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(ledger_resolve(ledger, in.tx_id, true, "x", "ann", &why),
                     CELERY_INVALID);
    ck_assert_ptr_nonnull(strstr(why.msg, "rejected"));
    OK(ledger_resolve(ledger, in.tx_id, false, "x", "ann", err));
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_REJECTED);
}

/* --- the inbox ---------------------------------------------------------------- */

struct told {
    struct ledger_webhook webhook;
    struct ledger_webhook_answer answer;
    struct ledger_ingested deposits[4];
};

static void tell(struct told *told)
{
    random_id(told->webhook.inbox_id);
    told->webhook.source = "bep20";
    told->answer.deposits = told->deposits;
    OK(ledger_ingest_webhooks(ledger, &told->webhook, 1, &told->answer, err));
}

static void a_webhook_is_kept_with_what_became_of_it(void)
{
    struct ledger_deposit d[2] = {at_index("0xa", 1), at_index("0xb", 1)};
    struct told told = {.webhook = {.body = CELERY_STR("{\"a\":\"\\u0000\"}"),
                                    .headers = CELERY_STR("{\"x\":\"1\"}"),
                                    .request_id = "r-1",
                                    .deposits = d,
                                    .deposit_count = 2}};
    struct ledger_inbox_row row = {.body = CELERY_BUF_INIT};
    bool found = false;
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_NEW);
    ck_assert_str_eq(told.answer.inbox_id, told.webhook.inbox_id);
    OK(ledger_inbox_get(ledger, told.answer.inbox_id, &row, &found, err));
    ck_assert(found);
    ck_assert_str_eq(row.source, "bep20");
    ck_assert_str_eq(row.request_id, "r-1");
    ck_assert_int_eq(row.outcome, LEDGER_STORED);
    ck_assert_uint_eq(row.body.len, told.webhook.body.len);
    ck_assert_mem_eq(row.body.data, told.webhook.body.data, row.body.len);
    celery_buf_done(&row.body);
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox WHERE CAST(tx_ids AS text) LIKE"
                   " '%%%s%%%s%%' AND headers = '{\"x\":\"1\"}'",
                   told.deposits[0].tx_id, told.deposits[1].tx_id);
    ck_assert_int_eq(number(sql), 1);
    /* One that tells of a known deposit names that. */
    struct told other = {.webhook = {.body = CELERY_STR("{}"),
                                     .deposits = d,
                                     .deposit_count = 1}};
    tell(&other);
    ck_assert_int_eq(other.deposits[0].result, LEDGER_INGEST_DUPLICATE);
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox WHERE CAST(tx_ids AS text) LIKE"
                   " '%%%s%%'",
                   told.deposits[0].tx_id);
    ck_assert_int_eq(number(sql), 2);
}

static void the_same_body_raises_a_count(void)
{
    struct told told = {.webhook = {.body = CELERY_STR("[]"),
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no object"}};
    tell(&told);
    char first[LEDGER_ID_MAX];
    memcpy(first, told.answer.inbox_id, sizeof first);
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_str_eq(told.answer.inbox_id, first);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 1);
    ck_assert_int_eq(number("SELECT seen FROM inbox"), 2);
}

static void what_comes_again_may_be_understood(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct told told = {.webhook = {.body = CELERY_STR("{}"),
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no mapping",
                                    .field = "chain"}};
    tell(&told);
    char first[LEDGER_ID_MAX];
    memcpy(first, told.answer.inbox_id, sizeof first);
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("{}"),
                                           .deposits = &d,
                                           .deposit_count = 1};
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_NEW);
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox b JOIN transactions t ON"
                   " t.inbox_id = b.id WHERE b.id = '%s' AND b.seen = 2 AND"
                   " b.outcome = 'stored' AND b.error IS NULL AND b.field IS"
                   " NULL AND CAST(b.tx_ids AS text) LIKE '%%%s%%'",
                   first, told.deposits[0].tx_id);
    ck_assert_int_eq(number(sql), 1);
    /* It does not go back. */
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("{}"),
                                           .outcome = LEDGER_REFUSED,
                                           .error = "no mapping"};
    tell(&told);
    ck_assert_int_eq(
        number("SELECT count(*) FROM inbox WHERE outcome = 'stored'"), 1);
}

static void an_event_id_stands_for_one_body(void)
{
    struct ledger_deposit a = at_index("0xa", 1);
    struct ledger_deposit b = at_index("0xb", 1);
    struct told told = {.webhook = {.body = CELERY_STR("{\"a\":1}"),
                                    .event_id = "evt_1",
                                    .deposits = &a,
                                    .deposit_count = 1}};
    tell(&told);
    char tx_id[LEDGER_ID_MAX];
    memcpy(tx_id, told.deposits[0].tx_id, sizeof tx_id);
    credit(tx_id);
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(told.deposits[0].tx_id, tx_id);
    ck_assert_int_eq(told.deposits[0].state, LEDGER_CREDITED);
    told.webhook.body = CELERY_STR("{\"a\":2}");
    told.webhook.deposits = &b;
    for (int i = 0; i < 2; i++) {
        tell(&told);
        ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REUSED);
        ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_FAILED);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 2);
    ck_assert_int_eq(number("SELECT seen FROM inbox WHERE outcome = 'refused'"),
                     2);
}

static void the_open_ones_are_listed_and_replayed(void)
{
    static const char *const bodies[] = {"1", "2", "3"};
    char ids[2][LEDGER_ID_MAX];
    char inbox[3][LEDGER_ID_MAX];
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        struct told told = {
            .webhook = {.body = {bodies[i], 1},
                        .outcome = i == 1 ? LEDGER_IGNORED : LEDGER_REFUSED,
                        .error = "no"}};
        tell(&told);
        memcpy(inbox[i], told.answer.inbox_id, LEDGER_ID_MAX);
    }
    OK(ledger_inbox_open(ledger, 0, NULL, 2, ids, &count, err));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(ids[0], inbox[0]);
    OK(ledger_inbox_open(ledger, 0, ids[1], 2, ids, &count, err));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(ids[0], inbox[2]);

    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested in = ingest(&d);
    struct ledger_webhook replayed = {.outcome = LEDGER_STORED,
                                      .deposits = &d,
                                      .deposit_count = 1};
    memcpy(replayed.inbox_id, inbox[0], LEDGER_ID_MAX);
    OK(ledger_inbox_replayed(ledger, &replayed, &in, err));
    OK(ledger_inbox_open(ledger, 0, NULL, 2, ids, &count, err));
    ck_assert_str_eq(ids[0], inbox[1]);
    OK(ledger_inbox_open(ledger, clock_wall_us() + USEC_PER_SEC, NULL, 2, ids,
                         &count, err));
    ck_assert_uint_eq(count, 0);
}

static void old_ones_expire(void)
{
    struct told told = {.webhook = {.body = CELERY_STR("1")}};
    int64_t gone = -1;
    tell(&told);
    OK(ledger_inbox_expire(ledger, clock_wall_us() - 60 * USEC_PER_SEC, 10,
                           &gone, err));
    ck_assert_int_eq(gone, 0);
    OK(ledger_inbox_expire(ledger, clock_wall_us() + USEC_PER_SEC, 10, &gone,
                           err));
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 0);
}

/* --- rows of before ----------------------------------------------------------- */

#define D32 "0123456789abcdef0123456789abcdef"
#define U32 "0123456789ABCDEF0123456789ABCDEF"

/* A ledger as the program of before left it: two deposits of one hash in two
 * spellings, both credited, one that waits for confirmations, one alone. */
static const char dump_sql[] =
    "INSERT INTO users (id, username, created_at) VALUES"
    " ('11111111-1111-4111-8111-111111111111', 'old', %s);"
    "INSERT INTO transactions (tx_id, chain, tx_hash, log_index, amount,"
    " currency, state, user_id, confirmations, confirmations_required,"
    " created_at, processed_at) VALUES"
    " ('aaaaaaaa-0000-4000-8000-000000000001', 'btc', '" D32 D32 "', 0, '1',"
    "  'BTC', 'credited', '11111111-1111-4111-8111-111111111111', 5, 3, %s,"
    "  %s),"
    " ('aaaaaaaa-0000-4000-8000-000000000002', 'btc', '" U32 U32 "', 0, '1',"
    "  'BTC', 'credited', '11111111-1111-4111-8111-111111111111', 5, 3, %s,"
    "  %s),"
    " ('aaaaaaaa-0000-4000-8000-000000000003', 'bep20', '0xabc', 0, '2',"
    "  'USDT', 'awaiting_confirmations',"
    "  '11111111-1111-4111-8111-111111111111', 1, 3, %s, NULL)";

static void apply_old_steps(bool sqlite)
{
    const struct migration *steps =
        sqlite ? sqlite_migrations : postgres_migrations;
    size_t count = sqlite ? sqlite_migrations_count : postgres_migrations_count;
    tamper(sqlite ? "CREATE TABLE schema_migrations (version INTEGER PRIMARY"
                    " KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)"
                  : "CREATE TABLE schema_migrations (version integer PRIMARY"
                    " KEY, name text NOT NULL, applied_at timestamptz NOT NULL"
                    " DEFAULT now())");
    for (size_t i = 0; i < count && strstr(steps[i].name, "identity") == NULL;
         i++) {
        char sql[200];
        tamper(steps[i].sql);
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO schema_migrations (version, name,"
                       " applied_at) VALUES (%d, '%s', %s)",
                       steps[i].version, steps[i].name, sqlite ? "0" : "now()");
        tamper(sql);
    }
}

static void fill_old_ledger(int kind)
{
    const char *at = kind == SQLITE ? "1000" : "now()";
    const char *later = kind == SQLITE ? "2000" : "now() + interval '1 second'";
    char sql[2048];
    (void)snprintf(sql, sizeof sql, dump_sql, at, at, at, later, later, at);
    apply_old_steps(kind == SQLITE);
    tamper(sql);
}

static void judge_old_rows(void)
{
    CLEANUP(celery_buf_done) struct celery_buf text = CELERY_BUF_INIT;
    OK(ledger_collisions(ledger, &text, err));
    ck_assert_str_eq(text.data,
                     "same key as aaaaaaaa-0000-4000-8000-000000000001:"
                     " aaaaaaaa-0000-4000-8000-000000000002 btc " U32 U32
                     " 0 (credited)\n");
    /* Both keep what they were; the key finds the first. */
    ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE"
                            " canonical_hash = '" D32 D32 "'"),
                     2);
    struct ledger_deposit d = deposit(D32 D32, "1");
    (void)strcpy(d.chain, "btc");
    (void)strcpy(d.currency, "BTC");
    d.user_id[0] = '\0';
    ck_assert_str_eq(ingest(&d).tx_id, "aaaaaaaa-0000-4000-8000-000000000001");
    /* What waited without an index goes on, told without one. */
    d = at_index("0xabc", -1);
    (void)strcpy(d.amount, "2");
    d.user_id[0] = '\0';
    struct ledger_ingested in = ingest(&d);
    ck_assert_str_eq(in.tx_id, "aaaaaaaa-0000-4000-8000-000000000003");
    ck_assert(in.publish);
    ck_assert(settle(in.tx_id).credited_now);
    /* A new row cannot have a key that is taken. */
    ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 3);
}

START_TEST(rows_of_before_keep_their_keys)
{
    if (!new_database(_i))
        return;
    if (_i == SQLITE) { /* the ledger makes the folder */
        ledger = open_ledger();
        ck_assert_int_ne(ledger_ready(ledger, NULL), CELERY_OK);
        ledger_close(ledger);
    }
    fill_old_ledger(_i);
    ledger = open_ledger();
    OK(ledger_migrate(ledger, err));
    OK(ledger_ready(ledger, err));
    judge_old_rows();
    end();
}
END_TEST

/* In a canary both write to one ledger. */
static void a_program_of_before_still_stores(void)
{
    static const char old_pg[] =
        "SELECT count(*) FROM ingest_deposits("
        "ARRAY['aaaaaaaa-0000-4000-8000-00000000000%d']::uuid[],"
        " ARRAY['btc'], ARRAY['" U32 U32 "'], ARRAY[0], ARRAY['1.5'],"
        " ARRAY['USDT'], ARRAY['%s']::uuid[], ARRAY[5]::bigint[],"
        " ARRAY[3]::bigint[], ARRAY[NULL]::bigint[], ARRAY[NULL]::text[],"
        " ARRAY[NULL]::text[], ARRAY[NULL]::text[], ARRAY[NULL]::text[],"
        " ARRAY['x']::bytea[], ARRAY[NULL]::text[])"
        " WHERE result = '%s' AND tx_id ="
        " 'aaaaaaaa-0000-4000-8000-000000000001'";
    static const char old_sqlite[] =
        "INSERT INTO transactions (tx_id, chain, tx_hash, log_index, amount,"
        " currency, state, user_id, confirmations, confirmations_required,"
        " raw_body, created_at) VALUES ('aaaaaaaa-0000-4000-8000-000000000001',"
        " 'btc', '" D32 D32 "', 0, '1.5', 'USDT', 'received', '%s', 5, 3, 'x',"
        " 1) ON CONFLICT (chain, tx_hash, log_index) DO NOTHING";
    char sql[1024];
    if (strncmp(url, "sqlite", 6) == 0) {
        (void)snprintf(sql, sizeof sql, old_sqlite, user);
        tamper(sql);
        tamper(sql);
    } else {
        (void)snprintf(sql, sizeof sql, old_pg, 1, user, "new");
        ck_assert_int_eq(number(sql), 1);
        (void)snprintf(sql, sizeof sql, old_pg, 2, user, "duplicate");
        ck_assert_int_eq(number(sql), 1);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE"
                            " canonical_hash = '" D32 D32 "'"
                            " AND raw_body IS NOT NULL"),
                     1);
    /* It may not have been told an index: without one it is the same. */
    struct ledger_deposit d = at_index(D32 D32, -1);
    (void)strcpy(d.chain, "btc");
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(in.result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(in.tx_id, "aaaaaaaa-0000-4000-8000-000000000001");
    credit(in.tx_id);
    d.log_index = 4;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
}

/* --- table --------------------------------------------------------------------- */

static void (*const scenarios[])(void) = {
    another_index_is_a_possible_duplicate,
    in_one_batch_too,
    stable_indexes_are_transfers_of_their_own,
    other_amounts_and_recipients_are_other_transfers,
    the_settlement_holds_what_the_webhook_did_not_see,
    an_odd_amount_is_recorded_and_the_first_stands,
    a_contradiction_is_recorded_once,
    what_differs_is_named,
    what_was_pending_becomes_final,
    a_conflict_is_resolved,
    an_amount_of_zero_can_only_be_rejected,
    a_webhook_is_kept_with_what_became_of_it,
    the_same_body_raises_a_count,
    what_comes_again_may_be_understood,
    an_event_id_stands_for_one_body,
    the_open_ones_are_listed_and_replayed,
    old_ones_expire,
    a_program_of_before_still_stores,
};

enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

START_TEST(scenario)
{
    if (!begin(_i / SCENARIOS))
        return;
    scenarios[_i % SCENARIOS]();
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger_identity");
    TCase *tcase = tcase_create("ledger_identity");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, scenario, 0, SCENARIOS * KINDS);
    tcase_add_loop_test(tcase, rows_of_before_keep_their_keys, 0, KINDS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
