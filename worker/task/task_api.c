/* SPDX-License-Identifier: MIT */
/*
 * celery/task.h: what a task may ask and how it ends. Runs in the thread of the
 * task.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "celery/json_write.h"
#include "task/request.h"

enum { SLEEP_STEP_MS = 50 };

/* The first end counts. */
static bool may_end(const struct celery_request *request)
{
    return request->end == END_NONE;
}

bool celery_has_arg(struct celery_request *request, size_t index,
                    const char *name)
{
    return celery_json_at(request->message.args, index).type != CELERY_JSON_NONE
        || (name != NULL
            && celery_json_get(request->message.kwargs, name).type
                   != CELERY_JSON_NONE);
}

bool celery_arg(struct celery_request *request, size_t index, const char *name,
                struct celery_json *ret)
{
    struct celery_json value = celery_json_at(request->message.args, index);
    if (value.type == CELERY_JSON_NONE && name != NULL)
        value = celery_json_get(request->message.kwargs, name);
    if (value.type == CELERY_JSON_NONE) {
        celery_raise(request, "TypeError", NULL,
                     "%s() missing 1 required positional argument: '%s'",
                     request->task->name, name != NULL ? name : "?");
        return false;
    }
    *ret = value;
    return true;
}

static bool wrong_type(struct celery_request *request, const char *name,
                       const char *wanted)
{
    celery_raise(request, "TypeError", NULL, "%s(): argument '%s' must be %s",
                 request->task->name, name != NULL ? name : "?", wanted);
    return false;
}

bool celery_arg_int(struct celery_request *request, size_t index,
                    const char *name, int64_t *ret)
{
    struct celery_json value;
    if (!celery_arg(request, index, name, &value))
        return false;
    return celery_json_int64(value, ret)
        || wrong_type(request, name, "an int of 64 bits");
}

bool celery_arg_double(struct celery_request *request, size_t index,
                       const char *name, double *ret)
{
    struct celery_json value;
    if (!celery_arg(request, index, name, &value))
        return false;
    return celery_json_double(value, ret)
        || wrong_type(request, name, "a number");
}

bool celery_arg_str(struct celery_request *request, size_t index,
                    const char *name, struct celery_str *ret)
{
    struct celery_json value;
    if (!celery_arg(request, index, name, &value))
        return false;
    return celery_json_string(value, &request->arena, ret) == CELERY_OK
        || wrong_type(request, name, "a str");
}

bool celery_args_at_most(struct celery_request *request, size_t max)
{
    size_t given = celery_json_count(request->message.args);
    if (given <= max)
        return true;
    celery_raise(request, "TypeError", NULL,
                 "%s() takes %zu positional arguments but %zu were given",
                 request->task->name, max, given);
    return false;
}

const struct celery_message *celery_request_message(
    const struct celery_request *request)
{
    return &request->message;
}

const char *celery_request_id(const struct celery_request *request)
{
    return request->id;
}

const char *celery_request_hostname(const struct celery_request *request)
{
    return request->hostname;
}

bool celery_request_header(struct celery_request *request, const char *name,
                           struct celery_str *ret)
{
    struct celery_json value = celery_json_get(request->message.headers, name);
    return value.type == CELERY_JSON_STRING
        && celery_json_string(value, &request->arena, ret) == CELERY_OK;
}

bool celery_cancelled(const struct celery_request *request)
{
    return request->cancelled || request->soft_timeout;
}

bool celery_sleep(struct celery_request *request, double seconds)
{
    int64_t until =
        clock_monotonic_us() + (int64_t)(seconds * (double)USEC_PER_SEC);
    while (!celery_cancelled(request)) {
        int ms = clock_poll_ms(until);
        if (ms == 0)
            return true;
        (void)poll(NULL, 0, ms < SLEEP_STEP_MS ? ms : SLEEP_STEP_MS);
    }
    return false;
}

void celery_return_json(struct celery_request *request, struct celery_str json)
{
    struct celery_json root;
    struct celery_error err = {0};
    if (!may_end(request))
        return;
    if (celery_json_parse(json, NULL, &root, &err) != CELERY_OK) {
        celery_raise(request, "EncodeError", "kombu.exceptions",
                     "the task's result is no JSON: %s", err.msg);
        return;
    }
    request->end = END_SUCCESS;
    celery_buf_append(&request->result, root.text);
}

void celery_return_int(struct celery_request *request, int64_t n)
{
    if (!may_end(request))
        return;
    struct celery_json_writer w = CELERY_JSON_WRITER(&request->result);
    celery_json_put_int(&w, n);
    request->end = END_SUCCESS;
}

void celery_return_str(struct celery_request *request, struct celery_str text)
{
    if (!may_end(request))
        return;
    struct celery_json_writer w = CELERY_JSON_WRITER(&request->result);
    celery_json_put_str(&w, text);
    request->end = END_SUCCESS;
}

static void set_exception(struct celery_request *request, const char *type,
                          const char *module, const char *fmt, va_list ap)
    CELERY_PRINTF(4, 0);

static void set_exception(struct celery_request *request, const char *type,
                          const char *module, const char *fmt, va_list ap)
{
    char text[1024];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    (void)snprintf(request->exc_type, sizeof request->exc_type, "%s", type);
    (void)snprintf(request->exc_module, sizeof request->exc_module, "%s",
                   module != NULL ? module : "builtins");
    celery_buf_clear(&request->exc_args);
    struct celery_json_writer w = CELERY_JSON_WRITER(&request->exc_args);
    celery_json_begin_array(&w);
    celery_json_put_text(&w, text);
    celery_json_end_array(&w);
    /* Tools that show a traceback fail without one. */
    celery_buf_clear(&request->traceback);
    celery_buf_printf(&request->traceback,
                      "Traceback (most recent call last):\n  %s\n%s: %s\n",
                      request->task != NULL ? request->task->name : "?", type,
                      text);
}

void celery_raise(struct celery_request *request, const char *type,
                  const char *module, const char *fmt, ...)
{
    if (!may_end(request))
        return;
    va_list ap;
    va_start(ap, fmt);
    set_exception(request, type, module, fmt, ap);
    va_end(ap);
    request->end = END_FAILURE;
}

void celery_retry(struct celery_request *request, double countdown_s,
                  const char *type, const char *module, const char *fmt, ...)
{
    if (!may_end(request))
        return;
    va_list ap;
    va_start(ap, fmt);
    set_exception(request, type, module, fmt, ap);
    va_end(ap);
    const struct celery_task *task = request->task;
    int64_t max = task->max_retries != 0 ? task->max_retries : 3;
    if (max >= 0 && request->message.retries >= max) {
        request->end = END_FAILURE;
        return;
    }
    request->end = END_RETRY;
    request->retry_countdown_s = countdown_s;
    if (countdown_s < 0)
        request->retry_countdown_s = task->default_retry_delay_s > 0
                                       ? task->default_retry_delay_s
                                       : 180.0;
}

void celery_reject(struct celery_request *request, bool requeue,
                   const char *reason)
{
    if (!may_end(request))
        return;
    request->end = requeue ? END_REQUEUE : END_REJECT;
    (void)snprintf(request->exc_type, sizeof request->exc_type, "Reject");
    (void)snprintf(request->exc_module, sizeof request->exc_module,
                   "celery.exceptions");
    struct celery_json_writer w = CELERY_JSON_WRITER(&request->exc_args);
    celery_json_begin_array(&w);
    celery_json_put_text(&w, reason);
    celery_json_put_bool(&w, requeue);
    celery_json_end_array(&w);
}

void celery_ignore(struct celery_request *request)
{
    if (may_end(request))
        request->end = END_IGNORE;
}
