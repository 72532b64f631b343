/* SPDX-License-Identifier: MIT */
/*
 * Exchanges that are used again, with their buffers: a warm server asks for no
 * memory.
 */
#include <stdlib.h>

#include "base/xalloc.h"
#include "http/front_conn.h"

enum {
    SPARES_MAX = 256,
    BUFFER_KEPT_MAX = 65536, /* a larger one is given back */
};

static void keep_or_free(struct celery_buf *buf)
{
    if (buf->cap > BUFFER_KEPT_MAX || celery_buf_status(buf) != CELERY_OK)
        celery_buf_done(buf);
    celery_buf_clear(buf);
}

void exchange_reset(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;
    struct http_response *response = &exchange->response;
    keep_or_free(&request->body);
    keep_or_free(&response->body);
    keep_or_free(&response->headers);
    keep_or_free(&exchange->wire);
    /* All but the buffers is new, whatever members there will be. */
    *request = (struct http_request){.body = request->body};
    struct http_response fresh = HTTP_RESPONSE_INIT;
    fresh.body = response->body;
    fresh.headers = response->headers;
    *response = fresh;
    exchange->route = NULL;
    exchange->sent = 0;
    exchange->link = -1;
    exchange->chunked = (struct http_chunked){0};
    exchange->head.expect_continue = false;
    exchange->head.keep_alive = false;
    exchange->scanned = 0;
    exchange->head_len = 0;
    exchange->used = 0;
    exchange->len = 0;
    exchange->body_limit = 0;
}

struct exchange *exchange_take(struct front *front)
{
    struct exchange *exchange = front->spare;
    if (exchange == NULL) {
        exchange = xmalloc(sizeof *exchange);
        exchange->request = (struct http_request){0};
        exchange->response = HTTP_RESPONSE_INIT;
        exchange->wire = CELERY_BUF_INIT;
        exchange_reset(exchange);
        return exchange;
    }
    front->spare = exchange->next;
    front->spares--;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    http_request_done(&exchange->request);
    http_response_done(&exchange->response);
    celery_buf_done(&exchange->wire);
    free(exchange);
}

void exchange_put(struct front *front, struct exchange *exchange)
{
    if (front->spares >= SPARES_MAX) {
        exchange_free(exchange);
        return;
    }
    exchange_reset(exchange);
    exchange->next = front->spare;
    front->spare = exchange;
    front->spares++;
}
