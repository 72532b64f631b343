/* SPDX-License-Identifier: MIT */
/*
 * A task as protocol 2, with the 19 headers of Celery 5.7.0 in its order, or as
 * protocol 1. What the caller hands over as JSON text is checked first: one
 * body of another shape ends a Python worker. Source: celery/app/amqp.py
 * as_task_v2, as_task_v1.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "celery/compress.h"
#include "celery/content.h"
#include "celery/envelope.h"
#include "celery/json_write.h"
#include "celery/message.h"
#include "celery/python_repr.h"
#include "celery/timestamp.h"
#include "json_text.h"
#include "message_fields.h"

enum { HEADERS_ROOM = 1000, BODY_ROOM = 500 };

struct parts {
    struct celery_json args;
    struct celery_json kwargs;
    struct celery_json callbacks;
    struct celery_json errbacks;
    struct celery_json chain;
    struct celery_json chord;
    struct celery_json stamped_headers;
    struct celery_json stamps;
};

static const struct celery_json empty_array = {CELERY_JSON_ARRAY, {"[]", 2}};
static const struct celery_json empty_object = {CELERY_JSON_OBJECT, {"{}", 2}};
static const struct celery_json null = {CELERY_JSON_NULL, {"null", 4}};

static enum celery_status check_parts(const struct celery_task_out *task,
                                      struct parts *parts,
                                      struct celery_error *err)
{
    const struct celery_limits limits = {
        .elements = SIZE_MAX,
        .depth = 1024,
    };
    const struct {
        const char *name;
        struct celery_str text;
        struct celery_json empty;
        enum celery_json_type type;
        struct celery_json *ret;
    } table[] = {
        {"args", task->args, empty_array, CELERY_JSON_ARRAY, &parts->args},
        {"kwargs", task->kwargs, empty_object, CELERY_JSON_OBJECT,
         &parts->kwargs},
        {"callbacks", task->callbacks, null, CELERY_JSON_ARRAY,
         &parts->callbacks},
        {"errbacks", task->errbacks, null, CELERY_JSON_ARRAY, &parts->errbacks},
        {"chain", task->chain, null, CELERY_JSON_ARRAY, &parts->chain},
        {"chord", task->chord, null, CELERY_JSON_OBJECT, &parts->chord},
        {"stamped_headers", task->stamped_headers, null, CELERY_JSON_ARRAY,
         &parts->stamped_headers},
        {"stamps", task->stamps, empty_object, CELERY_JSON_OBJECT,
         &parts->stamps},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum celery_status status = CELERY_OK;
        if (table[i].text.len == 0)
            *table[i].ret = table[i].empty;
        else
            status =
                celery_json_parse(table[i].text, &limits, table[i].ret, err);
        if (status != CELERY_OK)
            return celery_fail(err, CELERY_INVALID, "%s are no JSON",
                               table[i].name);
        if (table[i].ret->type != table[i].type
            && (table[i].ret->type != CELERY_JSON_NULL || i < 2))
            return celery_fail(err, CELERY_INVALID, "%s are of a wrong type",
                               table[i].name);
    }
    return CELERY_OK;
}

/* NULL and "" are None in Python's eyes where it says "x or None". */
static void put_text(struct celery_json_writer *w, struct celery_str key,
                     const char *text)
{
    cel_json_raw_key(w, key);
    celery_json_put_text(w, text == NULL || *text == '\0' ? NULL : text);
}

static void put_time(struct celery_json_writer *w, struct celery_str key,
                     int64_t usec)
{
    char text[CELERY_TIMESTAMP_MAX];

    cel_json_raw_key(w, key);
    if (usec == CELERY_TIME_NONE) {
        celery_json_put_null(w);
        return;
    }
    celery_timestamp_format(usec, text);
    celery_json_put_text(w, text);
}

/* 10 for 10.0: who sets limits writes integers. */
static void put_seconds(struct celery_json_writer *w, double seconds)
{
    if (!(seconds > 0) || !isfinite(seconds))
        celery_json_put_null(w);
    else if (seconds < 1e15 && !(seconds > (double)(int64_t)seconds))
        celery_json_put_int(w, (int64_t)seconds);
    else
        celery_json_put_double(w, seconds);
}

/* A saferepr() as a JSON string. */
static void put_repr(struct celery_json_writer *w, struct celery_str key,
                     struct celery_json value, bool as_tuple)
{
    struct celery_buf text = CELERY_BUF_INIT;

    celery_python_repr(&text, value, as_tuple, CELERY_REPR_MAX,
                       CELERY_REPR_LEVELS);
    if (celery_buf_status(&text) != CELERY_OK)
        w->buf->status = celery_buf_status(&text);
    cel_json_raw_key(w, key);
    celery_json_put_str(w, celery_buf_str(&text));
    celery_buf_done(&text);
}

static void put_ignore_result(struct celery_json_writer *w,
                              enum celery_ignore_result ignore)
{
    cel_json_raw_key(w, CEL_KEY("ignore_result"));
    if (ignore == CELERY_IGNORE_RESULT_UNSET)
        celery_json_put_null(w);
    else
        celery_json_put_bool(w, ignore == CELERY_IGNORE_RESULT_YES);
}

/* Headers that a user's headers cannot set, besides those of the protocol: what
 * RabbitMQ and the transports note on a message on its way. */
static const struct celery_str transport_names[] = {
    CEL_NAME("x-death"),
    CEL_NAME("x-deliveries"),
    CEL_NAME("x-delivery-count"),
    CEL_NAME("x-first-death-exchange"),
    CEL_NAME("x-first-death-queue"),
    CEL_NAME("x-first-death-reason"),
    CEL_NAME("x-last-death-exchange"),
    CEL_NAME("x-last-death-queue"),
    CEL_NAME("x-last-death-reason"),
};

/* guess: the field that is likely to come, and then the one behind it. */
static bool is_reserved(struct celery_json key, size_t *guess)
{
    enum { N = sizeof transport_names / sizeof transport_names[0] };

    size_t field = cel_json_find_key(key, cel_field_names, CEL_FIELDS, *guess);
    if (field != CEL_FIELDS) {
        *guess = field + 1;
        return true;
    }
    return cel_json_find_key(key, transport_names, N, 0) != N;
}

static void put_extra(struct celery_json_writer *w, struct celery_json extra)
{
    struct celery_json key;
    struct celery_json value;
    size_t guess = 0;

    if (extra.type != CELERY_JSON_OBJECT)
        return;
    struct celery_json_iter iter = celery_json_iter(extra);
    while (celery_json_next(&iter, &key, &value)) {
        if (is_reserved(key, &guess))
            continue;
        celery_json_put_value(w, key);
        celery_buf_append(w->buf, CELERY_STR(": "));
        w->comma = false;
        celery_json_put_value(w, value);
    }
}

static void put_group_index(struct celery_json_writer *w, int64_t index)
{
    cel_json_raw_key(w, CEL_KEY("group_index"));
    if (index == -1)
        celery_json_put_null(w);
    else
        celery_json_put_int(w, index);
}

static void put_timelimit(struct celery_json_writer *w,
                          const struct celery_task_out *task)
{
    cel_json_raw_key(w, CEL_KEY("timelimit"));
    celery_json_begin_array(w);
    put_seconds(w, task->time_limit_s);
    put_seconds(w, task->soft_time_limit_s);
    celery_json_end_array(w);
}

static void put_headers(struct celery_json_writer *w,
                        const struct celery_task_out *task,
                        const struct parts *parts)
{
    bool own_root = task->root_id == NULL || *task->root_id == '\0';

    put_text(w, CEL_KEY("lang"), "py");
    put_text(w, CEL_KEY("task"), task->task);
    put_text(w, CEL_KEY("id"), task->id);
    put_text(w, CEL_KEY("shadow"), task->shadow);
    put_time(w, CEL_KEY("eta"), task->eta_us);
    put_time(w, CEL_KEY("expires"), task->expires_us);
    put_text(w, CEL_KEY("group"), task->group);
    put_group_index(w, task->group_index);
    cel_json_raw_key(w, CEL_KEY("retries"));
    celery_json_put_int(w, task->retries);
    put_timelimit(w, task);
    put_text(w, CEL_KEY("root_id"), own_root ? task->id : task->root_id);
    put_text(w, CEL_KEY("parent_id"), task->parent_id);
    put_repr(w, CEL_KEY("argsrepr"), parts->args, true);
    put_repr(w, CEL_KEY("kwargsrepr"), parts->kwargs, false);
    put_text(w, CEL_KEY("origin"), task->origin);
    put_ignore_result(w, task->ignore_result);
    cel_json_raw_key(w, CEL_KEY("replaced_task_nesting"));
    celery_json_put_int(w, task->replaced_task_nesting);
    cel_json_raw_key(w, CEL_KEY("stamped_headers"));
    celery_json_put_value(w, parts->stamped_headers);
    cel_json_raw_key(w, CEL_KEY("stamps"));
    celery_json_put_value(w, parts->stamps);
}

static void put_body(struct celery_buf *buf, const struct parts *parts)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    celery_json_begin_array(&w);
    celery_json_put_value(&w, parts->args);
    celery_json_put_value(&w, parts->kwargs);
    celery_json_begin_object(&w);
    cel_json_raw_key(&w, CEL_KEY("callbacks"));
    celery_json_put_value(&w, parts->callbacks);
    cel_json_raw_key(&w, CEL_KEY("errbacks"));
    celery_json_put_value(&w, parts->errbacks);
    cel_json_raw_key(&w, CEL_KEY("chain"));
    celery_json_put_value(&w, parts->chain);
    cel_json_raw_key(&w, CEL_KEY("chord"));
    celery_json_put_value(&w, parts->chord);
    celery_json_end_object(&w);
    celery_json_end_array(&w);
}

/* Protocol 1: what is a header in protocol 2 is a member of the body. Workers
 * take the group from "taskset". */
static void put_body_v1(struct celery_buf *buf,
                        const struct celery_task_out *task,
                        const struct parts *parts)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    celery_json_begin_object(&w);
    put_text(&w, CEL_KEY("task"), task->task);
    put_text(&w, CEL_KEY("id"), task->id);
    cel_json_raw_key(&w, CEL_KEY("args"));
    celery_json_put_value(&w, parts->args);
    cel_json_raw_key(&w, CEL_KEY("kwargs"));
    celery_json_put_value(&w, parts->kwargs);
    put_text(&w, CEL_KEY("group"), task->group);
    put_group_index(&w, task->group_index);
    cel_json_raw_key(&w, CEL_KEY("retries"));
    celery_json_put_int(&w, task->retries);
    put_time(&w, CEL_KEY("eta"), task->eta_us);
    put_time(&w, CEL_KEY("expires"), task->expires_us);
    cel_json_raw_key(&w, CEL_KEY("utc"));
    celery_json_put_bool(&w, true);
    cel_json_raw_key(&w, CEL_KEY("callbacks"));
    celery_json_put_value(&w, parts->callbacks);
    cel_json_raw_key(&w, CEL_KEY("errbacks"));
    celery_json_put_value(&w, parts->errbacks);
    put_timelimit(&w, task);
    put_text(&w, CEL_KEY("taskset"), task->group);
    cel_json_raw_key(&w, CEL_KEY("chord"));
    celery_json_put_value(&w, parts->chord);
    celery_json_end_object(&w);
}

static void put_json(struct celery_buf *buf, const struct celery_task_out *task,
                     const struct parts *parts)
{
    if (task->protocol == 1)
        put_body_v1(buf, task, parts);
    else
        put_body(buf, parts);
}

/* All of a body is JSON first, so that both forms say the same. */
static enum celery_status put_msgpack(struct celery_buf *buf,
                                      const struct celery_task_out *task,
                                      const struct parts *parts,
                                      struct celery_error *err)
{
    const struct celery_limits limits = {.elements = SIZE_MAX, .depth = 1024};
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_json root = null;

    put_json(&text, task, parts);
    enum celery_status status = celery_buf_status(&text);
    if (status != CELERY_OK)
        status = celery_fail(err, status, "no memory for the body");
    if (status == CELERY_OK)
        status = celery_json_parse(celery_buf_str(&text), &limits, &root, err);
    if (status == CELERY_OK)
        status = celery_msgpack_encode(root, buf, err);
    celery_buf_done(&text);
    if (status == CELERY_OK || status == CELERY_NOMEM)
        return status;
    if (err != NULL)
        err->status = CELERY_INVALID; /* the text says what msgpack lacks */
    return CELERY_INVALID;
}

static enum celery_status put_plain(struct celery_buf *buf,
                                    const struct celery_task_out *task,
                                    const struct parts *parts,
                                    struct celery_error *err)
{
    if (task->serializer == CELERY_SERIALIZER_MSGPACK)
        return put_msgpack(buf, task, parts, err);
    put_json(buf, task, parts);
    return CELERY_OK; /* the buffer remembers */
}

static enum celery_status put_compressed(struct celery_buf *body,
                                         const struct celery_task_out *task,
                                         const struct parts *parts,
                                         struct celery_str name,
                                         struct celery_error *err)
{
    struct celery_buf plain = CELERY_BUF_INIT;

    enum celery_status status = put_plain(&plain, task, parts, err);
    if (status == CELERY_OK && celery_buf_status(&plain) != CELERY_OK)
        status = celery_fail(err, celery_buf_status(&plain),
                             "no memory for the body");
    if (status == CELERY_OK)
        status = celery_compress(name, celery_buf_str(&plain), body, err);
    celery_buf_done(&plain);
    return status;
}

static enum celery_status check_protocol(const struct celery_task_out *task,
                                         const struct parts *parts,
                                         struct celery_error *err)
{
    if (task->protocol < 0 || task->protocol > 2)
        return celery_fail(err, CELERY_INVALID, "there is no protocol %d",
                           task->protocol);
    if (task->protocol == 1 && celery_json_count(parts->chain) != 0)
        return celery_fail(err, CELERY_INVALID, "protocol 1 has no chain");
    return CELERY_OK;
}

enum celery_status celery_message_encode(const struct celery_task_out *task,
                                         struct celery_buf *headers,
                                         struct celery_buf *body,
                                         struct celery_error *err)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(headers);
    struct celery_str compression = {"", 0};
    struct parts parts;

    if (task->task == NULL || *task->task == '\0' || task->id == NULL
        || *task->id == '\0')
        return celery_fail(err, CELERY_INVALID, "a task needs name and id");
    enum celery_status status = check_parts(task, &parts, err);
    if (status == CELERY_OK)
        status = check_protocol(task, &parts, err);
    if (status != CELERY_OK)
        return status;

    if (task->compression != NULL && *task->compression != '\0')
        compression =
            (struct celery_str){task->compression, strlen(task->compression)};
    if (compression.len == 0)
        status = put_plain(body, task, &parts, err);
    else
        status = put_compressed(body, task, &parts, compression, err);
    if (status != CELERY_OK)
        return status;

    celery_json_begin_object(&w);
    if (task->protocol != 1)
        put_headers(&w, task, &parts);
    put_extra(&w, task->extra_headers);
    if (compression.len != 0)
        put_text(&w, CEL_KEY("compression"),
                 celery_compression_mime(compression));
    celery_json_end_object(&w);

    status = celery_buf_status(headers);
    if (status == CELERY_OK)
        status = celery_buf_status(body);
    if (status != CELERY_OK)
        return celery_fail(err, status, "no room for the message");
    return CELERY_OK;
}

/* Python: str(int(seconds * 1000)), and 0 for what is past. Source:
 * celery/app/base.py send_task, kombu/messaging.py Producer.publish. */
bool celery_task_expiration(const struct celery_task_out *task,
                            char ret_text[CELERY_EXPIRATION_MAX])
{
    uint64_t left_us = 0;

    if (task->expires_us == CELERY_TIME_NONE || task->now_us == 0)
        return false;
    if (task->expires_us > task->now_us)
        left_us = (uint64_t)task->expires_us - (uint64_t)task->now_us;
    (void)snprintf(ret_text, CELERY_EXPIRATION_MAX, "%" PRIu64, left_us / 1000);
    return true;
}

const char *celery_serializer_type(enum celery_serializer serializer)
{
    return serializer == CELERY_SERIALIZER_MSGPACK ? "application/x-msgpack"
                                                   : "application/json";
}

void celery_message_envelope(const struct celery_task_out *task,
                             const struct celery_buf *headers,
                             const struct celery_buf *body,
                             const char *expiration, const char *delivery_tag,
                             struct celery_envelope_out *ret)
{
    *ret = (struct celery_envelope_out){
        .body = celery_buf_str(body),
        .content_type = celery_serializer_type(task->serializer),
        .content_encoding =
            task->serializer == CELERY_SERIALIZER_MSGPACK ? "binary" : "utf-8",
        .headers = celery_buf_str(headers),
        .correlation_id =
            task->correlation_id == NULL ? task->id : task->correlation_id,
        .reply_to = task->reply_to == NULL ? "" : task->reply_to,
        .expiration = expiration,
        .delivery_mode = 2,
        .priority = task->priority,
        .exchange = task->exchange == NULL ? "" : task->exchange,
        .routing_key = task->routing_key,
        .delivery_tag = delivery_tag,
    };
}

enum celery_status celery_message_encode_envelope(
    const struct celery_task_out *task, const char *delivery_tag,
    struct celery_buf *buf, struct celery_error *err)
{
    struct celery_buf headers = CELERY_BUF_INIT;
    struct celery_buf body = CELERY_BUF_INIT;
    char expiration[CELERY_EXPIRATION_MAX];
    bool expires = celery_task_expiration(task, expiration);

    /* One allocation each for most messages; what fails here is marked. */
    (void)celery_buf_reserve(&headers, HEADERS_ROOM);
    (void)celery_buf_reserve(&body, BODY_ROOM);
    enum celery_status status =
        celery_message_encode(task, &headers, &body, err);
    if (status == CELERY_OK) {
        struct celery_envelope_out out;
        celery_message_envelope(task, &headers, &body,
                                expires ? expiration : NULL, delivery_tag,
                                &out);
        celery_envelope_encode(buf, &out);
        status = celery_buf_status(buf);
        if (status != CELERY_OK)
            status = celery_fail(err, status, "no room for the message");
    }
    celery_buf_done(&headers);
    celery_buf_done(&body);
    return status;
}
