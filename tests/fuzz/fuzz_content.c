/* SPDX-License-Identifier: MIT */
/* The first byte chooses a compression. No inflater makes more than it may;
 * what it makes survives being compressed again. */
#include "celery/compress.h"
#include "celery/content.h"
#include "fuzz/fuzz.h"

static const char *const names[] = {"zlib", "bzip2", "lzma", "zstd", "brotli"};

/* As any content type: what decodes is within the limits, what may not come is
 * refused by name. */
static void check_types(struct celery_str name, struct celery_str bytes,
                        const struct celery_limits *limits,
                        struct celery_arena *arena)
{
    static const char *const types[] = {"application/json",
                                        "application/x-msgpack",
                                        "application/x-python-serialize", ""};
    struct celery_json root;
    struct celery_error err;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct celery_content content = {
            .type = {types[i], strlen(types[i])},
            .compression = name,
            .body = bytes,
        };
        enum celery_status status =
            celery_content_decode(&content,
                                  CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                  limits, arena, &root, &err);
        HOLDS(i < 2 || status == CELERY_UNSUPPORTED);
        if (status == CELERY_OK)
            HOLDS(root.type != CELERY_JSON_NONE
                  && root.text.len <= limits->inflated_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LIMIT = 1 << 16 };
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf plain = CELERY_BUF_INIT;
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_json root;
    struct celery_error err;

    if (size == 0)
        return 0;
    const char *chosen = names[data[0] % 5];
    struct celery_str name = {chosen, strlen(chosen)};
    struct celery_str bytes = fuzz_str(data + 1, size - 1);

    if (celery_decompress(name, bytes, LIMIT, &plain, &err) == CELERY_OK) {
        HOLDS(plain.len <= LIMIT);
        /* brotli at its best takes long; short texts show as much. */
        if (plain.len < 512) {
            struct celery_str made = celery_buf_str(&plain);
            struct celery_buf again = CELERY_BUF_INIT;
            HOLDS(celery_compress(name, made, &packed, &err) == CELERY_OK);
            HOLDS(celery_decompress(name, celery_buf_str(&packed), LIMIT,
                                    &again, &err)
                  == CELERY_OK);
            HOLDS(fuzz_same(made, celery_buf_str(&again)));
            celery_buf_done(&again);
        }
    } else {
        HOLDS(plain.len == 0);
    }

    const struct celery_content content = {
        .type = CELERY_STR("application/json"),
        .compression = data[0] < 128 ? name : CELERY_STR(""),
        .body = bytes,
    };
    if (celery_content_decode(&content, CELERY_ACCEPT_JSON, &limits, &arena,
                              &root, &err)
        == CELERY_OK)
        HOLDS(root.text.len <= limits.inflated_bytes);
    check_types(content.compression, bytes, &limits, &arena);
    celery_buf_done(&plain);
    celery_buf_done(&packed);
    celery_arena_done(&arena);
    return 0;
}
