/* SPDX-License-Identifier: MIT */
/*
 * One HTTP request as handlers see it. Everything is borrowed from the server
 * until the handler returns, except the body, which the request owns.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"

enum {
    HTTP_HEADERS_MAX = 63,
    HTTP_PARAMS_MAX = 4,
    HTTP_REQUEST_ID_MAX = 65, /* with the NUL */
};

struct http_header {
    const char *name;
    const char *value;
};

struct http_param {
    struct celery_str name; /* without braces; of the route's pattern */
    struct celery_str value;
};

struct http_request {
    const char *method;
    const char *path;  /* percent-decoded */
    const char *query; /* as sent, NULL: none */
    const char *peer;  /* the TCP peer's address as text */
    /* Who asks, as text: the peer, or whom a trusted proxy speaks for. */
    const char *client;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct http_param params[HTTP_PARAMS_MAX];
    size_t param_count;
    struct celery_buf body;
    char id[HTTP_REQUEST_ID_MAX];
    int64_t started_us; /* monotonic */
};

/* The first header of that name in any case, or NULL. */
const char *http_header(const struct http_request *request, const char *name);

/* The part of the path that stands for {name}; empty when there is none. */
struct celery_str http_param(const struct http_request *request,
                             const char *name);

/* Does the content type, without its parameters, equal type? */
bool http_content_type_is(const struct http_request *request, const char *type);

/* Is the peer on this machine? */
bool http_from_loopback(const struct http_request *request);

/* Takes over the request's X-Request-Id where it is sane (1 to 64 letters,
 * digits, '.', '_', '-'), else makes one. */
void http_request_identify(struct http_request *request);

void http_request_done(struct http_request *request);

#endif /* HTTP_REQUEST_H */
