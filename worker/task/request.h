/* SPDX-License-Identifier: MIT */
/*
 * One claimed message on its way through the worker: what was claimed, what it
 * says, where it stands, how it ended. The consumer thread owns it, except
 * between hand-over to the pool and the pool's return, when the pool thread may
 * touch what celery/task.h gives a task: the arena, the end and the cancel flag.
 */
#ifndef TASK_REQUEST_H
#define TASK_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/op_queue.h"
#include "broker/broker.h"
#include "celery/envelope.h"
#include "celery/message.h"
#include "celery/result.h"
#include "celery/task.h"

enum request_state {
    REQUEST_PARKED,   /* waits for its ETA; the body is in the broker */
    REQUEST_RESERVED, /* handed to the pool, not started */
    REQUEST_STALE,    /* the pool found it too old to start without a fence */
    REQUEST_ACTIVE,   /* runs */
    REQUEST_ENDED,    /* being settled */
};

enum request_end {
    END_NONE, /* the function returned without saying: success with null */
    END_SUCCESS,
    END_FAILURE,
    END_RETRY,
    END_REJECT,
    END_REQUEUE,
    END_IGNORE,
    END_REVOKED, /* never ran */
};

struct celery_request {
    struct op op;       /* first: queues of the pool and back carry it */
    struct op start_op; /* the notice that the function starts */
    bool notify_start;
    bool abandoned; /* past its hard limit: settled while it still runs */

    /* the claim */
    char tag[BROKER_TAG_MAX];
    size_t queue;
    unsigned step;
    struct celery_buf raw;
    unsigned deliveries; /* came back so often from workers that died */
    bool suspect_runs;
    bool was_parked;  /* its ETA has come */
    uint64_t seq;     /* order of the claims */
    int64_t fresh_us; /* monotonic: claimed or fenced */

    /* what it says; all of it borrows from raw and the arena */
    struct celery_arena arena;
    struct celery_envelope envelope;
    struct celery_message message;
    const struct celery_task *task;
    const char *id;       /* NUL-terminated, in the arena */
    const char *hostname; /* of the node; borrowed */

    /* where it stands */
    _Atomic enum request_state state;
    _Atomic bool cancelled;
    _Atomic bool soft_timeout;
    bool terminated; /* by remote control, with signum */
    int signum;
    bool expired;
    bool acked;          /* or about to be */
    bool ack_pending;    /* the early ack waits for the broker */
    size_t slot;         /* index in the consumer's table */
    double soft_limit_s; /* what holds for this run; 0: none */
    double hard_limit_s;
    int64_t started_us; /* monotonic; 0: not started */
    int64_t ended_us;
    double time_start;     /* wall clock, seconds */
    int worker_pid;        /* the thread's id */
    double parked_until_s; /* how far ahead a parked claim's lease is stamped */
    struct celery_request *batch_next;

    /* how it ended */
    enum request_end end;
    struct celery_buf result; /* JSON text */
    char exc_type[64];
    char exc_module[64];
    struct celery_buf exc_args; /* JSON array text */
    struct celery_buf traceback;
    double retry_countdown_s;
    bool result_stored;
};

struct celery_request *request_new(struct broker_delivery *delivery);
void request_free(struct celery_request *request);

/* Decodes raw; on failure message.task and message.id are set as far as known. */
enum celery_status request_decode(struct celery_request *request,
                                  unsigned accept,
                                  const struct celery_limits *limits,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* A request for the same claim, decoded anew, not ended. NULL when it cannot be
 * decoded (again). The claim stays with the original until the caller moves it. */
struct celery_request *request_clone(const struct celery_request *request,
                                     unsigned accept,
                                     const struct celery_limits *limits);

/* The exception the request ended with, borrowed. */
struct celery_exception request_exception(const struct celery_request *request);

/* Ends the request as celery_raise() does, from C text. */
void request_fail(struct celery_request *request, const char *type,
                  const char *module, const char *args_json,
                  const char *traceback);

/* What tools show: the shadow name if there is one. */
struct celery_str request_name(const struct celery_request *request);

#endif /* TASK_REQUEST_H */
