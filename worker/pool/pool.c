/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/xalloc.h"

enum { THREADS_MAX = 4096, FRESH_S = 10 };

struct pool {
    struct pool_options options;
    struct lock lock;
    pthread_cond_t work;  /* something to run, or the pool shrinks or stops */
    pthread_cond_t ended; /* a thread ended */
    struct celery_request *head; /* heads that wait, linked by op.next */
    struct celery_request **tail;
    size_t target;  /* threads wanted */
    size_t threads; /* threads that run, without those given up */
    size_t idle;
    size_t lost;
    bool stopping;
    int ids[THREADS_MAX]; /* thread ids by slot; 0: free */
};

static void begin(struct pool *pool, struct celery_request *request, int tid)
{
    request->worker_pid = tid;
    request->time_start = (double)clock_wall_us() / USEC_PER_SEC;
    request->started_us = clock_monotonic_us();
    request->state = REQUEST_ACTIVE;
    if (request->notify_start)
        op_queue_push(pool->options.started, &request->start_op);
}

static void finish(struct pool *pool, struct celery_request *request)
{
    request->ended_us = clock_monotonic_us();
    op_queue_push(pool->options.done, &request->op);
}

static void run_batch(struct pool *pool, struct celery_request *head, int tid)
{
    size_t count = 0;
    for (struct celery_request *r = head; r != NULL; r = r->batch_next)
        count++;
    struct celery_request **members = xcalloc(count, sizeof(void *));
    count = 0;
    for (struct celery_request *r = head; r != NULL; r = r->batch_next) {
        members[count++] = r;
        begin(pool, r, tid);
    }
    head->task->run_batch(members, count, head->task->data);
    for (size_t i = 0; i < count; i++)
        finish(pool, members[i]);
    free(members);
}

/* A claim that waited long may have been taken over by a peer: the consumer
 * asks the broker before it starts. */
static bool is_stale(const struct celery_request *head)
{
    return clock_monotonic_us() - head->fresh_us
         > (int64_t)FRESH_S * USEC_PER_SEC;
}

static void hand_back_stale(struct pool *pool, struct celery_request *head)
{
    while (head != NULL) {
        struct celery_request *next = head->batch_next;
        head->batch_next = NULL;
        head->state = REQUEST_STALE;
        op_queue_push(pool->options.done, &head->op);
        head = next;
    }
}

static void run_head(struct pool *pool, struct celery_request *head, int tid)
{
    if (is_stale(head)) {
        hand_back_stale(pool, head);
        return;
    }
    if (head->task->run_batch != NULL) {
        run_batch(pool, head, tid);
        return;
    }
    begin(pool, head, tid);
    head->task->run(head, head->task->data);
    finish(pool, head);
}

/* The next head; lock held. */
static struct celery_request *take(struct pool *pool)
{
    struct celery_request *head = pool->head;
    if (head == NULL)
        return NULL;
    pool->head = (struct celery_request *)(void *)head->op.next;
    if (pool->head == NULL)
        pool->tail = &pool->head;
    return head;
}

static size_t claim_slot(struct pool *pool, int tid)
{
    size_t slot = 0;
    while (slot + 1 < THREADS_MAX && pool->ids[slot] != 0)
        slot++;
    pool->ids[slot] = tid;
    return slot;
}

static void *thread_main(void *arg)
{
    struct pool *pool = arg;
    int tid = (int)syscall(SYS_gettid);
    lock_acquire(&pool->lock);
    size_t slot = claim_slot(pool, tid);
    while (!pool->stopping && pool->threads <= pool->target) {
        struct celery_request *head = take(pool);
        if (head == NULL) {
            pool->idle++;
            (void)pthread_cond_wait(&pool->work, &pool->lock.mutex);
            pool->idle--;
            continue;
        }
        lock_release(&pool->lock);
        run_head(pool, head, tid);
        lock_acquire(&pool->lock);
    }
    pool->ids[slot] = 0;
    pool->threads--;
    (void)pthread_cond_broadcast(&pool->ended);
    lock_release(&pool->lock);
    return NULL;
}

/* lock held */
static bool add_thread(struct pool *pool)
{
    pthread_t thread;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pool->threads++;
    bool good = pthread_create(&thread, &attr, thread_main, pool) == 0;
    if (!good)
        pool->threads--;
    (void)pthread_attr_destroy(&attr);
    return good;
}

enum celery_status pool_start(const struct pool_options *options,
                              struct pool **ret, struct celery_error *err)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    pthread_condattr_t attr;
    pool->options = *options;
    pool->tail = &pool->head;
    pool->target = options->concurrency;
    (void)pthread_mutex_init(&pool->lock.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->work, &attr);
    (void)pthread_cond_init(&pool->ended, &attr);
    (void)pthread_condattr_destroy(&attr);
    bool good = true;
    lock_acquire(&pool->lock);
    while (good && pool->threads < pool->target)
        good = add_thread(pool);
    lock_release(&pool->lock);
    if (!good) {
        (void)pool_stop(pool, clock_monotonic_us() + USEC_PER_SEC);
        return celery_fail(err, CELERY_NOMEM, "cannot start %zu pool threads",
                           options->concurrency);
    }
    *ret = pool;
    return CELERY_OK;
}

void pool_submit(struct pool *pool, struct celery_request *const *heads,
                 size_t count)
{
    lock_acquire(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        heads[i]->op.next = NULL;
        *pool->tail = heads[i];
        pool->tail = (struct celery_request **)(void *)&heads[i]->op.next;
    }
    size_t wake = pool->idle < count ? pool->idle : count;
    lock_release(&pool->lock);
    for (size_t i = 0; i < wake; i++)
        (void)pthread_cond_signal(&pool->work);
}

void pool_submit_first(struct pool *pool, struct celery_request *head)
{
    lock_acquire(&pool->lock);
    head->op.next = (struct op *)(void *)pool->head;
    if (pool->head == NULL)
        pool->tail = (struct celery_request **)(void *)&head->op.next;
    pool->head = head;
    lock_release(&pool->lock);
    (void)pthread_cond_signal(&pool->work);
}

struct celery_request *pool_take_back(struct pool *pool)
{
    lock_acquire(&pool->lock);
    struct celery_request *head = pool->head;
    pool->head = NULL;
    pool->tail = &pool->head;
    lock_release(&pool->lock);

    struct celery_request *list = NULL;
    while (head != NULL) {
        struct celery_request *next =
            (struct celery_request *)(void *)head->op.next;
        while (head != NULL) {
            struct celery_request *member = head->batch_next;
            head->batch_next = NULL;
            head->op.next = list != NULL ? &list->op : NULL;
            list = head;
            head = member;
        }
        head = next;
    }
    return list;
}

void pool_resize(struct pool *pool, size_t concurrency)
{
    lock_acquire(&pool->lock);
    pool->target = concurrency < THREADS_MAX ? concurrency : THREADS_MAX - 1;
    bool good = true;
    while (good && pool->threads < pool->target)
        good = add_thread(pool);
    (void)pthread_cond_broadcast(&pool->work);
    lock_release(&pool->lock);
}

size_t pool_concurrency(const struct pool *pool)
{
    return pool->target;
}

void pool_replace_thread(struct pool *pool)
{
    lock_acquire(&pool->lock);
    pool->lost++;
    pool->target++; /* the lost one still counts as a thread */
    (void)add_thread(pool);
    lock_release(&pool->lock);
}

void pool_thread_returned(struct pool *pool)
{
    lock_acquire(&pool->lock);
    pool->lost--;
    pool->target--;
    (void)pthread_cond_broadcast(&pool->work);
    lock_release(&pool->lock);
}

size_t pool_lost_threads(const struct pool *pool)
{
    return pool->lost;
}

size_t pool_processes(struct pool *pool, int *ret, size_t max)
{
    size_t count = 0;
    lock_acquire(&pool->lock);
    for (size_t i = 0; i < THREADS_MAX && count < max; i++) {
        if (pool->ids[i] != 0)
            ret[count++] = pool->ids[i];
    }
    lock_release(&pool->lock);
    return count;
}

const char *pool_implementation(const struct pool *pool)
{
    (void)pool;
    return "celery_c.pool:ThreadPool";
}

bool pool_stop(struct pool *pool, int64_t deadline_us)
{
    struct timespec until = {.tv_sec = deadline_us / USEC_PER_SEC,
                             .tv_nsec = deadline_us % USEC_PER_SEC * 1000};
    lock_acquire(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    int rc = 0;
    while (pool->threads > 0 && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&pool->ended, &pool->lock.mutex, &until);
    bool all = pool->threads == 0;
    lock_release(&pool->lock);
    if (all) {
        (void)pthread_cond_destroy(&pool->work);
        (void)pthread_cond_destroy(&pool->ended);
        (void)pthread_mutex_destroy(&pool->lock.mutex);
        free(pool);
    }
    return all;
}
