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
    bool close;     /* end the connection after this answer */
    bool cacheable; /* a file of the program; all else says no-store */
};

#define HTTP_RESPONSE_INIT \
    ((struct http_response){.status = 200, .content_type = "application/json"})

void http_response_done(struct http_response *response);

/* Adds a header; the value must not hold line breaks (they are dropped). */
void http_response_header(struct http_response *response, const char *name,
                          const char *value);

/* An error: {"ok": false, "error", "field", "request_id"}, and beside these the
 * members of RFC 9457 (section 3.1): "type", "title", "status", "detail", with
 * "code" as an extension (section 3.2). code is stable, lower case, and has a
 * row in docs/api.md; "type" is "urn:cricalgo:error:" and code, "detail" equals
 * "error". The content type stays application/json. */
struct http_problem {
    int status;
    const char *code;  /* NULL: http_problem_status_code() */
    const char *error; /* for a human */
    const char *field; /* the member or parameter at fault, or NULL */
};

/* "not_found" for 404. A status without a code of its own has "error". */
const char *http_problem_status_code(int status);

/* Replaces the body by the problem with its object still open: the caller may
 * add members and ends it with celery_json_end_object(). */
void http_problem_begin(struct http_response *response,
                        const struct http_request *request,
                        const struct http_problem *problem,
                        struct celery_json_writer *ret_w);

/* Replaces the body by the problem; field may be NULL. */
void http_problem_code(struct http_response *response,
                       const struct http_request *request, int status,
                       const char *code, const char *error, const char *field);

/* The same with the status's own code. */
void http_problem(struct http_response *response,
                  const struct http_request *request, int status,
                  const char *error, const char *field);

/* The same for "try again": 503 with Retry-After. */
void http_unavailable(struct http_response *response,
                      const struct http_request *request, const char *error);

void http_unavailable_code(struct http_response *response,
                           const struct http_request *request, const char *code,
                           const char *error);

/* "Accepted" for 202. */
const char *http_reason(int status);

/* The whole answer as it goes over the wire; without_body for HEAD. */
void http_response_write(const struct http_response *response,
                         const struct http_request *request, bool without_body,
                         struct celery_buf *ret_wire);

#endif /* HTTP_RESPONSE_H */
