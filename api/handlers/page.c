/* SPDX-License-Identifier: MIT */
/*
 * The static files: the API's description and the operations page.
 */
#include "handlers/handlers.h"
#include "web/web.h"

static void answer(struct http_response *response, const char *type,
                   const unsigned char *data, size_t len)
{
    response->content_type = type;
    response->cacheable = true;
    celery_buf_append(&response->body,
                      (struct celery_str){(const char *)data, len});
}

void handle_openapi(void *arg, struct http_request *request,
                    struct http_response *response)
{
    (void)arg;
    (void)request;
    answer(response, "application/json", web_openapi_json,
           web_openapi_json_len);
}

void handle_page(void *arg, struct http_request *request,
                 struct http_response *response)
{
    (void)arg;
    (void)request;
    http_response_header(response, "Content-Security-Policy",
                         "default-src 'none'; style-src 'unsafe-inline'; "
                         "script-src 'unsafe-inline'; connect-src 'self'");
    answer(response, "text/html; charset=utf-8", web_index_html,
           web_index_html_len);
}
