/* SPDX-License-Identifier: MIT */
/*
 * Rows that an earlier program left, and one that still runs beside the new, on
 * every ledger (ledger_world.h).
 */
#include "ledger/migrate.h"
#include "system/ledger_world.h"

#define D32 "0123456789abcdef0123456789abcdef"
#define U32 "0123456789ABCDEF0123456789ABCDEF"

/* A ledger as the program of before left it: two deposits of one hash in two
 * spellings, both credited; one that waits for confirmations; two spellings of
 * which one is credited and one is not yet. */
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
    "  '11111111-1111-4111-8111-111111111111', 1, 3, %s, NULL),"
    " ('aaaaaaaa-0000-4000-8000-000000000004', 'bep20', '0xDEF', 0, '3',"
    "  'USDT', 'received', '11111111-1111-4111-8111-111111111111', 5, 3, %s,"
    "  NULL),"
    " ('aaaaaaaa-0000-4000-8000-000000000005', 'bep20', '0xdef', 0, '3',"
    "  'USDT', 'credited', '11111111-1111-4111-8111-111111111111', 5, 3, %s,"
    "  %s)";

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
    (void)snprintf(sql, sizeof sql, dump_sql, at, at, at, later, later, at,
                   later, later, later);
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
                     " 0 (credited)\n"
                     "same key as aaaaaaaa-0000-4000-8000-000000000005:"
                     " aaaaaaaa-0000-4000-8000-000000000004 bep20 0xDEF 0"
                     " (conflict)\n");
    ck_assert(!settle("aaaaaaaa-0000-4000-8000-000000000004").credited_now);
    ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE"
                            " conflict_reason = 'possible_duplicate'"),
                     1);
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
    ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 5);
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

static bool sqlite_takes(const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(url + strlen("sqlite://"), &db), 0);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    ck_assert_int_eq(sqlite3_close(db), 0);
    return rc == SQLITE_OK;
}

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
        " raw_body, created_at) VALUES "
        "('aaaaaaaa-0000-4000-8000-00000000000%d',"
        " 'btc', '%s', 0, '1.5', 'USDT', 'received', '%s', 5, 3, 'x',"
        " 1) ON CONFLICT (chain, tx_hash, log_index) DO NOTHING";
    char sql[1024];
    if (strncmp(url, "sqlite", 6) == 0) {
        (void)snprintf(sql, sizeof sql, old_sqlite, 1, D32 D32, user);
        tamper(sql);
        ck_assert(sqlite_takes(sql));
        (void)snprintf(sql, sizeof sql, old_sqlite, 2, U32 U32, user);
        ck_assert(!sqlite_takes(sql));
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
    TCase *tcase = tcase_create("ledger_upgrade");
    tcase_add_loop_test(tcase, scenario, 0, SCENARIOS * KINDS);
    tcase_add_loop_test(tcase, rows_of_before_keep_their_keys, 0, KINDS);
    return world_run(tcase, "ledger_upgrade");
}
