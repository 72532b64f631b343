/* SPDX-License-Identifier: MIT */
/*
 * A ledger of its own for each scenario of a test: SQLite in a temporary folder,
 * PostgreSQL when LEDGER_TEST_PG names a server on which databases may be made
 * (scripts/test.sh does).
 */
#ifndef SYSTEM_LEDGER_WORLD_H
#define SYSTEM_LEDGER_WORLD_H

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "ledger/ledger.h"
#include "support/unit.h"

enum { SQLITE, POSTGRES, KINDS };

static char folder[64];
static char url[256];
static struct ledger *ledger;
static char user[LEDGER_ID_MAX];

#define OK(call)                                                    \
    do {                                                            \
        struct celery_error err_ = {0};                             \
        struct celery_error *err = &err_;                           \
        enum celery_status st_ = (call);                            \
        ck_assert_msg(st_ == CELERY_OK, "%s: %s", #call, err_.msg); \
    } while (0)

/* --- databases ---------------------------------------------------------- */

static inline const char *server(void)
{
    return getenv("LEDGER_TEST_PG"); /* NOLINT(concurrency-mt-unsafe) */
}

static inline void run_sql(const char *database, const char *sql)
{
    PGconn *pg = PQconnectdb(database);
    PGresult *result = PQexec(pg, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK
                      || PQresultStatus(result) == PGRES_TUPLES_OK,
                  "%s: %s", sql, PQerrorMessage(pg));
    PQclear(result);
    PQfinish(pg);
}

static inline bool new_database(int kind)
{
    if (kind == SQLITE) {
        (void)snprintf(folder, sizeof folder, "/tmp/test-ledger-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(url, sizeof url, "sqlite://%s/deep/l.db", folder);
        return true;
    }
    if (server() == NULL) {
        ck_assert_msg(getenv("CI") == NULL, /* NOLINT(concurrency-mt-unsafe) */
                      "LEDGER_TEST_PG is not set");
        return false;
    }
    char name[64];
    char sql[128];
    char id[LEDGER_ID_MAX];
    random_id(id);
    (void)snprintf(name, sizeof name, "t_%.8s", id);
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    run_sql(server(), sql);
    char *base = xstrdup(server() + strlen("postgresql"));
    char *slash = strrchr(base, '/');
    ck_assert_ptr_nonnull(slash);
    *slash = '\0';
    char *text = xasprintf("postgresql+asyncpg%s/%s", base, name);
    ck_assert_uint_lt(strlen(text), sizeof url);
    memcpy(url, text, strlen(text) + 1);
    free(text);
    free(base);
    return true;
}

static inline struct ledger *open_ledger(void)
{
    struct ledger *opened = NULL;
    struct ledger_options options = {.url = url,
                                     .pool_size = 4,
                                     .max_overflow = 8,
                                     .pool_timeout_s = 20,
                                     .pool_recycle_s = 3600};
    OK(ledger_open(&options, &opened, err));
    return opened;
}

/* false: this kind is not to be tested here. */
static inline bool begin(int kind)
{
    bool created = false;
    if (!new_database(kind))
        return false;
    ledger = open_ledger();
    OK(ledger_migrate(ledger, err));
    OK(ledger_ready(ledger, err));
    OK(ledger_register_user(ledger, 7, "alice", NULL, user, &created, err));
    ck_assert(created);
    return true;
}

static inline void remove_folder(void)
{
    static const char *const names[] = {"deep/l.db-wal", "deep/l.db-shm",
                                        "deep/l.db", "deep", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
    ck_assert_int_ne(access(folder, F_OK), 0);
}

static inline void drop_database(void)
{
    if (strncmp(url, "sqlite", 6) == 0) {
        remove_folder();
        return;
    }
    char sql[300];
    (void)snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)",
                   strrchr(url, '/') + 1);
    run_sql(server(), sql);
}

static inline void end(void)
{
    ledger_close(ledger);
    drop_database();
}

/* Behind the ledger's back. */
static inline void tamper(const char *sql)
{
    if (strncmp(url, "sqlite", 6) == 0) {
        sqlite3 *db = NULL;
        ck_assert_int_eq(sqlite3_open(url + strlen("sqlite://"), &db), 0);
        ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), 0);
        ck_assert_int_eq(sqlite3_close(db), 0);
        return;
    }
    char database[256];
    (void)snprintf(database, sizeof database, "postgresql%s",
                   url + strlen("postgresql+asyncpg"));
    run_sql(database, sql);
}

/* A number that the database answers. */
static inline int64_t number(const char *sql)
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

/* --- helpers ------------------------------------------------------------ */

static inline struct ledger_deposit deposit(const char *hash,
                                            const char *amount)
{
    struct ledger_deposit d = {.chain = "bep20",
                               .currency = "USDT",
                               .confirmations = 5,
                               .confirmations_required = 3,
                               .block_number = -1};
    (void)snprintf(d.tx_hash, sizeof d.tx_hash, "%s", hash);
    (void)snprintf(d.amount, sizeof d.amount, "%s", amount);
    memcpy(d.user_id, user, sizeof d.user_id);
    return d;
}

static inline struct ledger_deposit at_index(const char *hash, int32_t index)
{
    struct ledger_deposit d = deposit(hash, "1.5");
    d.log_index = index;
    return d;
}

static inline struct ledger_ingested ingest(const struct ledger_deposit *d)
{
    struct ledger_ingested answer = {0};
    OK(ledger_ingest(ledger, d, 1, &answer, err));
    return answer;
}

static inline struct ledger_settled settle(const char *tx_id)
{
    char ids[1][LEDGER_ID_MAX] = {{0}};
    struct ledger_settled answer = {0};
    (void)snprintf(ids[0], sizeof ids[0], "%s", tx_id);
    OK(ledger_settle(ledger, (const char(*)[LEDGER_ID_MAX])ids, 1, &answer,
                     err));
    return answer;
}

static inline void credit(const char *tx_id)
{
    ck_assert(settle(tx_id).credited_now);
}

static inline void mark(const char *tx_id, double first_s)
{
    char ids[1][LEDGER_ID_MAX] = {{0}};
    (void)snprintf(ids[0], sizeof ids[0], "%s", tx_id);
    OK(ledger_mark_enqueued(ledger, (const char(*)[LEDGER_ID_MAX])ids, 1,
                            first_s, 3600, err));
}

static inline size_t sweep(struct ledger_due *ret, double grace_s,
                           double first_s)
{
    size_t count = 0;
    OK(ledger_sweep(ledger, grace_s, first_s, 3600, 256, ret, &count, err));
    return count;
}

static inline struct ledger_check check(void)
{
    struct ledger_check result = {0};
    OK(ledger_check(ledger, &result, err));
    return result;
}

static inline void expect_balance(const char *user_id, const char *balance)
{
    CLEANUP(celery_buf_done) struct celery_buf json = CELERY_BUF_INIT;
    char want[128];
    struct ledger_wallet_found found = {.user = false};
    (void)snprintf(want, sizeof want, "\"deposit_balance\": \"%s\"", balance);
    OK(ledger_wallet(ledger, user_id, "USDT", &json, &found, err));
    ck_assert(found.user);
    ck_assert_msg(strstr(json.data, want) != NULL, "%s in %s", want, json.data);
}

/* --- main() ---------------------------------------------------------------- */

static inline int world_run(TCase *tcase, const char *name)
{
    Suite *suite = suite_create(name);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif /* SYSTEM_LEDGER_WORLD_H */
