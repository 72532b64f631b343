/* SPDX-License-Identifier: MIT */
/*
 * The next attempt's message. Source: celery/app/task.py (Task.retry,
 * signature_from_request, Context.as_execution_options), celery/app/base.py
 * (send_task, for the parent).
 */
#include <string.h>

#include "celery/json_write.h"
#include "celery/message.h"
#include "json_text.h"

/* NULL for an empty text. A NUL inside cannot be handed on as a C string. */
static enum celery_status copy_text(struct celery_arena *arena,
                                    struct celery_str text, const char **ret)
{
    *ret = NULL;
    if (text.len == 0)
        return CELERY_OK;
    if (memchr(text.data, '\0', text.len) != NULL)
        return CELERY_INVALID;
    struct celery_str copy = celery_arena_copy(arena, text);
    *ret = copy.data;
    return copy.data == NULL ? CELERY_NOMEM : CELERY_OK;
}

static enum celery_status copy_texts(const struct celery_message *message,
                                     const struct celery_envelope *envelope,
                                     struct celery_arena *arena,
                                     struct celery_task_out *ret)
{
    const struct {
        struct celery_str text;
        const char **ret;
    } texts[] = {
        {message->task, &ret->task},
        {message->id, &ret->id},
        {message->root_id, &ret->root_id},
        /* Python fills in an unset parent with whoever publishes: here the
         * task itself. */
        {message->parent_id.len != 0 ? message->parent_id : message->id,
         &ret->parent_id},
        {message->group, &ret->group},
        {message->shadow, &ret->shadow},
        {message->origin, &ret->origin},
        {message->reply_to, &ret->reply_to},
        {envelope->exchange, &ret->exchange},
        {envelope->routing_key, &ret->routing_key},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum celery_status status =
            copy_text(arena, texts[i].text, texts[i].ret);
        if (status != CELERY_OK)
            return status;
    }
    return CELERY_OK;
}

/* Absent: the empty text, which is written as null. */
static enum celery_status copy_json(struct celery_arena *arena,
                                    struct celery_json value,
                                    struct celery_str *ret)
{
    *ret = CELERY_STR("");
    if (celery_json_null(value))
        return CELERY_OK;
    struct celery_str copy = celery_arena_copy(arena, value.text);
    if (copy.data == NULL)
        return CELERY_NOMEM;
    *ret = copy;
    return CELERY_OK;
}

static enum celery_status copy_values(const struct celery_message *message,
                                      struct celery_arena *arena,
                                      struct celery_task_out *ret)
{
    const struct {
        struct celery_json value;
        struct celery_str *ret;
    } values[] = {
        {message->args, &ret->args},
        {message->kwargs, &ret->kwargs},
        {message->callbacks, &ret->callbacks},
        {message->errbacks, &ret->errbacks},
        {message->chain, &ret->chain},
        {message->chord, &ret->chord},
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        enum celery_status status =
            copy_json(arena, values[i].value, values[i].ret);
        if (status != CELERY_OK)
            return status;
    }
    return CELERY_OK;
}

struct names {
    struct celery_str *texts;
    size_t count;
};

/* The names as texts: "\u0061" and "a" are one name. What is no string names
 * nothing. */
static enum celery_status read_names(struct celery_json list,
                                     struct celery_arena *arena,
                                     struct names *ret)
{
    size_t room = celery_json_count(list) + 1;
    struct celery_json value;
    struct celery_json_iter iter = celery_json_iter(list);

    ret->count = 0;
    ret->texts = celery_arena_alloc(arena, room * sizeof ret->texts[0]);
    if (ret->texts == NULL)
        return CELERY_NOMEM;
    while (celery_json_next(&iter, NULL, &value)) {
        if (value.type != CELERY_JSON_STRING)
            continue;
        enum celery_status status =
            celery_json_string(value, arena, &ret->texts[ret->count]);
        if (status != CELERY_OK)
            return status;
        ret->count++;
    }
    return CELERY_OK;
}

/* Only the stamps that stamped_headers names go on. */
static enum celery_status copy_stamps(const struct celery_message *message,
                                      struct celery_arena *arena,
                                      struct celery_task_out *ret)
{
    struct celery_buf kept = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&kept);
    struct names names;
    struct celery_json key;
    struct celery_json value;

    if (celery_json_null(message->stamped_headers)
        || celery_json_null(message->stamps))
        return CELERY_OK;
    enum celery_status status =
        read_names(message->stamped_headers, arena, &names);
    if (status != CELERY_OK)
        return status;
    celery_json_begin_object(&w);
    struct celery_json_iter iter = celery_json_iter(message->stamps);
    while (celery_json_next(&iter, &key, &value)) {
        if (cel_json_find_key(key, names.texts, names.count, 0) == names.count)
            continue;
        celery_json_put_value(&w, key);
        celery_buf_append(&kept, CELERY_STR(": "));
        w.comma = false;
        celery_json_put_value(&w, value);
    }
    celery_json_end_object(&w);

    status = celery_buf_status(&kept);
    if (status == CELERY_OK) {
        ret->stamps = celery_arena_copy(arena, celery_buf_str(&kept));
        if (ret->stamps.data == NULL)
            status = CELERY_NOMEM;
    }
    celery_buf_done(&kept);
    if (status == CELERY_OK)
        status =
            copy_json(arena, message->stamped_headers, &ret->stamped_headers);
    return status;
}

static enum celery_status copy_headers(const struct celery_message *message,
                                       struct celery_arena *arena,
                                       struct celery_task_out *ret)
{
    ret->extra_headers = message->headers;
    if (message->headers.type != CELERY_JSON_OBJECT) {
        ret->extra_headers.type = CELERY_JSON_NONE;
        return CELERY_OK;
    }
    ret->extra_headers.text = celery_arena_copy(arena, message->headers.text);
    return ret->extra_headers.text.data == NULL ? CELERY_NOMEM : CELERY_OK;
}

static int clamp_priority(int64_t priority)
{
    if (priority < 0)
        return 0;
    return priority > 255 ? 255 : (int)priority;
}

enum celery_status celery_message_retry(const struct celery_message *message,
                                        const struct celery_envelope *envelope,
                                        struct celery_arena *arena,
                                        struct celery_task_out *ret)
{
    struct celery_task_out out = {
        .expires_us = message->expires_us,
        .group_index = message->group_index,
        .retries = message->retries,
        .replaced_task_nesting = message->replaced_task_nesting,
        .time_limit_s = message->time_limit_s,
        .soft_time_limit_s = message->soft_time_limit_s,
        .ignore_result = message->ignore_result,
        .priority = clamp_priority(envelope->priority),
    };

    enum celery_status status = copy_texts(message, envelope, arena, &out);
    if (status == CELERY_OK)
        status = copy_values(message, arena, &out);
    if (status == CELERY_OK)
        status = copy_stamps(message, arena, &out);
    if (status == CELERY_OK)
        status = copy_headers(message, arena, &out);
    if (status == CELERY_OK)
        *ret = out;
    return status;
}
