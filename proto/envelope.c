/* SPDX-License-Identifier: MIT */
/*
 * The envelope, read leniently (kombu's Message takes what is absent as
 * nothing) and written in kombu's order. Source:
 * kombu/transport/virtual/base.py (Message, Channel.prepare_message,
 * _inplace_augment_message), kombu/message.py.
 */
#include "celery/envelope.h"

#include <string.h>

#include "celery/base64.h"
#include "celery/json_write.h"
#include "envelope_put.h"
#include "json_text.h"
#include "message_fields.h"

/* Absent, null or of another type: empty. */
static enum celery_status read_text(struct celery_json value,
                                    struct celery_arena *arena,
                                    struct celery_str *ret)
{
    *ret = CELERY_STR("");
    if (value.type != CELERY_JSON_STRING)
        return CELERY_OK;
    return celery_json_string(value, arena, ret);
}

enum { TOP_BODY, TOP_ENCODING, TOP_TYPE, TOP_HEADERS, TOP_PROPERTIES, TOP_N };
static const struct celery_str top_names[TOP_N] = {
    CEL_NAME("body"),    CEL_NAME("content-encoding"), CEL_NAME("content-type"),
    CEL_NAME("headers"), CEL_NAME("properties"),
};

enum {
    PROP_CORRELATION_ID,
    PROP_REPLY_TO,
    PROP_DELIVERY_INFO,
    PROP_PRIORITY,
    PROP_BODY_ENCODING,
    PROP_DELIVERY_TAG,
    PROP_N
};
static const struct celery_str prop_names[PROP_N] = {
    CEL_NAME("correlation_id"), CEL_NAME("reply_to"),
    CEL_NAME("delivery_info"),  CEL_NAME("priority"),
    CEL_NAME("body_encoding"),  CEL_NAME("delivery_tag"),
};

enum { INFO_EXCHANGE, INFO_ROUTING_KEY, INFO_REDELIVERED, INFO_N };
static const struct celery_str info_names[INFO_N] = {
    CEL_NAME("exchange"),
    CEL_NAME("routing_key"),
    CEL_NAME("redelivered"),
};

struct source {
    struct celery_json top[TOP_N];
    struct celery_json prop[PROP_N];
    struct celery_json info[INFO_N];
    struct cel_fields fields;
    const struct cel_fields *head; /* the fields, in the arena */
};

static enum celery_status read_body(const struct source *s,
                                    struct celery_arena *arena,
                                    struct celery_str *ret,
                                    struct celery_error *err)
{
    struct celery_json body = s->top[TOP_BODY];
    struct celery_json encoding = s->prop[PROP_BODY_ENCODING];
    struct celery_str text = CELERY_STR("");

    if (!celery_json_null(body) && body.type != CELERY_JSON_STRING)
        return celery_fail(err, CELERY_MALFORMED, "body is no string");
    enum celery_status status = read_text(body, arena, &text);
    if (status != CELERY_OK)
        return celery_fail(err, status, "no memory for the body");

    /* "utf-8" is a name from kombu 5.4 on; without a name the text is the
     * body as well. */
    if (celery_json_null(encoding) || celery_json_is(encoding, "utf-8")
        || celery_json_is(encoding, "")) {
        *ret = text;
        return CELERY_OK;
    }
    if (!celery_json_is(encoding, "base64"))
        return celery_fail(err, CELERY_MALFORMED, "unknown body_encoding");
    status = celery_base64_decode(text, arena, ret);
    if (status != CELERY_OK)
        return celery_fail(err, status, "body: %s",
                           status == CELERY_NOMEM ? "out of memory"
                                                  : "no base64");
    return CELERY_OK;
}

static enum celery_status parse(struct celery_str raw,
                                const struct celery_limits *limits,
                                struct source *s, struct celery_json *ret_root,
                                struct celery_error *err)
{
    enum { TOP, HEAD, PROP, INFO, N };
    struct cel_pick picks[N] = {
        [TOP] = {NULL, 0, top_names, TOP_N, s->top, 0, 0},
        [HEAD] = {&picks[TOP], TOP_HEADERS, cel_field_names, CEL_FIELDS,
                  s->fields.values, 0, 0},
        [PROP] = {&picks[TOP], TOP_PROPERTIES, prop_names, PROP_N, s->prop, 0,
                  0},
        [INFO] = {&picks[PROP], PROP_DELIVERY_INFO, info_names, INFO_N, s->info,
                  0, 0},
    };

    enum celery_status status =
        cel_json_parse_picks(raw, limits, picks, N, ret_root, err);
    s->fields.members = picks[HEAD].members;
    return status;
}

static enum celery_status check_source(struct source *s,
                                       struct celery_json root,
                                       const struct celery_limits *limits,
                                       struct celery_arena *arena,
                                       struct celery_error *err)
{
    if (root.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "envelope is no object");
    struct celery_json headers = s->top[TOP_HEADERS];
    if (!celery_json_null(headers) && headers.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "headers are no object");
    struct celery_json properties = s->top[TOP_PROPERTIES];
    if (!celery_json_null(properties) && properties.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "properties are no object");
    s->head = cel_fields_copy(&s->fields, arena);
    if (s->head == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for the headers");
    return cel_fields_limit(s->head, headers, limits, err);
}

static enum celery_status read_texts(const struct source *s,
                                     struct celery_arena *arena,
                                     struct celery_envelope *e)
{
    const struct {
        struct celery_json value;
        struct celery_str *ret;
    } texts[] = {
        {s->top[TOP_TYPE], &e->content.type},
        {s->top[TOP_ENCODING], &e->content.encoding},
        {s->head->values[CEL_FIELD_COMPRESSION], &e->content.compression},
        {s->prop[PROP_CORRELATION_ID], &e->correlation_id},
        {s->prop[PROP_REPLY_TO], &e->reply_to},
        {s->prop[PROP_DELIVERY_TAG], &e->delivery_tag},
        {s->info[INFO_EXCHANGE], &e->exchange},
        {s->info[INFO_ROUTING_KEY], &e->routing_key},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum celery_status status =
            read_text(texts[i].value, arena, texts[i].ret);
        if (status != CELERY_OK)
            return status;
    }
    return CELERY_OK;
}

enum celery_status celery_envelope_decode(struct celery_str raw,
                                          const struct celery_limits *limits,
                                          struct celery_arena *arena,
                                          struct celery_envelope *ret,
                                          struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct celery_json root = {CELERY_JSON_NONE, {"", 0}};
    struct source s;
    struct celery_envelope e = {.priority = 0};

    if (limits == NULL)
        limits = &defaults;
    if (raw.len > limits->message_bytes)
        return celery_fail(
            err, CELERY_TOO_LARGE,
            "message of %zu bytes: past the limit message_bytes of "
            "%zu at byte %zu",
            raw.len, limits->message_bytes, limits->message_bytes);
    enum celery_status status = parse(raw, limits, &s, &root, err);
    if (status == CELERY_OK)
        status = check_source(&s, root, limits, arena, err);
    if (status == CELERY_OK)
        status = read_body(&s, arena, &e.content.body, err);
    if (status != CELERY_OK)
        return status;
    status = read_texts(&s, arena, &e);
    if (status != CELERY_OK)
        return celery_fail(err, status, "no memory for the envelope");

    e.fields = s.head;
    e.headers = s.top[TOP_HEADERS];
    if (e.headers.type != CELERY_JSON_OBJECT)
        e.headers.type = CELERY_JSON_NONE;
    e.properties = s.top[TOP_PROPERTIES];
    if (e.properties.type != CELERY_JSON_OBJECT)
        e.properties.type = CELERY_JSON_NONE;
    if (!celery_json_int64(s.prop[PROP_PRIORITY], &e.priority))
        e.priority = 0;
    /* kombu's Redis transport marks both places when it restores. */
    e.redelivered =
        s.head->values[CEL_FIELD_REDELIVERED].type == CELERY_JSON_TRUE
        || s.info[INFO_REDELIVERED].type == CELERY_JSON_TRUE;
    *ret = e;
    return CELERY_OK;
}

static void put_optional(struct celery_json_writer *w, struct celery_str key,
                         const char *text)
{
    if (text == NULL)
        return;
    cel_json_raw_key(w, key);
    celery_json_put_text(w, text);
}

static void put_properties(struct celery_json_writer *w,
                           const struct celery_envelope_out *out,
                           struct celery_str exchange,
                           struct celery_str routing_key)
{
    cel_json_raw_key(w, CEL_KEY("properties"));
    celery_json_begin_object(w);
    put_optional(w, CEL_KEY("correlation_id"), out->correlation_id);
    put_optional(w, CEL_KEY("reply_to"), out->reply_to);
    cel_json_raw_key(w, CEL_KEY("delivery_mode"));
    celery_json_put_int(w, out->delivery_mode);
    put_optional(w, CEL_KEY("expiration"), out->expiration);
    cel_json_raw_key(w, CEL_KEY("delivery_info"));
    celery_json_begin_object(w);
    cel_json_raw_key(w, CEL_KEY("exchange"));
    celery_json_put_str(w, exchange);
    cel_json_raw_key(w, CEL_KEY("routing_key"));
    celery_json_put_str(w, routing_key);
    celery_json_end_object(w);
    cel_json_raw_key(w, CEL_KEY("priority"));
    celery_json_put_int(w, out->priority);
    cel_json_raw_key(w, CEL_KEY("body_encoding"));
    celery_json_put_text(w, "base64");
    cel_json_raw_key(w, CEL_KEY("delivery_tag"));
    celery_json_put_text(w, out->delivery_tag == NULL ? "" : out->delivery_tag);
    celery_json_end_object(w);
}

void cel_envelope_put(struct celery_buf *buf,
                      const struct celery_envelope_out *out,
                      struct celery_str exchange, struct celery_str routing_key)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    celery_json_begin_object(&w);
    cel_json_raw_key(&w, CEL_KEY("body"));
    celery_json_put_raw(&w, CELERY_STR("\""));
    celery_base64_encode(buf, out->body);
    celery_buf_append(buf, CELERY_STR("\""));
    cel_json_raw_key(&w, CEL_KEY("content-encoding"));
    celery_json_put_text(&w, out->content_encoding);
    cel_json_raw_key(&w, CEL_KEY("content-type"));
    celery_json_put_text(&w, out->content_type);
    cel_json_raw_key(&w, CEL_KEY("headers"));
    celery_json_put_raw(&w, out->headers.len == 0 ? CELERY_STR("{}")
                                                  : out->headers);
    put_properties(&w, out, exchange, routing_key);
    celery_json_end_object(&w);
}

static struct celery_str str_of(const char *text)
{
    return text == NULL ? CELERY_STR("")
                        : (struct celery_str){text, strlen(text)};
}

void celery_envelope_encode(struct celery_buf *buf,
                            const struct celery_envelope_out *out)
{
    cel_envelope_put(buf, out, str_of(out->exchange), str_of(out->routing_key));
}
