/* SPDX-License-Identifier: MIT */
#include "celery/signature.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

#define SIG(name)                                                           \
    "{\"task\": \"" name "\", \"args\": [1], \"kwargs\": {}, \"options\": " \
    "{}, \"subtask_type\": null, \"immutable\": false}"
#define CANVAS(name, kwargs, type)                                       \
    "{\"task\": \"celery." name "\", \"args\": [], \"kwargs\": " kwargs  \
    ", \"options\": {}, \"subtask_type\": \"" type "\", \"immutable\": " \
    "false}"
#define GROUP \
    CANVAS("group", "{\"tasks\": [" SIG("b") ", " SIG("c") "]}", "group")
#define CHORD                                                                                    \
    CANVAS(                                                                                      \
        "chord",                                                                                 \
        "{\"kwargs\": {}, \"header\": " GROUP ", \"body\": "                                     \
        "{\"task\": \"d\", \"options\": {\"link\": " SIG(                                        \
            "e") ", \"link_error\": [" SIG("f") "], \"chain\": [" SIG("g") "]"                   \
                                                                           ","                   \
                                                                           " "                   \
                                                                           "\"chord\": null}}}", \
        "chord")
#define ALL CANVAS("chain", "{\"tasks\": [" SIG("a") ", " CHORD "]}", "chain")

static const struct {
    const char *source;
    enum celery_signature_kind kind;
} kinds[] = {
    {SIG("t"), CELERY_SIGNATURE_TASK},
    {GROUP, CELERY_SIGNATURE_GROUP},
    {ALL, CELERY_SIGNATURE_CHAIN},
    {CANVAS("map", "{\"task\": " SIG("a") ", \"it\": [1, 2]}", "xmap"),
     CELERY_SIGNATURE_MAP},
    {CANVAS("starmap", "{\"task\": \"a\", \"it\": [[1]]}", "xstarmap"),
     CELERY_SIGNATURE_STARMAP},
    {CANVAS("chunks", "{\"task\": \"a\", \"it\": [[1]], \"n\": 7}", "chunks"),
     CELERY_SIGNATURE_CHUNKS},
    {CANVAS("chord", "{\"header\": [], \"body\": null}", "chord"),
     CELERY_SIGNATURE_CHORD},
    {"{\"task\": \"t\", \"args\": [1.0, 1e300], \"kwargs\": {\"k\": -0.0}, "
     "\"options\": {\"x\": null}, \"subtask_type\": null, \"immutable\": "
     "true, \"chord_size\": 3, \"mine\": {\"n\": "
     "123456789012345678901234567890}}",
     CELERY_SIGNATURE_TASK},
};

START_TEST(comes_out_as_it_came_in)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_signature s;
        struct celery_error err = {.msg = ""};

        ck_assert_msg(celery_signature_decode(json(kinds[i].source), &arena, &s,
                                              &err)
                          == CELERY_OK,
                      "case %zu: %s", i, err.msg);
        ck_assert_msg(s.kind == kinds[i].kind, "case %zu", i);
        celery_signature_encode(&buf, &s);
        ASSERT_BUF(&buf, kinds[i].source);
    }
}
END_TEST

START_TEST(reads_what_it_says)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_signature s;

    ck_assert_int_eq(celery_signature_decode(json(kinds[7].source), &arena, &s,
                                             NULL),
                     CELERY_OK);
    ck_assert(s.immutable);
    ck_assert_int_eq(s.chord_size, 3);
    ASSERT_TEXT(s.args.text, "[1.0, 1e300]");
    ck_assert_int_eq(celery_signature_decode(json(kinds[5].source), &arena, &s,
                                             NULL),
                     CELERY_OK);
    ck_assert_int_eq(s.chunk, 7);
    ASSERT_TEXT(s.each.text, "\"a\"");
    ASSERT_TEXT(s.it.text, "[[1]]");
}
END_TEST

/* All six are written, whatever came: a Python worker needs them. */
START_TEST(writes_all_six)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_signature s;

    ck_assert_int_eq(celery_signature_decode(json("{\"\\u0074ask\": \"t\", "
                                                  "\"args\": null}"),
                                             &arena, &s, NULL),
                     CELERY_OK);
    ck_assert_int_eq(s.chord_size, -1);
    celery_signature_encode(&buf, &s);
    ASSERT_BUF(&buf, "{\"task\": \"t\", \"args\": [], \"kwargs\": {}, "
                     "\"options\": {}, \"subtask_type\": null, "
                     "\"immutable\": false}");
}
END_TEST

static const struct {
    const char *source;
    enum celery_status status;
    const char *error;
} broken[] = {
    {"[]", CELERY_MALFORMED, "signature: no object"},
    {"{}", CELERY_MALFORMED, "signature: invalid \"task\""},
    {"{\"task\": \"\"}", CELERY_MALFORMED, "signature: invalid \"task\""},
    {"{\"task\": 5}", CELERY_MALFORMED, "signature: invalid \"task\""},
    {"{\"task\": \"t\", \"args\": {}}", CELERY_MALFORMED,
     "signature: invalid \"args\""},
    {"{\"task\": \"t\", \"kwargs\": []}", CELERY_MALFORMED,
     "signature: invalid \"kwargs\""},
    {"{\"task\": \"t\", \"options\": []}", CELERY_MALFORMED,
     "signature: invalid \"options\""},
    {"{\"task\": \"t\", \"chord_size\": -1}", CELERY_MALFORMED,
     "signature: invalid \"chord_size\""},
    {"{\"task\": \"t\", \"chord_size\": 1.5}", CELERY_MALFORMED,
     "signature: invalid \"chord_size\""},
    {"{\"task\": \"t\", \"subtask_type\": \"loop\"}", CELERY_UNSUPPORTED,
     "signature: unknown subtask_type \"loop\""},
    {"{\"task\": \"t\", \"subtask_type\": 5}", CELERY_UNSUPPORTED,
     "signature: unknown subtask_type 5"},
    {"{\"task\": \"t\", \"subtask_type\": \"chain\"}", CELERY_MALFORMED,
     "signature: invalid \"tasks\""},
    {"{\"task\": \"t\", \"subtask_type\": \"chord\"}", CELERY_MALFORMED,
     "signature: invalid \"header\""},
    {"{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": "
     "{\"header\": [], \"body\": 1}}",
     CELERY_MALFORMED, "signature: invalid \"body\""},
    {"{\"task\": \"t\", \"subtask_type\": \"xmap\"}", CELERY_MALFORMED,
     "signature: invalid \"task\""},
    {"{\"task\": \"t\", \"subtask_type\": \"xmap\", \"kwargs\": {\"task\": "
     "\"x\", \"it\": 5}}",
     CELERY_MALFORMED, "signature: invalid \"it\""},
    {"{\"task\": \"t\", \"subtask_type\": \"chunks\", \"kwargs\": {\"task\": "
     "\"x\", \"it\": [], \"n\": 0}}",
     CELERY_MALFORMED, "signature: invalid \"n\""},
};

START_TEST(tells_what_is_broken)
{
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_signature s;
        struct celery_error err = {.msg = ""};

        ck_assert_msg(celery_signature_decode(json(broken[i].source), &arena,
                                              &s, &err)
                          == broken[i].status,
                      "case %zu", i);
        ck_assert_str_eq(err.msg, broken[i].error);
    }
}
END_TEST

START_TEST(walks_all_in_order)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_signature_walk walk;
    struct celery_signature s;
    bool done = false;

    celery_signature_walk(&walk, json(ALL), &arena);
    for (;;) {
        ck_assert_int_eq(celery_signature_next(&walk, &s, &done, NULL),
                         CELERY_OK);
        if (done)
            break;
        celery_buf_printf(&buf, "%.*s:%d@%u ", (int)s.task.len, s.task.data,
                          (int)walk.role, walk.depth);
    }
    ASSERT_BUF(&buf, "celery.chain:0@0 a:1@1 celery.chord:1@1 celery.group:2@2 "
                     "b:1@3 c:1@3 d:3@2 e:5@3 f:6@3 g:7@3 ");
}
END_TEST

static void nest(struct celery_buf *buf, int levels)
{
    for (int i = 0; i < levels; i++)
        celery_buf_printf(buf, "{\"task\": \"t\", \"options\": {\"link\": ");
    celery_buf_printf(buf, "{\"task\": \"t\"}");
    for (int i = 0; i < levels; i++)
        celery_buf_printf(buf, "}}");
}

static enum celery_status walk_nested(int levels, struct celery_error *err)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_signature_walk walk;
    struct celery_signature s;
    bool done = false;
    enum celery_status status = CELERY_OK;

    nest(&buf, levels);
    celery_signature_walk(&walk, json(celery_buf_str(&buf).data), &arena);
    while (status == CELERY_OK && !done)
        status = celery_signature_next(&walk, &s, &done, err);
    return status;
}

START_TEST(the_depth_has_a_limit)
{
    struct celery_error err = {.msg = ""};

    ck_assert_int_eq(walk_nested(CELERY_SIGNATURE_DEPTH - 1, &err), CELERY_OK);
    ck_assert_int_eq(walk_nested(CELERY_SIGNATURE_DEPTH, &err),
                     CELERY_TOO_LARGE);
    ck_assert_str_eq(err.msg,
                     "signature: past the limit depth of 64 at byte 2176");
}
END_TEST

START_TEST(survives_out_of_memory)
{
    struct celery_json root = json("{\"task\": \"t\\u0041\"}");
    enum celery_status status = CELERY_OK;

    OOM_LOOP(status, {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_signature s;
        status = celery_signature_decode(root, &arena, &s, NULL);
        if (status == CELERY_OK) {
            celery_signature_encode(&buf, &s);
            status = celery_buf_status(&buf);
        }
    });
}
END_TEST

START_TEST(a_walk_survives_out_of_memory)
{
    struct celery_json root =
        json("{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", "
             "\"kwargs\": {\"tasks\": [{\"task\": \"\\u0041\"}, "
             "{\"task\": \"\\u0042\"}]}}");
    enum celery_status status = CELERY_OK;
    int visited = 0;

    OOM_LOOP(status, {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_signature_walk walk;
        struct celery_signature s;
        bool done = false;
        visited = 0;
        celery_signature_walk(&walk, root, &arena);
        do {
            status = celery_signature_next(&walk, &s, &done, NULL);
            visited += status == CELERY_OK && !done;
        } while (status == CELERY_OK && !done);
    });
    ck_assert_int_eq(visited, 3);
}
END_TEST

UNIT_MAIN("canvas_signature", comes_out_as_it_came_in, reads_what_it_says,
          writes_all_six, tells_what_is_broken, walks_all_in_order,
          the_depth_has_a_limit, survives_out_of_memory,
          a_walk_survives_out_of_memory)
