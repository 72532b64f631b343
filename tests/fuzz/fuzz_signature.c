/* SPDX-License-Identifier: MIT */
/* A signature that decodes says the same when it is written and read again, and
 * the walk over it visits as many on both sides. */
#include "celery/signature.h"
#include "fuzz/fuzz.h"

static size_t visit(struct celery_json root, struct celery_arena *arena)
{
    struct celery_signature_walk walk;
    struct celery_signature s;
    size_t n = 0;
    bool done = false;

    celery_signature_walk(&walk, root, arena);
    while (celery_signature_next(&walk, &s, &done, NULL) == CELERY_OK
           && !done) {
        n++;
        HOLDS(s.task.len != 0);
        HOLDS(walk.depth < CELERY_SIGNATURE_DEPTH);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json root;
    struct celery_json root2;
    struct celery_signature a;
    struct celery_signature b;

    if (celery_json_parse(fuzz_str(data, size), &limits, &root, NULL)
            == CELERY_OK
        && celery_signature_decode(root, &arena, &a, NULL) == CELERY_OK) {
        celery_signature_encode(&buf, &a);
        HOLDS(celery_json_parse(celery_buf_str(&buf), NULL, &root2, NULL)
              == CELERY_OK);
        HOLDS(celery_signature_decode(root2, &arena, &b, NULL) == CELERY_OK);
        HOLDS(a.kind == b.kind && a.immutable == b.immutable);
        HOLDS(a.chord_size == b.chord_size && a.chunk == b.chunk);
        HOLDS(fuzz_same(a.task, b.task));
        HOLDS(celery_json_null(a.args) || fuzz_same(a.args.text, b.args.text));
        HOLDS(celery_json_null(a.kwargs)
              || fuzz_same(a.kwargs.text, b.kwargs.text));
        HOLDS(celery_json_null(a.options)
              || fuzz_same(a.options.text, b.options.text));
        HOLDS(visit(root, &arena) == visit(root2, &arena));
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
