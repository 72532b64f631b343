/* SPDX-License-Identifier: MIT */
/*
 * What a database must be able to do to be a ledger: one row of the driver
 * table. Only ledger.c and the drivers include this. impl is what the driver's
 * open returned; every function is thread-safe and follows ledger.h.
 */
#ifndef LEDGER_LEDGER_DRIVER_H
#define LEDGER_LEDGER_DRIVER_H

#include "base/url.h"
#include "ledger/ledger.h"
#include "ledger/ledger_batch.h"

/* celery_error's detail for "sent, and no answer came": SQLSTATE 08007, transaction
 * resolution unknown, as pg_sqlstate() packs it. */
enum { LEDGER_DETAIL_UNKNOWN = 8 * 36 * 36 * 36 + 7 };

struct ledger_sweep {
    double grace_s;
    double first_s;
    double cap_s;
    size_t limit;
};

/* A ledger_query whose cursor was read: rows older than (before_us, before_id)
 * when before_id is not "". */
struct ledger_page {
    const char *user_id; /* NULL: any; so state and hash_key */
    const char *state;
    const char *hash_key; /* chain_hash_key() */
    int64_t before_us;
    char before_id[LEDGER_ID_MAX];
    int limit;
};

struct ledger_user {
    int64_t telegram_id;  /* 0: none */
    const char *username; /* NULL: none */
    const char *id;       /* never NULL: the one to use when it is made */
};

struct ledger_since {
    int64_t since_us;
    const char *after_id; /* NULL: from the first */
    size_t limit;
};

struct ledger_resolution {
    const char *tx_id; /* a UUID */
    bool credit;
    const char *reason;
    const char *actor;
};

struct ledger_driver {
    const char *scheme; /* "postgresql": also "postgresql+anything" */
    enum celery_status (*open)(const struct ledger_options *options,
                               const struct url *url, void **ret_impl,
                               struct celery_error *err);
    void (*close)(void *impl);
    enum celery_status (*migrate)(void *impl, struct celery_error *err);
    enum celery_status (*ready)(void *impl, struct celery_error *err);
    void (*pool_stats)(void *impl, int *ret_active, int *ret_max);
    enum celery_status (*ingest)(void *impl, const struct ledger_batch *batch,
                                 struct celery_error *err);
    enum celery_status (*mark_enqueued)(void *impl,
                                        const char (*tx_ids)[LEDGER_ID_MAX],
                                        size_t count, double first_s,
                                        double cap_s, struct celery_error *err);
    enum celery_status (*sweep)(void *impl, const struct ledger_sweep *sweep,
                                struct ledger_due *ret, size_t *ret_count,
                                struct celery_error *err);
    enum celery_status (*settle)(void *impl,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err);
    enum celery_status (*inbox_get)(void *impl, const char *inbox_id,
                                    struct ledger_inbox_row *ret,
                                    bool *ret_found, struct celery_error *err);
    enum celery_status (*inbox_open)(void *impl,
                                     const struct ledger_since *since,
                                     char (*ret_ids)[LEDGER_ID_MAX],
                                     size_t *ret_count,
                                     struct celery_error *err);
    enum celery_status (*inbox_replayed)(void *impl,
                                         const struct ledger_webhook *webhook,
                                         const struct ledger_ingested *deposits,
                                         struct celery_error *err);
    enum celery_status (*inbox_expire)(void *impl, int64_t until_us,
                                       size_t limit, int64_t *ret_count,
                                       struct celery_error *err);
    enum celery_status (*resolve)(void *impl,
                                  const struct ledger_resolution *resolution,
                                  struct celery_error *err);
    enum celery_status (*collisions)(void *impl, struct celery_buf *ret_text,
                                     struct celery_error *err);
    enum celery_status (*check)(void *impl, struct ledger_check *ret,
                                struct celery_error *err);
    enum celery_status (*transactions)(void *impl,
                                       const struct ledger_page *page,
                                       struct celery_buf *ret_json,
                                       struct celery_error *err);
    enum celery_status (*transaction)(void *impl, const char *tx_id,
                                      struct celery_buf *ret_json,
                                      bool *ret_found,
                                      struct celery_error *err);
    enum celery_status (*wallet)(void *impl, const char *user_id,
                                 const char *currency,
                                 struct celery_buf *ret_json,
                                 struct ledger_wallet_found *ret_found,
                                 struct celery_error *err);
    enum celery_status (*register_user)(void *impl,
                                        const struct ledger_user *user,
                                        char ret_user_id[LEDGER_ID_MAX],
                                        bool *ret_created,
                                        struct celery_error *err);
    enum celery_status (*explain)(void *impl, const char *tx_id,
                                  struct celery_buf *ret_text, bool *ret_found,
                                  struct celery_error *err);
    enum celery_status (*backlog)(void *impl, struct ledger_backlog *ret,
                                  struct celery_error *err);
    enum celery_status (*audit)(void *impl, int rows, double pause_s,
                                struct ledger_audit *ret,
                                struct celery_error *err);
};

extern const struct ledger_driver postgres_driver;
extern const struct ledger_driver sqlite_driver;

#endif /* LEDGER_LEDGER_DRIVER_H */
