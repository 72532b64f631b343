/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <stdlib.h>

#include "base/xalloc.h"

enum celery_status secrets_read(const struct conf *conf, struct secrets **ret,
                                struct celery_error *err)
{
    struct secrets *secrets = xcalloc(1, sizeof *secrets);
    enum celery_status st = sources_read(conf, &secrets->sources, err);
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
    sources_free(secrets->sources);
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
