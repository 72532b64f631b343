/* SPDX-License-Identifier: MIT */
/*
 * The codec for scripts: a JSON object a line on stdin, an answer a line on
 * stdout. {"op": "repr" | "float" | "loads" | "encode" | "decode" | "again" |
 * "msgpack" | "unmsgpack" | "match" | "result" | "unresult" | "event" |
 * "timestamp", …}; what an operation reads is at its function.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "celery/base64.h"
#include "celery/content.h"
#include "celery/control.h"
#include "celery/event.h"
#include "celery/json_write.h"
#include "celery/message.h"
#include "celery/python_repr.h"
#include "celery/result.h"
#include "celery/timestamp.h"

static struct celery_limits limits;

static struct celery_str get_str(struct celery_json in, const char *key,
                                 struct celery_arena *arena)
{
    struct celery_str text = {"", 0};
    struct celery_json value = celery_json_get(in, key);

    if (value.type == CELERY_JSON_STRING
        && celery_json_string(value, arena, &text) != CELERY_OK)
        abort();
    return text;
}

/* NULL when absent. */
static const char *get_text(struct celery_json in, const char *key,
                            struct celery_arena *arena)
{
    if (celery_json_get(in, key).type != CELERY_JSON_STRING)
        return NULL;
    const char *text = celery_arena_copy(arena, get_str(in, key, arena)).data;
    if (text == NULL)
        abort();
    return text;
}

static int64_t get_int(struct celery_json in, const char *key, int64_t missing)
{
    int64_t n = missing;

    (void)celery_json_int64(celery_json_get(in, key), &n);
    return n;
}

static struct celery_str get_raw(struct celery_json in, const char *key)
{
    struct celery_json value = celery_json_get(in, key);
    return celery_json_null(value) ? CELERY_STR("") : value.text;
}

static struct celery_str get_bytes(struct celery_json in, const char *key,
                                   struct celery_arena *arena)
{
    struct celery_str bytes = {"", 0};

    if (celery_base64_decode(get_str(in, key, arena), arena, &bytes)
        != CELERY_OK)
        abort();
    return bytes;
}

static void put_pair(struct celery_json_writer *w, const char *key,
                     struct celery_str text)
{
    celery_json_key(w, key);
    celery_json_put_str(w, text);
}

static void put_error(struct celery_json_writer *w, enum celery_status status,
                      const struct celery_error *err)
{
    put_pair(w, "status",
             (struct celery_str){celery_status_text(status),
                                 strlen(celery_status_text(status))});
    put_pair(w, "error", (struct celery_str){err->msg, strlen(err->msg)});
}

/* value, tuple, maxlen, levels; or str: repr() of a text. */
static void op_repr(struct celery_json in, struct celery_json_writer *w,
                    struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json str = celery_json_get(in, "str");

    if (str.type == CELERY_JSON_STRING)
        celery_python_repr_str(&buf, get_str(in, "str", arena));
    else
        celery_python_repr(&buf, celery_json_get(in, "value"),
                           celery_json_truthy(celery_json_get(in, "tuple")),
                           (size_t)get_int(in, "maxlen", 0),
                           (unsigned)get_int(in, "levels", 0));
    put_pair(w, "out", celery_buf_str(&buf));
}

/* value: a number; out: its repr as a float. */
static void op_float(struct celery_json in, struct celery_json_writer *w,
                     struct celery_arena *arena)
{
    char text[32];
    double d = 0;

    (void)arena;
    if (!celery_json_double(celery_json_get(in, "value"), &d))
        abort();
    put_pair(w, "out", (struct celery_str){text, celery_double_repr(d, text)});
}

/* bytes: base64 of a document; ok: is it JSON? */
static void op_loads(struct celery_json in, struct celery_json_writer *w,
                     struct celery_arena *arena)
{
    struct celery_json root;

    celery_json_key(w, "ok");
    celery_json_put_bool(w, celery_json_parse(get_bytes(in, "bytes", arena),
                                              &limits, &root, NULL)
                                == CELERY_OK);
}

/* The members of struct celery_task_out; out: the envelope. */
static void op_encode(struct celery_json in, struct celery_json_writer *w,
                      struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};
    struct celery_task_out task = {
        .protocol = (int)get_int(in, "protocol", 0),
        .serializer = celery_json_truthy(celery_json_get(in, "msgpack"))
                        ? CELERY_SERIALIZER_MSGPACK
                        : CELERY_SERIALIZER_JSON,
        .now_us = get_int(in, "now_us", 0),
        .task = get_text(in, "task", arena),
        .id = get_text(in, "id", arena),
        .args = get_raw(in, "args"),
        .kwargs = get_raw(in, "kwargs"),
        .root_id = get_text(in, "root_id", arena),
        .parent_id = get_text(in, "parent_id", arena),
        .group = get_text(in, "group", arena),
        .shadow = get_text(in, "shadow", arena),
        .origin = get_text(in, "origin", arena),
        .reply_to = get_text(in, "reply_to", arena),
        .eta_us = get_int(in, "eta_us", 0),
        .expires_us = get_int(in, "expires_us", 0),
        .group_index = get_int(in, "group_index", -1),
        .retries = get_int(in, "retries", 0),
        .replaced_task_nesting = get_int(in, "replaced_task_nesting", 0),
        .time_limit_s = (double)get_int(in, "time_limit", 0),
        .soft_time_limit_s = (double)get_int(in, "soft_time_limit", 0),
        .ignore_result =
            (enum celery_ignore_result)get_int(in, "ignore_result", 0),
        .callbacks = get_raw(in, "callbacks"),
        .errbacks = get_raw(in, "errbacks"),
        .chain = get_raw(in, "chain"),
        .chord = get_raw(in, "chord"),
        .stamped_headers = get_raw(in, "stamped_headers"),
        .stamps = get_raw(in, "stamps"),
        .extra_headers = celery_json_get(in, "headers"),
        .compression = get_text(in, "compression", arena),
        .priority = (int)get_int(in, "priority", 0),
        .exchange = get_text(in, "exchange", arena),
        .routing_key = get_text(in, "routing_key", arena),
    };

    enum celery_status status = celery_message_encode_envelope(
        &task, get_text(in, "delivery_tag", arena), &buf, &err);
    if (status != CELERY_OK)
        put_error(w, status, &err);
    else
        put_pair(w, "out", celery_buf_str(&buf));
}

static void put_value(struct celery_json_writer *w, const char *key,
                      struct celery_json value)
{
    celery_json_key(w, key);
    celery_json_put_value(w, value);
}

static enum celery_status decode(struct celery_json in,
                                 struct celery_arena *arena,
                                 struct celery_envelope *ret_e,
                                 struct celery_message *ret_m,
                                 struct celery_error *err)
{
    enum celery_status status =
        celery_envelope_decode(get_str(in, "raw", arena), &limits, arena, ret_e,
                               err);

    if (status == CELERY_OK)
        status =
            celery_message_decode(ret_e,
                                  CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                  &limits, arena, ret_m, err);
    return status;
}

/* raw: an envelope, now_us, delivery_tag; out: what a worker publishes for the
 * next attempt, at the same eta. */
static void op_again(struct celery_json in, struct celery_json_writer *w,
                     struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_message m;
    struct celery_task_out task;
    struct celery_error err = {.msg = ""};

    enum celery_status status = decode(in, arena, &e, &m, &err);
    if (status == CELERY_OK)
        status = celery_message_retry(&m, &e, arena, &task);
    if (status == CELERY_OK) {
        task.retries++;
        task.eta_us = m.eta_us;
        task.now_us = get_int(in, "now_us", 0);
        status = celery_message_encode_envelope(
            &task, get_text(in, "delivery_tag", arena), &buf, &err);
    }
    if (status != CELERY_OK)
        put_error(w, status, &err);
    else
        put_pair(w, "out", celery_buf_str(&buf));
}

/* raw: an envelope; the message's members. */
static void op_decode(struct celery_json in, struct celery_json_writer *w,
                      struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_message m;
    struct celery_error err = {.msg = ""};

    enum celery_status status = decode(in, arena, &e, &m, &err);
    if (status != CELERY_OK) {
        put_error(w, status, &err);
        return;
    }
    put_pair(w, "task", m.task);
    put_pair(w, "id", m.id);
    put_pair(w, "group", m.group);
    put_pair(w, "root_id", m.root_id);
    put_pair(w, "parent_id", m.parent_id);
    put_pair(w, "correlation_id", m.correlation_id);
    put_pair(w, "routing_key", e.routing_key);
    celery_json_key(w, "eta_us");
    celery_json_put_int(w, m.eta_us);
    celery_json_key(w, "expires_us");
    celery_json_put_int(w, m.expires_us);
    celery_json_key(w, "retries");
    celery_json_put_int(w, m.retries);
    celery_json_key(w, "priority");
    celery_json_put_int(w, e.priority);
    put_value(w, "args", m.args);
    put_value(w, "kwargs", m.kwargs);
    put_value(w, "callbacks", m.callbacks);
    put_value(w, "errbacks", m.errbacks);
    put_value(w, "chain", m.chain);
    put_value(w, "chord", m.chord);
    put_value(w, "headers", m.headers);
}

/* value; out: base64 of its msgpack. */
static void op_msgpack(struct celery_json in, struct celery_json_writer *w,
                       struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf out = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};

    (void)arena;
    enum celery_status status =
        celery_msgpack_encode(celery_json_get(in, "value"), &packed, &err);
    if (status != CELERY_OK) {
        put_error(w, status, &err);
        return;
    }
    celery_base64_encode(&out, celery_buf_str(&packed));
    put_pair(w, "out", celery_buf_str(&out));
}

/* bytes: base64 of msgpack; value: the same as JSON. */
static void op_unmsgpack(struct celery_json in, struct celery_json_writer *w,
                         struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf out = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};

    enum celery_status status =
        celery_msgpack_decode(get_bytes(in, "bytes", arena), &limits, &out,
                              &err);
    if (status != CELERY_OK) {
        put_error(w, status, &err);
        return;
    }
    celery_json_key(w, "value");
    celery_json_put_raw(w, celery_buf_str(&out));
}

/* pattern, matcher, node; ok: is the request for the node? */
static void op_match(struct celery_json in, struct celery_json_writer *w,
                     struct celery_arena *arena)
{
    const struct celery_control_request request = {
        .pattern = get_str(in, "pattern", arena),
        .matcher = get_str(in, "matcher", arena),
    };

    celery_json_key(w, "ok");
    celery_json_put_bool(w, celery_control_is_for(&request,
                                                  get_text(in, "node", arena)));
}

/* The members of struct celery_result_out, and compression; out: base64. */
static void op_result(struct celery_json in, struct celery_json_writer *w,
                      struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf out = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};
    const char *compression = get_text(in, "compression", arena);
    const struct celery_result_out result = {
        .status = get_text(in, "status", arena),
        .result = get_raw(in, "result"),
        .traceback = get_str(in, "traceback", arena),
        .children = get_raw(in, "children"),
        .date_done_us = get_int(in, "date_done_us", 0),
        .task_id = get_str(in, "task_id", arena),
        .group_id = get_str(in, "group_id", arena),
        .parent_id = get_str(in, "parent_id", arena),
        .name = get_str(in, "name", arena),
        .args = get_raw(in, "args"),
        .kwargs = get_raw(in, "kwargs"),
        .worker = get_str(in, "worker", arena),
        .retries = get_int(in, "retries", 0),
        .queue = get_str(in, "queue", arena),
        .stamped_headers = celery_json_get(in, "stamped_headers"),
        .stamps = celery_json_get(in, "stamps"),
    };

    celery_result_encode(&plain, &result);
    if (compression == NULL)
        celery_buf_append(&packed, celery_buf_str(&plain));
    else if (celery_result_compress(celery_buf_str(&plain), compression,
                                    &packed, &err)
             != CELERY_OK)
        abort();
    celery_base64_encode(&out, celery_buf_str(&packed));
    put_pair(w, "out", celery_buf_str(&out));
}

/* bytes: base64 of a stored result; document: its members. */
static void op_unresult(struct celery_json in, struct celery_json_writer *w,
                        struct celery_arena *arena)
{
    struct celery_result r;
    struct celery_error err = {.msg = ""};

    enum celery_status status =
        celery_result_decode(get_bytes(in, "bytes", arena), &limits, arena, &r,
                             &err);
    if (status != CELERY_OK)
        put_error(w, status, &err);
    else
        put_value(w, "document", r.document);
}

/* hostname, utcoffset, pid, clock, timestamp, uuid; result and runtime, or the
 * members of struct celery_task_out; out: task-succeeded or task-sent. */
static void op_event(struct celery_json in, struct celery_json_writer *w,
                     struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_event_base base = {
        .hostname = get_text(in, "hostname", arena),
        .pid = get_int(in, "pid", 0),
        .clock = get_int(in, "clock", 0),
    };
    const struct celery_task_out task = {
        .task = get_text(in, "task", arena),
        .id = get_text(in, "uuid", arena),
        .root_id = get_text(in, "root_id", arena),
        .parent_id = get_text(in, "parent_id", arena),
        .args = get_raw(in, "args"),
        .kwargs = get_raw(in, "kwargs"),
        .retries = get_int(in, "retries", 0),
        .eta_us = get_int(in, "eta_us", 0),
        .expires_us = get_int(in, "expires_us", 0),
        .exchange = get_text(in, "exchange", arena),
        .routing_key = get_text(in, "routing_key", arena),
    };
    double runtime = 0;

    (void)celery_json_double(celery_json_get(in, "utcoffset"), &base.utcoffset);
    (void)celery_json_double(celery_json_get(in, "timestamp"), &base.timestamp);
    if (celery_json_double(celery_json_get(in, "runtime"), &runtime))
        celery_event_succeeded(&buf, &base, get_str(in, "uuid", arena),
                               celery_json_get(in, "result"), runtime);
    else
        celery_event_sent(&buf, &base, &task);
    put_pair(w, "out", celery_buf_str(&buf));
}

/* text; usec: since 1970, null where it is no timestamp. */
static void op_timestamp(struct celery_json in, struct celery_json_writer *w,
                         struct celery_arena *arena)
{
    int64_t usec = 0;

    celery_json_key(w, "usec");
    if (celery_timestamp_parse(get_str(in, "text", arena), &usec) == CELERY_OK)
        celery_json_put_int(w, usec);
    else
        celery_json_put_null(w);
}

static const struct {
    const char *name;
    void (*run)(struct celery_json in, struct celery_json_writer *w,
                struct celery_arena *arena);
} ops[] = {
    {"repr", op_repr},           {"float", op_float},
    {"loads", op_loads},         {"encode", op_encode},
    {"decode", op_decode},       {"again", op_again},
    {"msgpack", op_msgpack},     {"unmsgpack", op_unmsgpack},
    {"match", op_match},         {"result", op_result},
    {"unresult", op_unresult},   {"event", op_event},
    {"timestamp", op_timestamp},
};

static void answer(struct celery_str line)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    struct celery_json in;
    struct celery_error err = {.msg = ""};

    celery_json_begin_object(&w);
    enum celery_status status = celery_json_parse(line, &limits, &in, &err);
    if (status != CELERY_OK) {
        put_error(&w, status, &err);
    } else {
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
            if (celery_json_is(celery_json_get(in, "op"), ops[i].name))
                ops[i].run(in, &w, &arena);
        }
    }
    celery_json_end_object(&w);
    if (celery_buf_status(&buf) != CELERY_OK)
        abort();
    (void)fwrite(buf.data, 1, buf.len, stdout);
    (void)putchar('\n');
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;

    limits = CELERY_LIMITS_DEFAULT;
    limits.depth = 1024;
    while ((len = getline(&line, &cap, stdin)) > 0)
        answer((struct celery_str){line, (size_t)len});
    free(line);
    return EXIT_SUCCESS;
}
