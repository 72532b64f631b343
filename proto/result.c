/* SPDX-License-Identifier: MIT */
/*
 * Result documents in Python's key order, and back. Source:
 * celery/backends/base.py (_get_result_meta, prepare_exception,
 * exception_to_python, decompress_payload).
 */
#include "celery/result.h"

#include <string.h>

#include "celery/compress.h"
#include "celery/json_write.h"
#include "celery/timestamp.h"
#include "json_text.h"
#include "python_text.h"

static void put_str_or_null(struct celery_json_writer *w, const char *key,
                            struct celery_str text)
{
    celery_json_key(w, key);
    if (text.len == 0)
        celery_json_put_null(w);
    else
        celery_json_put_str(w, text);
}

static void put_json(struct celery_json_writer *w, const char *key,
                     struct celery_str json, struct celery_str empty)
{
    celery_json_key(w, key);
    celery_json_put_raw(w, json.len == 0 ? empty : json);
}

static void put_exception(struct celery_json_writer *w,
                          const struct celery_exception *exception)
{
    celery_json_key(w, "result");
    celery_json_begin_object(w);
    celery_json_key(w, "exc_type");
    celery_json_put_str(w, exception->type);
    put_json(w, "exc_message", exception->message, CELERY_STR("[]"));
    put_str_or_null(w, "exc_module", exception->module);
    celery_json_end_object(w);
}

static void put_date_done(struct celery_json_writer *w, int64_t usec)
{
    char text[CELERY_TIMESTAMP_MAX];

    celery_json_key(w, "date_done");
    if (usec == 0) {
        celery_json_put_null(w);
        return;
    }
    celery_timestamp_format(usec, text);
    celery_json_put_text(w, text);
}

/* What a stamp must not be called: a message could claim a state otherwise, as
 * dict.update() lets it in Python. */
static const struct celery_str members[] = {
    CEL_NAME("status"),    CEL_NAME("result"),
    CEL_NAME("traceback"), CEL_NAME("children"),
    CEL_NAME("date_done"), CEL_NAME("group_id"),
    CEL_NAME("parent_id"), CEL_NAME("name"),
    CEL_NAME("args"),      CEL_NAME("kwargs"),
    CEL_NAME("worker"),    CEL_NAME("retries"),
    CEL_NAME("queue"),     CEL_NAME("stamped_headers"),
    CEL_NAME("task_id"),
};

enum {
    MEMBERS = sizeof members / sizeof members[0],
    STAMPS_MAX = 1000, /* each is looked for among all names */
};

static bool is_listed(struct celery_json names, struct celery_json name)
{
    struct celery_json_iter iter = celery_json_iter(names);
    struct celery_json value;

    for (int i = 0; i < STAMPS_MAX && celery_json_next(&iter, NULL, &value);
         i++) {
        if (value.type == CELERY_JSON_STRING && value.text.len == name.text.len
            && memcmp(value.text.data, name.text.data, name.text.len) == 0)
            return true;
    }
    return false;
}

static void put_stamps(struct celery_json_writer *w,
                       const struct celery_result_out *out)
{
    struct celery_json_iter iter = celery_json_iter(out->stamps);
    struct celery_json key;
    struct celery_json value;

    if (out->stamps.type != CELERY_JSON_OBJECT
        || !celery_json_truthy(out->stamps))
        return;
    celery_json_key(w, "stamped_headers");
    if (out->stamped_headers.type != CELERY_JSON_ARRAY) {
        celery_json_put_null(w);
        return;
    }
    celery_json_put_value(w, out->stamped_headers);
    for (int i = 0; i < STAMPS_MAX && celery_json_next(&iter, &key, &value);
         i++) {
        if (!is_listed(out->stamped_headers, key)
            || cel_json_find_key(key, members, MEMBERS, 0) != MEMBERS)
            continue;
        celery_json_put_value(w, key);
        celery_buf_append(w->buf, CELERY_STR(": "));
        w->comma = false;
        celery_json_put_value(w, value);
    }
}

/* What result_extended adds. */
static void put_request(struct celery_json_writer *w,
                        const struct celery_result_out *out)
{
    celery_json_key(w, "name");
    celery_json_put_str(w, out->name);
    put_json(w, "args", out->args, CELERY_STR("[]"));
    put_json(w, "kwargs", out->kwargs, CELERY_STR("{}"));
    put_str_or_null(w, "worker", out->worker);
    celery_json_key(w, "retries");
    celery_json_put_int(w, out->retries);
    put_str_or_null(w, "queue", out->queue);
    put_stamps(w, out);
}

void celery_result_encode(struct celery_buf *buf,
                          const struct celery_result_out *out)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    celery_json_begin_object(&w);
    celery_json_key(&w, "status");
    celery_json_put_text(&w, out->status);
    if (out->exception != NULL)
        put_exception(&w, out->exception);
    else
        put_json(&w, "result", out->result, CELERY_STR("null"));
    put_str_or_null(&w, "traceback", out->traceback);
    put_json(&w, "children", out->children, CELERY_STR("[]"));
    put_date_done(&w, out->date_done_us);
    if (out->group_id.len != 0)
        put_str_or_null(&w, "group_id", out->group_id);
    if (out->parent_id.len != 0)
        put_str_or_null(&w, "parent_id", out->parent_id);
    if (out->name.len != 0)
        put_request(&w, out);
    celery_json_key(&w, "task_id");
    celery_json_put_str(&w, out->task_id);
    celery_json_end_object(&w);
}

/* Celery 5.7.0's mark of a compressed document. */
static const char magic[] = "\0celery-compressed\0";

enum celery_status celery_result_compress(struct celery_str document,
                                          const char *compression,
                                          struct celery_buf *buf,
                                          struct celery_error *err)
{
    struct celery_str name = {compression, strlen(compression)};
    const char *mime = celery_compression_mime(name);
    size_t before = buf->len;

    if (mime == NULL)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "compression \"%.80s\" is not supported",
                           compression);
    celery_buf_append(buf, (struct celery_str){magic, sizeof magic - 1});
    celery_buf_append(buf, (struct celery_str){mime, strlen(mime) + 1});
    enum celery_status status = celery_buf_status(buf);
    if (status == CELERY_OK)
        return celery_compress(name, document, buf, err);
    buf->len = before;
    return celery_fail(err, status, "no memory for a result");
}

/* *document becomes the plain text, in the arena. */
static enum celery_status decompress(struct celery_str *document,
                                     const struct celery_limits *limits,
                                     struct celery_arena *arena,
                                     struct celery_error *err)
{
    size_t len = sizeof magic - 1;
    struct celery_buf plain = CELERY_BUF_INIT;

    if (document->len < len || memcmp(document->data, magic, len) != 0)
        return CELERY_OK;
    struct celery_str name = {document->data + len, document->len - len};
    const char *end = memchr(name.data, '\0', name.len);
    if (end == NULL)
        return celery_fail(err, CELERY_MALFORMED,
                           "compressed result without a name");
    name.len = (size_t)(end - name.data);
    struct celery_str bytes = {
        end + 1, (size_t)(document->data + document->len - end) - 1};

    enum celery_status status =
        celery_decompress(name, bytes, limits->inflated_bytes, &plain, err);
    if (status == CELERY_OK) {
        *document = celery_arena_copy(arena, celery_buf_str(&plain));
        if (document->data == NULL)
            status = celery_fail(err, CELERY_NOMEM, "no memory for a result");
    }
    celery_buf_done(&plain);
    return status;
}

enum {
    STATUS,
    RESULT,
    TRACEBACK,
    TASK_ID,
    DATE_DONE,
    CHILDREN,
    GROUP_ID,
    PARENT_ID,
    NAME,
    ARGS,
    KWARGS,
    WORKER,
    RETRIES,
    QUEUE,
    STAMPED,
    N
};
static const char *const names[N] = {
    "status",   "result",   "traceback", "task_id", "date_done",
    "children", "group_id", "parent_id", "name",    "args",
    "kwargs",   "worker",   "retries",   "queue",   "stamped_headers",
};

/* Absent, null or of another type: empty. */
static enum celery_status read_text(struct celery_json value,
                                    struct celery_arena *arena,
                                    struct celery_str *ret)
{
    *ret = CELERY_STR("");
    if (value.type != CELERY_JSON_STRING)
        return CELERY_OK;
    return celery_json_string(value, arena, ret);
}

/* The states whose result is an exception. Source: celery/states.py. */
static bool is_exception_state(struct celery_json status)
{
    return celery_json_is(status, "FAILURE") || celery_json_is(status, "RETRY")
        || celery_json_is(status, "REVOKED");
}

static enum celery_status read_exception(struct celery_json object,
                                         struct celery_arena *arena,
                                         struct celery_exception *ret)
{
    enum celery_status status =
        read_text(celery_json_get(object, "exc_type"), arena, &ret->type);
    if (status == CELERY_OK)
        status = read_text(celery_json_get(object, "exc_module"), arena,
                           &ret->module);
    struct celery_json message = celery_json_get(object, "exc_message");
    ret->message = CELERY_STR("");
    if (!celery_json_null(message))
        ret->message = message.text;
    return status;
}

static enum celery_status read_values(const struct celery_json *values,
                                      struct celery_arena *arena,
                                      struct celery_result *ret)
{
    const struct {
        struct celery_json value;
        struct celery_str *ret;
    } texts[] = {
        {values[STATUS], &ret->status},
        {values[TRACEBACK], &ret->traceback},
        {values[TASK_ID], &ret->task_id},
        {values[DATE_DONE], &ret->date_done},
        {values[GROUP_ID], &ret->group_id},
        {values[PARENT_ID], &ret->parent_id},
        {values[NAME], &ret->name},
        {values[WORKER], &ret->worker},
        {values[QUEUE], &ret->queue},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum celery_status status =
            read_text(texts[i].value, arena, texts[i].ret);
        if (status != CELERY_OK)
            return status;
    }
    ret->result = values[RESULT];
    ret->children = values[CHILDREN];
    ret->args = values[ARGS];
    ret->kwargs = values[KWARGS];
    ret->stamped_headers = values[STAMPED];
    if (!celery_json_int64(values[RETRIES], &ret->retries))
        ret->retries = 0;
    if (!is_exception_state(values[STATUS]))
        return CELERY_OK;
    return read_exception(values[RESULT], arena, &ret->exception);
}

enum celery_status celery_result_decode(struct celery_str document,
                                        const struct celery_limits *limits,
                                        struct celery_arena *arena,
                                        struct celery_result *ret,
                                        struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct celery_json root = {CELERY_JSON_NONE, {"", 0}};
    struct celery_json values[N];
    struct celery_result result = {.exception = {{"", 0}, {"", 0}, {"", 0}}};

    if (limits == NULL)
        limits = &defaults;
    if (document.len > limits->message_bytes)
        return celery_fail(err, CELERY_TOO_LARGE,
                           "result of %zu bytes: past the limit message_bytes "
                           "of %zu at byte %zu",
                           document.len, limits->message_bytes,
                           limits->message_bytes);
    enum celery_status status = decompress(&document, limits, arena, err);
    if (status == CELERY_OK)
        status = celery_json_parse(document, limits, &root, err);
    if (status != CELERY_OK)
        return status;
    celery_json_pick(root, names, N, values);
    if (values[STATUS].type != CELERY_JSON_STRING)
        return celery_fail(err, CELERY_MALFORMED, "result without a status");
    status = read_values(values, arena, &result);
    if (status != CELERY_OK)
        return celery_fail(err, status, "no memory for a result");
    result.document = root;
    *ret = result;
    return CELERY_OK;
}

void celery_exception_repr(struct celery_buf *buf,
                           const struct celery_exception *exception)
{
    const struct celery_limits limits = {.elements = SIZE_MAX, .depth = 1024};
    struct celery_str type = exception->type;
    struct celery_json args = {CELERY_JSON_NONE, {"", 0}};
    struct celery_json value;
    bool comma = false;

    /* A nested class shows its last name only. */
    const char *dot = type.len == 0 ? NULL : memrchr(type.data, '.', type.len);
    if (dot != NULL) {
        type.len -= (size_t)(dot + 1 - type.data);
        type.data = dot + 1;
    }
    celery_buf_append(buf, type);
    celery_buf_append(buf, CELERY_STR("("));
    if (exception->message.len != 0
        && celery_json_parse(exception->message, &limits, &args, NULL)
               != CELERY_OK)
        args.type = CELERY_JSON_NONE;
    if (args.type != CELERY_JSON_ARRAY && args.type != CELERY_JSON_NONE)
        cel_repr_exact(buf, args); /* one value in place of a list */

    struct celery_json_iter iter = celery_json_iter(args);
    while (args.type == CELERY_JSON_ARRAY
           && celery_json_next(&iter, NULL, &value)) {
        if (comma)
            celery_buf_append(buf, CELERY_STR(", "));
        cel_repr_exact(buf, value);
        comma = true;
    }
    celery_buf_append(buf, CELERY_STR(")"));
}
