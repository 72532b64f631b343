/* SPDX-License-Identifier: MIT */
/* What decodes is JSON, and the same JSON after encode and decode. */
#include "celery/content.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_buf json = CELERY_BUF_INIT;
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_buf again = CELERY_BUF_INIT;
    struct celery_json root;
    struct celery_error err;

    json.limit = (size_t)1 << 20;
    if (celery_msgpack_decode(fuzz_str(data, size), &limits, &json, &err)
        == CELERY_OK) {
        struct celery_limits deeper = limits;
        deeper.depth += 1;    /* bin is an object in JSON, */
        deeper.elements *= 3; /* of three elements */
        HOLDS(celery_json_parse(celery_buf_str(&json), &deeper, &root, &err)
              == CELERY_OK);
        HOLDS(celery_msgpack_encode(root, &packed, &err) == CELERY_OK);
        HOLDS(celery_msgpack_decode(celery_buf_str(&packed), &limits, &again,
                                    &err)
              == CELERY_OK);
        HOLDS(fuzz_same(celery_buf_str(&json), celery_buf_str(&again)));
    } else {
        HOLDS(json.len == 0);
    }

    if (celery_json_parse(fuzz_str(data, size), &limits, &root, &err)
        == CELERY_OK) {
        celery_buf_clear(&packed);
        if (celery_msgpack_encode(root, &packed, &err) == CELERY_OK)
            HOLDS(packed.len != 0);
        else
            HOLDS(packed.len == 0);
    }
    celery_buf_done(&json);
    celery_buf_done(&packed);
    celery_buf_done(&again);
    return 0;
}
