/* SPDX-License-Identifier: MIT */
/* The body of an envelope survives being put into another one. */
#include "celery/envelope.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_envelope again;
    struct celery_error err;

    if (celery_envelope_decode(fuzz_str(data, size), &limits, &arena, &e, &err)
        == CELERY_OK) {
        const struct celery_envelope_out out = {
            .body = e.content.body,
            .content_type = "application/json",
            .content_encoding = "utf-8",
            .headers = e.headers.type == CELERY_JSON_OBJECT ? e.headers.text
                                                            : CELERY_STR("{}"),
            .delivery_mode = 2,
        };
        celery_envelope_encode(&buf, &out);
        HOLDS(celery_buf_status(&buf) == CELERY_OK);
        HOLDS(celery_envelope_decode(celery_buf_str(&buf), NULL, &arena, &again,
                                     &err)
              == CELERY_OK);
        HOLDS(fuzz_same(e.content.body, again.content.body));
        HOLDS(fuzz_same(e.content.compression, again.content.compression));
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
