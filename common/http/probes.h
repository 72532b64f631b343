/* SPDX-License-Identifier: MIT */
/*
 * /healthz (alive), /readyz (may take work) and /metrics: the same routes in
 * both programs.
 */
#ifndef HTTP_PROBES_H
#define HTTP_PROBES_H

#include "celery/error.h"
#include "http/router.h"

/* CELERY_OK when the program may be sent work; else err says why not. */
typedef enum celery_status (*probe_ready_fn)(void *arg,
                                             struct celery_error *err);

/* Handlers for a route table whose arg is not ours. */
void probe_healthz(void *arg, struct http_request *request,
                   struct http_response *response);
void probe_metrics(void *arg, struct http_request *request,
                   struct http_response *response);

/* For the /readyz handler: asks ready(arg) and fills the response. Why not is
 * logged as not_ready, every 10 s at most; the answer does not tell. */
void probe_answer_ready(probe_ready_fn ready, void *arg,
                        const struct http_request *request,
                        struct http_response *response);

/* The whole table of a program that serves nothing else. arg of the server must
 * be a struct probes. */
struct probes {
    probe_ready_fn ready;
    void *arg;
};
const struct http_route *probe_routes(size_t *ret_count);

#endif /* HTTP_PROBES_H */
