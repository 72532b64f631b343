/* SPDX-License-Identifier: MIT */
#include "task/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/deliveries.h"
#include "celery/json_write.h"

struct celery_request *request_new(struct broker_delivery *delivery)
{
    struct celery_request *request = xcalloc(1, sizeof *request);
    memcpy(request->tag, delivery->tag, sizeof request->tag);
    request->queue = delivery->queue;
    request->step = delivery->step;
    request->raw = delivery->raw;
    delivery->raw = CELERY_BUF_INIT;
    request->fresh_us = clock_monotonic_us();
    request->state = REQUEST_RESERVED;
    return request;
}

void request_free(struct celery_request *request)
{
    if (request == NULL)
        return;
    celery_buf_done(&request->raw);
    celery_arena_done(&request->arena);
    celery_buf_done(&request->result);
    celery_buf_done(&request->exc_args);
    celery_buf_done(&request->traceback);
    free(request);
}

enum celery_status request_decode(struct celery_request *request,
                                  unsigned accept,
                                  const struct celery_limits *limits,
                                  struct celery_error *err)
{
    enum celery_status st =
        celery_envelope_decode(celery_buf_str(&request->raw), limits,
                               &request->arena, &request->envelope, err);
    if (st == CELERY_OK)
        st = celery_message_decode(&request->envelope, accept, limits,
                                   &request->arena, &request->message, err);
    struct celery_str id =
        celery_arena_copy(&request->arena, request->message.id);
    if (id.data == NULL)
        return celery_fail(err, CELERY_NOMEM, "out of memory");
    request->id = id.data;
    request->deliveries = broker_deliveries(request->envelope.headers);
    return st;
}

struct celery_request *request_clone(const struct celery_request *request,
                                     unsigned accept,
                                     const struct celery_limits *limits)
{
    struct broker_delivery delivery = {.queue = request->queue,
                                       .step = request->step};
    memcpy(delivery.tag, request->tag, sizeof delivery.tag);
    celery_buf_append(&delivery.raw, celery_buf_str(&request->raw));
    struct celery_request *clone = request_new(&delivery);
    if (request_decode(clone, accept, limits, NULL) != CELERY_OK) {
        request_free(clone);
        return NULL;
    }
    clone->task = request->task;
    clone->suspect_runs = request->suspect_runs;
    clone->hostname = request->hostname;
    clone->seq = request->seq;
    clone->acked = request->acked;
    clone->started_us = request->started_us;
    clone->time_start = request->time_start;
    clone->worker_pid = request->worker_pid;
    return clone;
}

struct celery_exception request_exception(const struct celery_request *request)
{
    return (struct celery_exception){
        .type = {request->exc_type, strlen(request->exc_type)},
        .module = {request->exc_module, strlen(request->exc_module)},
        .message = celery_buf_str(&request->exc_args),
    };
}

void request_fail(struct celery_request *request, const char *type,
                  const char *module, const char *args_json,
                  const char *traceback)
{
    request->end = END_FAILURE;
    strncpy(request->exc_type, type, sizeof request->exc_type - 1);
    strncpy(request->exc_module, module, sizeof request->exc_module - 1);
    celery_buf_clear(&request->exc_args);
    celery_buf_append(&request->exc_args,
                      (struct celery_str){args_json, strlen(args_json)});
    celery_buf_clear(&request->traceback);
    if (traceback != NULL)
        celery_buf_append(&request->traceback,
                          (struct celery_str){traceback, strlen(traceback)});
}

struct celery_str request_name(const struct celery_request *request)
{
    return request->message.shadow.len > 0 ? request->message.shadow
                                           : request->message.task;
}
