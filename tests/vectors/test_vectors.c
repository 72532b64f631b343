/* SPDX-License-Identifier: MIT */
/*
 * Reads what six releases of Python Celery wrote, one file an argument:
 * every task decodes and survives decode, encode, decode; pickle and yaml are
 * refused by name; every event, request, reply and result decodes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "celery/control.h"
#include "celery/message.h"
#include "celery/result.h"
#include "celery/signature.h"

struct vector {
    const char *file;
    long line;
    struct celery_str name;
    struct celery_str raw;
    struct celery_json meta;
};

static int failures;

static void CELERY_PRINTF(2, 3)
    complain(const struct vector *v, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(stderr, "%s:%ld: %.*s: ", v->file, v->line, (int)v->name.len,
                  v->name.data);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    failures++;
}

static bool same(struct celery_str a, struct celery_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool same_value(struct celery_json a, struct celery_json b)
{
    return celery_json_null(a) ? celery_json_null(b) : same(a.text, b.text);
}

/* latin-1 text to the bytes it stands for. */
static struct celery_str to_bytes(struct celery_arena *arena,
                                  struct celery_str text)
{
    struct celery_str copy = celery_arena_copy(arena, text);
    char *out = celery_arena_alloc(arena, text.len + 1);
    size_t n = 0;

    if (copy.data == NULL || out == NULL)
        abort();
    for (size_t i = 0; i < text.len; i++) {
        unsigned c = (unsigned char)text.data[i];
        if (c >= 0x80)
            c = (c & 0x1f) << 6 | ((unsigned char)text.data[++i] & 0x3f);
        out[n++] = (char)c;
    }
    return (struct celery_str){out, n};
}

static struct celery_str text_of(struct celery_arena *arena,
                                 struct celery_json value)
{
    struct celery_str text = {"", 0};

    if (value.type == CELERY_JSON_STRING
        && celery_json_string(value, arena, &text) != CELERY_OK)
        abort();
    return text;
}

static bool refused_by_name(const struct celery_envelope *e,
                            const struct celery_error *err)
{
    static const char *const refused[] = {
        "application/x-python-serialize",
        "application/x-yaml",
    };

    for (size_t i = 0; i < 2; i++) {
        struct celery_str want = {refused[i], strlen(refused[i])};
        if (same(e->content.type, want))
            return strstr(err->msg, refused[i]) != NULL;
    }
    return false;
}

static void compare(const struct vector *v, const struct celery_message *a,
                    const struct celery_message *b)
{
    if (!same(a->task, b->task) || !same(a->id, b->id)
        || !same(a->group, b->group) || !same(a->shadow, b->shadow)
        || !same(a->origin, b->origin) || !same(a->reply_to, b->reply_to))
        complain(v, "a text changed");
    if (a->eta_us != b->eta_us || a->expires_us != b->expires_us
        || a->group_index != b->group_index || a->retries != b->retries
        || a->ignore_result != b->ignore_result)
        complain(v, "a number changed");
    if (!same_value(a->args, b->args) || !same_value(a->kwargs, b->kwargs)
        || !same_value(a->callbacks, b->callbacks)
        || !same_value(a->errbacks, b->errbacks)
        || !same_value(a->chain, b->chain) || !same_value(a->chord, b->chord)
        || !same_value(a->stamped_headers, b->stamped_headers))
        complain(v, "a value changed");
    /* Python's own reprs are what we make of the same arguments; 5.2 alone
     * sends typed values as bare texts. */
    if (a->protocol == 2 && a->argsrepr.len != 0
        && !same(v->name, CELERY_STR("typed-values"))
        && (!same(a->argsrepr, b->argsrepr)
            || !same(a->kwargsrepr, b->kwargsrepr)))
        complain(v, "argsrepr %.*s", (int)b->argsrepr.len, b->argsrepr.data);
}

/* What Python 5.7.0 wrote as plain JSON comes out of us byte for byte. */
static void check_bytes(const struct vector *v, struct celery_task_out *out,
                        const struct celery_message *message,
                        const struct celery_envelope *e)
{
    CLEANUP(celery_buf_done) struct celery_buf headers = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    const char *parent = out->parent_id;

    if (message->protocol != 2 || strstr(v->file, "5.7.0") == NULL
        || !same(e->content.type, CELERY_STR("application/json")))
        return;
    if (message->parent_id.len == 0)
        out->parent_id = NULL;
    if (celery_message_encode(out, &headers, &body, NULL) != CELERY_OK)
        complain(v, "cannot encode");
    if (message->parent_id.len == 0
        && !same(celery_buf_str(&headers), e->headers.text))
        complain(v, "headers %s", headers.data);
    /* A library of another version compresses otherwise. */
    if (out->compression == NULL
        && !same(celery_buf_str(&body), e->content.body))
        complain(v, "body %s", body.data);
    out->parent_id = parent;
}

static void again(const struct vector *v, const struct celery_message *message,
                  const struct celery_envelope *e, struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_task_out out;
    struct celery_envelope e2;
    struct celery_message m2;
    struct celery_error err;

    if (celery_message_retry(message, e, arena, &out) != CELERY_OK) {
        complain(v, "no retry");
        return;
    }
    out.eta_us = message->eta_us;
    if (e->content.compression.len != 0)
        out.compression = celery_arena_copy(arena, e->content.compression).data;
    check_bytes(v, &out, message, e);
    if (celery_message_encode_envelope(&out, "tag", &buf, &err) != CELERY_OK
        || celery_envelope_decode(celery_buf_str(&buf), NULL, arena, &e2, &err)
               != CELERY_OK
        || celery_message_decode(&e2, CELERY_ACCEPT_JSON, NULL, arena, &m2,
                                 &err)
               != CELERY_OK) {
        complain(v, "ours does not come back: %s", err.msg);
        return;
    }
    compare(v, message, &m2);
    if (!same(m2.parent_id,
              message->parent_id.len != 0 ? message->parent_id : message->id))
        complain(v, "the parent is %.*s", (int)m2.parent_id.len,
                 m2.parent_id.data);
}

static int signatures;

/* Every signature, and all within it, decoded and encoded again is the same. */
static void check_signature(const struct vector *v, struct celery_json root,
                            struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_signature_walk walk;
    struct celery_signature s;
    struct celery_error err;
    bool done = false;

    celery_signature_walk(&walk, root, arena);
    while (!done) {
        if (celery_signature_next(&walk, &s, &done, &err) != CELERY_OK) {
            complain(v, "%s", err.msg);
            return;
        }
        if (done)
            return;
        signatures++;
        celery_buf_clear(&buf);
        celery_signature_encode(&buf, &s);
        if (!same(celery_buf_str(&buf), s.source.text))
            complain(v, "signature %s", buf.data);
    }
}

static void check_signatures(const struct vector *v, struct celery_json list,
                             struct celery_arena *arena)
{
    struct celery_json value;
    struct celery_json_iter iter = celery_json_iter(list);

    while (celery_json_next(&iter, NULL, &value))
        check_signature(v, value, arena);
}

static void check_meta(const struct vector *v,
                       const struct celery_message *message,
                       struct celery_arena *arena)
{
    struct celery_str task = text_of(arena, celery_json_get(v->meta, "task"));

    if (task.len != 0 && !same(task, message->task))
        complain(v, "task is %.*s", (int)message->task.len, message->task.data);
    if (message->task.len < 5 || message->id.len != 36)
        complain(v, "no task or id");
    if (message->args.type != CELERY_JSON_ARRAY
        || message->kwargs.type != CELERY_JSON_OBJECT)
        complain(v, "no args or kwargs");
    check_signatures(v, message->callbacks, arena);
    check_signatures(v, message->errbacks, arena);
    check_signatures(v, message->chain, arena);
    if (message->chord.type != CELERY_JSON_NONE)
        check_signature(v, message->chord, arena);
}

static void check_task(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_message message;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK) {
        complain(v, "envelope: %s", err.msg);
        return;
    }
    enum celery_status status =
        celery_message_decode(&e, CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                              NULL, arena, &message, &err);
    if (status == CELERY_UNSUPPORTED && refused_by_name(&e, &err)) {
        if (message.id.len != 36)
            complain(v, "refused without an id");
        return;
    }
    if (status != CELERY_OK) {
        complain(v, "message: %s", err.msg);
        return;
    }
    check_meta(v, &message, arena);
    again(v, &message, &e, arena);
}

/* On RabbitMQ the parts of the envelope are AMQP properties. */
static void check_amqp_task(const struct vector *v, struct celery_arena *arena)
{
    struct celery_json properties = celery_json_get(v->meta, "properties");
    struct celery_json info = celery_json_get(v->meta, "delivery_info");
    struct celery_json headers =
        celery_json_get(properties, "application_headers");
    struct celery_message message;
    struct celery_error err;
    struct celery_envelope e = {
        .content =
            {
                .type =
                    text_of(arena, celery_json_get(properties, "content_type")),
                .compression =
                    text_of(arena, celery_json_get(headers, "compression")),
                .body = v->raw,
            },
        .headers = headers,
        .reply_to = text_of(arena, celery_json_get(properties, "reply_to")),
        .routing_key = text_of(arena, celery_json_get(info, "routing_key")),
    };

    if (celery_message_decode(&e, CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                              NULL, arena, &message, &err)
        != CELERY_OK) {
        complain(v, "message: %s", err.msg);
        return;
    }
    check_meta(v, &message, arena);
    again(v, &message, &e, arena);
}

static void check_event(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_json root;
    struct celery_json event;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, arena,
                                 &root, &err)
               != CELERY_OK) {
        complain(v, "event: %s", err.msg);
        return;
    }
    struct celery_json_iter iter = celery_json_iter(root);
    if (root.type == CELERY_JSON_OBJECT) {
        if (celery_json_get(root, "type").type != CELERY_JSON_STRING)
            complain(v, "event without a type");
        return;
    }
    while (celery_json_next(&iter, NULL, &event)) {
        if (celery_json_get(event, "type").type != CELERY_JSON_STRING)
            complain(v, "event without a type");
    }
}

static void check_control(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_control_request request;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_control_decode(&e, NULL, arena, &request, &err)
               != CELERY_OK) {
        complain(v, "control: %s", err.msg);
        return;
    }
    if (request.method.len == 0)
        complain(v, "request without a method");
}

static void check_reply(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_json root;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, arena,
                                 &root, &err)
               != CELERY_OK
        || root.type != CELERY_JSON_OBJECT || celery_json_count(root) != 1)
        complain(v, "reply");
}

static void check_result(const struct vector *v, struct celery_arena *arena)
{
    struct celery_result result;
    struct celery_error err;

    if (celery_result_decode(v->raw, NULL, arena, &result, &err) != CELERY_OK) {
        complain(v, "result: %s", err.msg);
        return;
    }
    if (result.status.len == 0 || result.task_id.len != 36)
        complain(v, "result without status or id");
    if (same(result.status, CELERY_STR("FAILURE"))
        && result.exception.type.len == 0)
        complain(v, "failure without an exception");
}

static struct {
    const char *kind;
    void (*check)(const struct vector *v, struct celery_arena *arena);
    int seen;
} kinds[] = {
    {"task", check_task, 0},   {"amqp-task", check_amqp_task, 0},
    {"event", check_event, 0}, {"control", check_control, 0},
    {"reply", check_reply, 0}, {"result", check_result, 0},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void check_line(struct vector *v, struct celery_str line)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root;

    if (celery_json_parse(line, NULL, &root, NULL) != CELERY_OK) {
        complain(v, "the line is no JSON");
        return;
    }
    v->name = text_of(&arena, celery_json_get(root, "name"));
    v->meta = celery_json_get(root, "meta");
    v->raw = to_bytes(&arena, text_of(&arena, celery_json_get(root, "raw")));
    for (size_t i = 0; i < KINDS; i++) {
        if (celery_json_is(celery_json_get(root, "kind"), kinds[i].kind)) {
            kinds[i].check(v, &arena);
            kinds[i].seen++;
        }
    }
}

/* The recording was made without a RabbitMQ. */
static bool without_amqp;

static void check_file(const char *path)
{
    struct vector v = {.file = path};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;

    FILE *f = fopen(path, "re");
    if (f == NULL) {
        perror(path);
        failures++;
        return;
    }
    for (size_t i = 0; i < KINDS; i++)
        kinds[i].seen = 0;
    while ((len = getline(&line, &cap, f)) > 0) {
        v.line++;
        check_line(&v, (struct celery_str){line, (size_t)len});
    }
    free(line);
    (void)fclose(f);
    for (size_t i = 0; i < KINDS; i++) {
        printf("%s: %d %s\n", path, kinds[i].seen, kinds[i].kind);
        if (kinds[i].seen == 0
            && !(without_amqp && strcmp(kinds[i].kind, "amqp-task") == 0))
            failures++;
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--without-amqp") == 0) {
        without_amqp = true;
        argv++;
        argc--;
    }
    for (int i = 1; i < argc; i++)
        check_file(argv[i]);
    if (signatures == 0) {
        failures++;
        (void)fputs("no signature was seen\n", stderr);
    }
    return failures == 0 && argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
