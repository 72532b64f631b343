/* SPDX-License-Identifier: MIT */
/*
 * POST /api/v1/tasks/{name} sends any Celery task that API_TASKS_ALLOWED names;
 * GET /api/v1/tasks/{id} tells what became of one.
 */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "celery/json_scan.h"
#include "celery/message.h"
#include "celery/result.h"
#include "celery/task_id.h"
#include "client/task_publish.h"
#include "handlers/handlers.h"
#include "log/log.h"
#include "tasks_allowed.h"

enum {
    NAME_MAX_BYTES = 256,
    QUEUE_MAX_BYTES = 128,
    COUNTDOWN_MAX_S = 31536000
};

/* What the body says; the texts borrow from it and from the arena. */
struct order {
    struct celery_str args;
    struct celery_str kwargs;
    char queue[QUEUE_MAX_BYTES + 1];
    int64_t countdown_s;
};

static bool refuse(const struct http_request *request,
                   struct http_response *response, int status,
                   const char *error, const char *field)
{
    http_problem(response, request, status, error, field);
    return false;
}

static bool read_queue(struct celery_json value, struct celery_arena *arena,
                       struct order *ret)
{
    struct celery_str text = CELERY_STR("celery");
    if (!celery_json_null(value)
        && celery_json_string(value, arena, &text) != CELERY_OK)
        return false;
    if (text.len == 0 || text.len > QUEUE_MAX_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '/')
            return false;
    }
    memcpy(ret->queue, text.data, text.len);
    ret->queue[text.len] = '\0';
    return true;
}

static bool read_order(const struct http_request *request,
                       struct celery_arena *arena, struct order *ret,
                       struct http_response *response)
{
    struct celery_json root = {0};
    if (!http_content_type_is(request, "application/json"))
        return refuse(request, response, 415,
                      "Content-Type must be application/json", NULL);
    if (celery_json_parse(celery_buf_str(&request->body), NULL, &root, NULL)
            != CELERY_OK
        || root.type != CELERY_JSON_OBJECT)
        return refuse(request, response, 400, "the body must be a JSON object",
                      NULL);
    struct celery_json args = celery_json_get(root, "args");
    struct celery_json kwargs = celery_json_get(root, "kwargs");
    struct celery_json countdown = celery_json_get(root, "countdown");
    if (!celery_json_null(args) && args.type != CELERY_JSON_ARRAY)
        return refuse(request, response, 422, "args must be an array", "args");
    if (!celery_json_null(kwargs) && kwargs.type != CELERY_JSON_OBJECT)
        return refuse(request, response, 422, "kwargs must be an object",
                      "kwargs");
    if (!read_queue(celery_json_get(root, "queue"), arena, ret))
        return refuse(request, response, 422, "queue must be a queue's name",
                      "queue");
    if (!celery_json_null(countdown)
        && (!celery_json_int64(countdown, &ret->countdown_s)
            || ret->countdown_s < 0 || ret->countdown_s > COUNTDOWN_MAX_S))
        return refuse(request, response, 422,
                      "countdown must be seconds from 0 to a year",
                      "countdown");
    if (!celery_json_null(args))
        ret->args = args.text;
    if (!celery_json_null(kwargs))
        ret->kwargs = kwargs.text;
    return true;
}

static void answer_unsent(const struct http_request *request, const char *name,
                          const struct celery_error *err,
                          struct http_response *response)
{
    LOG_EVENT(LOG_LEVEL_ERROR, "task_not_sent", LOG_STR("task", name),
              LOG_STR("error", err->msg), LOG_STR("request_id", request->id));
    http_unavailable(response, request, "the broker is not available");
}

static void log_sent(struct api *api, const struct http_request *request,
                     const struct celery_task_out *task)
{
    struct auth_caller caller = caller_of(api, request);
    LOG_EVENT(LOG_LEVEL_INFO, "task_sent", LOG_STR("task", task->task),
              LOG_STR("task_id", task->id), LOG_STR("queue", task->routing_key),
              LOG_STR("caller", caller.name),
              LOG_STR("request_id", request->id));
}

static void send_task(struct api *api, const struct http_request *request,
                      const char *name, const struct order *order,
                      struct http_response *response)
{
    char id[CELERY_TASK_ID_LEN + 1];
    struct celery_error err = {0};
    size_t sent = 0;
    random_id(id);
    struct celery_task_out task = {
        .protocol = api->task_protocol,
        .serializer = api->task_serializer,
        .task = name,
        .id = id,
        .args = order->args,
        .kwargs = order->kwargs,
        .origin = task_origin(),
        .group_index = -1,
        .routing_key = order->queue,
    };
    if (order->countdown_s > 0)
        task.eta_us = clock_wall_us() + order->countdown_s * USEC_PER_SEC;
    if (celery_producer_send(api->producer, &task, 1, &sent, &err)
        != CELERY_OK) {
        answer_unsent(request, name, &err, response);
        return;
    }
    log_sent(api, request, &task);
    response->status = 202;
    celery_buf_printf(&response->body, "{\"ok\":true,\"task_id\":\"%s\"}", id);
}

void handle_task_send(void *arg, struct http_request *request,
                      struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct order order = {0};
    char name[NAME_MAX_BYTES];
    if (!path_text(request, "name", name, sizeof name)
        || !tasks_allowed(api->tasks_allowed, name)) {
        http_problem_code(response, request, 403, "task_not_allowed",
                          "API_TASKS_ALLOWED does not name this task", "name");
        return;
    }
    if (read_order(request, &arena, &order, response))
        send_task(api, request, name, &order, response);
}

/* --- results ------------------------------------------------------------ */

static void put_text(struct celery_json_writer *w, const char *key,
                     struct celery_str text)
{
    celery_json_key(w, key);
    if (text.len > 0)
        celery_json_put_str(w, text);
    else
        celery_json_put_null(w);
}

/* A task nobody has heard of is PENDING, as in Celery. */
static enum celery_status write_result(const char *id,
                                       struct celery_str document,
                                       struct celery_buf *ret_json)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_result result = {.status = CELERY_STR("PENDING")};
    struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
    if (document.len > 0
        && celery_result_decode(document, NULL, &arena, &result, NULL)
               != CELERY_OK)
        return CELERY_MALFORMED;
    celery_json_begin_object(&w);
    celery_json_key(&w, "task_id");
    celery_json_put_text(&w, id);
    put_text(&w, "status", result.status);
    celery_json_key(&w, "result");
    celery_json_put_value(&w, result.result);
    put_text(&w, "traceback", result.traceback);
    put_text(&w, "date_done", result.date_done);
    celery_json_end_object(&w);
    return celery_buf_status(ret_json);
}

void handle_task_result(void *arg, struct http_request *request,
                        struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(celery_buf_done) struct celery_buf document = CELERY_BUF_INIT;
    struct celery_error err = {0};
    char id[CELERY_TASK_ID_LEN + 1];
    bool found = false;
    if (!path_text(request, "id", id, sizeof id)
        || !celery_task_id_valid((struct celery_str){id, strlen(id)})) {
        http_problem(response, request, 404, "no such task", "id");
        return;
    }
    if (api->results == NULL) {
        http_unavailable(response, request, "CELERY_RESULT_BACKEND is not set");
        return;
    }
    lock_acquire(&api->results_lock);
    enum celery_status st =
        backend_get(api->results, id, &document, &found, &err);
    lock_release(&api->results_lock);
    if (st == CELERY_OK)
        st = write_result(id, celery_buf_str(&document), &response->body);
    if (st != CELERY_OK)
        http_unavailable(response, request,
                         "the result backend is not available");
}
