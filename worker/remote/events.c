/* SPDX-License-Identifier: MIT */
#include "remote/events.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "celery/json_write.h"

enum { BATCH_BYTES_MAX = 1 << 20, TRANSIENT = 1 };

void events_done(struct events *events)
{
    celery_buf_done(&events->batch);
}

int64_t events_clock_forward(struct events *events)
{
    return ++events->clock;
}

void events_clock_adjust(struct events *events, int64_t other)
{
    if (other > events->clock)
        events->clock = other;
    events->clock++;
}

struct celery_event_base events_base(struct events *events)
{
    return (struct celery_event_base){
        .hostname = events->hostname,
        .utcoffset = clock_utcoffset_hours(),
        .pid = getpid(),
        .clock = events_clock_forward(events),
        .timestamp = (double)clock_wall_us() / USEC_PER_SEC,
    };
}

enum celery_status events_publish(struct events *events, struct broker *broker,
                                  const char *routing_key,
                                  struct celery_str body,
                                  struct celery_error *err)
{
    struct celery_buf headers = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&headers);
    char tag[CELERY_TASK_ID_LEN + 1];
    random_id(tag);
    celery_json_begin_object(&w);
    celery_json_key(&w, "hostname");
    celery_json_put_text(&w, events->hostname);
    celery_json_end_object(&w);
    const struct broker_message message = {
        .route = BROKER_BROADCAST,
        .out = {.body = body,
                .content_type = "application/json",
                .content_encoding = "utf-8",
                .headers = celery_buf_str(&headers),
                .delivery_mode = TRANSIENT,
                .exchange = "celeryev",
                .routing_key = routing_key,
                .delivery_tag = tag},
    };
    enum celery_status st = broker_publish(broker, &message, 1, NULL, err);
    celery_buf_done(&headers);
    return st;
}

enum celery_status events_send_worker(struct events *events,
                                      struct broker *broker,
                                      const struct celery_event_worker *worker,
                                      struct celery_error *err)
{
    char routing_key[64];
    struct celery_buf body = CELERY_BUF_INIT;
    struct celery_event_base base = events_base(events);
    celery_event_worker(&body, &base, worker);
    celery_event_routing_key(worker->type, routing_key);
    enum celery_status st =
        events_publish(events, broker, routing_key, celery_buf_str(&body), err);
    celery_buf_done(&body);
    return st;
}

struct celery_buf *events_batch_begin(struct events *events)
{
    if (!events->task_events)
        return NULL;
    if (events->batch.len > BATCH_BYTES_MAX) {
        events->dropped++;
        return NULL;
    }
    celery_buf_append(&events->batch, events->batched == 0 ? CELERY_STR("[")
                                                           : CELERY_STR(", "));
    return &events->batch;
}

void events_batch_end(struct events *events)
{
    events->batched++;
}

enum celery_status events_flush(struct events *events, struct broker *broker,
                                struct celery_error *err)
{
    if (events->batched == 0 || !broker_connected(broker))
        return CELERY_OK;
    celery_buf_append(&events->batch, CELERY_STR("]"));
    enum celery_status st = celery_buf_status(&events->batch);
    if (st == CELERY_OK)
        st = events_publish(events, broker, "task.multi",
                            celery_buf_str(&events->batch), err);
    celery_buf_clear(&events->batch);
    events->batched = 0;
    return st;
}
