/* SPDX-License-Identifier: MIT */
/*
 * Which protocol a message speaks. The header "task" makes it protocol 2;
 * without it the body decides. Source: celery/worker/consumer/consumer.py
 * create_task_handler.
 */
#include "celery/message.h"

#include "message_fields.h"

/* Nothing is set, and nothing is a null pointer either. */
#define NO_TEXT \
    {           \
        "", 0   \
    }
#define NO_VALUE          \
    {                     \
        CELERY_JSON_NONE, \
        {                 \
            "", 0         \
        }                 \
    }
static const struct celery_message empty = {
    .task = NO_TEXT,
    .id = NO_TEXT,
    .shadow = NO_TEXT,
    .root_id = NO_TEXT,
    .parent_id = NO_TEXT,
    .group = NO_TEXT,
    .argsrepr = NO_TEXT,
    .kwargsrepr = NO_TEXT,
    .origin = NO_TEXT,
    .reply_to = NO_TEXT,
    .correlation_id = NO_TEXT,
    .eta_text = NO_TEXT,
    .expires_text = NO_TEXT,
    .group_index = -1,
    .args = NO_VALUE,
    .kwargs = NO_VALUE,
    .callbacks = NO_VALUE,
    .errbacks = NO_VALUE,
    .chain = NO_VALUE,
    .chord = NO_VALUE,
    .stamped_headers = NO_VALUE,
    .stamps = NO_VALUE,
    .headers = NO_VALUE,
};

/* On failure only what names the message stays. */
static enum celery_status finish(enum celery_status status,
                                 struct celery_message *ret)
{
    if (status != CELERY_OK) {
        struct celery_message named = empty;
        named.task = ret->task;
        named.id = ret->id;
        *ret = named;
    }
    return status;
}

static enum celery_status read_body(const struct celery_content *content,
                                    unsigned accept,
                                    const struct celery_limits *limits,
                                    struct celery_arena *arena,
                                    struct cel_body *ret,
                                    struct celery_error *err)
{
    enum { BODY, EMBED, N };
    struct cel_pick picks[N] = {
        [BODY] = {NULL, 0, NULL, CEL_BODY_N, ret->parts, 0, 0},
        [EMBED] = {&picks[BODY], CEL_BODY_EMBED, cel_embed_names, CEL_EMBED_N,
                   ret->embed, 0, 0},
    };

    enum celery_status status =
        cel_content_decode(content, accept, limits, arena, picks, N, &ret->root,
                           err);
    ret->members = picks[BODY].members;
    return status;
}

/* A retry looks each stamp up among all names. */
static enum celery_status limit_stamps(const struct celery_message *message,
                                       const struct celery_limits *limits,
                                       struct celery_error *err)
{
    size_t names = celery_json_count(message->stamped_headers);
    size_t stamps = celery_json_count(message->stamps);
    size_t most = names > stamps ? names : stamps;

    if (most <= limits->stamps)
        return CELERY_OK;
    return celery_fail(err, CELERY_TOO_LARGE,
                       "%zu stamps: past the limit stamps of %u", most,
                       limits->stamps);
}

enum celery_status celery_message_decode(const struct celery_envelope *envelope,
                                         unsigned accept,
                                         const struct celery_limits *limits,
                                         struct celery_arena *arena,
                                         struct celery_message *ret,
                                         struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct cel_body body;
    const struct cel_fields *fields = envelope->fields;

    if (limits == NULL)
        limits = &defaults;
    *ret = empty;
    ret->headers = envelope->headers;
    ret->reply_to = envelope->reply_to;
    ret->correlation_id = envelope->correlation_id;

    if (fields == NULL)
        fields = cel_fields_pick(envelope->headers, arena);
    if (fields == NULL)
        return finish(
            celery_fail(err, CELERY_NOMEM, "no memory for the headers"), ret);
    enum celery_status status =
        cel_fields_limit(fields, envelope->headers, limits, err);
    bool v2 = fields->values[CEL_FIELD_TASK].type != CELERY_JSON_NONE;
    if (status == CELERY_OK && v2)
        status = cel_fields_identity(fields, arena, ret, err);
    if (status == CELERY_OK)
        status =
            read_body(&envelope->content, accept, limits, arena, &body, err);
    if (status == CELERY_OK)
        status = v2 ? cel_message_v2(&body, fields, arena, ret, err)
                    : cel_message_v1(body.root, arena, ret, err);
    if (status == CELERY_OK)
        status = limit_stamps(ret, limits, err);
    return finish(status, ret);
}
