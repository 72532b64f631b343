/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies of the mailbox. Who a request is for is in
 * control_match.c. Source: kombu/pidbox.py (Mailbox._publish, _publish_reply,
 * Node.handle_message), celery/worker/pidbox.py.
 */
#include "celery/control.h"

#include <math.h>
#include <string.h>

#include "celery/json_write.h"
#include "envelope_put.h"

enum { METHOD, ARGUMENTS, DESTINATION, PATTERN, MATCHER, TICKET, REPLY_TO, N };
static const char *const names[N] = {
    "method",  "arguments", "destination", "pattern",
    "matcher", "ticket",    "reply_to",
};

/* null and absent are empty, every other type is broken. */
static enum celery_status read_text(struct celery_json value, const char *name,
                                    struct celery_arena *arena,
                                    struct celery_str *ret,
                                    struct celery_error *err)
{
    *ret = CELERY_STR("");
    if (celery_json_null(value))
        return CELERY_OK;
    enum celery_status status = celery_json_string(value, arena, ret);
    if (status != CELERY_OK)
        return celery_fail(err, status, "request: \"%s\" is no text", name);
    return CELERY_OK;
}

static enum celery_status read_texts(const struct celery_json *values,
                                     struct celery_arena *arena,
                                     struct celery_control_request *ret,
                                     struct celery_error *err)
{
    struct celery_json reply_to = values[REPLY_TO];
    const struct {
        struct celery_json value;
        const char *name;
        struct celery_str *ret;
    } texts[] = {
        {values[METHOD], "method", &ret->method},
        {values[PATTERN], "pattern", &ret->pattern},
        {values[MATCHER], "matcher", &ret->matcher},
        {values[TICKET], "ticket", &ret->ticket},
        {celery_json_get(reply_to, "exchange"), "exchange",
         &ret->reply_exchange},
        {celery_json_get(reply_to, "routing_key"), "routing_key",
         &ret->reply_routing_key},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum celery_status status =
            read_text(texts[i].value, texts[i].name, arena, texts[i].ret, err);
        if (status != CELERY_OK)
            return status;
    }
    if (ret->method.len == 0)
        return celery_fail(err, CELERY_MALFORMED, "request without method");
    if (celery_json_null(reply_to))
        ret->ticket = CELERY_STR(""); /* a cast: nobody waits */
    return CELERY_OK;
}

static enum celery_status read_headers(struct celery_json headers,
                                       struct celery_control_request *ret,
                                       struct celery_error *err)
{
    struct celery_json clock = celery_json_get(headers, "clock");
    struct celery_json expires = celery_json_get(headers, "expires");

    if (!celery_json_null(clock) && !celery_json_int64(clock, &ret->clock))
        return celery_fail(err, CELERY_MALFORMED, "request: broken clock");
    if (!celery_json_double(expires, &ret->expires) || !isfinite(ret->expires))
        ret->expires = 0;
    return CELERY_OK;
}

static enum celery_status read_values(const struct celery_json *values,
                                      struct celery_control_request *ret,
                                      struct celery_error *err)
{
    struct celery_json arguments = values[ARGUMENTS];
    struct celery_json destination = values[DESTINATION];

    if (!celery_json_null(arguments) && arguments.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED,
                           "request: arguments are no object");
    if (!celery_json_null(destination) && destination.type != CELERY_JSON_ARRAY
        && destination.type != CELERY_JSON_STRING)
        return celery_fail(err, CELERY_MALFORMED,
                           "request: destination is no array");
    if (arguments.type == CELERY_JSON_OBJECT)
        ret->arguments = arguments;
    if (!celery_json_null(destination))
        ret->destination = destination;
    return CELERY_OK;
}

enum celery_status celery_control_decode(const struct celery_envelope *envelope,
                                         const struct celery_limits *limits,
                                         struct celery_arena *arena,
                                         struct celery_control_request *ret,
                                         struct celery_error *err)
{
    struct celery_json body;
    struct celery_json values[N];
    struct celery_control_request request = {
        .arguments = {CELERY_JSON_NONE, {"", 0}},
        .destination = {CELERY_JSON_NONE, {"", 0}},
    };

    enum celery_status status =
        celery_content_decode(&envelope->content, CELERY_ACCEPT_JSON, limits,
                              arena, &body, err);
    if (status != CELERY_OK)
        return status;
    if (body.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "request is no object");
    celery_json_pick(body, names, N, values);
    status = read_texts(values, arena, &request, err);
    if (status == CELERY_OK)
        status = read_values(values, &request, err);
    if (status == CELERY_OK)
        status = read_headers(envelope->headers, &request, err);
    if (status == CELERY_OK)
        *ret = request;
    return status;
}

/* What every envelope of the mailbox has in common. */
static void put_envelope(struct celery_buf *buf, struct celery_buf *headers,
                         struct celery_buf *body,
                         const struct celery_envelope_out *route,
                         struct celery_str exchange,
                         struct celery_str routing_key)
{
    struct celery_envelope_out out = *route;

    out.content_type = "application/json";
    out.content_encoding = "utf-8";
    out.headers = celery_buf_str(headers);
    out.body = celery_buf_str(body);
    if (celery_buf_status(headers) != CELERY_OK)
        buf->status = celery_buf_status(headers);
    if (celery_buf_status(body) != CELERY_OK)
        buf->status = celery_buf_status(body);
    cel_envelope_put(buf, &out, exchange, routing_key);
    celery_buf_done(headers);
    celery_buf_done(body);
}

void celery_control_reply(struct celery_buf *buf,
                          const struct celery_control_request *request,
                          const char *nodename, struct celery_str reply,
                          int64_t clock, const char *delivery_tag)
{
    struct celery_buf headers = CELERY_BUF_INIT;
    struct celery_buf body = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&headers);
    const struct celery_envelope_out route = {
        .delivery_mode = 1,
        .delivery_tag = delivery_tag,
    };

    celery_json_begin_object(&w);
    celery_json_key(&w, "ticket");
    celery_json_put_str(&w, request->ticket);
    celery_json_key(&w, "clock");
    celery_json_put_int(&w, clock);
    celery_json_end_object(&w);

    w = CELERY_JSON_WRITER(&body);
    celery_json_begin_object(&w);
    celery_json_key(&w, nodename);
    celery_json_put_raw(&w, reply.len == 0 ? CELERY_STR("null") : reply);
    celery_json_end_object(&w);

    put_envelope(buf, &headers, &body, &route, request->reply_exchange,
                 request->reply_routing_key);
}

static void put_text_or_null(struct celery_json_writer *w, const char *key,
                             const char *text)
{
    celery_json_key(w, key);
    if (text == NULL)
        celery_json_put_null(w);
    else
        celery_json_put_text(w, text);
}

static void put_request(struct celery_json_writer *w,
                        const struct celery_control_out *out)
{
    celery_json_begin_object(w);
    celery_json_key(w, "method");
    celery_json_put_text(w, out->method);
    celery_json_key(w, "arguments");
    celery_json_put_raw(w, out->arguments.len == 0 ? CELERY_STR("{}")
                                                   : out->arguments);
    celery_json_key(w, "destination");
    celery_json_put_raw(w, out->destination.len == 0 ? CELERY_STR("null")
                                                     : out->destination);
    put_text_or_null(w, "pattern", out->pattern);
    put_text_or_null(w, "matcher", out->matcher);
    if (out->ticket != NULL) {
        celery_json_key(w, "ticket");
        celery_json_put_text(w, out->ticket);
        celery_json_key(w, "reply_to");
        celery_json_begin_object(w);
        celery_json_key(w, "exchange");
        celery_json_put_text(w, "reply.celery.pidbox");
        celery_json_key(w, "routing_key");
        celery_json_put_text(w, out->reply_routing_key);
        celery_json_end_object(w);
    }
    celery_json_end_object(w);
}

void celery_control_encode(struct celery_buf *buf,
                           const struct celery_control_out *out)
{
    struct celery_buf headers = CELERY_BUF_INIT;
    struct celery_buf body = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&headers);
    const struct celery_envelope_out route = {
        .delivery_mode = 2,
        .delivery_tag = out->delivery_tag,
    };

    celery_json_begin_object(&w);
    celery_json_key(&w, "clock");
    celery_json_put_int(&w, out->clock);
    celery_json_key(&w, "expires");
    if (out->expires > 0)
        celery_json_put_double(&w, out->expires);
    else
        celery_json_put_int(&w, 0);
    celery_json_end_object(&w);

    w = CELERY_JSON_WRITER(&body);
    put_request(&w, out);
    put_envelope(buf, &headers, &body, &route, CELERY_STR("celery.pidbox"),
                 CELERY_STR(""));
}
