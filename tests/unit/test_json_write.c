/* SPDX-License-Identifier: MIT */
#include "celery/json_write.h"

#include <math.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

START_TEST(writes_pythons_format)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);

    celery_json_begin_object(&w);
    celery_json_key(&w, "a");
    celery_json_begin_array(&w);
    celery_json_put_int(&w, 1);
    celery_json_put_int(&w, INT64_MIN);
    celery_json_put_int(&w, INT64_MAX);
    celery_json_begin_array(&w);
    celery_json_end_array(&w);
    celery_json_begin_object(&w);
    celery_json_end_object(&w);
    celery_json_end_array(&w);
    celery_json_key_str(&w, text("b\""));
    celery_json_put_bool(&w, true);
    celery_json_key(&w, "c");
    celery_json_put_null(&w);
    celery_json_key(&w, "d");
    celery_json_put_text(&w, NULL);
    celery_json_key(&w, "e");
    celery_json_put_raw(&w, text("[1,2]"));
    celery_json_key(&w, "f");
    celery_json_put_value(&w, (struct celery_json){.type = CELERY_JSON_NONE});
    celery_json_key(&w, "g");
    celery_json_put_value(&w, json("1.50"));
    celery_json_end_object(&w);
    ASSERT_BUF(&buf,
               "{\"a\": [1, -9223372036854775808, 9223372036854775807, [], {}]"
               ", \"b\\\"\": true, \"c\": null, \"d\": null, \"e\": [1,2], "
               "\"f\": null, \"g\": 1.50}");
}
END_TEST

static const struct {
    const char *text;
    size_t len;
    const char *json;
} strings[] = {
    {"", 0, "\"\""},
    {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
    {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
    {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\""},
    {"\xc3\xa9\xe2\x82\xb9", 5, "\"\\u00e9\\u20b9\""},
    {"\xf0\x9f\x98\x80", 4, "\"\\ud83d\\ude00\""},
    {"\xed\xa0\xbd", 3, "\"\\ud83d\""},
    {"\xff"
     "a\xc3",
     3, "\"\\ufffda\\ufffd\""},
    {"\xc0\x80", 2, "\"\\ufffd\\ufffd\""},
};

START_TEST(escapes_to_ascii)
{
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_json_writer w = CELERY_JSON_WRITER(&buf);

        celery_json_put_str(&w, (struct celery_str){strings[i].text,
                                                    strings[i].len});
        ASSERT_BUF(&buf, strings[i].json);
    }
}
END_TEST

static const struct {
    double d;
    const char *repr;
} doubles[] = {
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {5.0, "5.0"},
    {0.1, "0.1"},
    {1e15, "1000000000000000.0"},
    {1e16, "1e+16"},
    {123456789012345680.0, "1.2345678901234568e+17"},
    {0.0001, "0.0001"},
    {0.00001, "1e-05"},
    {1e300, "1e+300"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {5e-324, "5e-324"},
    {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {5.684341886080802e-14, "5.684341886080802e-14"}, /* 2**-44 */
    {9007199254740993.0, "9007199254740992.0"},
    {0.30000000000000004, "0.30000000000000004"},
    {100.0, "100.0"},
    {-1.5e-7, "-1.5e-07"},
};

START_TEST(doubles_as_python_shows_them)
{
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        char got[32];
        size_t len = celery_double_repr(doubles[i].d, got);

        ck_assert_str_eq(got, doubles[i].repr);
        ck_assert_uint_eq(len, strlen(got));
    }

    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    celery_json_begin_array(&w);
    celery_json_put_double(&w, 1795469909.1);
    celery_json_put_double(&w, (double)NAN);
    celery_json_put_double(&w, (double)INFINITY);
    celery_json_put_double(&w, -(double)INFINITY);
    celery_json_end_array(&w);
    ASSERT_BUF(&buf, "[1795469909.1, NaN, Infinity, -Infinity]");
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;

    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
        celery_json_begin_array(&w);
        for (int i = 0; i < 50; i++)
            celery_json_put_text(&w, "\xc3\xa9");
        celery_json_end_array(&w);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("json_write", writes_pythons_format, escapes_to_ascii,
          doubles_as_python_shows_them, survives_out_of_memory)
