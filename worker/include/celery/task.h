/* SPDX-License-Identifier: MIT */
/*
 * What a task sees: its arguments, its context, and the ways to end. A task is a
 * C function registered under a name; it runs in a pool thread (-P solo: in the
 * only one).
 *
 *     static void add(struct celery_request *req, void *data)
 *     {
 *         int64_t x, y;
 *         if (celery_arg_int(req, 0, "x", &x) && celery_arg_int(req, 1, "y", &y))
 *             celery_return_int(req, x + y);
 *     }
 *
 * A request belongs to the thread that runs the task, until the function
 * returns. A function that returns without ending its request succeeded with
 * null. Of several ends the first one counts.
 */
#ifndef CELERY_TASK_H
#define CELERY_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/error.h"
#include "celery/json_scan.h"
#include "celery/message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_request;

typedef void (*celery_task_fn)(struct celery_request *request, void *data);

/* A batch task gets all claimed requests of its name, up to the batch limit, at
 * once; each keeps its own end. */
typedef void (*celery_batch_fn)(struct celery_request **requests, size_t count,
                                void *data);

struct celery_task {
    const char *name;   /* copied */
    celery_task_fn run; /* one of run and run_batch */
    celery_batch_fn run_batch;
    void *data;     /* handed to the function; borrowed */
    bool acks_late; /* ack after the end, not at the start */
    bool reject_on_worker_lost;
    bool ignore_result;
    bool track_started;
    int64_t max_retries;          /* -1: no limit; 0 means Celery's 3 */
    double default_retry_delay_s; /* 0: Celery's 180 s */
    double soft_time_limit_s;     /* 0: the worker's */
    double time_limit_s;
};

/* --- arguments ------------------------------------------------------------
 * By position, else by keyword. A getter whose argument is missing or of another
 * type ends the request with a TypeError and returns false. */

CELERY_API bool celery_arg(struct celery_request *request, size_t index,
                           const char *name, struct celery_json *ret);
CELERY_API bool celery_arg_int(struct celery_request *request, size_t index,
                               const char *name, int64_t *ret);
CELERY_API bool celery_arg_double(struct celery_request *request, size_t index,
                                  const char *name, double *ret);
/* Valid until the end of the request; not NUL-terminated. */
CELERY_API bool celery_arg_str(struct celery_request *request, size_t index,
                               const char *name, struct celery_str *ret);

/* Is the argument there? Ends nothing. */
CELERY_API bool celery_has_arg(struct celery_request *request, size_t index,
                               const char *name);

/* Refuses more positional arguments than max with a TypeError. */
CELERY_API bool celery_args_at_most(struct celery_request *request, size_t max);

/* --- context -------------------------------------------------------------- */

/* The message; borrowed until the end of the request. */
CELERY_API const struct celery_message *celery_request_message(
    const struct celery_request *request);
CELERY_API const char *celery_request_id(const struct celery_request *request);
CELERY_API const char *celery_request_hostname(
    const struct celery_request *request);

/* A header of the message that is a string; false when it is not there. */
CELERY_API bool celery_request_header(struct celery_request *request,
                                      const char *name, struct celery_str *ret);

/* The soft time limit has passed or the task was terminated: end soon. May be
 * asked as often as wanted. */
CELERY_API bool celery_cancelled(const struct celery_request *request);

/* Sleeps, but not past a cancellation; false when it was cut short. */
CELERY_API bool celery_sleep(struct celery_request *request, double seconds);

/* --- ends ----------------------------------------------------------------- */

/* Success; json is copied and must be valid JSON, else the task fails with an
 * EncodeError, as in Python. */
CELERY_API void celery_return_json(struct celery_request *request,
                                   struct celery_str json);
CELERY_API void celery_return_int(struct celery_request *request, int64_t n);
CELERY_API void celery_return_str(struct celery_request *request,
                                  struct celery_str text);

/* Failure with a Python exception: type "ValueError" of module "builtins" (NULL
 * means that), one text argument. */
CELERY_API void celery_raise(struct celery_request *request, const char *type,
                             const char *module, const char *fmt, ...)
    CELERY_PRINTF(4, 5);

/* Runs the task again in countdown_s seconds (negative: its default delay), or
 * fails with the given exception when max_retries is used up. The exception is
 * what the RETRY state and event show. */
CELERY_API void celery_retry(struct celery_request *request, double countdown_s,
                             const char *type, const char *module,
                             const char *fmt, ...) CELERY_PRINTF(5, 6);

/* Back to the queue, or dead-lettered. */
CELERY_API void celery_reject(struct celery_request *request, bool requeue,
                              const char *reason);

/* Acked; no result is stored. */
CELERY_API void celery_ignore(struct celery_request *request);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_TASK_H */
