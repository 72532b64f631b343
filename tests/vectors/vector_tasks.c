/* SPDX-License-Identifier: MIT */
/*
 * Task messages: each decodes, comes out of our encoder as it came in, and
 * decodes again. What a release that writes as we do made as plain JSON is the
 * same byte for byte, properties included.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker/amqp/amqp_envelope.h"
#include "celery/message.h"
#include "celery/signature.h"
#include "vector.h"

static bool same_value(struct celery_json a, struct celery_json b)
{
    return celery_json_null(a) ? celery_json_null(b)
                               : vector_same(a.text, b.text);
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
        if (vector_same(e->content.type, want))
            return strstr(err->msg, refused[i]) != NULL;
    }
    return false;
}

static void compare(const struct vector *v, const struct celery_message *a,
                    const struct celery_message *b)
{
    if (!vector_same(a->task, b->task) || !vector_same(a->id, b->id)
        || !vector_same(a->group, b->group)
        || !vector_same(a->shadow, b->shadow)
        || !vector_same(a->origin, b->origin)
        || !vector_same(a->reply_to, b->reply_to))
        vector_complain(v, "a text changed");
    if (a->eta_us != b->eta_us || a->expires_us != b->expires_us
        || a->group_index != b->group_index || a->retries != b->retries
        || a->ignore_result != b->ignore_result)
        vector_complain(v, "a number changed");
    if (!same_value(a->args, b->args) || !same_value(a->kwargs, b->kwargs)
        || !same_value(a->callbacks, b->callbacks)
        || !same_value(a->errbacks, b->errbacks)
        || !same_value(a->chain, b->chain) || !same_value(a->chord, b->chord)
        || !same_value(a->stamped_headers, b->stamped_headers))
        vector_complain(v, "a value changed");
    /* Python's own reprs are what we make of the same arguments; 5.2 alone
     * sends typed values as bare texts. */
    if (a->protocol == 2 && a->argsrepr.len != 0
        && !vector_same(v->name, CELERY_STR("typed-values"))
        && (!vector_same(a->argsrepr, b->argsrepr)
            || !vector_same(a->kwargsrepr, b->kwargsrepr)))
        vector_complain(v, "argsrepr %.*s", (int)b->argsrepr.len,
                        b->argsrepr.data);
}

/* The task as whoever passes it on would publish it, at the time when Python
 * did: expiration is what was left then. */
static bool prepare(const struct vector *v,
                    const struct celery_message *message,
                    const struct celery_envelope *e,
                    struct celery_str expiration, struct celery_arena *arena,
                    struct celery_task_out *ret)
{
    if (celery_message_retry(message, e, arena, ret) != CELERY_OK) {
        vector_complain(v, "no retry");
        return false;
    }
    ret->eta_us = message->eta_us;
    ret->protocol = message->protocol;
    if (e->content.compression.len != 0)
        ret->compression =
            celery_arena_copy(arena, e->content.compression).data;
    if (expiration.len != 0)
        ret->now_us =
            message->expires_us
            - strtoll(celery_arena_copy(arena, expiration).data, NULL, 10)
                  * 1000;
    return true;
}

static bool is_json(const struct celery_envelope *e)
{
    return vector_same(e->content.type, CELERY_STR("application/json"));
}

/* As it was published first, when nobody had to be its parent. */
static struct celery_task_out first_attempt(
    const struct celery_message *message, const struct celery_task_out *out)
{
    struct celery_task_out first = *out;

    if (message->parent_id.len == 0)
        first.parent_id = NULL;
    return first;
}

/* What Python wrote as plain JSON comes out of us byte for byte, and the
 * properties do whatever the body is. A library of another version compresses
 * otherwise. */
static void check_bytes(const struct vector *v,
                        const struct celery_task_out *out,
                        const struct celery_message *message,
                        const struct celery_envelope *e,
                        struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_task_out first = first_attempt(message, out);
    struct celery_envelope ours;

    if (celery_message_encode_envelope(
            &first, celery_arena_copy(arena, e->delivery_tag).data, &buf, NULL)
            != CELERY_OK
        || celery_envelope_decode(celery_buf_str(&buf), NULL, arena, &ours,
                                  NULL)
               != CELERY_OK) {
        vector_complain(v, "cannot encode");
        return;
    }
    if (!vector_same(ours.properties.text, e->properties.text))
        vector_complain(v, "properties %.*s", (int)ours.properties.text.len,
                        ours.properties.text.data);
    if (!v->as_ours || !is_json(e))
        return;
    if (!vector_same(ours.headers.text, e->headers.text))
        vector_complain(v, "headers %.*s", (int)ours.headers.text.len,
                        ours.headers.text.data);
    if (out->compression == NULL && !vector_same(celery_buf_str(&buf), v->raw))
        vector_complain(v, "ours: %s", buf.data);
}

static void again(const struct vector *v, const struct celery_task_out *out,
                  const struct celery_message *message,
                  struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e2;
    struct celery_message m2;
    struct celery_error err = {.msg = ""};

    if (celery_message_encode_envelope(out, "tag", &buf, &err) != CELERY_OK
        || celery_envelope_decode(celery_buf_str(&buf), NULL, arena, &e2, &err)
               != CELERY_OK
        || celery_message_decode(&e2, CELERY_ACCEPT_JSON, NULL, arena, &m2,
                                 &err)
               != CELERY_OK) {
        vector_complain(v, "ours does not come back: %s", err.msg);
        return;
    }
    compare(v, message, &m2);
    struct celery_str parent =
        message->parent_id.len != 0 ? message->parent_id : message->id;
    if (message->protocol == 2 && !vector_same(m2.parent_id, parent))
        vector_complain(v, "the parent is %.*s", (int)m2.parent_id.len,
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
            vector_complain(v, "%s", err.msg);
            return;
        }
        if (done)
            return;
        signatures++;
        celery_buf_clear(&buf);
        celery_signature_encode(&buf, &s);
        if (!vector_same(celery_buf_str(&buf), s.source.text))
            vector_complain(v, "signature %s", buf.data);
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
    struct celery_str task =
        vector_text(arena, celery_json_get(v->meta, "task"));

    if (task.len != 0 && !vector_same(task, message->task))
        vector_complain(v, "task is %.*s", (int)message->task.len,
                        message->task.data);
    if (message->task.len < 5 || message->id.len != 36)
        vector_complain(v, "no task or id");
    if (message->args.type != CELERY_JSON_ARRAY
        || message->kwargs.type != CELERY_JSON_OBJECT)
        vector_complain(v, "no args or kwargs");
    check_signatures(v, message->callbacks, arena);
    check_signatures(v, message->errbacks, arena);
    check_signatures(v, message->chain, arena);
    if (message->chord.type != CELERY_JSON_NONE)
        check_signature(v, message->chord, arena);
}

void vector_task(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_message message;
    struct celery_task_out out;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK) {
        vector_complain(v, "envelope: %s", err.msg);
        return;
    }
    enum celery_status status =
        celery_message_decode(&e, CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                              NULL, arena, &message, &err);
    if (status == CELERY_UNSUPPORTED && refused_by_name(&e, &err)) {
        if (message.id.len != 36)
            vector_complain(v, "refused without an id");
        return;
    }
    if (status != CELERY_OK) {
        vector_complain(v, "message: %s", err.msg);
        return;
    }
    check_meta(v, &message, arena);
    struct celery_str expiration =
        vector_text(arena, celery_json_get(e.properties, "expiration"));
    if (!prepare(v, &message, &e, expiration, arena, &out))
        return;
    check_bytes(v, &out, &message, &e, arena);
    again(v, &out, &message, arena);
}

static void same_property(const struct vector *v, struct celery_arena *arena,
                          struct celery_json properties, const char *name,
                          amqp_bytes_t ours)
{
    struct celery_str want =
        vector_text(arena, celery_json_get(properties, name));

    if (!vector_same(want, (struct celery_str){ours.bytes, ours.len}))
        vector_complain(v, "%s is %.*s", name, (int)ours.len,
                        (const char *)ours.bytes);
}

static void same_number(const struct vector *v, struct celery_json properties,
                        const char *name, int ours)
{
    int64_t want = -1;

    if (!celery_json_int64(celery_json_get(properties, name), &want)
        || want != ours)
        vector_complain(v, "%s is %d", name, ours);
}

/* What the driver publishes has the recorded properties, and no other ones. */
static void check_properties(const struct vector *v,
                             const struct celery_envelope_out *envelope,
                             struct celery_json properties,
                             struct celery_arena *arena)
{
    struct amqp_outgoing outgoing;
    amqp_pool_t pool;
    size_t count = 0;

    init_amqp_pool(&pool, 4096);
    if (amqp_outgoing_of(envelope, &pool, &outgoing, NULL) != CELERY_OK) {
        vector_complain(v, "no AMQP message");
        empty_amqp_pool(&pool);
        return;
    }
    const amqp_basic_properties_t *p = &outgoing.properties;
    same_property(v, arena, properties, "content_type", p->content_type);
    same_property(v, arena, properties, "content_encoding",
                  p->content_encoding);
    same_property(v, arena, properties, "correlation_id", p->correlation_id);
    same_property(v, arena, properties, "reply_to", p->reply_to);
    same_property(v, arena, properties, "expiration", p->expiration);
    same_number(v, properties, "delivery_mode", p->delivery_mode);
    same_number(v, properties, "priority", p->priority);
    for (amqp_flags_t flags = p->_flags; flags != 0; flags &= flags - 1)
        count++;
    if (count != celery_json_count(properties))
        vector_complain(v, "%zu properties", count);
    empty_amqp_pool(&pool);
}

static void check_amqp_bytes(const struct vector *v,
                             const struct celery_task_out *out,
                             const struct celery_message *message,
                             const struct celery_envelope *e,
                             struct celery_json properties,
                             struct celery_arena *arena)
{
    CLEANUP(celery_buf_done) struct celery_buf headers = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_task_out first = first_attempt(message, out);
    struct celery_envelope_out envelope;
    char expiration[CELERY_EXPIRATION_MAX];

    if (!is_json(e))
        return;
    if (celery_message_encode(&first, &headers, &body, NULL) != CELERY_OK) {
        vector_complain(v, "cannot encode");
        return;
    }
    celery_message_envelope(&first, &headers, &body,
                            celery_task_expiration(&first, expiration)
                                ? expiration
                                : NULL,
                            "tag", &envelope);
    check_properties(v, &envelope, properties, arena);
    if (v->as_ours && !vector_same(celery_buf_str(&headers), e->headers.text))
        vector_complain(v, "headers %s", headers.data);
    if (out->compression == NULL
        && !vector_same(celery_buf_str(&body), e->content.body))
        vector_complain(v, "body %s", body.data);
}

/* On RabbitMQ the parts of the envelope are AMQP properties. */
void vector_amqp_task(const struct vector *v, struct celery_arena *arena)
{
    struct celery_json properties = celery_json_get(v->meta, "properties");
    struct celery_json info = celery_json_get(v->meta, "delivery_info");
    struct celery_json headers =
        celery_json_get(properties, "application_headers");
    struct celery_message message;
    struct celery_task_out out;
    struct celery_error err;
    struct celery_envelope e = {
        .content =
            {
                .type = vector_text(arena, celery_json_get(properties,
                                                           "content_type")),
                .compression =
                    vector_text(arena, celery_json_get(headers, "compression")),
                .body = v->raw,
            },
        .headers = headers,
        .reply_to = vector_text(arena, celery_json_get(properties, "reply_to")),
        .routing_key = vector_text(arena, celery_json_get(info, "routing_key")),
    };

    if (celery_message_decode(&e, CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                              NULL, arena, &message, &err)
            != CELERY_OK
        || !celery_json_int64(celery_json_get(properties, "priority"),
                              &e.priority)) {
        vector_complain(v, "message: %s", err.msg);
        return;
    }
    check_meta(v, &message, arena);
    struct celery_str expiration =
        vector_text(arena, celery_json_get(properties, "expiration"));
    if (!prepare(v, &message, &e, expiration, arena, &out))
        return;
    check_amqp_bytes(v, &out, &message, &e, properties, arena);
    again(v, &out, &message, arena);
}

int vector_signatures_seen(void)
{
    return signatures;
}
