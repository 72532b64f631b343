/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "celery/content.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

#define BYTES(literal)               \
    {                                \
        literal, sizeof(literal) - 1 \
    }

/* Pairs that go both ways. */
static const struct {
    struct celery_str packed;
    const char *json;
} pairs[] = {
    {BYTES("\xc0"), "null"},
    {BYTES("\xc3"), "true"},
    {BYTES("\xc2"), "false"},
    {BYTES("\x00"), "0"},
    {BYTES("\x7f"), "127"},
    {BYTES("\xff"), "-1"},
    {BYTES("\xe0"), "-32"},
    {BYTES("\xcc\x80"), "128"},
    {BYTES("\xcd\x01\x00"), "256"},
    {BYTES("\xce\x00\x01\x00\x00"), "65536"},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615"},
    {BYTES("\xd0\x80"), "-128"},
    {BYTES("\xd1\xff\x00"), "-256"},
    {BYTES("\xd2\x80\x00\x00\x00"), "-2147483648"},
    {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808"},
    {BYTES("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), "1.5"},
    {BYTES("\xa0"), "\"\""},
    {BYTES("\xa3"
           "a\xc3\xa9"),
     "\"a\\u00e9\""},
    {BYTES("\x90"), "[]"},
    {BYTES("\x80"), "{}"},
    {BYTES("\x93\x92\xa1v\x01\x80\x81\xa1k\xc0"),
     "[[\"v\", 1], {}, {\"k\": null}]"},
    {BYTES("\xc4\x02"
           "ab"),
     "{\"__type__\": \"bytes\", \"__value__\": \"ab\"}"},
    {BYTES("\x91\xc4\x02\xff\x00"),
     "[{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}]"},
    {BYTES("\x82\xa1"
           "a\x90\xa1"
           "b\x91\x80"),
     "{\"a\": [], \"b\": [{}]}"},
};

START_TEST(goes_both_ways)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_error err = {.msg = ""};

        ck_assert_msg(celery_msgpack_decode(pairs[i].packed, NULL, &buf, &err)
                          == CELERY_OK,
                      "%s: %s", pairs[i].json, err.msg);
        ASSERT_BUF(&buf, pairs[i].json);
        celery_buf_clear(&buf);
        ck_assert_int_eq(celery_msgpack_encode(json(pairs[i].json), &buf, &err),
                         CELERY_OK);
        ck_assert_uint_eq(buf.len, pairs[i].packed.len);
        ck_assert_mem_eq(buf.data, pairs[i].packed.data, buf.len);
    }
}
END_TEST

/* Other spellings of the same. */
START_TEST(reads_longer_forms)
{
    static const struct {
        struct celery_str packed;
        const char *json;
    } forms[] = {
        {BYTES("\xd9\x01"
               "a"),
         "\"a\""},
        {BYTES("\xda\x00\x01"
               "a"),
         "\"a\""},
        {BYTES("\xdb\x00\x00\x00\x01"
               "a"),
         "\"a\""},
        {BYTES("\xdc\x00\x01\x05"), "[5]"},
        {BYTES("\xdd\x00\x00\x00\x01\x05"), "[5]"},
        {BYTES("\xde\x00\x01\xa1"
               "a\x05"),
         "{\"a\": 5}"},
        {BYTES("\xdf\x00\x00\x00\x01\xd9\x01"
               "a\x05"),
         "{\"a\": 5}"},
        {BYTES("\xca\x3f\x80\x00\x00"), "1.0"},
        {BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "Infinity"},
        {BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "NaN"},
        {BYTES("\xc5\x00\x01"
               "a"),
         "{\"__type__\": \"bytes\", \"__value__\": \"a\"}"},
    };

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        ck_assert_int_eq(celery_msgpack_decode(forms[i].packed, NULL, &buf,
                                               NULL),
                         CELERY_OK);
        ASSERT_BUF(&buf, forms[i].json);
    }
}
END_TEST

START_TEST(refuses_bombs_and_rubbish)
{
    static const struct {
        struct celery_str packed;
        enum celery_status status;
    } table[] = {
        {BYTES(""), CELERY_MALFORMED},
        {BYTES("\xdd\xff\xff\xff\xff"), CELERY_MALFORMED},
        {BYTES("\xdf\xff\xff\xff\xff\xa1"
               "a"),
         CELERY_MALFORMED},
        {BYTES("\xdb\xff\xff\xff\xff"
               "a"),
         CELERY_MALFORMED},
        {BYTES("\xc6\xff\xff\xff\xff"
               "a"),
         CELERY_MALFORMED},
        {BYTES("\x91"), CELERY_MALFORMED},
        {BYTES("\x92\x01"), CELERY_MALFORMED},
        {BYTES("\xcd\x01"), CELERY_MALFORMED},
        {BYTES("\x01\x02"), CELERY_MALFORMED},
        {BYTES("\xc1"), CELERY_MALFORMED},
        {BYTES("\xa1\xff"), CELERY_MALFORMED},         /* no UTF-8 */
        {BYTES("\xa3\xed\xa0\x80"), CELERY_MALFORMED}, /* a surrogate */
        {BYTES("\x81\x01\x02"), CELERY_MALFORMED},     /* key is no text */
        {BYTES("\x81\xc4\x01"
               "a\x02"),
         CELERY_MALFORMED},
        {BYTES("\xd4\x01\x00"), CELERY_UNSUPPORTED},
        {BYTES("\xc7\x00\x01"), CELERY_UNSUPPORTED},
        {BYTES("\xd6\xff\x00\x00\x00\x00"), CELERY_UNSUPPORTED}, /* time */
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        ck_assert_msg(celery_msgpack_decode(table[i].packed, NULL, &buf, NULL)
                          == table[i].status,
                      "case %zu", i);
        ck_assert_uint_eq(buf.len, 0);
    }
}
END_TEST

START_TEST(keeps_to_the_limits)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    char deep[2000];

    memset(deep, '\x91', sizeof deep);
    ck_assert_int_eq(celery_msgpack_decode((struct celery_str){deep,
                                                               sizeof deep},
                                           &limits, &buf, NULL),
                     CELERY_TOO_LARGE);
    memset(deep, '\x00', sizeof deep);
    deep[0] = '\xdc'; /* an array of 1997 zeros */
    deep[1] = '\x07';
    deep[2] = '\xcd';
    limits.elements = 1997;
    ck_assert_int_eq(celery_msgpack_decode((struct celery_str){deep,
                                                               sizeof deep},
                                           &limits, &buf, NULL),
                     CELERY_TOO_LARGE);
    limits.elements = 1998;
    ck_assert_int_eq(celery_msgpack_decode((struct celery_str){deep,
                                                               sizeof deep},
                                           &limits, &buf, NULL),
                     CELERY_OK);
}
END_TEST

START_TEST(refuses_to_pack_what_python_cannot)
{
    static const char *const values[] = {
        "18446744073709551616",
        "-9223372036854775809",
        "\"\\ud800\"",
        "{\"\\ud800\": 1}",
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        ck_assert_int_eq(celery_msgpack_encode(json(values[i]), &buf, NULL),
                         CELERY_UNSUPPORTED);
        ck_assert_uint_eq(buf.len, 0);
    }
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;
    struct celery_json value =
        json("[\"\\u0041\", {\"__type__\": \"base64\", \"__value__\": "
             "\"/wA=\"}]");

    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        status = celery_msgpack_encode(value, &buf, NULL);
        celery_buf_done(&buf);
    });
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        status = celery_msgpack_decode(text("\x92\xc4\x01"
                                            "a\x01"),
                                       NULL, &buf, NULL);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("msgpack", goes_both_ways, reads_longer_forms,
          refuses_bombs_and_rubbish, keeps_to_the_limits,
          refuses_to_pack_what_python_cannot, survives_out_of_memory)
