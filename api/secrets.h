/* SPDX-License-Identifier: MIT */
/*
 * What SIGHUP reads again: API tokens and the sources of webhooks. A set
 * is built whole and then only read; a new one takes the old one's place in one
 * step, and the old one lives until the last request that uses it has ended. So
 * no request ever sees half of a change.
 */
#ifndef API_SECRETS_H
#define API_SECRETS_H

#include "auth.h"
#include "base/lock.h"
#include "conf/conf.h"
#include "webhook/sources.h"

struct secrets {
    struct auth auth;
    struct sources *sources; /* owned */
    int holders;             /* the store's business */
};

/* From API_TOKEN, WEBHOOK_SECRET and WEBHOOK_SOURCES_FILE. Nothing of conf is borrowed. The caller
 * gives *ret to a store or to secrets_free(). CELERY_INVALID names the variable
 * and what is accepted. */
enum celery_status secrets_read(const struct conf *conf, struct secrets **ret,
                                struct celery_error *err) CELERY_MUST_CHECK;
void secrets_free(struct secrets *secrets);

/* Thread-safe but for init and done. */
struct secret_store {
    struct lock lock;
    struct secrets *current;
};

/* Takes first over. */
void secret_store_init(struct secret_store *store, struct secrets *first);
void secret_store_done(struct secret_store *store);

/* Takes next over; who holds the old set keeps it. */
void secret_store_swap(struct secret_store *store, struct secrets *next);

/* The set in force, until secrets_release(). Never waits for more than another
 * thread's few instructions. */
struct secrets *secrets_hold(struct secret_store *store);
void secrets_release(struct secret_store *store, struct secrets *secrets);

/* Reads the files of conf's settings again and puts what they hold in force. A
 * wrong one changes nothing; then err says which and why. */
enum celery_status secret_store_reload(struct secret_store *store,
                                       const struct conf *conf,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* API_SECRETS_H */
