/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <stdlib.h>

#include "base/xalloc.h"

static enum celery_status read_keys(struct signature_keys *keys,
                                    const struct conf *conf,
                                    struct celery_error *err)
{
    const char *text = conf_text(conf, "WEBHOOK_SECRET");
    if (!signature_keys_init(keys, text))
        return celery_fail(
            err, CELERY_INVALID,
            "WEBHOOK_SECRET='********' is not accepted; accepted: "
            "at most %d secrets, each with more than 'whsec_'",
            (int)SIGNATURE_SECRETS_MAX);
    if (text != NULL && keys->count == 0)
        return celery_fail(err, CELERY_INVALID,
                           "WEBHOOK_SECRET holds no secret; accepted: at least "
                           "one, or not set at all");
    return CELERY_OK;
}

enum celery_status secrets_read(const struct conf *conf, struct secrets **ret,
                                struct celery_error *err)
{
    struct secrets *secrets = xcalloc(1, sizeof *secrets);
    enum celery_status st = read_keys(&secrets->keys, conf, err);
    if (st == CELERY_OK)
        st = auth_init(&secrets->auth, conf_text(conf, "API_TOKEN"), err);
    if (st != CELERY_OK) {
        secrets_free(secrets);
        return st;
    }
    *ret = secrets;
    return CELERY_OK;
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL)
        return;
    signature_keys_done(&secrets->keys);
    free(secrets);
}

void secret_store_init(struct secret_store *store, struct secrets *first)
{
    (void)pthread_mutex_init(&store->lock.mutex, NULL);
    first->holders = 1; /* the store */
    store->current = first;
}

void secret_store_done(struct secret_store *store)
{
    if (store->current == NULL)
        return;
    secrets_free(store->current);
    store->current = NULL;
    (void)pthread_mutex_destroy(&store->lock.mutex);
}

struct secrets *secrets_hold(struct secret_store *store)
{
    lock_acquire(&store->lock);
    struct secrets *secrets = store->current;
    secrets->holders++;
    lock_release(&store->lock);
    return secrets;
}

void secrets_release(struct secret_store *store, struct secrets *secrets)
{
    lock_acquire(&store->lock);
    bool last = --secrets->holders == 0;
    lock_release(&store->lock);
    if (last)
        secrets_free(secrets);
}

void secret_store_swap(struct secret_store *store, struct secrets *next)
{
    next->holders = 1;
    lock_acquire(&store->lock);
    struct secrets *old = store->current;
    store->current = next;
    lock_release(&store->lock);
    secrets_release(store, old);
}

enum celery_status secret_store_reload(struct secret_store *store,
                                       const struct conf *conf,
                                       struct celery_error *err)
{
    struct conf *fresh = NULL;
    struct secrets *next = NULL;
    enum celery_status st = conf_reload(conf, &fresh, err);
    if (st != CELERY_OK)
        return st;
    st = secrets_read(fresh, &next, err);
    conf_free(fresh);
    if (st == CELERY_OK)
        secret_store_swap(store, next);
    return st;
}
