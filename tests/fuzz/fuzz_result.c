/* SPDX-License-Identifier: MIT */
/* A result that decodes says the same when we write it. */
#include "celery/result.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_buf repr = CELERY_BUF_INIT;
    struct celery_result result;
    struct celery_result again;
    struct celery_error err;

    if (celery_result_decode(fuzz_str(data, size), &limits, &arena, &result,
                             &err)
            == CELERY_OK
        && memchr(result.status.data, '\0', result.status.len) == NULL) {
        struct celery_result_out out = {
            .status = celery_arena_copy(&arena, result.status).data,
            .result = celery_json_null(result.result) ? CELERY_STR("")
                                                      : result.result.text,
            .traceback = result.traceback,
            .task_id = result.task_id,
        };
        if (result.exception.type.len != 0)
            out.exception = &result.exception;
        celery_result_encode(&buf, &out);
        HOLDS(celery_result_decode(celery_buf_str(&buf), NULL, &arena, &again,
                                   &err)
              == CELERY_OK);
        HOLDS(fuzz_same(result.status, again.status));
        HOLDS(fuzz_same(result.task_id, again.task_id));
        HOLDS(fuzz_same(result.exception.type, again.exception.type));
        if (out.exception == NULL && !celery_json_null(result.result))
            HOLDS(fuzz_same(result.result.text, again.result.text));
        celery_exception_repr(&repr, &result.exception);
        HOLDS(repr.len >= 2 && repr.data[repr.len - 1] == ')');
    }
    celery_buf_done(&buf);
    celery_buf_done(&repr);
    celery_arena_done(&arena);
    return 0;
}
