/* SPDX-License-Identifier: MIT */
/* Any bytes come back from their base64; what decodes, decodes again. */
#include "celery/base64.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_str bytes = {"", 0};
    struct celery_str again = {"", 0};

    celery_base64_encode(&text, fuzz_str(data, size));
    HOLDS(celery_buf_status(&text) == CELERY_OK);
    HOLDS(text.len == (size + 2) / 3 * 4);
    HOLDS(celery_base64_decode(celery_buf_str(&text), &arena, &bytes)
          == CELERY_OK);
    HOLDS(fuzz_same(bytes, fuzz_str(data, size)));

    if (celery_base64_decode(fuzz_str(data, size), &arena, &bytes)
        == CELERY_OK) {
        celery_buf_clear(&text);
        celery_base64_encode(&text, bytes);
        HOLDS(celery_base64_decode(celery_buf_str(&text), &arena, &again)
              == CELERY_OK);
        HOLDS(fuzz_same(bytes, again));
    }
    celery_buf_done(&text);
    celery_arena_done(&arena);
    return 0;
}
