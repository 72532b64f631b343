/* SPDX-License-Identifier: MIT */
#include "celery/base64.h"

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

/* RFC 4648 section 10. */
static const struct {
    const char *bytes;
    const char *text;
} pairs[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"\xff\xfe\xfb", "//77"},
    {"foobar", "Zm9vYmFy"},
};

static const char *const broken[] = {
    "Z",      "Zg",   "Zg=",  "Zg==Zg==", "Zg=v",    "Z===", "====",
    "Zm9v\n", " Zm9", "Zm-v", "Zm_v",     "Zm\377v", "=g==",
};

START_TEST(goes_both_ways)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_str bytes;

        celery_base64_encode(&buf, text(pairs[i].bytes));
        ASSERT_BUF(&buf, pairs[i].text);
        ck_assert_int_eq(celery_base64_decode(text(pairs[i].text), &arena,
                                              &bytes),
                         CELERY_OK);
        ASSERT_TEXT(bytes, pairs[i].bytes);
    }
}
END_TEST

START_TEST(refuses_what_is_none)
{
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_str bytes = {"untouched", 9};

        ck_assert_msg(celery_base64_decode(text(broken[i]), &arena, &bytes)
                          == CELERY_MALFORMED,
                      "'%s'", broken[i]);
        ASSERT_TEXT(bytes, "untouched");
    }
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;

    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_str bytes;
        status = celery_base64_decode(text("Zm9v"), &arena, &bytes);
        celery_arena_done(&arena);
    });
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_base64_encode(&buf, text("foo"));
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("base64", goes_both_ways, refuses_what_is_none,
          survives_out_of_memory)
