/* SPDX-License-Identifier: MIT */
/*
 * Worker and task events: the JSON bodies that go to the exchange celeryev.
 * Source: celery/events/dispatcher.py, celery/worker/heartbeat.py,
 * celery/worker/request.py; utcoffset as 5.7.0 writes it (a float).
 */
#ifndef CELERY_EVENT_H
#define CELERY_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/error.h"
#include "celery/message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The fields every event has. */
struct celery_event_base {
    const char *hostname; /* node name */
    double utcoffset;     /* hours west of UTC */
    int64_t pid;
    int64_t clock;    /* Lamport value after the increment */
    double timestamp; /* seconds since 1970 */
};

struct celery_event_worker {
    const char *type; /* worker-online, worker-heartbeat, worker-offline */
    double freq;      /* heartbeat interval in seconds */
    int64_t active;
    int64_t processed;
    double loadavg[3];
    const char *sw_ident; /* "c-celery" */
    const char *sw_ver;
    const char *sw_sys; /* "Linux" */
    bool brief;         /* the answer to the heartbeat command: freq as an
                             integer, no active, processed, loadavg */
};

CELERY_API void celery_event_worker(struct celery_buf *buf,
                                    const struct celery_event_base *base,
                                    const struct celery_event_worker *worker);

/* args and kwargs are the headers' reprs, else made from the message. */
CELERY_API void celery_event_received(struct celery_buf *buf,
                                      const struct celery_event_base *base,
                                      const struct celery_message *message);

CELERY_API void celery_event_started(struct celery_buf *buf,
                                     const struct celery_event_base *base,
                                     struct celery_str id);

/* result is JSON text; its saferepr is sent. */
CELERY_API void celery_event_succeeded(struct celery_buf *buf,
                                       const struct celery_event_base *base,
                                       struct celery_str id,
                                       struct celery_json result,
                                       double runtime_s);

/* type: task-failed or task-retried. exception is "Name('text')"; an empty
 * traceback leaves the member out. */
CELERY_API void celery_event_failed(struct celery_buf *buf,
                                    const struct celery_event_base *base,
                                    const char *type, struct celery_str id,
                                    struct celery_str exception,
                                    struct celery_str traceback);

/* signum 0 is written as null. */
CELERY_API void celery_event_revoked(struct celery_buf *buf,
                                     const struct celery_event_base *base,
                                     struct celery_str id, bool terminated,
                                     int signum, bool expired);

CELERY_API void celery_event_rejected(struct celery_buf *buf,
                                      const struct celery_event_base *base,
                                      struct celery_str id, bool requeue);

CELERY_API void celery_event_sent(struct celery_buf *buf,
                                  const struct celery_event_base *base,
                                  const struct celery_task_out *task);

/* "task-received" to "task.received". ret holds at most 64 bytes. */
CELERY_API void celery_event_routing_key(const char *type, char ret[64]);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_EVENT_H */
