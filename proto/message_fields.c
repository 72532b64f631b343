/* SPDX-License-Identifier: MIT */
/*
 * A wrong type is an error where acting on the member would go wrong, and
 * nothing at all where it is only for show. Source: celery/worker/request.py
 * (Request.__init__), celery/app/task.py (Context).
 */
#include "message_fields.h"

#include <math.h>

#include "celery/timestamp.h"
#include "json_text.h"

const struct celery_str cel_field_names[CEL_FIELDS] = {
#define XX(name, key) [CEL_FIELD_##name] = CEL_NAME(key),
    CEL_FIELD_MAP(XX)
#undef XX
};

const struct cel_fields *cel_fields_pick(struct celery_json object,
                                         struct celery_arena *arena)
{
    struct cel_fields *fields = celery_arena_alloc(arena, sizeof *fields);

    if (fields != NULL)
        fields->members =
            cel_json_pick(object, cel_field_names, CEL_FIELDS, fields->values);
    return fields;
}

const struct cel_fields *cel_fields_copy(const struct cel_fields *fields,
                                         struct celery_arena *arena)
{
    struct cel_fields *copy = celery_arena_alloc(arena, sizeof *copy);

    if (copy != NULL)
        *copy = *fields;
    return copy;
}

/* The byte of headers where the first one past the limit begins. */
static size_t first_past(struct celery_json headers, unsigned limit)
{
    struct celery_json key = headers;
    struct celery_json value;
    struct celery_json_iter iter = celery_json_iter(headers);

    for (unsigned i = 0; i <= limit && celery_json_next(&iter, &key, &value);)
        i++;
    return (size_t)(key.text.data - headers.text.data);
}

enum celery_status cel_fields_limit(const struct cel_fields *fields,
                                    struct celery_json headers,
                                    const struct celery_limits *limits,
                                    struct celery_error *err)
{
    if (fields->members <= limits->headers)
        return CELERY_OK;
    return celery_fail(err, CELERY_TOO_LARGE,
                       "%zu headers: past the limit headers of %u at byte %zu "
                       "of them",
                       fields->members, limits->headers,
                       first_past(headers, limits->headers));
}

static enum celery_status bad(enum cel_field field, struct celery_error *err)
{
    return celery_fail(err, CELERY_MALFORMED, "invalid value of \"%s\"",
                       cel_field_names[field].data);
}

static enum celery_status read_text(const struct cel_fields *fields,
                                    enum cel_field field,
                                    struct celery_arena *arena,
                                    struct celery_str *ret,
                                    struct celery_error *err)
{
    enum celery_status status =
        celery_json_string(fields->values[field], arena, ret);

    if (status == CELERY_NOMEM)
        return celery_fail(err, status, "no memory for \"%s\"",
                           cel_field_names[field].data);
    return status == CELERY_OK ? CELERY_OK : bad(field, err);
}

static enum celery_status read_required(const struct cel_fields *fields,
                                        enum cel_field field,
                                        struct celery_arena *arena,
                                        struct celery_str *ret,
                                        struct celery_error *err)
{
    if (celery_json_null(fields->values[field]))
        return celery_fail(err, CELERY_MALFORMED, "\"%s\" is missing",
                           cel_field_names[field].data);
    enum celery_status status = read_text(fields, field, arena, ret, err);
    if (status == CELERY_OK && ret->len == 0)
        return celery_fail(err, CELERY_MALFORMED, "\"%s\" is empty",
                           cel_field_names[field].data);
    return status;
}

enum celery_status cel_fields_identity(const struct cel_fields *fields,
                                       struct celery_arena *arena,
                                       struct celery_message *ret,
                                       struct celery_error *err)
{
    /* Both are tried, so that a message without a task keeps its id. */
    enum celery_status id =
        read_required(fields, CEL_FIELD_ID, arena, &ret->id, err);
    enum celery_status task =
        read_required(fields, CEL_FIELD_TASK, arena, &ret->task, err);

    return task != CELERY_OK ? task : id;
}

/* ret_us stays CELERY_TIME_NONE for null. */
static enum celery_status read_time(const struct cel_fields *fields,
                                    enum cel_field field,
                                    struct celery_arena *arena,
                                    struct celery_str *ret_text,
                                    int64_t *ret_us, struct celery_error *err)
{
    if (celery_json_null(fields->values[field]))
        return CELERY_OK;
    enum celery_status status = read_text(fields, field, arena, ret_text, err);
    if (status != CELERY_OK)
        return status;
    if (celery_timestamp_parse(*ret_text, ret_us) != CELERY_OK)
        return bad(field, err);
    if (*ret_us == CELERY_TIME_NONE)
        *ret_us = 1; /* 1970 itself: past, but set */
    return CELERY_OK;
}

static enum celery_status read_int(const struct cel_fields *fields,
                                   enum cel_field field, int64_t *ret,
                                   struct celery_error *err)
{
    if (celery_json_null(fields->values[field])
        || celery_json_int64(fields->values[field], ret))
        return CELERY_OK;
    return bad(field, err);
}

/* null and what is not above zero are no limit. */
static bool read_seconds(struct celery_json value, double *ret)
{
    double d = 0;

    if (celery_json_null(value))
        return true;
    if (!celery_json_double(value, &d) || !isfinite(d))
        return false;
    *ret = d > 0 ? d : 0;
    return true;
}

/* [hard, soft], in this order. */
static enum celery_status read_timelimit(const struct cel_fields *fields,
                                         struct celery_message *ret,
                                         struct celery_error *err)
{
    struct celery_json limits = fields->values[CEL_FIELD_TIMELIMIT];

    if (celery_json_null(limits))
        return CELERY_OK;
    size_t n = celery_json_count(limits);
    if (limits.type != CELERY_JSON_ARRAY || (n != 0 && n != 2)
        || !read_seconds(celery_json_at(limits, 0), &ret->time_limit_s)
        || !read_seconds(celery_json_at(limits, 1), &ret->soft_time_limit_s))
        return bad(CEL_FIELD_TIMELIMIT, err);
    return CELERY_OK;
}

static enum celery_status read_texts(const struct cel_fields *fields,
                                     struct celery_arena *arena,
                                     struct celery_message *ret,
                                     struct celery_error *err)
{
    const struct {
        enum cel_field field;
        bool for_show;
        struct celery_str *ret;
    } texts[] = {
        {CEL_FIELD_GROUP, false, &ret->group},
        {CEL_FIELD_ROOT_ID, false, &ret->root_id},
        {CEL_FIELD_PARENT_ID, false, &ret->parent_id},
        {CEL_FIELD_SHADOW, true, &ret->shadow},
        {CEL_FIELD_ARGSREPR, true, &ret->argsrepr},
        {CEL_FIELD_KWARGSREPR, true, &ret->kwargsrepr},
        {CEL_FIELD_ORIGIN, true, &ret->origin},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct celery_json value = fields->values[texts[i].field];
        if (celery_json_null(value)
            || (texts[i].for_show && value.type != CELERY_JSON_STRING))
            continue;
        enum celery_status status =
            read_text(fields, texts[i].field, arena, texts[i].ret, err);
        if (status != CELERY_OK)
            return status;
    }
    return CELERY_OK;
}

static void read_flags(const struct cel_fields *fields,
                       struct celery_message *ret)
{
    struct celery_json ignore = fields->values[CEL_FIELD_IGNORE_RESULT];
    struct celery_json names = fields->values[CEL_FIELD_STAMPED_HEADERS];
    struct celery_json stamps = fields->values[CEL_FIELD_STAMPS];

    if (!celery_json_null(ignore))
        ret->ignore_result = celery_json_truthy(ignore)
                               ? CELERY_IGNORE_RESULT_YES
                               : CELERY_IGNORE_RESULT_NO;
    if (names.type == CELERY_JSON_ARRAY)
        ret->stamped_headers = names;
    if (stamps.type == CELERY_JSON_OBJECT)
        ret->stamps = stamps;
}

enum celery_status cel_fields_read(const struct cel_fields *fields,
                                   struct celery_arena *arena,
                                   struct celery_message *ret,
                                   struct celery_error *err)
{
    enum celery_status status = read_texts(fields, arena, ret, err);

    if (status == CELERY_OK)
        status = read_time(fields, CEL_FIELD_ETA, arena, &ret->eta_text,
                           &ret->eta_us, err);
    if (status == CELERY_OK)
        status = read_time(fields, CEL_FIELD_EXPIRES, arena, &ret->expires_text,
                           &ret->expires_us, err);
    if (status == CELERY_OK)
        status =
            read_int(fields, CEL_FIELD_GROUP_INDEX, &ret->group_index, err);
    if (status == CELERY_OK)
        status = read_int(fields, CEL_FIELD_RETRIES, &ret->retries, err);
    if (status == CELERY_OK)
        status = read_int(fields, CEL_FIELD_REPLACED_TASK_NESTING,
                          &ret->replaced_task_nesting, err);
    if (status == CELERY_OK)
        status = read_timelimit(fields, ret, err);
    if (status == CELERY_OK)
        read_flags(fields, ret);
    return status;
}
