/* SPDX-License-Identifier: MIT */
/*
 * Protocol 2: headers, and a body of [args, kwargs, embed]. Source:
 * celery/app/amqp.py as_task_v2, celery/worker/strategy.py hybrid_to_proto2.
 */
#include "message_fields.h"

static const struct celery_json empty_array = {CELERY_JSON_ARRAY, {"[]", 2}};
static const struct celery_json empty_object = {CELERY_JSON_OBJECT, {"{}", 2}};

enum celery_status cel_message_arguments(struct celery_json args,
                                         struct celery_json kwargs,
                                         struct celery_message *ret,
                                         struct celery_error *err)
{
    if (args.type == CELERY_JSON_NONE)
        args = empty_array;
    if (kwargs.type == CELERY_JSON_NONE)
        kwargs = empty_object;
    if (args.type != CELERY_JSON_ARRAY)
        return celery_fail(err, CELERY_MALFORMED, "args are no array");
    if (kwargs.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "kwargs are no object");
    ret->args = args;
    ret->kwargs = kwargs;
    return CELERY_OK;
}

const struct celery_str cel_embed_names[CEL_EMBED_N] = {
    CEL_NAME("callbacks"),
    CEL_NAME("errbacks"),
    CEL_NAME("chain"),
    CEL_NAME("chord"),
};

static enum celery_status take_embed(const struct celery_json *values,
                                     struct celery_message *ret,
                                     struct celery_error *err)
{
    struct celery_json *const rets[CEL_EMBED_N] = {
        &ret->callbacks,
        &ret->errbacks,
        &ret->chain,
        &ret->chord,
    };

    for (size_t i = 0; i < CEL_EMBED_N; i++) {
        enum celery_json_type want =
            i == CEL_CHORD ? CELERY_JSON_OBJECT : CELERY_JSON_ARRAY;
        if (celery_json_null(values[i]))
            continue;
        if (values[i].type != want)
            return celery_fail(err, CELERY_MALFORMED, "invalid value of \"%s\"",
                               cel_embed_names[i].data);
        *rets[i] = values[i];
    }
    return CELERY_OK;
}

enum celery_status cel_message_embed(struct celery_json object,
                                     struct celery_message *ret,
                                     struct celery_error *err)
{
    struct celery_json values[CEL_EMBED_N];

    (void)cel_json_pick(object, cel_embed_names, CEL_EMBED_N, values);
    return take_embed(values, ret, err);
}

static enum celery_status read_array(const struct cel_body *body,
                                     const struct cel_fields *fields,
                                     struct celery_arena *arena,
                                     struct celery_message *ret,
                                     struct celery_error *err)
{
    struct celery_json embed = body->parts[CEL_BODY_EMBED];

    if (body->members != CEL_BODY_N)
        return celery_fail(err, CELERY_MALFORMED,
                           "body has not exactly three elements");
    enum celery_status status =
        cel_message_arguments(body->parts[CEL_BODY_ARGS],
                              body->parts[CEL_BODY_KWARGS], ret, err);
    if (status != CELERY_OK)
        return status;
    if (!celery_json_null(embed) && embed.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "embed is no object");
    status = take_embed(body->embed, ret, err);
    if (status == CELERY_OK)
        status = cel_fields_read(fields, arena, ret, err);
    return status;
}

static enum celery_status read_hybrid(struct celery_json body,
                                      const struct cel_fields *fields,
                                      struct celery_arena *arena,
                                      struct celery_message *ret,
                                      struct celery_error *err)
{
    struct cel_fields both = *fields;
    struct celery_json inner[CEL_FIELDS];

    (void)cel_json_pick(body, cel_field_names, CEL_FIELDS, inner);
    for (size_t i = 0; i < CEL_FIELDS; i++) {
        if (both.values[i].type == CELERY_JSON_NONE)
            both.values[i] = inner[i];
    }
    enum celery_status status =
        cel_message_arguments(celery_json_get(body, "args"),
                              celery_json_get(body, "kwargs"), ret, err);
    if (status == CELERY_OK)
        status = cel_message_embed(body, ret, err);
    ret->chain.type = CELERY_JSON_NONE; /* there was none yet */
    if (status == CELERY_OK)
        status = cel_fields_identity(&both, arena, ret, err);
    if (status == CELERY_OK)
        status = cel_fields_read(&both, arena, ret, err);
    return status;
}

enum celery_status cel_message_v2(const struct cel_body *body,
                                  const struct cel_fields *fields,
                                  struct celery_arena *arena,
                                  struct celery_message *ret,
                                  struct celery_error *err)
{
    ret->protocol = 2;
    if (body->root.type == CELERY_JSON_ARRAY)
        return read_array(body, fields, arena, ret, err);
    if (celery_json_get(body->root, "args").type != CELERY_JSON_NONE)
        return read_hybrid(body->root, fields, arena, ret, err);
    return celery_fail(err, CELERY_MALFORMED, "body is no array");
}
