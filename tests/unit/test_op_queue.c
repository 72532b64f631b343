/* SPDX-License-Identifier: MIT */
#include "base/op_queue.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "support/unit.h"

enum { THREADS = 4, EACH = 5000 };

struct item {
    struct op op; /* first */
    unsigned thread;
    unsigned number;
};

static bool readable(const struct op_queue *queue, int timeout_ms)
{
    struct pollfd p = {.fd = queue->fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

START_TEST(takes_all_oldest_first)
{
    CLEANUP(op_queue_done) struct op_queue queue;
    op_queue_init(&queue);
    ck_assert(!readable(&queue, 0));
    ck_assert_ptr_null(op_queue_take(&queue));

    struct op ops[3];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++)
            op_queue_push(&queue, &ops[i]);
        ck_assert_uint_eq(op_queue_count(&queue), 3);
        ck_assert(readable(&queue, 0));

        struct op *op = op_queue_take(&queue);
        for (size_t i = 0; i < 3; i++, op = op->next)
            ck_assert_ptr_eq(op, &ops[i]);
        ck_assert_ptr_null(op);
        ck_assert(!readable(&queue, 0));
        ck_assert_uint_eq(op_queue_count(&queue), 0);
    }
}
END_TEST

struct pusher {
    struct op_queue *queue;
    struct item items[EACH];
};

static void *push_all(void *arg)
{
    struct pusher *pusher = arg;
    for (size_t i = 0; i < EACH; i++)
        op_queue_push(pusher->queue, &pusher->items[i].op);
    return NULL;
}

START_TEST(no_push_is_lost_or_overtaken)
{
    CLEANUP(op_queue_done) struct op_queue queue;
    op_queue_init(&queue);
    struct pusher *pushers = calloc(THREADS, sizeof *pushers);
    ck_assert_ptr_nonnull(pushers);
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        pushers[t].queue = &queue;
        for (unsigned i = 0; i < EACH; i++)
            pushers[t].items[i] = (struct item){{NULL}, t, i};
        ck_assert_int_eq(
            pthread_create(&threads[t], NULL, push_all, &pushers[t]), 0);
    }

    unsigned next[THREADS] = {0};
    size_t taken = 0;
    while (taken < (size_t)THREADS * EACH) {
        ck_assert(readable(&queue, 10000)); /* a lost wake-up ends here */
        struct op *op = op_queue_take(&queue);
        for (; op != NULL; op = op->next, taken++) {
            const struct item *item = (const struct item *)(const void *)op;
            ck_assert_uint_eq(item->number, next[item->thread]);
            next[item->thread]++;
        }
    }
    for (unsigned t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_join(threads[t], NULL), 0);
    ck_assert_ptr_null(op_queue_take(&queue));
    free(pushers);
}
END_TEST

UNIT_MAIN("op_queue", takes_all_oldest_first, no_push_is_lost_or_overtaken)
