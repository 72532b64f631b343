/* SPDX-License-Identifier: MIT */
#include "http/response.h"

#include <string.h>

static const char retry_after_s[] = "5";

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Unknown";
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

void http_problem(struct http_response *response,
                  const struct http_request *request, int status,
                  const char *error, const char *field)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(&response->body);
    response->status = status;
    response->content_type = "application/json";
    celery_buf_clear(&response->body);
    celery_json_begin_object(&w);
    celery_json_key(&w, "ok");
    celery_json_put_bool(&w, false);
    celery_json_key(&w, "error");
    celery_json_put_text(&w, error);
    celery_json_key(&w, "field");
    celery_json_put_text(&w, field);
    celery_json_key(&w, "request_id");
    celery_json_put_text(&w, request->id);
    celery_json_end_object(&w);
}

void http_unavailable(struct http_response *response,
                      const struct http_request *request, const char *error)
{
    http_problem(response, request, 503, error, NULL);
    http_response_header(response, "Retry-After", retry_after_s);
}

void http_response_write(const struct http_response *response,
                         const struct http_request *request, bool without_body,
                         struct celery_buf *ret_wire)
{
    celery_buf_printf(ret_wire,
                      "HTTP/1.1 %d %s\r\n"
                      "Content-Type: %s\r\n"
                      "Content-Length: %zu\r\n"
                      "X-Request-Id: %s\r\n"
                      "X-Content-Type-Options: nosniff\r\n"
                      "Connection: %s\r\n",
                      response->status, http_reason(response->status),
                      response->content_type, response->body.len, request->id,
                      response->close ? "close" : "keep-alive");
    celery_buf_append(ret_wire, celery_buf_str(&response->headers));
    celery_buf_append(ret_wire, CELERY_STR("\r\n"));
    if (!without_body)
        celery_buf_append(ret_wire, celery_buf_str(&response->body));
}
