/* SPDX-License-Identifier: MIT */
/*
 * Where tasks run. The consumer hands over requests (or a batch of them, linked
 * by batch_next from its head); the pool hands each back through the done queue
 * after its function returned. With request->notify_start set, the request's
 * start_op is pushed to the started queue before its function runs; a consumer
 * that takes the done queue first and the started queue second sees every start
 * before its end.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/op_queue.h"
#include "celery/error.h"
#include "task/request.h"

struct pool;

struct pool_options {
    size_t concurrency;
    struct op_queue *done;
    struct op_queue *started;
};

enum celery_status pool_start(const struct pool_options *options,
                              struct pool **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

/* thread: consumer, as all below. Takes the heads, in order. */
void pool_submit(struct pool *pool, struct celery_request *const *heads,
                 size_t count);

/* The next one to start. */
void pool_submit_first(struct pool *pool, struct celery_request *head);

/* Takes back every request that no thread has started, one by one (batches are
 * undone); linked by op.next. */
struct celery_request *pool_take_back(struct pool *pool);

void pool_resize(struct pool *pool, size_t concurrency);
size_t pool_concurrency(const struct pool *pool);

/* A thread that is past its hard limit is given up: another one takes its slot.
 * When its function returns after all, the request comes back as usual. */
void pool_replace_thread(struct pool *pool);
/* Its function did return: the other one is not needed any more. */
void pool_thread_returned(struct pool *pool);
size_t pool_lost_threads(const struct pool *pool);

/* The threads' ids, at most max. */
size_t pool_processes(struct pool *pool, int *ret, size_t max);
const char *pool_implementation(const struct pool *pool);

/* Ends the threads; those still in a function after deadline_us are left behind
 * (detached) and the result is false: their requests must not be freed. */
bool pool_stop(struct pool *pool, int64_t deadline_us);

#endif /* POOL_POOL_H */
