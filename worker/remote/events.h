/* SPDX-License-Identifier: MIT */
/*
 * What the worker tells monitors: worker events at once, task events gathered
 * into one task.multi message a loop turn. Also the Lamport clock that every
 * event and reply carries. thread: consumer.
 */
#ifndef REMOTE_EVENTS_H
#define REMOTE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"
#include "celery/event.h"

struct events {
    const char *hostname; /* node name; borrowed */
    int64_t clock;
    bool task_events;        /* -E or enable_events */
    struct celery_buf batch; /* "[event, event" */
    size_t batched;
    uint64_t dropped; /* while the broker was away */
};

void events_done(struct events *events);

/* kombu's LamportClock: forward on a send, adjust on what was received. */
int64_t events_clock_forward(struct events *events);
void events_clock_adjust(struct events *events, int64_t other);

/* The common fields, with the clock moved forward. */
struct celery_event_base events_base(struct events *events);

/* Sends a worker event. */
enum celery_status events_send_worker(struct events *events,
                                      struct broker *broker,
                                      const struct celery_event_worker *worker,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;

/* A buffer to append one task event to, or NULL when nobody wants task events.
 * events_batch_end() closes it. */
struct celery_buf *events_batch_begin(struct events *events);
void events_batch_end(struct events *events);

/* Sends what was gathered. */
enum celery_status events_flush(struct events *events, struct broker *broker,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* Publishes body on celeryev with the given routing key. */
enum celery_status events_publish(struct events *events, struct broker *broker,
                                  const char *routing_key,
                                  struct celery_str body,
                                  struct celery_error *err) CELERY_MUST_CHECK;

#endif /* REMOTE_EVENTS_H */
