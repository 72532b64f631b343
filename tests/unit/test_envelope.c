/* SPDX-License-Identifier: MIT */
#include "celery/envelope.h"

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

static const char usual[] =
    "{\"body\": \"W10=\", \"content-encoding\": \"utf-8\", "
    "\"content-type\": \"application/json\", \"headers\": {\"task\": \"t\", "
    "\"compression\": \"gzip\"}, \"properties\": {\"correlation_id\": \"c\", "
    "\"reply_to\": \"r\", \"delivery_mode\": 2, \"delivery_info\": "
    "{\"exchange\": \"\", \"routing_key\": \"q\\u0041\"}, \"priority\": 4, "
    "\"body_encoding\": \"base64\", \"delivery_tag\": \"d\"}}";

START_TEST(reads_every_member)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope e;

    ck_assert_int_eq(
        celery_envelope_decode(text(usual), NULL, &arena, &e, NULL), CELERY_OK);
    ASSERT_TEXT(e.content.body, "[]");
    ASSERT_TEXT(e.content.type, "application/json");
    ASSERT_TEXT(e.content.encoding, "utf-8");
    ASSERT_TEXT(e.content.compression, "gzip");
    ASSERT_TEXT(e.correlation_id, "c");
    ASSERT_TEXT(e.reply_to, "r");
    ASSERT_TEXT(e.exchange, "");
    ASSERT_TEXT(e.routing_key, "qA");
    ASSERT_TEXT(e.delivery_tag, "d");
    ck_assert_int_eq(e.priority, 4);
    ck_assert(!e.redelivered);
    ck_assert_int_eq(e.headers.type, CELERY_JSON_OBJECT);
    ck_assert_int_eq(e.properties.type, CELERY_JSON_OBJECT);
}
END_TEST

static const struct {
    const char *raw;
    enum celery_status status;
    const char *body;
} cases[] = {
    {"{}", CELERY_OK, ""},
    {"{\"body\": null, \"headers\": null, \"properties\": null}", CELERY_OK,
     ""},
    {"{\"body\": \"[1]\"}", CELERY_OK, "[1]"},
    {"{\"body\": \"\\u00e9\", \"properties\": {\"body_encoding\": \"utf-8\"}}",
     CELERY_OK, "\xc3\xa9"},
    {"{\"body\": \"x\", \"properties\": {\"body_encoding\": null}}", CELERY_OK,
     "x"},
    {"{\"body\": \"\", \"properties\": {\"body_encoding\": \"base64\"}}",
     CELERY_OK, ""},
    {"{\"body\": \"x\", \"properties\": {\"body_encoding\": \"base64\"}}",
     CELERY_MALFORMED, ""},
    {"{\"body\": \"W10=\", \"properties\": {\"body_encoding\": \"hex\"}}",
     CELERY_MALFORMED, ""},
    {"{\"body\": [1]}", CELERY_MALFORMED, ""},
    {"{\"headers\": []}", CELERY_MALFORMED, ""},
    {"{\"properties\": 7}", CELERY_MALFORMED, ""},
    {"[]", CELERY_MALFORMED, ""},
    {"null", CELERY_MALFORMED, ""},
    {"", CELERY_MALFORMED, ""},
    {"{\"content-type\": 5, \"properties\": {\"priority\": \"high\", "
     "\"delivery_info\": 3, \"correlation_id\": {}}}",
     CELERY_OK, ""},
};

START_TEST(is_lenient_where_kombu_is)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_envelope e;
        struct celery_error err = {.msg = ""};

        ck_assert_msg(celery_envelope_decode(text(cases[i].raw), NULL, &arena,
                                             &e, &err)
                          == cases[i].status,
                      "%s: %s", cases[i].raw, err.msg);
        if (cases[i].status != CELERY_OK)
            continue;
        ASSERT_TEXT(e.content.body, cases[i].body);
        ck_assert_int_eq(e.priority, 0);
        ck_assert_int_eq(e.headers.type, CELERY_JSON_NONE);
    }
}
END_TEST

START_TEST(knows_both_marks_of_redelivery)
{
    static const char *const marked[] = {
        "{\"headers\": {\"redelivered\": true}}",
        "{\"properties\": {\"delivery_info\": {\"redelivered\": true}}}",
    };

    for (size_t i = 0; i < 2; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_envelope e;

        ck_assert_int_eq(celery_envelope_decode(text(marked[i]), NULL, &arena,
                                                &e, NULL),
                         CELERY_OK);
        ck_assert(e.redelivered);
    }
}
END_TEST

START_TEST(keeps_to_the_limits)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_envelope e;

    limits.message_bytes = sizeof usual - 2;
    ck_assert_int_eq(celery_envelope_decode(text(usual), &limits, &arena, &e,
                                            NULL),
                     CELERY_TOO_LARGE);
    limits.message_bytes++;
    limits.headers = 2;
    ck_assert_int_eq(celery_envelope_decode(text(usual), &limits, &arena, &e,
                                            NULL),
                     CELERY_OK);
    limits.headers = 1;
    ck_assert_int_eq(celery_envelope_decode(text(usual), &limits, &arena, &e,
                                            NULL),
                     CELERY_TOO_LARGE);
}
END_TEST

START_TEST(writes_kombus_order)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope_out out = {
        .body = text("[]"),
        .content_type = "application/json",
        .content_encoding = "utf-8",
        .headers = text("{\"task\": \"t\"}"),
        .correlation_id = "c",
        .reply_to = "r",
        .expiration = "1000",
        .delivery_mode = 2,
        .priority = 4,
        .exchange = "e",
        .routing_key = "q",
        .delivery_tag = "d",
    };

    celery_envelope_encode(&buf, &out);
    ASSERT_BUF(&buf,
               "{\"body\": \"W10=\", \"content-encoding\": \"utf-8\", "
               "\"content-type\": \"application/json\", \"headers\": "
               "{\"task\": \"t\"}, \"properties\": {\"correlation_id\": "
               "\"c\", \"reply_to\": \"r\", \"delivery_mode\": 2, "
               "\"expiration\": \"1000\", \"delivery_info\": {\"exchange\": "
               "\"e\", \"routing_key\": \"q\"}, \"priority\": 4, "
               "\"body_encoding\": \"base64\", \"delivery_tag\": \"d\"}}");

    celery_buf_clear(&buf);
    out.correlation_id = out.reply_to = out.expiration = NULL;
    out.exchange = out.routing_key = NULL;
    out.headers.len = 0;
    celery_envelope_encode(&buf, &out);
    ASSERT_BUF(&buf,
               "{\"body\": \"W10=\", \"content-encoding\": \"utf-8\", "
               "\"content-type\": \"application/json\", \"headers\": {}, "
               "\"properties\": {\"delivery_mode\": 2, \"delivery_info\": "
               "{\"exchange\": \"\", \"routing_key\": \"\"}, \"priority\": 4, "
               "\"body_encoding\": \"base64\", \"delivery_tag\": \"d\"}}");
}
END_TEST

/* Members are noted while the text is read: what a later member of the same
 * name replaces is forgotten, with all that was in it. */
START_TEST(takes_the_last_of_equal_members)
{
    static const struct {
        const char *raw;
        const char *compression;
        const char *exchange;
        const char *tag;
    } doubles[] = {
        {"{\"headers\": {\"compression\": \"a\"}, \"headers\": null}", "", "",
         ""},
        {"{\"headers\": null, \"headers\": {\"compression\": \"a\"}}", "a", "",
         ""},
        {"{\"headers\": {\"compression\": \"a\"}, \"headers\": "
         "{\"other\": \"b\"}}",
         "", "", ""},
        {"{\"headers\": {\"compression\": \"a\", \"compression\": \"b\"}}", "b",
         "", ""},
        {"{\"properties\": {\"delivery_tag\": \"t\", \"delivery_info\": "
         "{\"exchange\": \"e\"}}, \"properties\": {}}",
         "", "", ""},
        {"{\"properties\": {\"delivery_tag\": \"t\", \"delivery_info\": "
         "{\"exchange\": \"e\"}, \"delivery_info\": [\"f\"]}}",
         "", "", "t"},
        {"{\"properties\": {\"delivery_info\": {\"exchange\": \"e\"}, "
         "\"delivery_info\": {\"exchange\": \"f\"}}}",
         "", "f", ""},
        {"{\"other\": {\"headers\": {\"compression\": \"a\"}, "
         "\"delivery_info\": {\"exchange\": \"e\"}}}",
         "", "", ""},
        {"{\"he\\u0061ders\": {\"c\\u006fmpression\": \"a\"}}", "a", "", ""},
    };

    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_envelope e;
        ck_assert_int_eq(celery_envelope_decode(text(doubles[i].raw), NULL,
                                                &arena, &e, NULL),
                         CELERY_OK);
        ASSERT_TEXT(e.content.compression, doubles[i].compression);
        ASSERT_TEXT(e.exchange, doubles[i].exchange);
        ASSERT_TEXT(e.delivery_tag, doubles[i].tag);
    }
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;

    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_envelope e;
        status = celery_envelope_decode(text(usual), NULL, &arena, &e, NULL);
        celery_arena_done(&arena);
    });
}
END_TEST

UNIT_MAIN("envelope", reads_every_member, is_lenient_where_kombu_is,
          knows_both_marks_of_redelivery, keeps_to_the_limits,
          writes_kombus_order, takes_the_last_of_equal_members,
          survives_out_of_memory)
