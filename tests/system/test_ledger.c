/* SPDX-License-Identifier: MIT */
/*
 * One table of scenarios on every ledger (ledger_world.h).
 */
#include <pthread.h>

#include "system/ledger_world.h"

enum { THREADS = 8, DEPOSITS = 200 };

static bool is_used(const char *currency)
{
    CLEANUP(celery_buf_done) struct celery_buf json = CELERY_BUF_INIT;
    struct ledger_wallet_found found = {.user = false};
    OK(ledger_wallet(ledger, user, currency, &json, &found, err));
    ck_assert(found.user);
    return found.used;
}

/* --- scenarios ---------------------------------------------------------- */

static void credits_once(void)
{
    struct ledger_deposit d = deposit("0xa", "1.5");
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(in.result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(in.state, LEDGER_RECEIVED);
    ck_assert(in.publish);
    expect_balance(user, "0");

    struct ledger_settled out = settle(in.tx_id);
    ck_assert(out.found && out.credited_now && !out.failed && !out.waited);
    ck_assert_int_eq(out.state, LEDGER_CREDITED);
    ck_assert_str_eq(out.tx_hash, "0xa");
    ck_assert(out.created_at > 1.6e9);
    out = settle(in.tx_id);
    ck_assert(out.found && !out.credited_now);
    ck_assert_int_eq(out.state, LEDGER_CREDITED);
    expect_balance(user, "1.5");
    ck_assert(check().balanced);
    ck_assert_str_eq(check().credited_sum, "1.5");
}

static void the_last_decimal_survives(void)
{
    struct ledger_deposit a = deposit("0xa", "99999999999.999999999999999999");
    struct ledger_deposit b = deposit("0xb", "0.000000000000000001");
    struct ledger_ingested in = ingest(&a);
    ck_assert(settle(in.tx_id).credited_now);
    in = ingest(&b);
    ck_assert(settle(in.tx_id).credited_now);
    expect_balance(user, "100000000000");
    ck_assert(check().balanced);
}

static void a_duplicate_raises_confirmations_only(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    d.confirmations = 1;
    struct ledger_ingested first = ingest(&d);
    ck_assert_int_eq(settle(first.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);

    d.confirmations = 2;
    struct ledger_ingested again = ingest(&d);
    ck_assert_int_eq(again.result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(again.tx_id, first.tx_id);
    ck_assert(!again.publish);
    d.confirmations = 3;
    again = ingest(&d);
    ck_assert(again.publish);
    struct ledger_due due[256];
    ck_assert_uint_eq(sweep(due, 5, 60), 1);
    d.confirmations = 0;
    again = ingest(&d);
    ck_assert(!again.publish);
    struct ledger_settled out = settle(first.tx_id);
    ck_assert_int_eq(out.state, LEDGER_CREDITED);
    ck_assert(out.credited_now && out.waited);
    ck_assert(check().balanced);
}

static void a_different_amount_is_refused_and_recorded(void)
{
    CLEANUP(celery_buf_done) struct celery_buf text = CELERY_BUF_INIT;
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested first = ingest(&d);
    bool found = false;
    (void)snprintf(d.amount, sizeof d.amount, "2");
    struct ledger_ingested again = ingest(&d);
    ck_assert_int_eq(again.result, LEDGER_INGEST_DIFFERS);
    ck_assert_str_eq(again.tx_id, first.tx_id);
    (void)settle(first.tx_id);
    expect_balance(user, "1");
    OK(ledger_explain(ledger, first.tx_id, &text, &found, err));
    ck_assert(found);
    ck_assert_ptr_nonnull(strstr(text.data, "audit deposit_differs"));
    ck_assert_ptr_nonnull(strstr(text.data, "journal deposit_credit"));
}

static void equal_keys_in_a_batch_are_merged(void)
{
    struct ledger_deposit d[5] = {deposit("0xb", "1"), deposit("0xa", "1"),
                                  deposit("0xb", "1"), deposit("0xb", "2"),
                                  deposit("0xb", "1")};
    struct ledger_ingested in[5];
    d[0].user_id[0] = '\0';
    d[4].confirmations = 9;
    OK(ledger_ingest(ledger, d, 5, in, err));
    ck_assert_int_eq(in[0].result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(in[1].result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(in[2].result, LEDGER_INGEST_DUPLICATE);
    ck_assert_int_eq(in[3].result, LEDGER_INGEST_DIFFERS);
    ck_assert_int_eq(in[4].result, LEDGER_INGEST_DUPLICATE);
    for (int i = 2; i < 5; i++)
        ck_assert_str_eq(in[i].tx_id, in[0].tx_id);
    ck_assert(settle(in[0].tx_id).credited_now);
    ck_assert_int_eq(check().count[LEDGER_RECEIVED], 1);
}

static void one_bad_row_does_not_fail_the_batch(void)
{
    struct ledger_deposit d[3] = {deposit("0xa", "1"), deposit("0xb", "0"),
                                  deposit("0xc", "1")};
    struct ledger_ingested in[3];
    OK(ledger_ingest(ledger, d, 3, in, err));
    ck_assert_int_eq(in[0].result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(in[1].result, LEDGER_INGEST_FAILED);
    ck_assert_int_eq(in[1].error.status, CELERY_CONFLICT);
    ck_assert_int_eq(in[2].result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(check().count[LEDGER_RECEIVED], 2);
}

static void one_that_cannot_be_settled_does_not_fail_the_batch(void)
{
    struct ledger_deposit bad = deposit("0xb", "1");
    struct ledger_deposit fine = deposit("0xc", "0.5");
    char ids[3][LEDGER_ID_MAX] = {{0}};
    struct ledger_settled out[3];
    tamper(strncmp(url, "sqlite", 6) == 0
               ? "CREATE TRIGGER no BEFORE INSERT ON wallets WHEN NEW.currency"
                 " = 'BAD' BEGIN SELECT RAISE(ABORT, 'no'); END"
               : "ALTER TABLE wallets ADD CONSTRAINT no CHECK (currency <>"
                 " 'BAD')");
    (void)strcpy(bad.currency, "BAD");
    struct ledger_ingested in = ingest(&bad);
    memcpy(ids[0], in.tx_id, LEDGER_ID_MAX);
    in = ingest(&fine);
    memcpy(ids[1], in.tx_id, LEDGER_ID_MAX);
    (void)snprintf(ids[2], LEDGER_ID_MAX, "no uuid");
    OK(ledger_settle(ledger, (const char(*)[LEDGER_ID_MAX])ids, 3, out, err));
    ck_assert(out[0].failed && out[0].found && !out[0].credited_now);
    ck_assert_int_eq(out[0].state, LEDGER_RECEIVED);
    ck_assert_int_eq(out[0].error.status, CELERY_CONFLICT);
    ck_assert(out[1].credited_now);
    ck_assert(!out[2].found);
    ck_assert(check().balanced);
}

/* To try again would change nothing: a human has to look. */
static void a_balance_that_is_too_large_is_a_conflict(void)
{
    struct ledger_deposit big = deposit("0xa", "99999999999999999999");
    struct ledger_deposit more = deposit("0xb", "99999999999999999999");
    struct ledger_deposit fine = deposit("0xc", "0.5");
    char ids[2][LEDGER_ID_MAX] = {{0}};
    struct ledger_settled out[2];
    ck_assert(settle(ingest(&big).tx_id).credited_now);
    memcpy(ids[0], ingest(&more).tx_id, LEDGER_ID_MAX);
    memcpy(ids[1], ingest(&fine).tx_id, LEDGER_ID_MAX);
    OK(ledger_settle(ledger, (const char(*)[LEDGER_ID_MAX])ids, 2, out, err));
    ck_assert(!out[0].failed && !out[0].credited_now);
    ck_assert_int_eq(out[0].state, LEDGER_CONFLICT);
    ck_assert(out[1].credited_now);
    expect_balance(user, "99999999999999999999.5");
    ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE"
                            " conflict_reason = 'the balance would be too"
                            " large'"),
                     1);
    ck_assert(check().balanced);
}

static void an_unknown_user_is_attributed_later(void)
{
    struct ledger_deposit d = deposit("0xa", "3");
    struct ledger_due due[256];
    char got[LEDGER_ID_MAX];
    bool created = false;
    random_id(d.user_id);
    struct ledger_ingested in = ingest(&d);
    mark(in.tx_id, 60);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_UNMATCHED);
    ck_assert_uint_eq(sweep(due, 0, 60), 0);
    OK(ledger_register_user(ledger, 0, "bob", d.user_id, got, &created, err));
    ck_assert(created);
    ck_assert_str_eq(got, d.user_id);
    ck_assert_uint_eq(sweep(due, 0, 60), 1);
    ck_assert_str_eq(due[0].tx_id, in.tx_id);
    struct ledger_settled out = settle(in.tx_id);
    ck_assert(out.credited_now && out.waited);
    expect_balance(d.user_id, "3");
    ck_assert(check().balanced);
}

static void a_missing_user_is_filled_by_a_later_webhook(void)
{
    struct ledger_deposit d = deposit("0xa", "3");
    d.user_id[0] = '\0';
    struct ledger_ingested in = ingest(&d);
    mark(in.tx_id, 60);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_UNMATCHED);
    memcpy(d.user_id, user, sizeof d.user_id);
    ck_assert(ingest(&d).publish);
    ck_assert(settle(in.tx_id).credited_now);
    expect_balance(user, "3");
}

static void a_conflict_is_kept_and_never_credited(void)
{
    struct ledger_deposit d = deposit("0xa", "0");
    d.conflict_reason = "more decimals than the chain has";
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(in.state, LEDGER_CONFLICT);
    ck_assert(!in.publish);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_CONFLICT);
    ck_assert(!settle(in.tx_id).credited_now);
    ck_assert_int_eq(check().count[LEDGER_CONFLICT], 1);
}

static void the_sweeper_takes_what_is_due(void)
{
    struct ledger_due due[256];
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested in = ingest(&d);
    ck_assert_uint_eq(sweep(due, 5, 60), 0); /* too young */
    ck_assert_uint_eq(sweep(due, 0, 60), 1);
    ck_assert(due[0].first);
    ck_assert_str_eq(due[0].tx_hash, "0xa");
    ck_assert_uint_eq(sweep(due, 0, 60), 0); /* taken */
    mark(in.tx_id, 0);
    ck_assert_uint_eq(sweep(due, 0, 0), 1);
    ck_assert(!due[0].first);
    mark(in.tx_id, 60);
    ck_assert_uint_eq(sweep(due, 0, 60), 0);
    ck_assert_int_eq(check().published, 1);
    (void)settle(in.tx_id);
    mark(in.tx_id, 0);
    ck_assert_uint_eq(sweep(due, 0, 0), 0); /* no work left */
    struct ledger_backlog backlog;
    OK(ledger_backlog(ledger, &backlog, err));
    ck_assert_int_eq(backlog.count[LEDGER_RECEIVED], 0);
    ck_assert_int_eq(backlog.due, 0);
    struct ledger_deposit late = deposit("0xb", "1");
    (void)ingest(&late);
    OK(ledger_backlog(ledger, &backlog, err));
    ck_assert_int_eq(backlog.count[LEDGER_RECEIVED], 1);
    ck_assert_int_eq(backlog.due, 1);
    ck_assert(backlog.overdue_s > 0 && backlog.oldest_s > 0);
}

static void registering_twice_answers_the_first(void)
{
    char got[LEDGER_ID_MAX];
    bool created = true;
    OK(ledger_register_user(ledger, 7, "other", NULL, got, &created, err));
    ck_assert(!created);
    ck_assert_str_eq(got, user);
    OK(ledger_register_user(ledger, 8, "alice", NULL, got, &created, err));
    ck_assert(!created);
    ck_assert_str_eq(got, user);
    OK(ledger_register_user(ledger, 0, "carol", NULL, got, &created, err));
    ck_assert(created);
    OK(ledger_register_user(ledger, 0, "dave", NULL, got, &created, err));
    ck_assert(created);
}

static void case_makes_no_other_name(void)
{
    static const char *const same[] = {"Alice", "ALICE", "aLicE"};
    char got[LEDGER_ID_MAX];
    bool created = true;
    for (size_t i = 0; i < 3; i++) {
        OK(ledger_register_user(ledger, 0, same[i], NULL, got, &created, err));
        ck_assert(!created);
        ck_assert_str_eq(got, user);
    }
    OK(ledger_register_user(ledger, 0, "alice2", NULL, got, &created, err));
    ck_assert(created);
}

/* As before the step that made names unique in any case: two users are there
 * whose names it would not have let in. */
static void names_that_collide_are_kept_and_told_of(void)
{
    static const char older[] = "00000000-0000-4000-8000-000000000001";
    static const char younger[] = "00000000-0000-4000-8000-000000000002";
    bool sqlite = strncmp(url, "sqlite", 6) == 0;
    char got[LEDGER_ID_MAX];
    bool created = true;
    tamper("DROP INDEX uq_users_username_key");
    tamper("ALTER TABLE users DROP COLUMN username_key");
    if (sqlite)
        tamper("DROP TABLE write_probe");
    tamper(sqlite ? "DELETE FROM schema_migrations WHERE version = 3"
                  : "DELETE FROM schema_migrations WHERE version = 6");
    tamper(sqlite ? "INSERT INTO users (id, username, created_at) VALUES"
                    " ('00000000-0000-4000-8000-000000000002', 'BOB', 2),"
                    " ('00000000-0000-4000-8000-000000000001', 'Bob', 1)"
                  : "INSERT INTO users (id, username, created_at) VALUES"
                    " ('00000000-0000-4000-8000-000000000002', 'BOB',"
                    "  '2000-01-02'),"
                    " ('00000000-0000-4000-8000-000000000001', 'Bob',"
                    "  '2000-01-01')");
    OK(ledger_migrate(ledger, err));
    OK(ledger_ready(ledger, err));
    OK(ledger_register_user(ledger, 0, "bob", NULL, got, &created, err));
    ck_assert(!created);
    ck_assert_str_eq(got, older);
    OK(ledger_register_user(ledger, 0, "BOB", NULL, got, &created, err));
    ck_assert(!created);
    ck_assert_str_eq(got, younger);
    OK(ledger_register_user(ledger, 0, "ALICE", NULL, got, &created, err));
    ck_assert_str_eq(got, user);
    /* One line of the log: a user without an id cannot be made. */
    tamper(sqlite ? "CREATE TABLE told AS SELECT 1 FROM audit_log"
                    " WHERE action = 'username_collides' AND user_id ="
                    " '00000000-0000-4000-8000-000000000002' AND"
                    " json_extract(details, '$.with_username') = 'Bob'"
                  : "CREATE TABLE told AS SELECT 1 FROM audit_log"
                    " WHERE action = 'username_collides' AND user_id ="
                    " '00000000-0000-4000-8000-000000000002' AND"
                    " details ->> 'with_username' = 'Bob'");
    tamper("CREATE UNIQUE INDEX told_once ON told ((1))");
    tamper("INSERT INTO users (id, username, created_at)"
           " SELECT NULL, 'x', NULL WHERE NOT EXISTS (SELECT 1 FROM told)");
}

static void a_currency_is_used_from_the_first_deposit_on(void)
{
    struct ledger_deposit d = deposit("0xdai", "2");
    char folded[LEDGER_CURRENCY_MAX];
    ledger_currency_fold("dai", d.currency);
    ck_assert(!is_used("USDT"));
    ck_assert(!is_used("DAI"));
    struct ledger_ingested stored = ingest(&d);
    ck_assert(is_used("DAI"));
    (void)settle(stored.tx_id);
    ck_assert(is_used("DAI"));
    ck_assert(!is_used("dai"));
    ck_assert(!is_used("USDT"));
    ledger_currency_fold("a2345678901234567890", folded);
    ck_assert_str_eq(folded, "A234567890123456");
}

static void a_cursor_ends_with_time(void)
{
    CLEANUP(celery_buf_done) struct celery_buf json = CELERY_BUF_INIT;
    struct ledger_query query = {.limit = 1};
    struct celery_error why = {0};
    static const char *const bad[] = {
        "9223372036854775807.00000000-0000-4000-8000-000000000001",
        "253402300800000000.00000000-0000-4000-8000-000000000001",
        "99999999999999999999.00000000-0000-4000-8000-000000000001",
        "-1.00000000-0000-4000-8000-000000000001",
        " 1.00000000-0000-4000-8000-000000000001",
        "1.x",
        "x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        query.cursor = bad[i];
        ck_assert_int_eq(ledger_transactions(ledger, &query, &json, &why),
                         CELERY_INVALID);
    }
    query.cursor = "253402300799999999.00000000-0000-4000-8000-000000000001";
    OK(ledger_transactions(ledger, &query, &json, err));
}

static void pages_show_every_row_once(void)
{
    char cursor[80] = "";
    int seen = 0;
    for (int i = 0; i < 25; i++) {
        char hash[16];
        (void)snprintf(hash, sizeof hash, "0x%d", i);
        struct ledger_deposit d = deposit(hash, "1");
        (void)ingest(&d);
    }
    for (int page = 0; page < 4; page++) {
        CLEANUP(celery_buf_done) struct celery_buf json = CELERY_BUF_INIT;
        struct ledger_query query = {.user_id = user, .limit = 7};
        if (page > 0)
            query.cursor = cursor;
        OK(ledger_transactions(ledger, &query, &json, err));
        for (const char *p = json.data; (p = strstr(p, "\"tx_id\"")) != NULL;
             p++)
            seen++;
        const char *next = strstr(json.data, "\"next_cursor\": ");
        ck_assert_ptr_nonnull(next);
        ck_assert_int_eq(sscanf(next, "\"next_cursor\": \"%79[^\"]\"", cursor),
                         page < 3 ? 1 : 0);
    }
    ck_assert_int_eq(seen, 25);
    struct ledger_query bad = {.cursor = "17.x", .limit = 7};
    ck_assert_int_eq(ledger_transactions(ledger, &bad, NULL, NULL),
                     CELERY_INVALID);
}

static void the_check_sees_a_changed_wallet(void)
{
    struct ledger_deposit d = deposit("0xa", "1.5");
    struct ledger_ingested in = ingest(&d);
    (void)settle(in.tx_id);
    ck_assert(check().balanced);
    tamper("UPDATE wallets SET deposit_balance = '1.6'");
    struct ledger_check result = check();
    ck_assert(!result.balanced);
    ck_assert_int_eq(result.wallets_off, 1);
    ck_assert_str_eq(result.wallet_sum, "1.6");
    tamper("UPDATE wallets SET deposit_balance = '1.5'");
    ck_assert(check().balanced);
    tamper("UPDATE journal SET kind = 'other'");
    ck_assert_int_eq(check().credits_off, 1);
}

static struct ledger_audit audit_once(int64_t passes)
{
    struct ledger_audit told = {0};
    do {
        OK(ledger_audit(ledger, 3, 0, &told, err));
    } while (told.passes < passes);
    return told;
}

static void the_running_audit_sees_what_differs(void)
{
    struct ledger_audit told = audit_once(1);
    ck_assert_int_eq(told.wallets_off + told.credits_off, 0);
    for (int i = 0; i < 7; i++) { /* more rows than a slice has */
        char hash[16];
        (void)snprintf(hash, sizeof hash, "0x%d", i);
        struct ledger_deposit d = deposit(hash, "1.5");
        struct ledger_ingested in = ingest(&d);
        if (i > 0)
            (void)settle(in.tx_id);
    }
    told = audit_once(3);
    ck_assert_int_eq(told.wallets_off + told.credits_off, 0);
    ck_assert(told.finished_at > 0);
    tamper("UPDATE wallets SET deposit_balance = '9.1'");
    ck_assert_int_eq(audit_once(5).wallets_off, 1);
    tamper("UPDATE wallets SET deposit_balance = '9'");
    tamper("UPDATE journal SET kind = 'other'");
    told = audit_once(7);
    ck_assert_int_eq(told.wallets_off, 0);
    ck_assert_int_eq(told.credits_off, 6);
}

/* --- threads ------------------------------------------------------------ */

static char many[DEPOSITS][LEDGER_ID_MAX];
static _Atomic int credited;

/* Each thread settles all, from another place on. */
static void *settle_all(void *arg)
{
    size_t start = *(const size_t *)arg * DEPOSITS / THREADS;
    char ids[50][LEDGER_ID_MAX];
    for (size_t at = 0; at < DEPOSITS; at += 50) {
        struct ledger_settled out[50];
        for (size_t i = 0; i < 50; i++)
            memcpy(ids[i], many[(start + at + i) % DEPOSITS], LEDGER_ID_MAX);
        OK(ledger_settle(ledger, (const char(*)[LEDGER_ID_MAX])ids, 50, out,
                         err));
        for (size_t i = 0; i < 50; i++)
            credited += out[i].credited_now;
    }
    return NULL;
}

static void in_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    static size_t numbers[THREADS] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, work, (void *)&numbers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

static void overlapping_batches_credit_once(void)
{
    struct ledger_deposit *d = xcalloc(DEPOSITS, sizeof *d);
    struct ledger_ingested *in = xcalloc(DEPOSITS, sizeof *in);
    for (int i = 0; i < DEPOSITS; i++) {
        char hash[16];
        (void)snprintf(hash, sizeof hash, "0x%d", i);
        d[i] = deposit(hash, "0.1");
    }
    OK(ledger_ingest(ledger, d, DEPOSITS, in, err));
    for (int i = 0; i < DEPOSITS; i++)
        memcpy(many[i], in[i].tx_id, LEDGER_ID_MAX);
    free(d);
    free(in);
    credited = 0;
    in_threads(settle_all);
    ck_assert_int_eq(credited, DEPOSITS);
    expect_balance(user, "20");
    ck_assert(check().balanced);
}

/* All threads announce the same deposits, in different orders. */
static void *ingest_all(void *arg)
{
    size_t start = *(const size_t *)arg * 7;
    for (int round = 0; round < 10; round++) {
        struct ledger_deposit d[20];
        struct ledger_ingested in[20];
        for (size_t i = 0; i < 20; i++) {
            char hash[16];
            (void)snprintf(hash, sizeof hash, "%d.%zu", round,
                           (start + i) % 20);
            d[i] = deposit(hash, "1");
            d[i].confirmations = (int64_t)start;
        }
        OK(ledger_ingest(ledger, d, 20, in, err));
        for (size_t i = 0; i < 20; i++)
            credited += in[i].result == LEDGER_INGEST_NEW;
    }
    return NULL;
}

static void overlapping_webhooks_are_stored_once(void)
{
    credited = 0;
    in_threads(ingest_all);
    ck_assert_int_eq(credited, 200);
    ck_assert_int_eq(check().count[LEDGER_RECEIVED], 200);
}

static void *migrate_one(void *arg)
{
    (void)arg;
    struct ledger *own = open_ledger();
    OK(ledger_migrate(own, err));
    OK(ledger_ready(own, err));
    ledger_close(own);
    return NULL;
}

static void an_unmigrated_database_is_not_ready(void)
{
    struct ledger *own = open_ledger();
    struct ledger_check result;
    ck_assert_int_ne(ledger_ready(own, NULL), CELERY_OK);
    ck_assert_int_ne(ledger_check(own, &result, NULL), CELERY_OK);
    ledger_close(own);
}

/* --- table -------------------------------------------------------------- */

static void (*const scenarios[])(void) = {
    credits_once,
    the_last_decimal_survives,
    a_duplicate_raises_confirmations_only,
    a_different_amount_is_refused_and_recorded,
    equal_keys_in_a_batch_are_merged,
    one_bad_row_does_not_fail_the_batch,
    one_that_cannot_be_settled_does_not_fail_the_batch,
    a_balance_that_is_too_large_is_a_conflict,
    an_unknown_user_is_attributed_later,
    a_missing_user_is_filled_by_a_later_webhook,
    a_conflict_is_kept_and_never_credited,
    the_sweeper_takes_what_is_due,
    registering_twice_answers_the_first,
    case_makes_no_other_name,
    names_that_collide_are_kept_and_told_of,
    a_currency_is_used_from_the_first_deposit_on,
    a_cursor_ends_with_time,
    pages_show_every_row_once,
    the_check_sees_a_changed_wallet,
    the_running_audit_sees_what_differs,
    overlapping_batches_credit_once,
    overlapping_webhooks_are_stored_once,
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

START_TEST(many_instances_may_start_at_once)
{
    if (!new_database(_i))
        return;
    an_unmigrated_database_is_not_ready();
    in_threads(migrate_one);
    drop_database();
}
END_TEST

START_TEST(urls_are_judged)
{
    static const struct {
        const char *url;
        enum celery_status status;
    } cases[] = {
        {"mysql://x/y", CELERY_UNSUPPORTED},
        {"postgresqlx://x/y", CELERY_UNSUPPORTED},
        {"sqlite://", CELERY_INVALID},
        {"sqlite://host/x", CELERY_INVALID},
        {"nothing", CELERY_INVALID},
        {"postgresql+psycopg2://u:p@127.0.0.1:1/x", CELERY_OK},
        {"postgres://u:p@127.0.0.1:1/x", CELERY_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ledger *opened = NULL;
        struct ledger_options options = {.url = cases[i].url,
                                         .pool_size = 1,
                                         .pool_timeout_s = 1};
        ck_assert_int_eq(ledger_open(&options, &opened, NULL), cases[i].status);
        ledger_close(opened);
    }
}
END_TEST

START_TEST(an_unreachable_database_is_retryable_and_keeps_its_password)
{
    struct celery_error why = {0};
    struct ledger *opened = NULL;
    struct ledger_options options = {.url =
                                         "postgresql://u:geheim@127.0.0.1:1/x",
                                     .pool_size = 1,
                                     .pool_timeout_s = 1};
    OK(ledger_open(&options, &opened, err));
    ck_assert_int_eq(ledger_ready(opened, &why), CELERY_IO);
    ck_assert(why.retryable);
    ck_assert_ptr_null(strstr(why.msg, "geheim"));
    ledger_close(opened);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("ledger");
    tcase_add_loop_test(tcase, scenario, 0, SCENARIOS * KINDS);
    tcase_add_loop_test(tcase, many_instances_may_start_at_once, 0, KINDS);
    tcase_add_test(tcase, urls_are_judged);
    tcase_add_test(tcase,
                   an_unreachable_database_is_retryable_and_keeps_its_password);
    return world_run(tcase, "ledger");
}
