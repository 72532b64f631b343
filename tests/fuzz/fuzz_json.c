/* SPDX-License-Identifier: MIT */
/*
 * A checked document is walked as deep as it goes: every slice is a document
 * itself, of the same type, and strings survive being written and read.
 */
#include "celery/json_scan.h"
#include "celery/json_write.h"
#include "fuzz/fuzz.h"

enum { DEPTH = 65 };

static void check_string(struct celery_json value, struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    struct celery_json root;
    struct celery_str text = {"", 0};
    struct celery_str again = {"", 0};

    HOLDS(celery_json_string(value, arena, &text) == CELERY_OK);
    celery_json_put_str(&w, text);
    HOLDS(celery_json_parse(celery_buf_str(&buf), NULL, &root, NULL)
          == CELERY_OK);
    HOLDS(celery_json_string(root, arena, &again) == CELERY_OK);
    HOLDS(fuzz_same(text, again));
    celery_buf_done(&buf);
}

static void check_number(struct celery_json value)
{
    char text[32];
    double d = 0;
    double again = 0;
    int64_t n = 0;
    struct celery_json made = {CELERY_JSON_NUMBER, {text, 0}};

    HOLDS(celery_json_double(value, &d));
    (void)celery_json_int64(value, &n);
    made.text.len = celery_double_repr(d, text);
    HOLDS(made.text.len < sizeof text);
    if (text[made.text.len - 1] == 'f' || text[0] == 'n')
        return;
    HOLDS(celery_json_double(made, &again));
    HOLDS(!(d < again) && !(d > again));
}

static void check_value(struct celery_json value, struct celery_arena *arena)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_json root;

    HOLDS(celery_json_parse(value.text, &limits, &root, NULL) == CELERY_OK);
    HOLDS(root.type == value.type && fuzz_same(root.text, value.text));
    (void)celery_json_truthy(value);
    if (value.type == CELERY_JSON_STRING)
        check_string(value, arena);
    if (value.type == CELERY_JSON_NUMBER)
        check_number(value);
}

static void walk(struct celery_json root, struct celery_arena *arena)
{
    struct celery_json_iter frames[DEPTH];
    struct celery_json key;
    struct celery_json value;
    size_t depth = 0;

    check_value(root, arena);
    frames[depth++] = celery_json_iter(root);
    while (depth != 0) {
        if (!celery_json_next(&frames[depth - 1], &key, &value)) {
            depth--;
            continue;
        }
        if (key.type != CELERY_JSON_NONE)
            check_value(key, arena);
        check_value(value, arena);
        if (value.type == CELERY_JSON_ARRAY
            || value.type == CELERY_JSON_OBJECT) {
            HOLDS(depth < DEPTH);
            frames[depth++] = celery_json_iter(value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root;
    struct celery_error err;

    limits.elements = 1000; /* every level is parsed again */
    if (size <= 4096
        && celery_json_parse(fuzz_str(data, size), &limits, &root, &err)
               == CELERY_OK)
        walk(root, &arena);
    celery_arena_done(&arena);
    return 0;
}
