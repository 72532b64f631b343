/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "support/unit.h"

START_TEST(parameters_are_decoded)
{
    CLEANUP(query_done) struct query query = {.text = NULL};
    struct query_fault fault = {0};
    ck_assert(query_parse(
        &query, "a=1&b%62=x%20y+z%2b&&c=&d&e==%3d&%65uro=%E2%82%AC&=", &fault));
    ck_assert_uint_eq(query.count, 7);
    ck_assert_str_eq(query_get(&query, "a"), "1");
    ck_assert_str_eq(query_get(&query, "bb"), "x y z+");
    ck_assert_str_eq(query_get(&query, "c"), "");
    ck_assert_str_eq(query_get(&query, "d"), "");
    ck_assert_str_eq(query_get(&query, "e"), "==");
    ck_assert_str_eq(query_get(&query, "euro"), "\xe2\x82\xac");
    ck_assert_ptr_null(query_get(&query, "f"));
}
END_TEST

START_TEST(no_query_has_no_parameters)
{
    static const char *const none[] = {NULL, "", "&", "&&&"};
    for (size_t i = 0; i < 4; i++) {
        CLEANUP(query_done) struct query query = {.text = NULL};
        struct query_fault fault = {0};
        ck_assert(query_parse(&query, none[i], &fault));
        ck_assert_uint_eq(query.count, 0);
        ck_assert_ptr_null(query_get(&query, "a"));
    }
}
END_TEST

START_TEST(what_can_be_read_two_ways_is_refused)
{
    static const struct {
        const char *text;
        const char *error;
        const char *field;
    } cases[] = {
        {"tx_hash=%ff", "UTF-8", "tx_hash"},
        {"a=1&b=%00", "NUL", "b"},
        {"a=%c0%80", "UTF-8", "a"},
        {"a=%ed%a0%80", "UTF-8", "a"},
        {"a=%f4%90%80%80", "UTF-8", "a"},
        {"a=%e2%82", "UTF-8", "a"},
        {"a=\xff", "UTF-8", "a"},
        {"%ff=1", "UTF-8", ""},
        {"a=%", "hexadecimal", "a"},
        {"a=%4", "hexadecimal", "a"},
        {"a=%4g", "hexadecimal", "a"},
        {"a=%4&b=1", "hexadecimal", "a"},
        {"%4=1", "hexadecimal", ""},
        {"a=1&b=2&a=1", "twice", "a"},
        {"a=1&%61=2", "twice", "a"},
        {"a&a", "twice", "a"},
        {"=1&=2", "twice", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(query_done) struct query query = {.text = NULL};
        struct query_fault fault = {0};
        ck_assert_msg(!query_parse(&query, cases[i].text, &fault), "case %zu",
                      i);
        ck_assert_ptr_nonnull(strstr(fault.error, cases[i].error));
        ck_assert_str_eq(fault.field, cases[i].field);
    }
}
END_TEST

START_TEST(there_is_a_most)
{
    char text[(QUERY_PARAMS_MAX + 1) * 4 + 1] = "";
    for (int i = 0; i <= QUERY_PARAMS_MAX; i++) {
        CLEANUP(query_done) struct query query = {.text = NULL};
        struct query_fault fault = {0};
        (void)snprintf(text + strlen(text), 5, "p%02d&", i);
        ck_assert_int_eq(query_parse(&query, text, &fault),
                         i < QUERY_PARAMS_MAX);
    }
    char name[QUERY_NAME_MAX + 10];
    CLEANUP(query_done) struct query query = {.text = NULL};
    struct query_fault fault = {.field = "old"};
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 5, "=%ff", 5);
    ck_assert(!query_parse(&query, name, &fault));
    ck_assert_str_eq(fault.field, "");
}
END_TEST

UNIT_MAIN("query", parameters_are_decoded, no_query_has_no_parameters,
          what_can_be_read_two_ways_is_refused, there_is_a_most)
