/* SPDX-License-Identifier: MIT */
/*
 * Everything else than tasks: events, requests, replies, results, and files of
 * the spool folder.
 */
#include <string.h>

#include "celery/control.h"
#include "celery/message.h"
#include "celery/result.h"
#include "vector.h"

void vector_event(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_json root;
    struct celery_json event;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, arena,
                                 &root, &err)
               != CELERY_OK) {
        vector_complain(v, "event: %s", err.msg);
        return;
    }
    struct celery_json_iter iter = celery_json_iter(root);
    if (root.type == CELERY_JSON_OBJECT) {
        if (celery_json_get(root, "type").type != CELERY_JSON_STRING)
            vector_complain(v, "event without a type");
        return;
    }
    while (celery_json_next(&iter, NULL, &event)) {
        if (celery_json_get(event, "type").type != CELERY_JSON_STRING)
            vector_complain(v, "event without a type");
    }
}

void vector_control(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_control_request request;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_control_decode(&e, NULL, arena, &request, &err)
               != CELERY_OK) {
        vector_complain(v, "control: %s", err.msg);
        return;
    }
    if (request.method.len == 0)
        vector_complain(v, "request without a method");
}

void vector_reply(const struct vector *v, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_json root;
    struct celery_error err;

    if (celery_envelope_decode(v->raw, NULL, arena, &e, &err) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, arena,
                                 &root, &err)
               != CELERY_OK
        || root.type != CELERY_JSON_OBJECT || celery_json_count(root) != 1)
        vector_complain(v, "reply");
}

void vector_result(const struct vector *v, struct celery_arena *arena)
{
    struct celery_result result;
    struct celery_error err;

    if (celery_result_decode(v->raw, NULL, arena, &result, &err) != CELERY_OK) {
        vector_complain(v, "result: %s", err.msg);
        return;
    }
    if (result.status.len == 0 || result.task_id.len != 36)
        vector_complain(v, "result without status or id");
    if (vector_same(result.status, CELERY_STR("FAILURE"))
        && result.exception.type.len == 0)
        vector_complain(v, "failure without an exception");
}

/* The channel has the key's name: of a task's result, of a group's, or of the
 * size of a chord. */
void vector_result_publish(const struct vector *v, struct celery_arena *arena)
{
    struct celery_str channel =
        vector_text(arena, celery_json_get(v->meta, "channel"));
    struct celery_json root;
    int64_t size = 0;

    if (vector_starts(channel, "celery-task-meta-")) {
        vector_result(v, arena);
        return;
    }
    if (!vector_starts(channel, "celery-taskset-meta-")
        || celery_json_parse(v->raw, NULL, &root, NULL) != CELERY_OK)
        vector_complain(v, "no result on %.*s", (int)channel.len, channel.data);
    else if (root.type != CELERY_JSON_OBJECT
                 ? !celery_json_int64(root, &size) || size < 1
                 : celery_json_get(root, "result").type != CELERY_JSON_ARRAY)
        vector_complain(v, "neither a group nor its size");
}

static void check_node(const struct vector *v, struct celery_json answers)
{
    struct celery_json node;
    struct celery_json answer;
    struct celery_json_iter iter = celery_json_iter(answers);
    size_t count = 0;

    while (answers.type == CELERY_JSON_OBJECT
           && celery_json_next(&iter, &node, &answer))
        count += celery_json_is(node, "vec@host");
    if (count != 1 || celery_json_count(answers) != 1)
        vector_complain(v, "no answer of one node");
}

/* What the command line shows: answers by node, or a list of such. query_task's
 * are the same; of none there is nothing but {}. */
void vector_inspect(const struct vector *v, struct celery_arena *arena)
{
    struct celery_json root;
    struct celery_json answers;

    (void)arena;
    if (celery_json_parse(v->raw, NULL, &root, NULL) != CELERY_OK) {
        vector_complain(v, "an answer is no JSON");
        return;
    }
    if (root.type != CELERY_JSON_ARRAY) {
        check_node(v, root);
        return;
    }
    struct celery_json_iter iter = celery_json_iter(root);
    while (celery_json_next(&iter, NULL, &answers))
        check_node(v, answers);
    if (celery_json_count(root) != 1)
        vector_complain(v, "not one answer");
}

static bool contains(struct celery_str text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* [routing key, pattern, queue] of each binding. */
static void check_exchange(const struct vector *v)
{
    struct celery_json root;
    struct celery_json binding;

    if (celery_json_parse(v->raw, NULL, &root, NULL) != CELERY_OK
        || root.type != CELERY_JSON_ARRAY) {
        vector_complain(v, "an exchange is no list");
        return;
    }
    struct celery_json_iter iter = celery_json_iter(root);
    while (celery_json_next(&iter, NULL, &binding)) {
        struct celery_json queue = celery_json_at(binding, 2);
        if (celery_json_count(binding) != 3 || queue.type != CELERY_JSON_STRING
            || queue.text.len <= 2)
            vector_complain(v, "a binding without its queue");
    }
}

/* A file is what its folder and its name say. */
void vector_spool(const struct vector *v, struct celery_arena *arena)
{
    struct celery_str folder =
        vector_text(arena, celery_json_get(v->meta, "folder"));
    struct celery_str file =
        vector_text(arena, celery_json_get(v->meta, "file"));

    if (vector_same(folder, CELERY_STR("control")))
        check_exchange(v);
    else if (vector_same(folder, CELERY_STR("results")))
        vector_result(v, arena);
    else if (contains(file, ".reply.celery.pidbox."))
        vector_reply(v, arena);
    else if (contains(file, ".celery.pidbox."))
        vector_control(v, arena);
    else if (contains(file, ".celeryev."))
        vector_event(v, arena);
    else
        vector_task(v, arena);
}
