/* SPDX-License-Identifier: MIT */
/*
 * The pidbox: broadcast requests in, replies out; and the worker events of
 * neighbours, which move our clock. What arrives is kept until the loop's turn,
 * since a reply is published on the connection that just delivered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "celery/control.h"
#include "celery/json_write.h"
#include "log/log.h"
#include "runtime/commands.h"
#include "runtime/worker_state.h"

enum { REQUEST_BYTES_MAX = 4 << 20 };

void mailbox_receive(void *arg, const char *exchange, struct celery_str raw)
{
    struct worker *worker = arg;
    if (raw.len > REQUEST_BYTES_MAX)
        return;
    struct broadcast *item = xcalloc(1, sizeof *item);
    item->exchange = xstrdup(exchange);
    celery_buf_append(&item->raw, raw);
    *worker->inbox_tail = item;
    worker->inbox_tail = &item->next;
}

static void reply(struct worker *worker,
                  const struct celery_control_request *request,
                  struct celery_str answer)
{
    struct celery_buf headers = CELERY_BUF_INIT;
    struct celery_buf body = CELERY_BUF_INIT;
    struct celery_json_writer h = CELERY_JSON_WRITER(&headers);
    struct celery_json_writer b = CELERY_JSON_WRITER(&body);
    struct celery_error err = {0};
    char tag[CELERY_TASK_ID_LEN + 1];
    char *exchange =
        xstrndup(request->reply_exchange.data, request->reply_exchange.len);
    char *routing_key = xstrndup(request->reply_routing_key.data,
                                 request->reply_routing_key.len);
    random_id(tag);
    celery_json_begin_object(&h);
    celery_json_key(&h, "ticket");
    celery_json_put_str(&h, request->ticket);
    celery_json_key(&h, "clock");
    celery_json_put_int(&h, events_clock_forward(&worker->events));
    celery_json_end_object(&h);
    celery_json_begin_object(&b);
    celery_json_key(&b, worker->settings.nodename);
    celery_json_put_raw(&b, answer);
    celery_json_end_object(&b);
    const struct broker_message message = {
        .route = BROKER_REPLY,
        .out = {.body = celery_buf_str(&body),
                .content_type = "application/json",
                .content_encoding = "utf-8",
                .headers = celery_buf_str(&headers),
                .delivery_mode = 1,
                .exchange = exchange,
                .routing_key = routing_key,
                .delivery_tag = tag},
    };
    if (!broker_connected(worker->broker)
        || broker_publish(worker->broker, &message, 1, NULL, &err) != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "reply_not_sent",
                  LOG_STR("error", err.msg));
    free(exchange);
    free(routing_key);
    celery_buf_done(&headers);
    celery_buf_done(&body);
}

/* The client of an expired request is gone. */
static bool is_expired(const struct celery_control_request *request)
{
    return request->expires > 0
        && (double)clock_wall_us() / USEC_PER_SEC > request->expires;
}

static void handle_request(struct worker *worker, struct celery_str raw)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope envelope;
    struct celery_control_request request;
    struct celery_error err = {0};
    const struct celery_limits *limits = &worker->settings.limits;
    enum celery_status st =
        celery_envelope_decode(raw, limits, &arena, &envelope, &err);
    if (st == CELERY_OK)
        st = celery_control_decode(&envelope, limits, &arena, &request, &err);
    if (st != CELERY_OK) {
        LOG_EVENT(LOG_LEVEL_ERROR, "control_refused",
                  LOG_STR("error", err.msg));
    } else {
        (void)events_clock_forward(&worker->events);
        events_clock_adjust(&worker->events, request.clock);
        if (!is_expired(&request)
            && celery_control_is_for(&request, worker->settings.nodename)) {
            struct celery_buf answer = CELERY_BUF_INIT;
            bool replies = commands_run(worker, &request, &answer);
            if (replies && request.ticket.len > 0)
                reply(worker, &request, celery_buf_str(&answer));
            celery_buf_done(&answer);
        }
    }
    celery_arena_done(&arena);
}

static void acknowledge_election(struct worker *worker,
                                 struct celery_json event)
{
    struct celery_buf body = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&body);
    struct celery_event_base base = events_base(&worker->events);
    struct celery_error err = {0};
    celery_json_begin_object(&w);
    celery_json_key(&w, "hostname");
    celery_json_put_text(&w, base.hostname);
    celery_json_key(&w, "utcoffset");
    celery_json_put_double(&w, base.utcoffset);
    celery_json_key(&w, "pid");
    celery_json_put_int(&w, base.pid);
    celery_json_key(&w, "clock");
    celery_json_put_int(&w, base.clock);
    celery_json_key(&w, "id");
    celery_json_put_value(&w, celery_json_get(event, "id"));
    celery_json_key(&w, "timestamp");
    celery_json_put_double(&w, base.timestamp);
    celery_json_key(&w, "type");
    celery_json_put_text(&w, "worker-elect-ack");
    celery_json_end_object(&w);
    if (events_publish(&worker->events, worker->broker, "worker.elect.ack",
                       celery_buf_str(&body), &err)
        != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "event_not_sent",
                  LOG_STR("error", err.msg));
    celery_buf_done(&body);
}

/* Our own events come back too; they move the clock like others'. An election
 * waits for an ack of every live worker, ours included; we are no candidate. */
static void handle_event(struct worker *worker, struct celery_str raw)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope envelope;
    struct celery_json event;
    int64_t clock = 0;
    const struct celery_limits *limits = &worker->settings.limits;
    if (celery_envelope_decode(raw, limits, &arena, &envelope, NULL)
            == CELERY_OK
        && celery_json_parse(envelope.content.body, limits, &event, NULL)
               == CELERY_OK
        && event.type == CELERY_JSON_OBJECT) {
        bool own = celery_json_is(celery_json_get(event, "hostname"),
                                  worker->settings.nodename);
        if (own)
            (void)events_clock_forward(&worker->events);
        else if (celery_json_int64(celery_json_get(event, "clock"), &clock))
            events_clock_adjust(&worker->events, clock);
        if (celery_json_is(celery_json_get(event, "type"), "worker-elect"))
            acknowledge_election(worker, event);
    }
    celery_arena_done(&arena);
}

void mailbox_drain(struct worker *worker)
{
    while (worker->inbox != NULL) {
        struct broadcast *item = worker->inbox;
        worker->inbox = item->next;
        if (worker->inbox == NULL)
            worker->inbox_tail = &worker->inbox;
        if (strcmp(item->exchange, "celery.pidbox") == 0)
            handle_request(worker, celery_buf_str(&item->raw));
        else if (worker->settings.gossip)
            handle_event(worker, celery_buf_str(&item->raw));
        celery_buf_done(&item->raw);
        free(item->exchange);
        free(item);
    }
}
