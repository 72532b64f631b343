/* SPDX-License-Identifier: MIT */
#include "celery/json_scan.h"

#include <math.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

#define DEEP16   "[[[[[[[[[[[[[[[["
#define TOO_DEEP DEEP16 DEEP16 DEEP16 DEEP16 DEEP16 DEEP16 DEEP16 DEEP16 "["

/* As json.loads(bytes) of Python 3.11 decides. */
static const struct {
    const char *text;
    enum celery_status status;
} cases[] = {
    {"null", CELERY_OK},
    {" \t\r\n1 \n", CELERY_OK},
    {"NaN", CELERY_OK},
    {"[Infinity, -Infinity]", CELERY_OK},
    {"-0.0", CELERY_OK},
    {"0e-5", CELERY_OK},
    {"1E+400", CELERY_OK},
    {"123456789012345678901234567890", CELERY_OK},
    {"\"\\ud800\"", CELERY_OK},
    {"\"\\udc00\\ud800\\u0000\"", CELERY_OK},
    {"\"\x7f\"", CELERY_OK},
    {"\"\xc3\xa9\xe2\x82\xb9\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", CELERY_OK},
    {"{\"a\": 1, \"a\": 2}", CELERY_OK},
    {"{\"\": {}}", CELERY_OK},
    {"[[], {}, [ ] , { }]", CELERY_OK},
    {"", CELERY_MALFORMED},
    {" ", CELERY_MALFORMED},
    {"\xef\xbb\xbf"
     "1",
     CELERY_MALFORMED}, /* a byte order mark */
    {"nul", CELERY_MALFORMED},
    {"nulll", CELERY_MALFORMED},
    {"True", CELERY_MALFORMED},
    {"nan", CELERY_MALFORMED},
    {"-NaN", CELERY_MALFORMED},
    {"+1", CELERY_MALFORMED},
    {"01", CELERY_MALFORMED},
    {"-01", CELERY_MALFORMED},
    {"-", CELERY_MALFORMED},
    {"1.", CELERY_MALFORMED},
    {".5", CELERY_MALFORMED},
    {"1e", CELERY_MALFORMED},
    {"1e+", CELERY_MALFORMED},
    {"0x10", CELERY_MALFORMED},
    {"[1,]", CELERY_MALFORMED},
    {"[,1]", CELERY_MALFORMED},
    {"[1 2]", CELERY_MALFORMED},
    {"[1", CELERY_MALFORMED},
    {"[1}", CELERY_MALFORMED},
    {"1]", CELERY_MALFORMED},
    {"{\"a\": 1,}", CELERY_MALFORMED},
    {"{\"a\" 1}", CELERY_MALFORMED},
    {"{\"a\": }", CELERY_MALFORMED},
    {"{a: 1}", CELERY_MALFORMED},
    {"{1: 1}", CELERY_MALFORMED},
    {"{\"a\": 1", CELERY_MALFORMED},
    {"{\"a\"", CELERY_MALFORMED},
    {"{", CELERY_MALFORMED},
    {"\"", CELERY_MALFORMED},
    {"\"\\", CELERY_MALFORMED},
    {"\"\\\"", CELERY_MALFORMED},
    {"\"\\x41\"", CELERY_MALFORMED},
    {"\"\\u12\"", CELERY_MALFORMED},
    {"\"\\u123g\"", CELERY_MALFORMED},
    {"\"\t\"", CELERY_MALFORMED},
    {"\"\n\"", CELERY_MALFORMED},
    {"\"\xff\"", CELERY_MALFORMED},
    {"\"\xc0\x80\"", CELERY_MALFORMED},         /* overlong */
    {"\"\xe0\x80\x80\"", CELERY_MALFORMED},     /* overlong */
    {"\"\xed\xa0\x80\"", CELERY_MALFORMED},     /* a surrogate */
    {"\"\xf4\x90\x80\x80\"", CELERY_MALFORMED}, /* past U+10FFFF */
    {"\"\xe2\x82\"", CELERY_MALFORMED},
    {"1 1", CELERY_MALFORMED},
    {"/* no */ 1", CELERY_MALFORMED},
    {"\f1", CELERY_MALFORMED},
    {TOO_DEEP, CELERY_TOO_LARGE},
};

START_TEST(accepts_what_python_accepts)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct celery_json root;
        struct celery_error err = {.msg = ""};

        ck_assert_msg(celery_json_parse(text(cases[i].text), NULL, &root, &err)
                          == cases[i].status,
                      "'%s': %s", cases[i].text, err.msg);
        if (cases[i].status != CELERY_OK)
            ck_assert_ptr_nonnull(strstr(err.msg, "at byte"));
    }
}
END_TEST

START_TEST(refuses_a_nul_byte)
{
    struct celery_json root;
    struct celery_str inside = {"\"a\0b\"", 5};
    struct celery_str behind = {"1\0", 2};

    ck_assert_int_eq(celery_json_parse(inside, NULL, &root, NULL),
                     CELERY_MALFORMED);
    ck_assert_int_eq(celery_json_parse(behind, NULL, &root, NULL),
                     CELERY_MALFORMED);
}
END_TEST

START_TEST(keeps_to_the_limits)
{
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_json root;

    limits.depth = 2;
    limits.elements = 3;
    ck_assert_int_eq(celery_json_parse(text("[[1]]"), &limits, &root, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_json_parse(text("[[[]]]"), &limits, &root, NULL),
                     CELERY_TOO_LARGE);
    ck_assert_int_eq(celery_json_parse(text("[1, 2]"), &limits, &root, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_json_parse(text("[1, 2, 3]"), &limits, &root, NULL),
                     CELERY_TOO_LARGE);
    limits.depth = 1000000; /* is 1024 */
    limits.elements = 1000000;
    char deep[1026];
    memset(deep, '[', 1025);
    deep[1025] = '\0';
    ck_assert_int_eq(celery_json_parse(text(deep), &limits, &root, NULL),
                     CELERY_TOO_LARGE);
}
END_TEST

START_TEST(failure_writes_nothing)
{
    struct celery_json root = {CELERY_JSON_TRUE, {"x", 1}};

    ck_assert_int_eq(celery_json_parse(text("[1"), NULL, &root, NULL),
                     CELERY_MALFORMED);
    ck_assert_int_eq(root.type, CELERY_JSON_TRUE);
    ASSERT_TEXT(root.text, "x");
}
END_TEST

START_TEST(walks_members)
{
    struct celery_json root =
        json(" { \"a\" : [1, {\"x\": \"]}\\\"\"}], \"b\":-0.0,\"c\":null } ");
    struct celery_json_iter iter = celery_json_iter(root);
    struct celery_json key;
    struct celery_json value;

    ck_assert_int_eq(root.type, CELERY_JSON_OBJECT);
    ck_assert(celery_json_next(&iter, &key, &value));
    ASSERT_TEXT(key.text, "\"a\"");
    ASSERT_TEXT(value.text, "[1, {\"x\": \"]}\\\"\"}]");
    ck_assert(celery_json_next(&iter, &key, &value));
    ASSERT_TEXT(value.text, "-0.0");
    ck_assert_int_eq(value.type, CELERY_JSON_NUMBER);
    ck_assert(celery_json_next(&iter, NULL, &value));
    ck_assert_int_eq(value.type, CELERY_JSON_NULL);
    ck_assert(!celery_json_next(&iter, &key, &value));

    iter = celery_json_iter(json("[true]"));
    ck_assert(celery_json_next(&iter, &key, &value));
    ck_assert_int_eq(key.type, CELERY_JSON_NONE);
    ck_assert_int_eq(value.type, CELERY_JSON_TRUE);
    ck_assert(!celery_json_next(&iter, &key, &value));
    iter = celery_json_iter(json("\"[1]\""));
    ck_assert(!celery_json_next(&iter, &key, &value));
}
END_TEST

START_TEST(finds_members)
{
    struct celery_json root =
        json("{\"a\": 1, \"b\": [5, 6], \"\\u0061\": 2, \"k\\\"\": 3}");
    static const char *const names[] = {"b", "none", "a"};
    struct celery_json values[3];

    ASSERT_TEXT(celery_json_get(root, "a").text, "2"); /* the last one wins */
    ASSERT_TEXT(celery_json_get(root, "k\"").text, "3");
    ck_assert_int_eq(celery_json_get(root, "z").type, CELERY_JSON_NONE);
    ck_assert_int_eq(celery_json_get(json("[1]"), "a").type, CELERY_JSON_NONE);
    ASSERT_TEXT(celery_json_at(celery_json_get(root, "b"), 1).text, "6");
    ck_assert_int_eq(celery_json_at(celery_json_get(root, "b"), 2).type,
                     CELERY_JSON_NONE);
    ck_assert_int_eq(celery_json_at(root, 0).type, CELERY_JSON_NONE);
    ck_assert_uint_eq(celery_json_count(root), 4);
    ck_assert_uint_eq(celery_json_count(json("[]")), 0);
    ck_assert_uint_eq(celery_json_count(json("7")), 0);

    celery_json_pick(root, names, 3, values);
    ASSERT_TEXT(values[0].text, "[5, 6]");
    ck_assert_int_eq(values[1].type, CELERY_JSON_NONE);
    ASSERT_TEXT(values[2].text, "2");
}
END_TEST

START_TEST(unescapes_strings)
{
    static const struct {
        const char *source;
        const char *bytes;
        size_t len;
    } strings[] = {
        {"\"plain\"", "plain", 5},
        {"\"\"", "", 0},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\u20b9\\u00E9\"", "\xe2\x82\xb9\xc3\xa9", 5},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\\ud83d\"", "\xed\xa0\xbd", 3},
        {"\"\\ud83dx\\ude00\"", "\xed\xa0\xbdx\xed\xb8\x80", 7},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xed\xa0\xbd\xf0\x9f\x98\x80", 7},
    };

    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_json value = json(strings[i].source);
        struct celery_str got;

        ck_assert_int_eq(celery_json_string(value, &arena, &got), CELERY_OK);
        ck_assert_uint_eq(got.len, strings[i].len);
        ck_assert_mem_eq(got.data, strings[i].bytes, got.len);
        if (memchr(got.data, '\0', got.len) == NULL) {
            char copy[16] = "";
            memcpy(copy, got.data, got.len);
            ck_assert(celery_json_is(value, copy));
        }
    }
    ck_assert(!celery_json_is(json("\"a\\u0000\""), "a"));
    ck_assert(!celery_json_is(json("\"ab\""), "a"));
    ck_assert(!celery_json_is(json("\"\\u0061\""), "ab"));
    ck_assert(!celery_json_is(json("7"), "7"));
}
END_TEST

START_TEST(reads_numbers_exactly)
{
    static const struct {
        const char *source;
        bool fits;
        int64_t n;
    } ints[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"1.0", false, 0},
        {"1e2", false, 0},
        {"NaN", false, 0},
        {"true", false, 0},
        {"\"1\"", false, 0},
    };
    static const struct {
        const char *source;
        double d;
    } doubles[] = {
        {"0.1", 0.1},
        {"-2.5e-3", -2.5e-3},
        {"1e300", 1e300},
        {"5e-324", 5e-324},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"0.000000000000000000000000000000000000001e39", 1.0},
        {"1000000000000000000000000000000000000000e-39", 1.0},
        {"1e999999999999999999999", (double)INFINITY},
        {"-Infinity", -(double)INFINITY},
    };

    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        int64_t n = 0;
        ck_assert_msg(celery_json_int64(json(ints[i].source), &n)
                          == ints[i].fits,
                      "%s", ints[i].source);
        ck_assert_int_eq(n, ints[i].n);
    }
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        double d = 0;
        ck_assert(celery_json_double(json(doubles[i].source), &d));
        ck_assert_msg(!(d < doubles[i].d) && !(d > doubles[i].d), "%s",
                      doubles[i].source);
    }
    double d = 0;
    ck_assert(celery_json_double(json("-0.0"), &d) && signbit(d));
    ck_assert(celery_json_double(json("NaN"), &d) && isnan(d));
    ck_assert(!celery_json_double(json("\"1\""), &d));
}
END_TEST

START_TEST(ties_are_broken_by_the_last_digit)
{
    /* Half way between 1 and the next double, and a digit far behind. */
    static const char half[] =
        "1.00000000000000011102230246251565404236316680908203125";
    char source[2000];
    double d = 0;

    ck_assert(celery_json_double(json(half), &d));
    ck_assert(!(d > 1.0));
    memset(source, '0', sizeof source);
    memcpy(source, half, sizeof half - 1);
    source[1998] = '1';
    source[1999] = '\0';
    ck_assert(celery_json_double(json(source), &d));
    ck_assert(d > 1.0);
}
END_TEST

START_TEST(knows_pythons_truth)
{
    static const char *const falsy[] = {
        "null", "false",  "0",    "-0", "0.0", "-0.0",
        "0e9",  "1e-400", "\"\"", "[]", "{ }",
    };
    static const char *const truthy[] = {
        "true", "1", "NaN", "Infinity", "5e-324", "\"0\"", "[0]", "{\"a\": 0}",
    };

    for (size_t i = 0; i < sizeof falsy / sizeof falsy[0]; i++)
        ck_assert_msg(!celery_json_truthy(json(falsy[i])), "%s", falsy[i]);
    for (size_t i = 0; i < sizeof truthy / sizeof truthy[0]; i++)
        ck_assert_msg(celery_json_truthy(json(truthy[i])), "%s", truthy[i]);
    ck_assert(
        !celery_json_truthy((struct celery_json){.type = CELERY_JSON_NONE}));
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;

    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_str got;
        struct celery_json value = {CELERY_JSON_STRING, {"\"\\n\"", 4}};
        status = celery_json_string(value, &arena, &got);
        celery_arena_done(&arena);
    });
}
END_TEST

UNIT_MAIN("json_scan", accepts_what_python_accepts, refuses_a_nul_byte,
          keeps_to_the_limits, failure_writes_nothing, walks_members,
          finds_members, unescapes_strings, reads_numbers_exactly,
          ties_are_broken_by_the_last_digit, knows_pythons_truth,
          survives_out_of_memory)
