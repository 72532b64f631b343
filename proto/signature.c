/* SPDX-License-Identifier: MIT */
#include "celery/signature.h"

#include <string.h>

#include "celery/json_write.h"

static const struct celery_json none = {CELERY_JSON_NONE, {"", 0}};

enum { TASK, ARGS, KWARGS, OPTIONS, TYPE, IMMUTABLE, CHORD_SIZE, MEMBERS };
static const char *const member_names[MEMBERS] = {
    "task",         "args",      "kwargs",     "options",
    "subtask_type", "immutable", "chord_size",
};

enum { PART_TASKS, PART_HEADER, PART_BODY, PART_EACH, PART_IT, PART_N, PARTS };
static const char *const part_names[PARTS] = {
    "tasks", "header", "body", "task", "it", "n",
};

static const char *const kinds[] = {
#define XX(name, type) [CELERY_SIGNATURE_##name] = (type),
    CELERY_SIGNATURE_KIND_MAP(XX)
#undef XX
};

static enum celery_status bad(const char *name, struct celery_error *err)
{
    return celery_fail(err, CELERY_MALFORMED, "signature: invalid \"%s\"",
                       name);
}

static enum celery_status read_kind(struct celery_json type,
                                    enum celery_signature_kind *ret,
                                    struct celery_error *err)
{
    /* "if typ" in Python */
    if (!celery_json_truthy(type)) {
        *ret = CELERY_SIGNATURE_TASK;
        return CELERY_OK;
    }
    for (size_t i = 1; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (celery_json_is(type, kinds[i])) {
            *ret = (enum celery_signature_kind)i;
            return CELERY_OK;
        }
    }
    return celery_fail(err, CELERY_UNSUPPORTED,
                       "signature: unknown subtask_type %.*s",
                       type.text.len < 60 ? (int)type.text.len : 60,
                       type.text.data);
}

/* Absent and null are the same; any other type is an error. */
static bool take(struct celery_json value, enum celery_json_type type,
                 struct celery_json *ret)
{
    *ret = none;
    if (celery_json_null(value))
        return true;
    *ret = value;
    return value.type == type;
}

static bool is_either(struct celery_json value, enum celery_json_type a,
                      enum celery_json_type b)
{
    return value.type == a || value.type == b;
}

static enum celery_status read_parts(struct celery_signature *s,
                                     struct celery_error *err)
{
    struct celery_json parts[PARTS];
    const struct celery_json *tasks = &parts[PART_TASKS];
    const struct celery_json *each = &parts[PART_EACH];

    celery_json_pick(s->kwargs, part_names, PARTS, parts);
    switch (s->kind) {
    case CELERY_SIGNATURE_CHAIN:
    case CELERY_SIGNATURE_GROUP:
        /* A group of one may be sent as that one. */
        if (!is_either(*tasks, CELERY_JSON_ARRAY, CELERY_JSON_OBJECT))
            return bad("tasks", err);
        s->tasks = *tasks;
        return CELERY_OK;
    case CELERY_SIGNATURE_CHORD:
        if (!is_either(parts[PART_HEADER], CELERY_JSON_ARRAY,
                       CELERY_JSON_OBJECT))
            return bad("header", err);
        s->header = parts[PART_HEADER];
        /* A chord that is still waiting for its body has none. */
        return take(parts[PART_BODY], CELERY_JSON_OBJECT, &s->body)
                 ? CELERY_OK
                 : bad("body", err);
    case CELERY_SIGNATURE_MAP:
    case CELERY_SIGNATURE_STARMAP:
    case CELERY_SIGNATURE_CHUNKS:
        if (!is_either(*each, CELERY_JSON_OBJECT, CELERY_JSON_STRING))
            return bad("task", err);
        if (parts[PART_IT].type != CELERY_JSON_ARRAY)
            return bad("it", err);
        s->each = *each;
        s->it = parts[PART_IT];
        if (s->kind == CELERY_SIGNATURE_CHUNKS
            && (!celery_json_int64(parts[PART_N], &s->chunk) || s->chunk < 1))
            return bad("n", err);
        return CELERY_OK;
    case CELERY_SIGNATURE_TASK:
    default:
        return CELERY_OK;
    }
}

static enum celery_status read_task(struct celery_json value,
                                    struct celery_arena *arena,
                                    struct celery_str *ret,
                                    struct celery_error *err)
{
    enum celery_status status = celery_json_string(value, arena, ret);

    if (status == CELERY_NOMEM)
        return celery_fail(err, status, "no memory for a signature");
    return status == CELERY_OK && ret->len != 0 ? CELERY_OK : bad("task", err);
}

enum celery_status celery_signature_decode(struct celery_json value,
                                           struct celery_arena *arena,
                                           struct celery_signature *ret,
                                           struct celery_error *err)
{
    struct celery_json m[MEMBERS];
    struct celery_signature s = {
        .chord_size = -1,
        .tasks = none,
        .header = none,
        .body = none,
        .each = none,
        .it = none,
        .source = value,
    };

    if (value.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_MALFORMED, "signature: no object");
    celery_json_pick(value, member_names, MEMBERS, m);
    enum celery_status status = read_task(m[TASK], arena, &s.task, err);
    if (status == CELERY_OK)
        status = read_kind(m[TYPE], &s.kind, err);
    if (status != CELERY_OK)
        return status;
    if (!take(m[ARGS], CELERY_JSON_ARRAY, &s.args))
        return bad("args", err);
    if (!take(m[KWARGS], CELERY_JSON_OBJECT, &s.kwargs))
        return bad("kwargs", err);
    if (!take(m[OPTIONS], CELERY_JSON_OBJECT, &s.options))
        return bad("options", err);
    if (!celery_json_null(m[CHORD_SIZE])
        && (!celery_json_int64(m[CHORD_SIZE], &s.chord_size)
            || s.chord_size < 0))
        return bad("chord_size", err);
    s.immutable = celery_json_truthy(m[IMMUTABLE]);
    status = read_parts(&s, err);
    if (status == CELERY_OK)
        *ret = s;
    return status;
}

static bool is_known(struct celery_json key)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (celery_json_is(key, member_names[i]))
            return true;
    }
    return false;
}

static void put_or(struct celery_json_writer *w, const char *key,
                   struct celery_json value, const char *missing)
{
    celery_json_key(w, key);
    if (value.type == CELERY_JSON_NONE)
        celery_json_put_raw(w, (struct celery_str){missing, strlen(missing)});
    else
        celery_json_put_value(w, value);
}

void celery_signature_encode(struct celery_buf *buf,
                             const struct celery_signature *signature)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    struct celery_json key;
    struct celery_json value;

    celery_json_begin_object(&w);
    celery_json_key(&w, "task");
    celery_json_put_str(&w, signature->task);
    put_or(&w, "args", signature->args, "[]");
    put_or(&w, "kwargs", signature->kwargs, "{}");
    put_or(&w, "options", signature->options, "{}");
    celery_json_key(&w, "subtask_type");
    celery_json_put_text(&w, signature->kind == CELERY_SIGNATURE_TASK
                                 ? NULL
                                 : kinds[signature->kind]);
    celery_json_key(&w, "immutable");
    celery_json_put_bool(&w, signature->immutable);
    if (signature->chord_size >= 0) {
        celery_json_key(&w, "chord_size");
        celery_json_put_int(&w, signature->chord_size);
    }
    struct celery_json_iter iter = celery_json_iter(signature->source);
    while (celery_json_next(&iter, &key, &value)) {
        if (is_known(key))
            continue;
        celery_json_put_value(&w, key);
        celery_buf_append(buf, CELERY_STR(": "));
        w.comma = false;
        celery_json_put_value(&w, value);
    }
    celery_json_end_object(&w);
}

/* The order of a frame's parts. */
static const enum celery_signature_role roles[] = {
    CELERY_SIGNATURE_MEMBER, CELERY_SIGNATURE_HEADER,
    CELERY_SIGNATURE_BODY,   CELERY_SIGNATURE_EACH,
    CELERY_SIGNATURE_LINK,   CELERY_SIGNATURE_ERRBACK,
    CELERY_SIGNATURE_REST,   CELERY_SIGNATURE_CALLBACK,
};
enum { ROLES = sizeof roles / sizeof roles[0], OPTION_PARTS = 4 };
static const char *const option_names[OPTION_PARTS] = {
    "link",
    "link_error",
    "chain",
    "chord",
};

void celery_signature_walk(struct celery_signature_walk *walk,
                           struct celery_json root, struct celery_arena *arena)
{
    walk->arena = arena;
    walk->root = root;
    walk->depth = 0;
    walk->count = 0;
    walk->begun = false;
    walk->role = CELERY_SIGNATURE_ROOT;
}

/* What stands below s is walked next. */
static enum celery_status descend(struct celery_signature_walk *walk,
                                  struct celery_json value,
                                  const struct celery_signature *s,
                                  struct celery_error *err)
{
    if (walk->count == CELERY_SIGNATURE_DEPTH)
        return celery_fail(err, CELERY_TOO_LARGE,
                           "signature: past the limit depth of %d at byte %zu",
                           CELERY_SIGNATURE_DEPTH,
                           (size_t)(value.text.data - walk->root.text.data));
    struct celery_json *parts = walk->frames[walk->count].parts;
    parts[0] = s->tasks;
    parts[1] = s->header;
    parts[2] = s->body;
    parts[3] = s->each.type == CELERY_JSON_OBJECT ? s->each : none;
    celery_json_pick(s->options, option_names, OPTION_PARTS, parts + 4);
    walk->frames[walk->count].part = 0;
    walk->frames[walk->count].inside = false;
    walk->count++;
    return CELERY_OK;
}

/* The next value of the frame on top; false: it has no more. */
static bool next_of_frame(struct celery_signature_walk *walk,
                          struct celery_json *ret)
{
    unsigned top = walk->count - 1;

    while (walk->frames[top].inside || walk->frames[top].part != ROLES) {
        if (walk->frames[top].inside) {
            if (celery_json_next(&walk->frames[top].iter, NULL, ret))
                return true;
            walk->frames[top].inside = false;
            continue;
        }
        struct celery_json value =
            walk->frames[top].parts[walk->frames[top].part++];
        if (value.type == CELERY_JSON_ARRAY) {
            walk->frames[top].iter = celery_json_iter(value);
            walk->frames[top].inside = true;
        } else if (!celery_json_null(value)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* The next value that should be a signature; false when the walk is over. */
static bool find_next(struct celery_signature_walk *walk,
                      struct celery_json *ret)
{
    while (walk->count != 0) {
        if (next_of_frame(walk, ret)) {
            walk->role = roles[walk->frames[walk->count - 1].part - 1];
            walk->depth = walk->count;
            return true;
        }
        walk->count--;
    }
    return false;
}

enum celery_status celery_signature_next(struct celery_signature_walk *walk,
                                         struct celery_signature *ret,
                                         bool *ret_done,
                                         struct celery_error *err)
{
    struct celery_json value = walk->root;
    struct celery_signature s = {0};

    *ret_done = false;
    if (!walk->begun) {
        walk->begun = true;
    } else if (!find_next(walk, &value)) {
        *ret_done = true;
        return CELERY_OK;
    }
    enum celery_status status =
        celery_signature_decode(value, walk->arena, &s, err);
    if (status == CELERY_OK)
        status = descend(walk, value, &s, err);
    if (status == CELERY_OK)
        *ret = s;
    else
        walk->count = 0; /* asked again, it is over */
    return status;
}
