/* SPDX-License-Identifier: MIT */
#include "ledger/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "celery/task_id.h"
#include "ledger/chain_kind.h"
#include "ledger/ledger_batch.h"
#include "ledger/ledger_driver.h"
#include "ledger/ledger_row.h"

enum { PAGE_MAX = 500 };

/* A write that failed makes the ledger not ready for this long. */
static const int64_t failure_memory_us = 5 * USEC_PER_SEC;

struct ledger {
    const struct ledger_driver *driver;
    void *impl;
    _Atomic int64_t failed_us; /* monotonic: the last write that failed; 0: none
                                  since one that did not */
};

static const struct ledger_driver *const drivers[] = {
    &postgres_driver,
    &sqlite_driver,
};

/* "postgresql" and SQLAlchemy's "postgresql+asyncpg" alike; libpq's short
 * "postgres" too. */
static const struct ledger_driver *find_driver(const char *scheme)
{
    size_t len = strcspn(scheme, "+");
    if (len == strlen("postgres") && strncmp(scheme, "postgres", len) == 0)
        return &postgres_driver;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (strlen(drivers[i]->scheme) == len
            && strncmp(drivers[i]->scheme, scheme, len) == 0)
            return drivers[i];
    }
    return NULL;
}

enum celery_status ledger_open(const struct ledger_options *options,
                               struct ledger **ret, struct celery_error *err)
{
    struct url url = {0};
    if (options->url == NULL)
        return celery_fail(err, CELERY_INVALID, "no database URL");
    enum celery_status st = url_parse(options->url, &url, err);
    if (st != CELERY_OK)
        return st;

    const struct ledger_driver *driver = find_driver(url.scheme);
    void *impl = NULL;
    if (driver == NULL)
        st = celery_fail(err, CELERY_UNSUPPORTED,
                         "database '%.40s' is not supported; accepted: "
                         "postgresql://, sqlite:///",
                         url.scheme);
    else
        st = driver->open(options, &url, &impl, err);
    url_done(&url);
    if (st != CELERY_OK)
        return st;

    struct ledger *ledger = xcalloc(1, sizeof *ledger);
    ledger->driver = driver;
    ledger->impl = impl;
    *ret = ledger;
    return CELERY_OK;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger == NULL)
        return;
    ledger->driver->close(ledger->impl);
    free(ledger);
}

enum celery_status ledger_migrate(struct ledger *ledger,
                                  struct celery_error *err)
{
    return ledger->driver->migrate(ledger->impl, err);
}

bool ledger_outcome_unknown(const struct celery_error *err)
{
    return err->detail == LEDGER_DETAIL_UNKNOWN;
}

/* What came of a write. The data's own fault, a busy pool and a lock say nothing
 * about the next one. */
static enum celery_status note_write(struct ledger *ledger,
                                     enum celery_status status)
{
    if (status == CELERY_OK)
        ledger->failed_us = 0;
    else if (status == CELERY_IO)
        ledger->failed_us = clock_monotonic_us();
    return status;
}

enum celery_status ledger_ready(struct ledger *ledger, struct celery_error *err)
{
    enum celery_status st = ledger->driver->ready(ledger->impl, err);
    if (st != CELERY_OK)
        return st;
    int64_t failed_us = ledger->failed_us;
    if (failed_us != 0 && clock_monotonic_us() - failed_us < failure_memory_us)
        return celery_fail(err, CELERY_IO, "the last write failed");
    return CELERY_OK;
}

void ledger_pool_stats(struct ledger *ledger, int *ret_active, int *ret_max)
{
    ledger->driver->pool_stats(ledger->impl, ret_active, ret_max);
}

static enum celery_status check_batch(size_t count, struct celery_error *err)
{
    if (count <= LEDGER_BATCH_MAX)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID, "%zu rows in a batch of at most %d",
                       count, (int)LEDGER_BATCH_MAX);
}

enum celery_status ledger_ingest_webhooks(struct ledger *ledger,
                                          const struct ledger_webhook *webhooks,
                                          size_t count,
                                          struct ledger_webhook_answer *ret,
                                          struct celery_error *err)
{
    enum celery_status st = check_batch(count, err);
    if (st != CELERY_OK || count == 0)
        return st;
    struct ledger_batch *batch = xmalloc(sizeof *batch);
    if (ledger_batch_of_webhooks(batch, webhooks, count, ret))
        st = ledger->driver->ingest(ledger->impl, batch, err);
    else
        st =
            celery_fail(err, CELERY_INVALID, "more than %d deposits in a batch",
                        (int)LEDGER_BATCH_MAX);
    free(batch);
    return note_write(ledger, st);
}

enum celery_status ledger_ingest(struct ledger *ledger,
                                 const struct ledger_deposit *deposits,
                                 size_t count, struct ledger_ingested *ret,
                                 struct celery_error *err)
{
    enum celery_status st = check_batch(count, err);
    if (st != CELERY_OK || count == 0)
        return st;
    struct ledger_batch *batch = xmalloc(sizeof *batch);
    ledger_batch_of_deposits(batch, deposits, count, ret);
    st = ledger->driver->ingest(ledger->impl, batch, err);
    free(batch);
    return note_write(ledger, st);
}

static bool is_uuid(const char *text)
{
    return celery_task_id_valid((struct celery_str){text, strlen(text)});
}

/* Only what is a UUID reaches the database: one bad id in an array would fail
 * its neighbours. */
static size_t keep_uuids(const char (*tx_ids)[LEDGER_ID_MAX], size_t count,
                         char (*ret)[LEDGER_ID_MAX])
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_uuid(tx_ids[i]))
            memcpy(ret[kept++], tx_ids[i], LEDGER_ID_MAX);
    }
    return kept;
}

enum celery_status ledger_mark_enqueued(struct ledger *ledger,
                                        const char (*tx_ids)[LEDGER_ID_MAX],
                                        size_t count, double first_s,
                                        double cap_s, struct celery_error *err)
{
    char kept[LEDGER_BATCH_MAX][LEDGER_ID_MAX];
    for (size_t at = 0; at < count; at += LEDGER_BATCH_MAX) {
        size_t part =
            count - at < LEDGER_BATCH_MAX ? count - at : LEDGER_BATCH_MAX;
        size_t n = keep_uuids(tx_ids + at, part, kept);
        if (n == 0)
            continue;
        enum celery_status st =
            ledger->driver->mark_enqueued(ledger->impl,
                                          (const char(*)[LEDGER_ID_MAX])kept, n,
                                          first_s, cap_s, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

/* The contract's shape. NOLINTNEXTLINE(readability-function-size) */
enum celery_status ledger_sweep(struct ledger *ledger, double grace_s,
                                double first_s, double cap_s, size_t limit,
                                struct ledger_due *ret, size_t *ret_count,
                                struct celery_error *err)
{
    struct ledger_sweep sweep = {grace_s, first_s, cap_s, limit};
    return ledger->driver->sweep(ledger->impl, &sweep, ret, ret_count, err);
}

/* Answers for ids that are no UUID stay "not found"; where[i] is the place of
 * the kept id i. */
static size_t keep_settled(const char (*tx_ids)[LEDGER_ID_MAX], size_t count,
                           char (*kept)[LEDGER_ID_MAX], size_t *where,
                           struct ledger_settled *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        ret[i] = (struct ledger_settled){0};
        memcpy(ret[i].tx_id, tx_ids[i], LEDGER_ID_MAX - 1);
        if (!is_uuid(ret[i].tx_id))
            continue;
        memcpy(kept[n], ret[i].tx_id, LEDGER_ID_MAX);
        where[n++] = i;
    }
    return n;
}

enum celery_status ledger_settle(struct ledger *ledger,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err)
{
    enum celery_status st = check_batch(count, err);
    if (st != CELERY_OK || count == 0)
        return st;
    char kept[LEDGER_BATCH_MAX][LEDGER_ID_MAX];
    size_t where[LEDGER_BATCH_MAX];
    size_t n = keep_settled(tx_ids, count, kept, where, ret);
    if (n == 0)
        return CELERY_OK;
    struct ledger_settled *answers = xcalloc(n, sizeof *answers);
    st =
        ledger->driver->settle(ledger->impl, (const char(*)[LEDGER_ID_MAX])kept,
                               n, answers, err);
    for (size_t i = 0; i < n && st == CELERY_OK; i++) {
        memcpy(answers[i].tx_id, kept[i], LEDGER_ID_MAX);
        ret[where[i]] = answers[i];
    }
    free(answers);
    return note_write(ledger, st);
}

enum celery_status ledger_inbox_get(struct ledger *ledger, const char *inbox_id,
                                    struct ledger_inbox_row *ret,
                                    bool *ret_found, struct celery_error *err)
{
    *ret_found = false;
    if (!is_uuid(inbox_id))
        return CELERY_OK;
    return ledger->driver->inbox_get(ledger->impl, inbox_id, ret, ret_found,
                                     err);
}

enum celery_status ledger_inbox_open(struct ledger *ledger, int64_t since_us,
                                     const char *after_id, size_t limit,
                                     char (*ret_ids)[LEDGER_ID_MAX],
                                     size_t *ret_count,
                                     struct celery_error *err)
{
    const struct ledger_since since = {since_us, after_id, limit};
    *ret_count = 0;
    return ledger->driver->inbox_open(ledger->impl, &since, ret_ids, ret_count,
                                      err);
}

enum celery_status ledger_inbox_replayed(struct ledger *ledger,
                                         const struct ledger_webhook *webhook,
                                         const struct ledger_ingested *deposits,
                                         struct celery_error *err)
{
    return ledger->driver->inbox_replayed(ledger->impl, webhook, deposits, err);
}

enum celery_status ledger_inbox_expire(struct ledger *ledger, int64_t until_us,
                                       size_t limit, int64_t *ret_count,
                                       struct celery_error *err)
{
    *ret_count = 0;
    return ledger->driver->inbox_expire(ledger->impl, until_us, limit,
                                        ret_count, err);
}

enum celery_status ledger_resolve(struct ledger *ledger, const char *tx_id,
                                  bool credit, const char *reason,
                                  const char *actor, struct celery_error *err)
{
    const struct ledger_resolution resolution = {tx_id, credit, reason, actor};
    if (!is_uuid(tx_id))
        return celery_fail(err, CELERY_INVALID, "there is no deposit %.60s",
                           tx_id);
    return ledger->driver->resolve(ledger->impl, &resolution, err);
}

enum celery_status ledger_collisions(struct ledger *ledger,
                                     struct celery_buf *ret_text,
                                     struct celery_error *err)
{
    return ledger->driver->collisions(ledger->impl, ret_text, err);
}

enum celery_status ledger_check(struct ledger *ledger, struct ledger_check *ret,
                                struct celery_error *err)
{
    return ledger->driver->check(ledger->impl, ret, err);
}

/* The end of the year 9999; databases' times end later than that. */
static const int64_t cursor_last_us = INT64_C(253402300799999999);

static enum celery_status read_cursor(const char *cursor,
                                      struct ledger_page *page,
                                      struct celery_error *err)
{
    char *end = NULL;
    errno = 0;
    long long us = strtoll(cursor, &end, 10);
    if (errno != 0 || end == cursor || *end != '.' || !is_uuid(end + 1)
        || us < 0 || us > cursor_last_us || cursor[0] < '0' || cursor[0] > '9')
        return celery_fail(err, CELERY_INVALID, "not a cursor of ours");
    page->before_us = us;
    memcpy(page->before_id, end + 1, LEDGER_ID_MAX);
    return CELERY_OK;
}

enum celery_status ledger_transactions(struct ledger *ledger,
                                       const struct ledger_query *query,
                                       struct celery_buf *ret_json,
                                       struct celery_error *err)
{
    struct ledger_page page = {.user_id = query->user_id,
                               .state = query->state,
                               .limit = query->limit};
    enum ledger_state state = LEDGER_RECEIVED;
    if (query->limit < 1 || query->limit > PAGE_MAX)
        return celery_fail(err, CELERY_INVALID, "limit must be 1 to %d",
                           (int)PAGE_MAX);
    if (query->state != NULL && !ledger_state_parse(query->state, &state))
        return celery_fail(err, CELERY_INVALID, "no state '%.40s'",
                           query->state);
    if (query->user_id != NULL && !is_uuid(query->user_id))
        return celery_fail(err, CELERY_INVALID, "user_id is no UUID");
    if (query->cursor != NULL) {
        enum celery_status st = read_cursor(query->cursor, &page, err);
        if (st != CELERY_OK)
            return st;
    }
    char key[LEDGER_HASH_MAX + 2];
    if (query->tx_hash != NULL && strlen(query->tx_hash) < LEDGER_HASH_MAX) {
        chain_hash_key(
            (struct celery_str){query->tx_hash, strlen(query->tx_hash)}, key);
        page.hash_key = key;
    } else if (query->tx_hash != NULL) {
        page.hash_key = query->tx_hash; /* longer than any that is kept */
    }
    return ledger->driver->transactions(ledger->impl, &page, ret_json, err);
}

enum celery_status ledger_transaction(struct ledger *ledger, const char *tx_id,
                                      struct celery_buf *ret_json,
                                      bool *ret_found, struct celery_error *err)
{
    *ret_found = false;
    if (!is_uuid(tx_id))
        return CELERY_OK;
    return ledger->driver->transaction(ledger->impl, tx_id, ret_json, ret_found,
                                       err);
}

void ledger_currency_fold(const char *text, char ret[LEDGER_CURRENCY_MAX])
{
    size_t i = 0;
    for (; text[i] != '\0' && i < LEDGER_CURRENCY_MAX - 1; i++)
        ret[i] = ascii_upper(text[i]);
    ret[i] = '\0';
}

enum celery_status ledger_wallet(struct ledger *ledger, const char *user_id,
                                 const char *currency,
                                 struct celery_buf *ret_json,
                                 struct ledger_wallet_found *ret_found,
                                 struct celery_error *err)
{
    *ret_found = (struct ledger_wallet_found){.user = false};
    if (!is_uuid(user_id))
        return CELERY_OK;
    return ledger->driver->wallet(ledger->impl, user_id, currency, ret_json,
                                  ret_found, err);
}

/* The contract's shape. NOLINTNEXTLINE(readability-function-size) */
enum celery_status ledger_register_user(
    struct ledger *ledger, int64_t telegram_id, const char *username,
    const char *user_id, char ret_user_id[LEDGER_ID_MAX], bool *ret_created,
    struct celery_error *err)
{
    char fresh[CELERY_TASK_ID_LEN + 1];
    if (user_id == NULL)
        random_id(fresh);
    else if (!is_uuid(user_id))
        return celery_fail(err, CELERY_INVALID, "user_id is no UUID");
    struct ledger_user user = {telegram_id, username,
                               user_id != NULL ? user_id : fresh};
    return note_write(ledger, ledger->driver->register_user(ledger->impl, &user,
                                                            ret_user_id,
                                                            ret_created, err));
}

enum celery_status ledger_explain(struct ledger *ledger, const char *tx_id,
                                  struct celery_buf *ret_text, bool *ret_found,
                                  struct celery_error *err)
{
    *ret_found = false;
    if (!is_uuid(tx_id))
        return CELERY_OK;
    return ledger->driver->explain(ledger->impl, tx_id, ret_text, ret_found,
                                   err);
}

enum celery_status ledger_backlog(struct ledger *ledger,
                                  struct ledger_backlog *ret,
                                  struct celery_error *err)
{
    *ret = (struct ledger_backlog){.oldest_s = 0};
    return ledger->driver->backlog(ledger->impl, ret, err);
}

enum celery_status ledger_audit(struct ledger *ledger, int rows, double pause_s,
                                struct ledger_audit *ret,
                                struct celery_error *err)
{
    *ret = (struct ledger_audit){.passes = 0};
    return ledger->driver->audit(ledger->impl, rows, pause_s, ret, err);
}
