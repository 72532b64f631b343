/* SPDX-License-Identifier: MIT */
#include "webhook/spelling.h"

#include <string.h>

#include "base/cleanup.h"
#include "support/unit.h"
#include "webhook/json_path.h"
#include "webhook/unique_keys.h"

static struct celery_json parse(const char *text)
{
    struct celery_json root = {0};
    ck_assert_msg(celery_json_parse((struct celery_str){text, strlen(text)},
                                    NULL, &root, NULL)
                      == CELERY_OK,
                  "%s", text);
    return root;
}

START_TEST(integers)
{
    static const struct {
        const char *json;
        int64_t n; /* -1: refused */
    } cases[] = {
        {"0", 0},          {"12", 12},
        {"\"12\"", 12},    {"\"0x10\"", 16},
        {"\"0XfF\"", 255}, {"\"007\"", 7},
        {"\"\"", -1},      {"-1", -1},
        {"\"-1\"", -1},    {"1.5", -1},
        {"\"0x\"", -1},    {"\"1 \"", -1},
        {"true", -1},      {"\"9223372036854775807\"", INT64_MAX},
        {"[1]", -1},       {"\"9223372036854775808\"", -1},
        {"1e1", -1},       {"\"0x8000000000000000\"", -1},
        {"\"12a\"", -1},   {"null", -1},
    };
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n = -1;
        bool read =
            spelling_integer(parse(cases[i].json), &arena, INT64_MAX, &n);
        ck_assert_msg(read == (cases[i].n >= 0) && n == cases[i].n, "%s: %ld",
                      cases[i].json, (long)n);
    }
    int64_t n = 0;
    ck_assert(!spelling_integer(parse("256"), &arena, 255, &n));
    ck_assert(spelling_integer(parse("255"), &arena, 255, &n));
}
END_TEST

static void check_decimal(const char *json, const char *expected)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    char text[SPELLING_DECIMAL_MAX] = "";
    bool read = spelling_decimal(parse(json), &arena, text);
    ck_assert_msg(read == (expected != NULL), "%s", json);
    if (read)
        ck_assert_str_eq(text, expected);
}

START_TEST(decimals)
{
    check_decimal("12.5", "12.5");
    check_decimal("\"12.50\"", "12.50");
    check_decimal("1e-7", "0.0000001");
    check_decimal("\"1E-7\"", "0.0000001");
    check_decimal("1.25e2", "125");
    check_decimal("1.25e+1", "12.5");
    check_decimal("12e0", "12");
    check_decimal("125e-1", "12.5");
    check_decimal("125e-3", "0.125");
    check_decimal("\"-0.001\"", "-0.001");
    check_decimal("0", "0");
    check_decimal("5e3", "5000");
    check_decimal("\"1e96\"",
                  "1"
                  "000000000000000000000000000000000000000000000000"
                  "000000000000000000000000000000000000000000000000");
    check_decimal("\"1e97\"", NULL);
    check_decimal("\"1e999999999999999999999\"", NULL);
    check_decimal("\"1e\"", NULL);
    check_decimal("\"1e-\"", NULL);
    check_decimal("\"e5\"", NULL);
    check_decimal("\".5\"", NULL);
    check_decimal("\"5.\"", NULL);
    check_decimal("\"+5\"", NULL);
    check_decimal("\"1,5\"", NULL);
    check_decimal("\" 1\"", NULL);
    check_decimal("\"0x10\"", NULL);
    check_decimal("\"Infinity\"", NULL);
    check_decimal("true", NULL);
    check_decimal("\"\"", NULL);
}
END_TEST

static void check_units(const char *json, int places, const char *expected)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    char text[SPELLING_DECIMAL_MAX] = "";
    bool read = spelling_base_units(parse(json), &arena, places, text);
    ck_assert_msg(read == (expected != NULL), "%s", json);
    if (read)
        ck_assert_str_eq(text, expected);
}

START_TEST(base_units)
{
    check_units("\"0x00000000000000000000000000000000000000000000000000000000"
                "077afa60\"",
                6, "125.500000");
    check_units("\"0xab54a98ceb1f0ad2\"", 18, "12.345678901234567890");
    check_units("\"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
                "ffffffff\"",
                0,
                "1157920892373161954235709850086879078532699846656405640394575"
                "84007913129639935");
    check_units("\"0x10000000000000000000000000000000000000000000000000000000"
                "000000000\"",
                0, NULL);
    check_units("12500000", 6, "12.500000");
    check_units("\"1\"", 18, "0.000000000000000001");
    check_units("\"123456789012345678901\"", 18, "123.456789012345678901");
    check_units("\"0\"", 6, "0.000000");
    check_units("1e18", 18, "1");
    check_units("\"1.5\"", 6, NULL);
    check_units("\"0x\"", 6, NULL);
    check_units("\"0xg\"", 6, NULL);
    check_units("\"-5\"", 1, "-0.5");
}
END_TEST

static const char document[] =
    "{\"a\":{\"b\":[10,{\"c/d\":1,\"e~f\":2,\"\":3}]},\"x\":null}";

START_TEST(paths)
{
    static const struct {
        const char *path;
        const char *value; /* NULL: nothing */
    } cases[] = {
        {"/a/b/0", "10"},       {"/a/b/1/c~1d", "1"}, {"/a/b/1/e~0f", "2"},
        {"/a/b/1/", "3"},       {"/a/b/2", NULL},     {"/a/b/00", NULL},
        {"/a/b/x", NULL},       {"/a/c", NULL},       {"/x/y", NULL},
        {"/a/b/9999999", NULL}, {"/x", "null"},
    };
    struct celery_json root = parse(document);
    struct celery_json entry = json_path_get("/a", root, root);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct celery_json value = json_path_get(cases[i].path, root, root);
        ck_assert(json_path_valid(cases[i].path));
        ck_assert_int_eq(value.type == CELERY_JSON_NONE,
                         cases[i].value == NULL);
        if (cases[i].value != NULL)
            ck_assert_mem_eq(value.text.data, cases[i].value, value.text.len);
    }
    ck_assert_int_eq(json_path_get("/x", root, entry).type, CELERY_JSON_NONE);
    ck_assert_int_eq(json_path_get("^/x", root, entry).type, CELERY_JSON_NULL);
    ck_assert_int_eq(json_path_get("", root, entry).type, CELERY_JSON_OBJECT);
    ck_assert_int_eq(json_path_get(NULL, root, root).type, CELERY_JSON_NONE);
    ck_assert(!json_path_valid("a"));
    ck_assert(!json_path_valid("/~2"));
    ck_assert(!json_path_valid("/a~"));
    ck_assert(!json_path_valid("^a"));
}
END_TEST

START_TEST(keys_stand_once)
{
    static const struct {
        const char *json;
        bool unique;
    } cases[] = {
        {"{}", true},
        {"{\"a\":1,\"b\":1}", true},
        {"{\"a\":1,\"a\":1}", false},
        {"{\"amount\":1,\"\\u0061mount\":2}", false},
        {"{\"a\":{\"b\":1,\"c\":[{\"d\":1,\"d\":2}]}}", false},
        {"[{\"a\":1},{\"a\":2}]", true},
        {"{\"a\":1,\"A\":1,\"\":1}", true},
        {"{\"\":1,\"\":1}", false},
        {"1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        ck_assert_msg(unique_keys(parse(cases[i].json), &arena)
                          == cases[i].unique,
                      "%s", cases[i].json);
    }
}
END_TEST

UNIT_MAIN("spelling", integers, decimals, base_units, paths, keys_stand_once)
