/* SPDX-License-Identifier: MIT */
/*
 * The static files: the API's description, and the operations page with its script
 * and style.
 */
#include "handlers/handlers.h"
#include "web/web.h"

/* They change with the program only: kept, but asked for again. */
static void answer(struct http_response *response, const char *type,
                   const unsigned char *data, size_t len)
{
    response->content_type = type;
    response->cacheable = true;
    http_response_header(response, "Cache-Control", "no-cache");
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

/* Nothing in the page itself is run or applied: what somebody smuggled into a
 * text of it would be neither. */
void handle_page(void *arg, struct http_request *request,
                 struct http_response *response)
{
    (void)arg;
    (void)request;
    http_response_header(response, "Content-Security-Policy",
                         "default-src 'none'; style-src 'self'; "
                         "script-src 'self'; connect-src 'self'; "
                         "base-uri 'none'; form-action 'none'; "
                         "frame-ancestors 'none'");
    answer(response, "text/html; charset=utf-8", web_index_html,
           web_index_html_len);
}

void handle_page_script(void *arg, struct http_request *request,
                        struct http_response *response)
{
    (void)arg;
    (void)request;
    answer(response, "text/javascript; charset=utf-8", web_app_js,
           web_app_js_len);
}

void handle_page_style(void *arg, struct http_request *request,
                       struct http_response *response)
{
    (void)arg;
    (void)request;
    answer(response, "text/css; charset=utf-8", web_app_css, web_app_css_len);
}
