/* SPDX-License-Identifier: MIT */
/* A request that decodes names a method, and its reply decodes; no pattern runs
 * long. */
#include "celery/control.h"
#include "fuzz/fuzz.h"

/* The input's halves as a pattern and a name, which need no request around. */
static void match(const uint8_t *data, size_t size)
{
    static const char *const matchers[] = {"glob", "pcre"};
    char node[200];
    size_t half = size / 2;
    size_t len = size - half < sizeof node ? size - half : sizeof node - 1;

    memcpy(node, data + half, len);
    node[len] = '\0';
    for (size_t i = 0; i < 2; i++) {
        const struct celery_control_request request = {
            .pattern = fuzz_str(data, half),
            .matcher = {matchers[i], 4},
        };
        (void)celery_control_is_for(&request, node);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_envelope again;
    struct celery_control_request request;
    struct celery_json root;
    struct celery_error err;

    if (size != 0)
        match(data, size);
    if (celery_envelope_decode(fuzz_str(data, size), &limits, &arena, &e, &err)
            == CELERY_OK
        && celery_control_decode(&e, &limits, &arena, &request, &err)
               == CELERY_OK) {
        HOLDS(request.method.len != 0);
        (void)celery_control_is_for(&request, "c@node-7.example");
        celery_control_reply(&buf, &request, "c@node-7.example",
                             CELERY_STR("{\"ok\": \"pong\"}"), 7, "tag");
        HOLDS(celery_envelope_decode(celery_buf_str(&buf), NULL, &arena, &again,
                                     &err)
              == CELERY_OK);
        HOLDS(celery_content_decode(&again.content, CELERY_ACCEPT_JSON, NULL,
                                    &arena, &root, &err)
              == CELERY_OK);
        HOLDS(celery_json_get(root, "c@node-7.example").type
              == CELERY_JSON_OBJECT);
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
