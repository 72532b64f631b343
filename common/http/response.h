/* SPDX-License-Identifier: MIT */
/*
 * What a handler answers: a status, a few headers, a body. The server adds
 * X-Request-Id, Content-Length and the connection's headers and sends it all
 * with one write.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "celery/json_write.h"
#include "http/request.h"

struct http_response {
    int status;
    const char *content_type;
    struct celery_buf headers; /* whole lines with CRLF */
    struct celery_buf body;
    bool close; /* end the connection after this answer */
};

#define HTTP_RESPONSE_INIT \
    ((struct http_response){.status = 200, .content_type = "application/json"})

void http_response_done(struct http_response *response);

/* Adds a header; the value must not hold line breaks (they are dropped). */
void http_response_header(struct http_response *response, const char *name,
                          const char *value);

/* Replaces the body by the error's form:
 * {"ok": false, "error": …, "field": …, "request_id": …}; field may be NULL. */
void http_problem(struct http_response *response,
                  const struct http_request *request, int status,
                  const char *error, const char *field);

/* The same for "try again": 503 with Retry-After. */
void http_unavailable(struct http_response *response,
                      const struct http_request *request, const char *error);

/* "Accepted" for 202. */
const char *http_reason(int status);

/* The whole answer as it goes over the wire; without_body for HEAD. */
void http_response_write(const struct http_response *response,
                         const struct http_request *request, bool without_body,
                         struct celery_buf *ret_wire);

#endif /* HTTP_RESPONSE_H */
