/* SPDX-License-Identifier: MIT */
#include "deposits/tools.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/ledger.h"

enum { PASSWD_STRINGS_MAX = 4096 };

static int migrate(struct ledger *ledger, struct celery_error *err)
{
    if (ledger_migrate(ledger, err) != CELERY_OK)
        return EXIT_FAILURE;
    (void)printf("the schema is up to date\n");
    return EXIT_SUCCESS;
}

/* Old deposits whose key another one has in another spelling: somebody has to
 * say whether one transfer was credited twice. */
static enum celery_status list_collisions(struct ledger *ledger,
                                          struct celery_error *err)
{
    struct celery_buf text = CELERY_BUF_INIT;
    enum celery_status st = ledger_collisions(ledger, &text, err);
    if (st == CELERY_OK)
        (void)fwrite(celery_buf_str(&text).data, 1, text.len, stdout);
    celery_buf_done(&text);
    return st;
}

/* What is not credited and still has to be looked at by somebody or something is
 * shown by state; lost is what the books cannot account for. */
static int check_ledger(struct ledger *ledger, struct celery_error *err)
{
    struct ledger_check check;
    if (ledger_check(ledger, &check, err) != CELERY_OK)
        return EXIT_FAILURE;
    for (size_t i = 0; i < LEDGER_STATE_COUNT; i++)
        (void)printf("%-24s %" PRId64 "\n",
                     ledger_state_name((enum ledger_state)i), check.count[i]);
    (void)printf("%-24s %s\n%-24s %s\n%-24s %s\n", "sum of credited deposits",
                 check.credited_sum, "sum of the journal", check.journal_sum,
                 "sum of the wallets", check.wallet_sum);
    if (check.wallets_off > 0)
        (void)printf("wallets that differ from their journal: %" PRId64 "\n",
                     check.wallets_off);
    if (check.credits_off > 0)
        (void)printf("credited deposits without exactly one credit: %" PRId64
                     "\n",
                     check.credits_off);
    if (list_collisions(ledger, err) != CELERY_OK)
        return EXIT_FAILURE;
    int64_t lost = check.wallets_off + check.credits_off;
    if (!check.balanced && lost == 0)
        lost = 1;
    (void)printf("%" PRId64 " deposits credited, %" PRId64 " lost\n",
                 check.count[LEDGER_CREDITED], lost);
    return check.balanced ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int explain(struct ledger *ledger, const char *tx_id,
                   struct celery_error *err)
{
    struct celery_buf text = CELERY_BUF_INIT;
    bool found = false;
    int status = EXIT_FAILURE;
    if (ledger_explain(ledger, tx_id, &text, &found, err) == CELERY_OK) {
        if (found) {
            (void)fwrite(celery_buf_str(&text).data, 1, text.len, stdout);
            status = EXIT_SUCCESS;
        } else {
            (void)celery_fail(err, CELERY_INVALID, "there is no deposit %.60s",
                              tx_id);
        }
    }
    celery_buf_done(&text);
    return status;
}

/* Who says so: the login's name, not what the environment claims. */
static void actor(char *ret, size_t size)
{
    char strings[PASSWD_STRINGS_MAX];
    struct passwd entry;
    struct passwd *user = NULL;
    if (getpwuid_r(getuid(), &entry, strings, sizeof strings, &user) == 0
        && user != NULL)
        (void)snprintf(ret, size, "%s", user->pw_name);
    else
        (void)snprintf(ret, size, "uid %u", (unsigned)getuid());
}

static int resolve(struct ledger *ledger,
                   const struct deposit_settings *settings,
                   struct celery_error *err)
{
    char who[64];
    actor(who, sizeof who);
    if (ledger_resolve(ledger, settings->resolve, settings->credit,
                       settings->reason, who, err)
        != CELERY_OK)
        return EXIT_FAILURE;
    (void)printf("%s: %s\n", settings->resolve,
                 settings->credit ? "will be settled" : "rejected");
    return EXIT_SUCCESS;
}

bool tools_run(const struct deposit_settings *settings, int *ret_status)
{
    struct ledger *ledger = NULL;
    struct celery_error err = {0};
    if (settings->help) {
        (void)printf("Settings of the ledger and the sweeper:\n\n");
        deposit_settings_help(stdout);
        (void)printf("\nSettings of the worker:\n\n");
        return false;
    }
    if (!settings->migrate && !settings->check_ledger
        && settings->explain == NULL && settings->resolve == NULL)
        return false;
    *ret_status = EXIT_FAILURE;
    if (ledger_open(&settings->ledger, &ledger, &err) == CELERY_OK) {
        if (settings->migrate)
            *ret_status = migrate(ledger, &err);
        else if (settings->check_ledger)
            *ret_status = check_ledger(ledger, &err);
        else if (settings->resolve != NULL)
            *ret_status = resolve(ledger, settings, &err);
        else
            *ret_status = explain(ledger, settings->explain, &err);
    }
    ledger_close(ledger);
    if (err.status != CELERY_OK)
        (void)fprintf(stderr, "cricalgo-worker: %s\n", err.msg);
    return true;
}
