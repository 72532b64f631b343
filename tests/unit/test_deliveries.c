/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include <string.h>

#include "broker/deliveries.h"
#include "support/unit.h"

static struct celery_json parsed(const char *text)
{
    struct celery_json root = {CELERY_JSON_NONE, CELERY_STR("")};
    ck_assert_int_eq(celery_json_parse((struct celery_str){text, strlen(text)},
                                       NULL, &root, NULL),
                     CELERY_OK);
    return root;
}

static void check_put(const char *envelope, unsigned count,
                      const char *expected)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    broker_deliveries_put(&buf, parsed(envelope), count);
    celery_buf_append(&buf, (struct celery_str){"", 1});
    ck_assert_str_eq(celery_buf_str(&buf).data, expected);
    ck_assert_uint_eq(
        broker_deliveries(celery_json_get(parsed(expected), "headers")), count);
    celery_buf_done(&buf);
}

START_TEST(the_count_is_set_and_nothing_else_moves)
{
    check_put("{\"body\": \"e30=\",  \"headers\": {\"task\": \"t\"}}", 1,
              "{\"body\": \"e30=\",  \"headers\": {\"x-deliveries\": 1, "
              "\"task\": \"t\"}}");
    check_put("{\"headers\": {\"task\": \"t\", \"x-deliveries\": 41 , "
              "\"n\": 1e300}, \"body\": \"\\u0000\"}",
              42,
              "{\"headers\": {\"task\": \"t\", \"x-deliveries\": 42 , "
              "\"n\": 1e300}, \"body\": \"\\u0000\"}");
    check_put("{\"headers\": {}}", 2, "{\"headers\": {\"x-deliveries\": 2}}");
    check_put("{\"headers\": null, \"a\": 1}", 3,
              "{\"headers\": {\"x-deliveries\": 3}, \"a\": 1}");
    check_put("{\"a\": 1}", 1,
              "{\"headers\": {\"x-deliveries\": 1}, \"a\": 1}");
    check_put("{}", 1, "{\"headers\": {\"x-deliveries\": 1}}");
}
END_TEST

START_TEST(what_is_no_count_counts_as_none)
{
    static const char *const none[] = {"{}",
                                       "{\"x-deliveries\": null}",
                                       "{\"x-deliveries\": -1}",
                                       "{\"x-deliveries\": 1.5}",
                                       "{\"x-deliveries\": \"3\"}",
                                       "[]",
                                       "null"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_uint_eq(broker_deliveries(parsed(none[i])), 0);
    ck_assert_uint_eq(broker_deliveries(
                          parsed("{\"x-deliveries\": 9223372036854775807}")),
                      BROKER_DELIVERIES_MOST);
    ck_assert_uint_eq(broker_deliveries(parsed(
                          "{\"x-delivery-count\": 3, \"x-deliveries\": 2}")),
                      5);
}
END_TEST

START_TEST(only_a_started_claim_is_counted_again)
{
    ck_assert_uint_eq(broker_deliveries_next(0, false), 1);
    ck_assert_uint_eq(broker_deliveries_next(0, true), 1);
    ck_assert_uint_eq(broker_deliveries_next(1, false), 1);
    ck_assert_uint_eq(broker_deliveries_next(1, true), 2);
}
END_TEST

UNIT_MAIN("deliveries", the_count_is_set_and_nothing_else_moves,
          what_is_no_count_counts_as_none,
          only_a_started_claim_is_counted_again)
