/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "support/unit.h"

enum { WAIT_S = 20 };

static _Atomic int ran;
static _Atomic int largest_batch;
static _Atomic bool gate_open;

static void count_one(struct celery_request *request, void *data)
{
    (void)request;
    (void)data;
    ran++;
}

static void wait_at_gate(struct celery_request *request, void *data)
{
    (void)request;
    (void)data;
    while (!gate_open)
        (void)poll(NULL, 0, 1);
    ran++;
}

static void count_batch(struct celery_request **requests, size_t count,
                        void *data)
{
    (void)requests;
    (void)data;
    ran += (int)count;
    if ((int)count > largest_batch)
        largest_batch = (int)count;
}

static const struct celery_task one_task = {.name = "one", .run = count_one};
static const struct celery_task gate_task = {.name = "g", .run = wait_at_gate};
static const struct celery_task batch_task = {.name = "b",
                                              .run_batch = count_batch};

static struct celery_request *make(const struct celery_task *task)
{
    struct celery_request *request = xcalloc(1, sizeof *request);
    request->task = task;
    request->state = REQUEST_RESERVED;
    request->fresh_us = clock_monotonic_us();
    return request;
}

struct fixture {
    struct op_queue done;
    struct op_queue started;
    struct pool *pool;
};

static void setup(struct fixture *f, size_t concurrency)
{
    struct celery_error err = {0};
    op_queue_init(&f->done);
    op_queue_init(&f->started);
    ran = 0;
    largest_batch = 0;
    gate_open = false;
    const struct pool_options options = {.concurrency = concurrency,
                                         .done = &f->done,
                                         .started = &f->started};
    ck_assert_int_eq(pool_start(&options, &f->pool, &err), CELERY_OK);
}

static void teardown(struct fixture *f)
{
    ck_assert(pool_stop(f->pool, clock_monotonic_us() + WAIT_S * USEC_PER_SEC));
    op_queue_done(&f->done);
    op_queue_done(&f->started);
}

/* Frees count requests that came back; fails when they do not. */
static size_t drain(struct fixture *f, size_t count, enum request_state state)
{
    int64_t until = clock_monotonic_us() + WAIT_S * USEC_PER_SEC;
    size_t got = 0;
    while (got < count && clock_monotonic_us() < until) {
        struct pollfd pfd = {.fd = f->done.fd, .events = POLLIN};
        (void)poll(&pfd, 1, 100);
        for (struct op *op = op_queue_take(&f->done); op != NULL; got++) {
            struct celery_request *r = (struct celery_request *)(void *)op;
            op = op->next;
            ck_assert_int_eq(r->state, state);
            free(r);
        }
    }
    return got;
}

START_TEST(runs_every_request_once)
{
    struct fixture f;
    enum { N = 500 };
    struct celery_request *heads[N];
    setup(&f, 4);
    for (size_t i = 0; i < N; i++)
        heads[i] = make(&one_task);
    pool_submit(f.pool, heads, N);
    ck_assert_uint_eq(drain(&f, N, REQUEST_ACTIVE), N);
    ck_assert_int_eq(ran, N);
    teardown(&f);
}
END_TEST

START_TEST(hands_a_batch_over_whole)
{
    struct fixture f;
    struct celery_request *head = make(&batch_task);
    setup(&f, 2);
    head->batch_next = make(&batch_task);
    head->batch_next->batch_next = make(&batch_task);
    pool_submit(f.pool, &head, 1);
    ck_assert_uint_eq(drain(&f, 3, REQUEST_ACTIVE), 3);
    ck_assert_int_eq(largest_batch, 3);
    teardown(&f);
}
END_TEST

START_TEST(takes_back_what_has_not_started)
{
    struct fixture f;
    struct celery_request *running = make(&gate_task);
    struct celery_request *waiting[3] = {make(&one_task), make(&batch_task),
                                         make(&one_task)};
    size_t back = 0;
    setup(&f, 1);
    running->notify_start = true;
    pool_submit(f.pool, &running, 1);
    struct pollfd pfd = {.fd = f.started.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&pfd, 1, WAIT_S * 1000), 1);
    waiting[1]->batch_next = make(&batch_task);
    pool_submit(f.pool, waiting, 3);
    for (struct celery_request *r = pool_take_back(f.pool); r != NULL; back++) {
        struct celery_request *next =
            (struct celery_request *)(void *)r->op.next;
        ck_assert_ptr_null(r->batch_next);
        free(r);
        r = next;
    }
    ck_assert_uint_eq(back, 4);
    gate_open = true;
    ck_assert_uint_eq(drain(&f, 1, REQUEST_ACTIVE), 1);
    ck_assert_int_eq(ran, 1);
    teardown(&f);
}
END_TEST

START_TEST(does_not_start_a_stale_claim)
{
    struct fixture f;
    struct celery_request *old = make(&one_task);
    setup(&f, 1);
    old->fresh_us -= 11 * USEC_PER_SEC;
    pool_submit(f.pool, &old, 1);
    ck_assert_uint_eq(drain(&f, 1, REQUEST_STALE), 1);
    ck_assert_int_eq(ran, 0);
    teardown(&f);
}
END_TEST

START_TEST(grows_past_a_lost_thread_and_shrinks_when_it_returns)
{
    struct fixture f;
    struct celery_request *stuck = make(&gate_task);
    struct celery_request *next = make(&one_task);
    setup(&f, 1);
    pool_submit(f.pool, &stuck, 1);
    pool_submit(f.pool, &next, 1);
    pool_replace_thread(f.pool);
    ck_assert_uint_eq(drain(&f, 1, REQUEST_ACTIVE), 1);
    ck_assert_uint_eq(pool_lost_threads(f.pool), 1);
    gate_open = true;
    ck_assert_uint_eq(drain(&f, 1, REQUEST_ACTIVE), 1);
    pool_thread_returned(f.pool);
    ck_assert_uint_eq(pool_lost_threads(f.pool), 0);
    ck_assert_uint_eq(pool_concurrency(f.pool), 1);
    teardown(&f);
}
END_TEST

UNIT_MAIN("pool", runs_every_request_once, hands_a_batch_over_whole,
          takes_back_what_has_not_started, does_not_start_a_stale_claim,
          grows_past_a_lost_thread_and_shrinks_when_it_returns)
