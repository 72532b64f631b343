/* SPDX-License-Identifier: MIT */
#include "http/front_input.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/target.h"

/* A body must begin within body_first_us, come at body_rate bytes a second on
 * the whole, and be there after body_whole_us. */
static const int64_t body_first_us = 10 * USEC_PER_SEC;
static const int64_t body_whole_us = 60 * USEC_PER_SEC;
static const int64_t body_rate = 1024;

enum input_state input_read_head(struct exchange *exchange,
                                 struct http_refusal *ret_refusal)
{
    enum http_head_state found =
        http_head_find_end(exchange->input, exchange->len, &exchange->scanned,
                           &exchange->head_len, ret_refusal);
    size_t so_far =
        found == HTTP_HEAD_DONE ? exchange->head_len : exchange->len;
    if (found != HTTP_HEAD_REFUSED && so_far > HTTP_HEAD_MAX) {
        *ret_refusal =
            (struct http_refusal){431, "head_size",
                                  "the head is larger than 16384 bytes"};
        found = HTTP_HEAD_REFUSED;
    }
    if (found == HTTP_HEAD_MORE)
        return INPUT_MORE;
    exchange->used = exchange->head_len;
    if (found == HTTP_HEAD_REFUSED)
        return INPUT_REFUSED;
    struct http_target target;
    if (!http_head_parse(exchange->input, exchange->head_len, &exchange->head,
                         ret_refusal)
        || !http_target_parse(exchange->head.target, &target, ret_refusal))
        return INPUT_REFUSED;
    exchange->path = target.path;
    exchange->query = target.query;
    return INPUT_DONE;
}

/* The bytes are exchange->input's, which is ours to write to. */
static const char *terminated(struct exchange *exchange, struct celery_str s)
{
    exchange->input[(size_t)(s.data - exchange->input) + s.len] = '\0';
    return s.data;
}

static const char *decoded_path(struct exchange *exchange)
{
    struct celery_str path = exchange->path;
    if (path.len == 1)
        return path.data[0] == '/' ? "/" : "*";
    http_target_decode(path, exchange->input + (path.data - exchange->input));
    return path.data;
}

void input_make_request(struct exchange *exchange,
                        const struct peer_address *peer,
                        const struct peer_set *trusted)
{
    struct http_request *request = &exchange->request;
    const struct http_head *head = &exchange->head;
    request->started_us = clock_monotonic_us();
    request->method = terminated(exchange, head->method);
    request->query = exchange->query.data != NULL
                       ? terminated(exchange, exchange->query)
                       : NULL;
    request->path = decoded_path(exchange);
    for (size_t i = 0; i < head->field_count; i++) {
        request->headers[i].name = terminated(exchange, head->fields[i].name);
        request->headers[i].value = terminated(exchange, head->fields[i].value);
    }
    request->header_count = head->field_count;
    peer_address_text(peer, exchange->peer);
    request->peer = exchange->peer;
    request->client = exchange->peer;
    if (peer_set_has(trusted, peer)) {
        struct peer_address client;
        peer_client(trusted, peer, request, &client);
        peer_address_text(&client, exchange->client);
        request->client = exchange->client;
    }
    http_request_identify(request);
}

void input_ensure_request(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;
    if (request->method != NULL)
        return;
    request->started_us = clock_monotonic_us();
    request->method = "other";
    request->path = "";
    request->peer = "";
    request->client = "";
    http_request_identify(request);
}

/* --- the body ----------------------------------------------------------- */

bool input_has_body(const struct exchange *exchange)
{
    return exchange->head.chunked || exchange->head.content_length > 0;
}

static enum input_state too_large(struct exchange *exchange,
                                  struct http_refusal *refusal)
{
    (void)snprintf(exchange->detail, sizeof exchange->detail,
                   "the body is larger than %zu bytes", exchange->body_limit);
    *refusal = (struct http_refusal){413, "body_size", exchange->detail};
    return INPUT_REFUSED;
}

static enum input_state read_chunked(struct exchange *exchange,
                                     struct http_refusal *refusal)
{
    struct celery_buf *body = &exchange->request.body;
    size_t used = 0;
    enum http_chunk_state state =
        http_chunked_feed(&exchange->chunked, exchange->input + exchange->used,
                          exchange->len - exchange->used, &used, body);
    exchange->used += used;
    if (state == HTTP_CHUNK_BAD) {
        *refusal = (struct http_refusal){400, "chunked",
                                         "the body's chunks are "
                                         "malformed"};
        return INPUT_REFUSED;
    }
    if (body->len > exchange->body_limit)
        return too_large(exchange, refusal);
    return state == HTTP_CHUNK_DONE ? INPUT_DONE : INPUT_MORE;
}

enum input_state input_read_body(struct exchange *exchange,
                                 struct http_refusal *ret_refusal)
{
    struct celery_buf *body = &exchange->request.body;
    if (exchange->head.chunked)
        return read_chunked(exchange, ret_refusal);
    if (exchange->head.content_length <= 0)
        return INPUT_DONE;
    size_t length = (size_t)exchange->head.content_length;
    if (length > exchange->body_limit)
        return too_large(exchange, ret_refusal);
    size_t have = exchange->len - exchange->used;
    size_t want = length - body->len;
    size_t n = have < want ? have : want;
    celery_buf_append(body,
                      (struct celery_str){exchange->input + exchange->used, n});
    exchange->used += n;
    return n == want ? INPUT_DONE : INPUT_MORE;
}

char *input_room(struct exchange *exchange, size_t *ret_room)
{
    /* What was moved to the body makes room again; the head stays. */
    if (exchange->head_len > 0 && exchange->used == exchange->len)
        exchange->used = exchange->len = exchange->head_len;
    *ret_room = sizeof exchange->input - exchange->len;
    return exchange->input + exchange->len;
}

int64_t input_body_deadline(const struct exchange *exchange)
{
    int64_t bought =
        (int64_t)exchange->request.body.len * USEC_PER_SEC / body_rate;
    int64_t patience = body_first_us + bought;
    return exchange->body_started_us
         + (patience < body_whole_us ? patience : body_whole_us);
}
