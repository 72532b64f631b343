/* SPDX-License-Identifier: MIT */
#include "runtime/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "celery/python_repr.h"
#include "log/log.h"
#include "runtime/inspect.h"

typedef void (*command_fn)(struct worker *worker, struct celery_json arguments,
                           struct celery_json_writer *w);

static void put_ok(struct celery_json_writer *w, const char *text)
{
    celery_json_begin_object(w);
    celery_json_key(w, "ok");
    celery_json_put_text(w, text);
    celery_json_end_object(w);
}

static void put_error(struct celery_json_writer *w, const char *text)
{
    celery_json_begin_object(w);
    celery_json_key(w, "error");
    celery_json_put_text(w, text);
    celery_json_end_object(w);
}

static void do_ping(struct worker *worker, struct celery_json arguments,
                    struct celery_json_writer *w)
{
    (void)worker;
    (void)arguments;
    put_ok(w, "pong");
}

static void do_clock(struct worker *worker, struct celery_json arguments,
                     struct celery_json_writer *w)
{
    (void)arguments;
    celery_json_begin_object(w);
    celery_json_key(w, "clock");
    celery_json_put_int(w, worker->events.clock);
    celery_json_end_object(w);
}

static void do_revoked(struct worker *worker, struct celery_json arguments,
                       struct celery_json_writer *w)
{
    (void)arguments;
    revoked_write(&worker->revoked, w);
}

static void merge_revoked(struct worker *worker, struct celery_json revoked)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json_iter iter = celery_json_iter(revoked);
    struct celery_json key;
    struct celery_json value;
    while (celery_json_next(&iter, &key, &value)) {
        struct celery_str id;
        struct celery_json name =
            revoked.type == CELERY_JSON_OBJECT ? key : value;
        if (celery_json_string(name, &arena, &id) == CELERY_OK)
            revoked_add(&worker->revoked, id);
    }
    celery_arena_done(&arena);
}

/* 5.7 sends and answers a list of ids; older ones send a map and accept the
 * list. */
static void do_hello(struct worker *worker, struct celery_json arguments,
                     struct celery_json_writer *w)
{
    if (celery_json_is(celery_json_get(arguments, "from_node"),
                       worker->settings.nodename)) {
        celery_json_put_null(w);
        return;
    }
    merge_revoked(worker, celery_json_get(arguments, "revoked"));
    celery_json_begin_object(w);
    celery_json_key(w, "revoked");
    revoked_write(&worker->revoked, w);
    celery_json_key(w, "clock");
    celery_json_put_int(w, events_clock_forward(&worker->events));
    celery_json_end_object(w);
}

static void do_enable_events(struct worker *worker,
                             struct celery_json arguments,
                             struct celery_json_writer *w)
{
    (void)arguments;
    put_ok(w, worker->events.task_events ? "task events already enabled"
                                         : "task events enabled");
    worker->events.task_events = true;
}

/* A worker started with -E answers so and goes on sending, as Python's does. */
static void do_disable_events(struct worker *worker,
                              struct celery_json arguments,
                              struct celery_json_writer *w)
{
    (void)arguments;
    bool disable = worker->events.task_events && !worker->settings.send_events;
    put_ok(w,
           disable ? "task events disabled" : "task events already disabled");
    if (disable)
        worker->events.task_events = false;
}

static void do_heartbeat(struct worker *worker, struct celery_json arguments,
                         struct celery_json_writer *w)
{
    (void)arguments;
    heartbeat_answer(worker);
    celery_json_put_null(w);
}

static void do_election(struct worker *worker, struct celery_json arguments,
                        struct celery_json_writer *w)
{
    (void)worker;
    (void)arguments;
    celery_json_put_null(w);
}

static char *text_argument(struct celery_json arguments, const char *name)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str text;
    char *copy = NULL;
    if (celery_json_string(celery_json_get(arguments, name), &arena, &text)
            == CELERY_OK
        && text.len > 0)
        copy = xstrndup(text.data, text.len);
    celery_arena_done(&arena);
    return copy;
}

static void do_add_consumer(struct worker *worker, struct celery_json arguments,
                            struct celery_json_writer *w)
{
    struct celery_error err = {0};
    char *queue = text_argument(arguments, "queue");
    if (queue == NULL) {
        put_error(w, "TypeError(\"add_consumer() missing 1 required positional "
                     "argument: 'queue'\")");
        return;
    }
    if (broker_add_queue(worker->broker, queue, &err) == CELERY_OK) {
        char *text = xasprintf("add consumer %s", queue);
        worker->claim_due_us = 0;
        put_ok(w, text);
        free(text);
    } else {
        put_error(w, err.msg);
    }
    free(queue);
}

static void do_cancel_consumer(struct worker *worker,
                               struct celery_json arguments,
                               struct celery_json_writer *w)
{
    char *queue = text_argument(arguments, "queue");
    if (queue == NULL) {
        put_error(w, "TypeError(\"cancel_consumer() missing 1 required "
                     "positional argument: 'queue'\")");
        return;
    }
    char *text = xasprintf("no longer consuming from %s", queue);
    const char *label[] = {queue};
    broker_cancel_queue(worker->broker, queue);
    metric_forget(worker->metrics.queue_length, label);
    put_ok(w, text);
    free(text);
    free(queue);
}

static int64_t int_argument(struct celery_json arguments, const char *name,
                            int64_t fallback)
{
    int64_t value = fallback;
    (void)celery_json_int64(celery_json_get(arguments, name), &value);
    return value;
}

static void resize(struct worker *worker, int64_t by)
{
    int64_t size = (int64_t)pool_concurrency(worker->pool) + by;
    pool_resize(worker->pool, size < 1 ? 1 : (size_t)size);
}

static void do_pool_grow(struct worker *worker, struct celery_json arguments,
                         struct celery_json_writer *w)
{
    resize(worker, int_argument(arguments, "n", 1));
    put_ok(w, "pool will grow");
}

static void do_pool_shrink(struct worker *worker, struct celery_json arguments,
                           struct celery_json_writer *w)
{
    resize(worker, -int_argument(arguments, "n", 1));
    put_ok(w, "pool will shrink");
}

/* --- revoke ------------------------------------------------------------------ */

static struct celery_request *find_active(const struct worker *worker,
                                          struct celery_str id)
{
    for (size_t i = 0; i < worker->count; i++) {
        struct celery_request *r = worker->table[i];
        if (r->state == REQUEST_ACTIVE && r->id != NULL
            && strlen(r->id) == id.len && memcmp(r->id, id.data, id.len) == 0)
            return r;
    }
    return NULL;
}

/* Written at once for ids that nothing final is known of (celery/worker/
 * control.py _revoke, 5.7.0); a running one keeps its state. */
static void store_revoked(struct worker *worker, struct celery_str id)
{
    static const struct celery_exception exception = {
        .type = {"TaskRevokedError", 16},
        .module = {"celery.exceptions", 17},
        .message = {"[\"revoked\"]", 11},
    };
    const struct celery_result_out out = {
        .status = "REVOKED",
        .exception = &exception,
        .children = CELERY_STR("null"),
        .date_done_us = clock_wall_us(),
        .task_id = id,
    };
    struct celery_buf document = CELERY_BUF_INIT;
    char *text = xstrndup(id.data, id.len);
    celery_result_encode(&document, &out);
    result_store_document(worker->results, text, NULL,
                          celery_buf_str(&document), true);
    celery_buf_done(&document);
    free(text);
}

static void revoke_one(struct worker *worker, struct celery_str id,
                       bool terminate, struct celery_buf *found)
{
    struct celery_request *running = find_active(worker, id);
    revoked_add(&worker->revoked, id);
    if (running == NULL && worker->results != NULL)
        store_revoked(worker, id);
    if (terminate && running != NULL) {
        running->terminated = true;
        running->signum = 15;
        running->cancelled = true;
        celery_buf_printf(found, "%s%.*s", found->len > 0 ? ", " : "",
                          (int)id.len, id.data);
    }
}

static void revoke(struct worker *worker, struct celery_json arguments,
                   bool terminate, struct celery_json_writer *w)
{
    struct celery_json ids = celery_json_get(arguments, "task_id");
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf found = CELERY_BUF_INIT;
    struct celery_buf set = CELERY_BUF_INIT;
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_json_iter iter = celery_json_iter(ids);
    struct celery_json item = ids;
    bool more =
        ids.type == CELERY_JSON_STRING || celery_json_next(&iter, NULL, &item);
    while (more) {
        struct celery_str id;
        if (celery_json_string(item, &arena, &id) == CELERY_OK) {
            revoke_one(worker, id, terminate, &found);
            if (set.len > 0)
                celery_buf_append(&set, CELERY_STR(", "));
            celery_python_repr_str(&set, id);
        }
        more = ids.type != CELERY_JSON_STRING
            && celery_json_next(&iter, NULL, &item);
    }
    if (terminate)
        celery_buf_printf(&text, "terminate: %s",
                          found.len > 0 ? celery_buf_str(&found).data
                                        : "tasks unknown");
    else if (set.len > 0)
        celery_buf_printf(&text, "tasks {%s} flagged as revoked",
                          celery_buf_str(&set).data);
    else
        celery_buf_append(&text, CELERY_STR("tasks set() flagged as revoked"));
    put_ok(w, celery_buf_str(&text).data);
    celery_buf_done(&found);
    celery_buf_done(&set);
    celery_buf_done(&text);
    celery_arena_done(&arena);
}

static void do_revoke(struct worker *worker, struct celery_json arguments,
                      struct celery_json_writer *w)
{
    revoke(worker, arguments,
           celery_json_truthy(celery_json_get(arguments, "terminate")), w);
}

static void do_terminate(struct worker *worker, struct celery_json arguments,
                         struct celery_json_writer *w)
{
    revoke(worker, arguments, true, w);
}

/* --- the table ---------------------------------------------------------------- */

static const struct {
    const char *name;
    command_fn run;
} commands[] = {
    {"active", inspect_active},
    {"active_queues", inspect_active_queues},
    {"add_consumer", do_add_consumer},
    {"cancel_consumer", do_cancel_consumer},
    {"clock", do_clock},
    {"conf", inspect_conf},
    {"disable_events", do_disable_events},
    {"dump_active", inspect_active},
    {"dump_conf", inspect_conf},
    {"dump_reserved", inspect_reserved},
    {"dump_revoked", do_revoked},
    {"dump_schedule", inspect_scheduled},
    {"dump_tasks", inspect_registered},
    {"election", do_election},
    {"enable_events", do_enable_events},
    {"heartbeat", do_heartbeat},
    {"hello", do_hello},
    {"ping", do_ping},
    {"pool_grow", do_pool_grow},
    {"pool_shrink", do_pool_shrink},
    {"query_task", inspect_query_task},
    {"registered", inspect_registered},
    {"report", inspect_report},
    {"reserved", inspect_reserved},
    {"revoke", do_revoke},
    {"revoked", do_revoked},
    {"scheduled", inspect_scheduled},
    {"stats", inspect_stats},
    {"terminate", do_terminate},
};

static bool equals(struct celery_str text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

bool commands_run(struct worker *worker,
                  const struct celery_control_request *request,
                  struct celery_buf *answer)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(answer);
    if (equals(request->method, "shutdown")) {
        LOG_EVENT(LOG_LEVEL_WARNING, "remote_shutdown",
                  LOG_STR("msg", "Got shutdown from remote"));
        consumer_shutdown(worker, false);
        return false;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (equals(request->method, commands[i].name)) {
            commands[i].run(worker, request->arguments, &w);
            return true;
        }
    }
    struct celery_buf text = CELERY_BUF_INIT;
    celery_buf_append(&text, CELERY_STR("KeyError("));
    celery_python_repr_str(&text, request->method);
    celery_buf_append(&text, CELERY_STR(")"));
    put_error(&w, celery_buf_str(&text).data);
    celery_buf_done(&text);
    return true;
}
