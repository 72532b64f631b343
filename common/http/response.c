/* SPDX-License-Identifier: MIT */
#include "http/response.h"

#include <stdio.h>
#include <string.h>

#include "http/http_date.h"

static const char retry_after_s[] = "5";

/* Balances, users and errors are nobody's to keep (RFC 9111, section 5.2.2.5). */
static const char no_store[] = "Cache-Control: no-store\r\n";

static const struct {
    int status;
    const char *reason;
    const char *code; /* of errors that have no closer one; docs/api.md */
} statuses[] = {
    {200, "OK", NULL},
    {201, "Created", NULL},
    {202, "Accepted", NULL},
    {204, "No Content", NULL},
    {400, "Bad Request", "bad_request"},
    {401, "Unauthorized", "unauthorized"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "request_timeout"},
    {409, "Conflict", "conflict"},
    {411, "Length Required", "length_required"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "uri_too_long"},
    {415, "Unsupported Media Type", "media_type"},
    {417, "Expectation Failed", "expectation_failed"},
    {422, "Unprocessable Content", "invalid"},
    {429, "Too Many Requests", "rate_limited"},
    {431, "Request Header Fields Too Large", "headers_too_large"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "not_implemented"},
    {503, "Service Unavailable", "unavailable"},
    {505, "HTTP Version Not Supported", "http_version"},
};

enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

const char *http_reason(int status)
{
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        if (statuses[i].status == status)
            return statuses[i].reason;
    }
    return "Unknown";
}

const char *http_problem_status_code(int status)
{
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        if (statuses[i].status == status && statuses[i].code != NULL)
            return statuses[i].code;
    }
    return "error";
}

void http_response_done(struct http_response *response)
{
    celery_buf_done(&response->headers);
    celery_buf_done(&response->body);
}

void http_response_header(struct http_response *response, const char *name,
                          const char *value)
{
    celery_buf_printf(&response->headers, "%s: ", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p != '\r' && *p != '\n')
            celery_buf_append(&response->headers, (struct celery_str){p, 1});
    }
    celery_buf_append(&response->headers, CELERY_STR("\r\n"));
}

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

void http_problem_begin(struct http_response *response,
                        const struct http_request *request,
                        const struct http_problem *problem,
                        struct celery_json_writer *ret_w)
{
    const char *code = problem->code != NULL
                         ? problem->code
                         : http_problem_status_code(problem->status);
    char type[96];
    (void)snprintf(type, sizeof type, "urn:cricalgo:error:%s", code);
    response->status = problem->status;
    response->content_type = "application/json";
    response->cacheable = false;
    celery_buf_clear(&response->body);
    *ret_w = CELERY_JSON_WRITER(&response->body);
    celery_json_begin_object(ret_w);
    celery_json_key(ret_w, "ok");
    celery_json_put_bool(ret_w, false);
    put_text(ret_w, "error", problem->error);
    put_text(ret_w, "field", problem->field);
    put_text(ret_w, "request_id", request->id);
    put_text(ret_w, "type", type);
    put_text(ret_w, "title", http_reason(problem->status));
    celery_json_key(ret_w, "status");
    celery_json_put_int(ret_w, problem->status);
    put_text(ret_w, "detail", problem->error);
    put_text(ret_w, "code", code);
}

void http_problem_code(struct http_response *response,
                       const struct http_request *request, int status,
                       const char *code, const char *error, const char *field)
{
    struct http_problem problem = {status, code, error, field};
    struct celery_json_writer w;
    http_problem_begin(response, request, &problem, &w);
    celery_json_end_object(&w);
}

void http_problem(struct http_response *response,
                  const struct http_request *request, int status,
                  const char *error, const char *field)
{
    http_problem_code(response, request, status, NULL, error, field);
}

void http_unavailable_code(struct http_response *response,
                           const struct http_request *request, const char *code,
                           const char *error)
{
    http_problem_code(response, request, 503, code, error, NULL);
    http_response_header(response, "Retry-After", retry_after_s);
}

void http_unavailable(struct http_response *response,
                      const struct http_request *request, const char *error)
{
    http_unavailable_code(response, request, NULL, error);
}

void http_response_write(const struct http_response *response,
                         const struct http_request *request, bool without_body,
                         struct celery_buf *ret_wire)
{
    celery_buf_printf(ret_wire,
                      "HTTP/1.1 %d %s\r\n"
                      "Date: %s\r\n"
                      "Content-Type: %s\r\n"
                      "Content-Length: %zu\r\n"
                      "X-Request-Id: %s\r\n"
                      "X-Content-Type-Options: nosniff\r\n"
                      "%s"
                      "Connection: %s\r\n",
                      response->status, http_reason(response->status),
                      http_date(), response->content_type, response->body.len,
                      request->id, response->cacheable ? "" : no_store,
                      response->close ? "close" : "keep-alive");
    celery_buf_append(ret_wire, celery_buf_str(&response->headers));
    celery_buf_append(ret_wire, CELERY_STR("\r\n"));
    if (!without_body)
        celery_buf_append(ret_wire, celery_buf_str(&response->body));
}
