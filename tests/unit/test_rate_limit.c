/* SPDX-License-Identifier: MIT */
#include "webhook/rate_limit.h"

#include <stdio.h>

#include "base/clock.h"
#include "support/unit.h"

START_TEST(a_second_s_worth_is_taken_and_comes_back)
{
    struct rate_limit limit = {0};
    int64_t now_us = USEC_PER_SEC;
    rate_limit_init(&limit, 2);
    ck_assert(rate_limit_take(&limit, "192.0.2.1", now_us));
    ck_assert(rate_limit_take(&limit, "192.0.2.1", now_us));
    ck_assert(!rate_limit_take(&limit, "192.0.2.1", now_us));
    now_us += USEC_PER_SEC / 2;
    ck_assert(rate_limit_take(&limit, "192.0.2.1", now_us));
    ck_assert(!rate_limit_take(&limit, "192.0.2.1", now_us));
    /* No more than a second's worth is saved up. */
    now_us += 60 * USEC_PER_SEC;
    ck_assert(rate_limit_take(&limit, "192.0.2.1", now_us));
    ck_assert(rate_limit_take(&limit, "192.0.2.1", now_us));
    ck_assert(!rate_limit_take(&limit, "192.0.2.1", now_us));
    rate_limit_done(&limit);
}
END_TEST

START_TEST(below_one_a_second_one_is_taken)
{
    struct rate_limit limit = {0};
    rate_limit_init(&limit, 0.5);
    ck_assert(rate_limit_take(&limit, "::1", USEC_PER_SEC));
    ck_assert(!rate_limit_take(&limit, "::1", 2 * USEC_PER_SEC));
    ck_assert(rate_limit_take(&limit, "::1", 3 * USEC_PER_SEC));
    rate_limit_done(&limit);
}
END_TEST

START_TEST(each_client_has_its_share)
{
    struct rate_limit limit = {0};
    rate_limit_init(&limit, 1);
    ck_assert(rate_limit_take(&limit, "192.0.2.1", USEC_PER_SEC));
    ck_assert(!rate_limit_take(&limit, "192.0.2.1", USEC_PER_SEC));
    ck_assert(rate_limit_take(&limit, "192.0.2.2", USEC_PER_SEC));
    ck_assert(!rate_limit_take(&limit, "192.0.2.2", USEC_PER_SEC));
    rate_limit_done(&limit);
}
END_TEST

START_TEST(the_client_not_seen_for_longest_is_forgotten)
{
    struct rate_limit limit = {0};
    rate_limit_init(&limit, 1e-3);
    ck_assert(rate_limit_take(&limit, "old", 1));
    for (int i = 0; i < RATE_CLIENTS_MAX - 1; i++) {
        char client[RATE_CLIENT_TEXT];
        (void)snprintf(client, sizeof client, "192.0.2.%d", i);
        ck_assert(rate_limit_take(&limit, client, 2 + i));
    }
    /* There is room for all of them; asking is being seen. */
    ck_assert(!rate_limit_take(&limit, "old", 1000));
    ck_assert(rate_limit_take(&limit, "one more", 1001));
    ck_assert(!rate_limit_take(&limit, "old", 1002));
    ck_assert(rate_limit_take(&limit, "192.0.2.0", 1003));
    rate_limit_done(&limit);
}
END_TEST

START_TEST(without_a_rate_all_are_taken)
{
    struct rate_limit limit = {0};
    rate_limit_init(&limit, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(rate_limit_take(&limit, "192.0.2.1", 1));
    rate_limit_done(&limit);
}
END_TEST

UNIT_MAIN("rate_limit", a_second_s_worth_is_taken_and_comes_back,
          below_one_a_second_one_is_taken, each_client_has_its_share,
          the_client_not_seen_for_longest_is_forgotten,
          without_a_rate_all_are_taken)
