/* SPDX-License-Identifier: MIT */
#include "ledger/postgres/pg_pool.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/random_id.h"
#include "base/xalloc.h"

enum { TRIES = 3 };

struct pg_pool {
    struct pg_target target;
    struct pg_pool_options options;
    struct lock lock;
    pthread_cond_t freed;  /* a connection came back or a place is free */
    struct pg_conn **idle; /* options.size places, the last used at the end */
    int idle_count;
    int out;
};

struct pg_pool *pg_pool_new(const struct url *url,
                            const struct pg_pool_options *options)
{
    struct pg_pool *pool = xcalloc(1, sizeof *pool);
    pthread_condattr_t attr;
    pool->options = *options;
    pg_target_init(&pool->target, url, options->statement_timeout_s);
    pool->idle = xcalloc((size_t)options->size, sizeof(struct pg_conn *));
    (void)pthread_mutex_init(&pool->lock.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->freed, &attr);
    (void)pthread_condattr_destroy(&attr);
    return pool;
}

void pg_pool_free(struct pg_pool *pool)
{
    if (pool == NULL)
        return;
    for (int i = 0; i < pool->idle_count; i++)
        pg_conn_free(pool->idle[i]);
    free(pool->idle);
    pg_target_done(&pool->target);
    (void)pthread_cond_destroy(&pool->freed);
    (void)pthread_mutex_destroy(&pool->lock.mutex);
    free(pool);
}

static int places(const struct pg_pool *pool)
{
    return pool->options.size + pool->options.overflow;
}

static bool is_old(const struct pg_pool *pool, const struct pg_conn *conn)
{
    double age_s =
        (double)(clock_monotonic_us() - conn->opened_us) / USEC_PER_SEC;
    return pool->options.recycle_s >= 0 && age_s > pool->options.recycle_s;
}

static struct timespec timespec_of(int64_t us)
{
    return (struct timespec){.tv_sec = us / USEC_PER_SEC,
                             .tv_nsec = us % USEC_PER_SEC * 1000};
}

/* Takes a place, with the newest idle connection if there is one. false when
 * none came free in time. */
static bool take_place(struct pg_pool *pool, struct pg_conn **ret)
{
    struct timespec until =
        timespec_of(clock_monotonic_us()
                    + (int64_t)(pool->options.timeout_s * USEC_PER_SEC));
    int rc = 0;
    lock_acquire(&pool->lock);
    while (pool->out >= places(pool) && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&pool->freed, &pool->lock.mutex, &until);
    bool taken = pool->out < places(pool);
    if (taken) {
        pool->out++;
        *ret = pool->idle_count > 0 ? pool->idle[--pool->idle_count] : NULL;
    }
    lock_release(&pool->lock);
    return taken;
}

static void give_place(struct pg_pool *pool)
{
    lock_acquire(&pool->lock);
    pool->out--;
    (void)pthread_cond_signal(&pool->freed);
    lock_release(&pool->lock);
}

enum celery_status pg_pool_borrow(struct pg_pool *pool, struct pg_conn **ret,
                                  struct celery_error *err)
{
    struct pg_conn *conn = NULL;
    if (!take_place(pool, &conn))
        return celery_fail(err, CELERY_TIMEOUT,
                           "all %d database connections are busy",
                           places(pool));
    if (conn != NULL && (is_old(pool, conn) || !pg_conn_alive(conn))) {
        pg_conn_free(conn);
        conn = NULL;
    }
    if (conn == NULL) {
        enum celery_status st = pg_conn_open(&pool->target, &conn, err);
        if (st != CELERY_OK) {
            give_place(pool);
            return st;
        }
    }
    *ret = conn;
    return CELERY_OK;
}

void pg_pool_return(struct pg_pool *pool, struct pg_conn *conn)
{
    bool keep = pg_conn_alive(conn);
    lock_acquire(&pool->lock);
    keep = keep && pool->idle_count < pool->options.size;
    if (keep)
        pool->idle[pool->idle_count++] = conn;
    pool->out--;
    (void)pthread_cond_signal(&pool->freed);
    lock_release(&pool->lock);
    if (!keep)
        pg_conn_free(conn);
}

void pg_pool_stats(struct pg_pool *pool, int *ret_active, int *ret_max)
{
    lock_acquire(&pool->lock);
    *ret_active = pool->out;
    lock_release(&pool->lock);
    *ret_max = places(pool);
}

/* After one kept connection turned out dead the others are, too. */
static void drop_idle(struct pg_pool *pool)
{
    for (;;) {
        lock_acquire(&pool->lock);
        struct pg_conn *conn =
            pool->idle_count > 0 ? pool->idle[--pool->idle_count] : NULL;
        lock_release(&pool->lock);
        if (conn == NULL)
            return;
        pg_conn_free(conn);
    }
}

void pg_pause(unsigned n)
{
    (void)poll(NULL, 0, (int)(1 + random_below(UINT64_C(10) << n)));
}

static enum celery_status run(struct pg_pool *pool, const char *sql,
                              const struct pg_params *params, unsigned most,
                              PGresult **ret, struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = CELERY_OK;
    bool reconnected = false;
    bool unknown = false;
    for (unsigned tries = 1;; tries++) {
        struct pg_conn *conn = NULL;
        st = pg_pool_borrow(pool, &conn, &why);
        if (st != CELERY_OK)
            break;
        assert(conn != NULL);
        bool kept = !conn->fresh;
        st = pg_exec(conn, sql, params, ret, &why);
        bool late = conn->late;
        bool dead = st != CELERY_OK && !pg_conn_alive(conn);
        pg_pool_return(pool, conn);
        if (st == CELERY_OK)
            return CELERY_OK;
        unknown |= why.detail == pg_sqlstate("08007");
        if (dead && kept && !late && !reconnected) {
            reconnected = true;
            drop_idle(pool);
        } else if (pg_error_repeatable(&why) && tries < most) {
            pg_pause(tries);
        } else {
            break;
        }
    }
    /* That a later try failed says nothing about one that was sent. */
    if (unknown)
        why.detail = pg_sqlstate("08007");
    if (err != NULL)
        *err = why;
    return st;
}

enum celery_status pg_run(struct pg_pool *pool, const char *sql,
                          const struct pg_params *params, PGresult **ret,
                          struct celery_error *err)
{
    return run(pool, sql, params, TRIES, ret, err);
}

enum celery_status pg_run_once(struct pg_pool *pool, const char *sql,
                               const struct pg_params *params, PGresult **ret,
                               struct celery_error *err)
{
    return run(pool, sql, params, 1, ret, err);
}
