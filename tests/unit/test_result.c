/* SPDX-License-Identifier: MIT */
#include "celery/result.h"

#include "base/cleanup.h"
#include "celery/compress.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

START_TEST(writes_pythons_order)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    const struct celery_exception exception = {
        .type = text("ValueError"),
        .module = text("builtins"),
        .message = text("[\"boom\"]"),
    };
    struct celery_result_out out = {
        .status = "SUCCESS",
        .result = text("5"),
        .date_done_us = 1795469808274203,
        .task_id = text("i"),
    };

    celery_result_encode(&buf, &out);
    ASSERT_BUF(&buf,
               "{\"status\": \"SUCCESS\", \"result\": 5, \"traceback\": null, "
               "\"children\": [], \"date_done\": "
               "\"2026-11-23T21:36:48.274203+00:00\", \"task_id\": \"i\"}");

    out.status = "FAILURE";
    out.exception = &exception;
    out.traceback = text("tb\n");
    out.children = text("[[[\"c\", null], null]]");
    out.date_done_us = 0;
    out.group_id = text("g");
    out.parent_id = text("p");
    out.name = text("t");
    out.args = text("[1]");
    out.worker = text("w@h");
    out.retries = 2;
    out.queue = text("q");
    celery_buf_clear(&buf);
    celery_result_encode(&buf, &out);
    ASSERT_BUF(&buf,
               "{\"status\": \"FAILURE\", \"result\": {\"exc_type\": "
               "\"ValueError\", \"exc_message\": [\"boom\"], \"exc_module\": "
               "\"builtins\"}, \"traceback\": \"tb\\n\", \"children\": "
               "[[[\"c\", null], null]], \"date_done\": null, \"group_id\": "
               "\"g\", \"parent_id\": \"p\", \"name\": \"t\", \"args\": [1], "
               "\"kwargs\": {}, \"worker\": \"w@h\", \"retries\": 2, "
               "\"queue\": \"q\", \"task_id\": \"i\"}");
}
END_TEST

static void assert_stamps(const char *names, const char *stamps,
                          const char *written)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf want = CELERY_BUF_INIT;
    const struct celery_result_out out = {
        .status = "SUCCESS",
        .task_id = text("i"),
        .name = text("t"),
        .stamped_headers = json(names),
        .stamps = json(stamps),
    };

    celery_buf_printf(&want,
                      "{\"status\": \"SUCCESS\", \"result\": null, "
                      "\"traceback\": null, \"children\": [], \"date_done\": "
                      "null, \"name\": \"t\", \"args\": [], \"kwargs\": {}, "
                      "\"worker\": null, \"retries\": 0, \"queue\": null, %s"
                      "\"task_id\": \"i\"}%c",
                      written, '\0');
    celery_result_encode(&buf, &out);
    ASSERT_BUF(&buf, want.data);
}

START_TEST(writes_the_listed_stamps)
{
    assert_stamps("[\"a\", \"b\"]", "{\"b\": [1], \"x\": 2, \"a\": null}",
                  "\"stamped_headers\": [\"a\", \"b\"], \"b\": [1], "
                  "\"a\": null, ");
    assert_stamps("[\"a\"]", "{}", "");
    assert_stamps("null", "{\"a\": 1}", "\"stamped_headers\": null, ");
    /* None takes the place of a member. */
    assert_stamps("[\"status\", \"task_id\"]",
                  "{\"status\": \"FAILURE\", \"task_id\": 1}",
                  "\"stamped_headers\": [\"status\", \"task_id\"], ");
}
END_TEST

START_TEST(reads_what_result_extended_adds)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_result r;

    ck_assert_int_eq(
        celery_result_decode(
            text("{\"status\": \"SUCCESS\", \"group_id\": \"g\", "
                 "\"parent_id\": \"p\", \"name\": \"t\", \"args\": [1], "
                 "\"kwargs\": {\"k\": 2}, \"worker\": \"w\", \"retries\": 3, "
                 "\"queue\": \"q\", \"stamped_headers\": [\"s\"], \"s\": "
                 "[4]}"),
            NULL, &arena, &r, NULL),
        CELERY_OK);
    ASSERT_TEXT(r.group_id, "g");
    ASSERT_TEXT(r.parent_id, "p");
    ASSERT_TEXT(r.name, "t");
    ASSERT_TEXT(r.args.text, "[1]");
    ASSERT_TEXT(r.kwargs.text, "{\"k\": 2}");
    ASSERT_TEXT(r.worker, "w");
    ck_assert_int_eq(r.retries, 3);
    ASSERT_TEXT(r.queue, "q");
    ASSERT_TEXT(r.stamped_headers.text, "[\"s\"]");
    ASSERT_TEXT(celery_json_get(r.document, "s").text, "[4]");

    ck_assert_int_eq(celery_result_decode(text("{\"status\": \"SUCCESS\", "
                                               "\"retries\": null}"),
                                          NULL, &arena, &r, NULL),
                     CELERY_OK);
    ck_assert_int_eq(r.retries, 0);
    ASSERT_TEXT(r.name, "");
    ck_assert_int_eq(r.args.type, CELERY_JSON_NONE);
}
END_TEST

START_TEST(reads_documents)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_result r;

    ck_assert_int_eq(
        celery_result_decode(
            text("{\"status\": \"SUCCESS\", \"result\": {\"exc_type\": "
                 "\"x\"}, \"traceback\": null, \"children\": [1], "
                 "\"date_done\": \"d\", \"task_id\": \"i\"}"),
            NULL, &arena, &r, NULL),
        CELERY_OK);
    ASSERT_TEXT(r.status, "SUCCESS");
    ASSERT_TEXT(r.result.text, "{\"exc_type\": \"x\"}");
    ASSERT_TEXT(r.traceback, "");
    ASSERT_TEXT(r.children.text, "[1]");
    ASSERT_TEXT(r.date_done, "d");
    ASSERT_TEXT(r.task_id, "i");
    ASSERT_TEXT(r.exception.type, ""); /* SUCCESS is no exception */

    ck_assert_int_eq(
        celery_result_decode(
            text("{\"status\": \"RETRY\", \"result\": {\"exc_type\": "
                 "\"E\", \"exc_message\": [\"a\", 2], \"exc_module\": null}}"),
            NULL, &arena, &r, NULL),
        CELERY_OK);
    ASSERT_TEXT(r.exception.type, "E");
    ASSERT_TEXT(r.exception.module, "");
    ASSERT_TEXT(r.exception.message, "[\"a\", 2]");
}
END_TEST

static const struct {
    struct celery_str document;
    enum celery_status status;
} broken[] = {
    {{"", 0}, CELERY_MALFORMED},
    {{"[]", 2}, CELERY_MALFORMED},
    {{"{}", 2}, CELERY_MALFORMED},
    {{"{\"status\": 5}", 13}, CELERY_MALFORMED},
    {{"\0celery-compressed\0zlib", 23}, CELERY_MALFORMED},
    {{"\0celery-compressed\0zlib\0xx", 26}, CELERY_MALFORMED},
    {{"\0celery-compressed\0snappy\0xx", 28}, CELERY_UNSUPPORTED},
};

START_TEST(refuses_broken_documents)
{
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_result r;

        ck_assert_msg(celery_result_decode(broken[i].document, NULL, &arena, &r,
                                           NULL)
                          == broken[i].status,
                      "case %zu", i);
    }
}
END_TEST

static const char small[] =
    "{\"status\": \"STARTED\", \"task_id\": \"\\u0041\"}";

static void make_compressed(struct celery_buf *buf)
{
    ck_assert_int_eq(celery_result_compress(text(small), "gzip", buf, NULL),
                     CELERY_OK);
}

START_TEST(writes_compressed_documents)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
    const struct celery_str mark =
        CELERY_STR("\0celery-compressed\0application/x-gzip\0");

    make_compressed(&buf);
    ck_assert_uint_gt(buf.len, mark.len);
    ck_assert(memcmp(buf.data, mark.data, mark.len) == 0);
    ck_assert_int_eq(celery_decompress(text("gzip"),
                                       (struct celery_str){buf.data + mark.len,
                                                           buf.len - mark.len},
                                       100, &plain, NULL),
                     CELERY_OK);
    ASSERT_BUF(&plain, small);
    ck_assert_int_eq(celery_result_compress(text(small), "snappy", &buf, NULL),
                     CELERY_UNSUPPORTED);
}
END_TEST

START_TEST(reads_compressed_documents)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_result r;

    make_compressed(&buf);
    ck_assert_int_eq(celery_result_decode(celery_buf_str(&buf), NULL, &arena,
                                          &r, NULL),
                     CELERY_OK);
    ASSERT_TEXT(r.status, "STARTED");
    ASSERT_TEXT(r.task_id, "A");
    limits.inflated_bytes = sizeof small - 2;
    ck_assert_int_eq(celery_result_decode(celery_buf_str(&buf), &limits, &arena,
                                          &r, NULL),
                     CELERY_TOO_LARGE);
}
END_TEST

static const struct {
    const char *type;
    const char *message;
    const char *repr;
} reprs[] = {
    {"ValueError", "[\"boom\"]", "ValueError('boom')"},
    {"ValueError", "", "ValueError()"},
    {"ValueError", "[]", "ValueError()"},
    {"Custom", "[\"a\", 2]", "Custom('a', 2)"},
    {"E", "[\"it's\", {\"k\": [null, 1.50]}]",
     "E(\"it's\", {'k': [None, 1.5]})"},
    {"E", "[\"a\\n\\u00ad\"]", "E('a\\n\\xad')"},
    {"E", "\"text\"", "E('text')"},
    {"E", "nonsense", "E()"},
    {"Outer.Inner", "[1]", "Inner(1)"},
    {"E", "[{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}]",
     "E(b'\\xff\\x00')"},
};

START_TEST(exceptions_as_repr)
{
    for (size_t i = 0; i < sizeof reprs / sizeof reprs[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        const struct celery_exception exception = {
            .type = text(reprs[i].type),
            .message = text(reprs[i].message),
        };

        celery_exception_repr(&buf, &exception);
        ASSERT_BUF(&buf, reprs[i].repr);
    }
}
END_TEST

START_TEST(survives_out_of_memory)
{
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    enum celery_status status = CELERY_OK;
    const struct celery_result_out out = {.status = "SUCCESS"};

    make_compressed(&packed);
    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_result r;
        status = celery_result_decode(celery_buf_str(&packed), NULL, &arena, &r,
                                      NULL);
        celery_arena_done(&arena);
    });
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_result_encode(&buf, &out);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        status = celery_result_compress(text(small), "gzip", &buf, NULL);
        celery_buf_done(&buf);
    });
    const struct celery_exception exception = {
        .type = text("KeyError"), .message = text("[\"\\u0041\", [1]]")};
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_exception_repr(&buf, &exception);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("result", writes_pythons_order, writes_the_listed_stamps,
          reads_what_result_extended_adds, reads_documents,
          refuses_broken_documents, writes_compressed_documents,
          reads_compressed_documents, exceptions_as_repr,
          survives_out_of_memory)
