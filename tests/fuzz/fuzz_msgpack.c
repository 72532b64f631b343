/* SPDX-License-Identifier: MIT */
/* What decodes is JSON, and the same JSON after encode and decode. */
#include <string.h>

#include "celery/content.h"
#include "fuzz/fuzz.h"

static bool names_a_type(struct celery_str json)
{
    return memmem(json.data, json.len, "\"__type__\"", 10) != NULL;
}

/* A map that names a type becomes what it stands for (bytes, by either name), or
 * stands for nothing and is refused; everything else comes back as it was. */
static void check_again(struct celery_json root, struct celery_str json,
                        const struct celery_limits *limits)
{
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_buf again = CELERY_BUF_INIT;
    struct celery_buf twice = CELERY_BUF_INIT;
    struct celery_limits deeper = *limits;
    struct celery_json second;
    struct celery_error err;

    deeper.depth += 1;
    deeper.elements *= 3;
    if (celery_msgpack_encode(root, &packed, &err) != CELERY_OK) {
        HOLDS(names_a_type(json) && strstr(err.msg, "typed bytes") != NULL);
        celery_buf_done(&packed);
        return;
    }
    HOLDS(celery_msgpack_decode(celery_buf_str(&packed), limits, &again, &err)
          == CELERY_OK);
    HOLDS(names_a_type(json) || fuzz_same(json, celery_buf_str(&again)));
    HOLDS(celery_json_parse(celery_buf_str(&again), &deeper, &second, &err)
          == CELERY_OK);
    HOLDS(celery_msgpack_encode(second, &twice, &err) == CELERY_OK);
    HOLDS(fuzz_same(celery_buf_str(&packed), celery_buf_str(&twice)));
    celery_buf_done(&packed);
    celery_buf_done(&again);
    celery_buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_buf json = CELERY_BUF_INIT;
    struct celery_buf packed = CELERY_BUF_INIT;
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
        check_again(root, celery_buf_str(&json), &limits);
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
    return 0;
}
