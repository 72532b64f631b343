/* SPDX-License-Identifier: MIT */
/* A result that decodes says the same when we write it: state, value or
 * exception, traceback, children and ids. One
 * that is larger than it may be is refused. */
#include "celery/result.h"
#include "celery/timestamp.h"
#include "fuzz/lines.h"

static void same(const struct celery_result *a, const struct celery_result *b)
{
    HOLDS(fuzz_same(a->status, b->status));
    HOLDS(fuzz_same(a->task_id, b->task_id));
    HOLDS(fuzz_same(a->traceback, b->traceback));
    HOLDS(fuzz_same(a->exception.type, b->exception.type));
    HOLDS(fuzz_same(a->exception.module, b->exception.module));
    if (a->exception.type.len != 0) {
        HOLDS(fuzz_same(a->exception.message.len != 0 ? a->exception.message
                                                      : CELERY_STR("[]"),
                        b->exception.message));
        return;
    }
    HOLDS(celery_json_null(a->result)
              ? b->result.type == CELERY_JSON_NULL
              : fuzz_same(a->result.text, b->result.text));
}

/* What result_extended adds is told from the written document. */
static void check_extended(const struct celery_result_out *out,
                           struct celery_str document,
                           struct celery_arena *arena)
{
    struct celery_json root;

    HOLDS(celery_json_parse(document, NULL, &root, NULL) == CELERY_OK);
    HOLDS(celery_json_count(root) >= (out->name.len != 0 ? 12U : 6U)
                                         + (out->group_id.len != 0)
                                         + (out->parent_id.len != 0));
    HOLDS(
        out->group_id.len == 0
        || fuzz_says(celery_json_get(root, "group_id"), out->group_id, arena));
    HOLDS(out->parent_id.len == 0
          || fuzz_says(celery_json_get(root, "parent_id"), out->parent_id,
                       arena));
    if (out->name.len == 0)
        return;
    HOLDS(fuzz_says(celery_json_get(root, "name"), out->name, arena));
    HOLDS(fuzz_is_int(celery_json_get(root, "retries"), out->retries));
    HOLDS(fuzz_same(celery_json_get(root, "args").text,
                    out->args.len != 0 ? out->args : CELERY_STR("[]")));
    HOLDS(fuzz_same(celery_json_get(root, "kwargs").text,
                    out->kwargs.len != 0 ? out->kwargs : CELERY_STR("{}")));
}

static struct celery_str member_text(struct celery_json root, const char *key,
                                     struct celery_arena *arena)
{
    struct celery_str text = {"", 0};

    if (celery_json_string(celery_json_get(root, key), arena, &text)
        != CELERY_OK)
        return CELERY_STR("");
    return text;
}

static struct celery_str member_json(struct celery_json root, const char *key)
{
    return celery_json_get(root, key).text;
}

/* A compressed document says what the plain one does. */
static void check_compressed(struct celery_str document,
                             const struct celery_result *want,
                             struct celery_arena *arena)
{
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_result again;

    HOLDS(celery_result_compress(document, "gzip", &packed, NULL) == CELERY_OK);
    HOLDS(
        celery_result_decode(celery_buf_str(&packed), NULL, arena, &again, NULL)
        == CELERY_OK);
    HOLDS(fuzz_same(again.document.text, document));
    same(want, &again);
    celery_buf_clear(&packed);
    HOLDS(celery_result_compress(document, "snappy", &packed, NULL)
          == CELERY_UNSUPPORTED);
    celery_buf_done(&packed);
}

/* The names of stamps are of result_extended, which has a task's name. */
static void check_stamps(const struct celery_result *a,
                         const struct celery_result *b)
{
    if (a->name.len != 0 && a->stamped_headers.type == CELERY_JSON_ARRAY)
        HOLDS(fuzz_same(a->stamped_headers.text, b->stamped_headers.text));
}

static void write_again(const struct celery_result *result,
                        struct celery_json root, struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_result again;
    int64_t done_us = 0;
    struct celery_result_out out = {
        .status = celery_arena_copy(arena, result->status).data,
        .result = celery_json_null(result->result) ? CELERY_STR("")
                                                   : result->result.text,
        .traceback = result->traceback,
        .children = celery_json_null(result->children) ? CELERY_STR("")
                                                       : result->children.text,
        .task_id = result->task_id,
        .group_id = member_text(root, "group_id", arena),
        .parent_id = member_text(root, "parent_id", arena),
        .name = member_text(root, "name", arena),
        .args = member_json(root, "args"),
        .kwargs = member_json(root, "kwargs"),
        .worker = member_text(root, "worker", arena),
        .queue = member_text(root, "queue", arena),
        .stamped_headers = result->stamped_headers,
        .stamps = root, /* whatever is named is there */
    };

    (void)celery_json_int64(celery_json_get(root, "retries"), &out.retries);
    if (celery_timestamp_parse(result->date_done, &done_us) == CELERY_OK)
        out.date_done_us = done_us;
    if (result->exception.type.len != 0)
        out.exception = &result->exception;
    celery_result_encode(&buf, &out);
    HOLDS(celery_result_decode(celery_buf_str(&buf), NULL, arena, &again, NULL)
          == CELERY_OK);
    same(result, &again);
    if (out.children.len != 0)
        HOLDS(fuzz_same(result->children.text, again.children.text));
    else
        HOLDS(fuzz_same(again.children.text, CELERY_STR("[]")));
    HOLDS((again.date_done.len != 0) == (out.date_done_us != 0));
    HOLDS(fuzz_same(result->group_id, again.group_id));
    HOLDS(fuzz_same(result->parent_id, again.parent_id));
    if (result->name.len != 0) {
        HOLDS(fuzz_same(result->name, again.name));
        HOLDS(fuzz_same(result->worker, again.worker));
        HOLDS(fuzz_same(result->queue, again.queue));
        HOLDS(result->retries == again.retries);
    }
    check_extended(&out, celery_buf_str(&buf), arena);
    check_stamps(result, &again);
    check_compressed(celery_buf_str(&buf), &again, arena);
    celery_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf repr = CELERY_BUF_INIT;
    struct celery_result result;
    struct celery_error err = {.status = CELERY_OK};
    struct celery_str document = fuzz_str(data, size);

    enum celery_status status =
        celery_result_decode(document, &limits, &arena, &result, &err);
    if (status != CELERY_OK) {
        HOLDS(err.status == status && err.msg[0] != '\0');
    } else if (memchr(result.status.data, '\0', result.status.len) == NULL) {
        write_again(&result, result.document, &arena);
        celery_exception_repr(&repr, &result.exception);
        HOLDS(celery_buf_status(&repr) == CELERY_OK);
        HOLDS(repr.len >= 2 && repr.data[repr.len - 1] == ')');
    }
    limits.message_bytes = size / 2;
    HOLDS(size == 0
          || celery_result_decode(document, &limits, &arena, &result, &err)
                 == CELERY_TOO_LARGE);
    celery_buf_done(&repr);
    celery_arena_done(&arena);
    return 0;
}
