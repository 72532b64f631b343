/* SPDX-License-Identifier: MIT */
#include "celery/content.h"

#include "base/cleanup.h"
#include "celery/compress.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

enum { BOTH = CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK };

static const struct {
    const char *type;
    const char *encoding;
    const char *body;
    unsigned accept;
    enum celery_status status;
    const char *said; /* within the root, or within the error */
} cases[] = {
    {"application/json", "utf-8", "[1]", BOTH, CELERY_OK, "[1]"},
    {"application/json", "us-ascii", "[1]", BOTH, CELERY_OK, "[1]"},
    {"application/json", "", "{}", BOTH, CELERY_OK, "{}"},
    {"application/json", "utf-8", "[1", BOTH, CELERY_MALFORMED, "byte 2"},
    {"application/json", "utf-8", "", BOTH, CELERY_MALFORMED, ""},
    {"application/x-msgpack", "binary", "\x91\x01", BOTH, CELERY_OK, "[1]"},
    {"application/x-msgpack", "binary", "\x91\x01", CELERY_ACCEPT_JSON,
     CELERY_UNSUPPORTED, "application/x-msgpack"},
    {"application/json", "utf-8", "[1]", CELERY_ACCEPT_MSGPACK,
     CELERY_UNSUPPORTED, "application/json"},
    {"application/x-msgpack", "binary", "\x91", BOTH, CELERY_MALFORMED, ""},
    {"application/x-python-serialize", "binary", "\x80\x04N.", BOTH,
     CELERY_UNSUPPORTED, "application/x-python-serialize"},
    {"application/x-yaml", "utf-8", "[1]", BOTH, CELERY_UNSUPPORTED,
     "application/x-yaml"},
    {"", "", "[1]", BOTH, CELERY_UNSUPPORTED, "application/data"},
    {"text/plain", "utf-8", "[1]", BOTH, CELERY_UNSUPPORTED, "text/plain"},
    {"application/json; charset=utf-8", "utf-8", "[1]", BOTH,
     CELERY_UNSUPPORTED, "charset"},
};

START_TEST(accepts_by_content_type)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_json root = {CELERY_JSON_NONE, {"", 0}};
        struct celery_error err = {.msg = ""};
        const struct celery_content content = {
            .type = text(cases[i].type),
            .encoding = text(cases[i].encoding),
            .body = text(cases[i].body),
        };

        ck_assert_msg(celery_content_decode(&content, cases[i].accept, NULL,
                                            &arena, &root, &err)
                          == cases[i].status,
                      "case %zu: %s", i, err.msg);
        if (cases[i].status == CELERY_OK)
            ASSERT_TEXT(root.text, cases[i].said);
        else
            ck_assert_ptr_nonnull(strstr(err.msg, cases[i].said));
    }
}
END_TEST

START_TEST(inflates_up_to_the_limit)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_json root;

    ck_assert_int_eq(celery_compress(text("gzip"), text("[1, 2]"), &packed,
                                     NULL),
                     CELERY_OK);
    struct celery_content content = {
        .type = text("application/json"),
        .compression = text("application/x-gzip"),
        .body = celery_buf_str(&packed),
    };
    limits.inflated_bytes = 6;
    ck_assert_int_eq(celery_content_decode(&content, BOTH, &limits, &arena,
                                           &root, NULL),
                     CELERY_OK);
    ASSERT_TEXT(root.text, "[1, 2]");
    limits.inflated_bytes = 5;
    ck_assert_int_eq(celery_content_decode(&content, BOTH, &limits, &arena,
                                           &root, NULL),
                     CELERY_TOO_LARGE);
    content.compression = text("");
    content.body = text("[1, 2]");
    ck_assert_int_eq(celery_content_decode(&content, BOTH, &limits, &arena,
                                           &root, NULL),
                     CELERY_TOO_LARGE);
    content.compression = text("snappy");
    ck_assert_int_eq(celery_content_decode(&content, BOTH, NULL, &arena, &root,
                                           NULL),
                     CELERY_UNSUPPORTED);
    content.compression = text("zlib");
    ck_assert_int_eq(celery_content_decode(&content, BOTH, NULL, &arena, &root,
                                           NULL),
                     CELERY_MALFORMED);
}
END_TEST

START_TEST(survives_out_of_memory)
{
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    enum celery_status status = CELERY_OK;

    ck_assert_int_eq(celery_compress(text("zlib"), text("\x92\x01\xa1x"),
                                     &packed, NULL),
                     CELERY_OK);
    const struct celery_content content = {
        .type = text("application/x-msgpack"),
        .compression = text("zlib"),
        .body = celery_buf_str(&packed),
    };
    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_json root;
        status =
            celery_content_decode(&content, BOTH, NULL, &arena, &root, NULL);
        celery_arena_done(&arena);
    });
}
END_TEST

UNIT_MAIN("content", accepts_by_content_type, inflates_up_to_the_limit,
          survives_out_of_memory)
