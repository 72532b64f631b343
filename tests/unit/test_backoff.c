/* SPDX-License-Identifier: MIT */
#include "base/backoff.h"
#include "base/clock.h"
#include "support/unit.h"

static void check_wait(int64_t wait_us, int64_t full_ms)
{
    ck_assert_int_le(wait_us, full_ms * USEC_PER_MSEC);
    ck_assert_int_gt(wait_us, full_ms * USEC_PER_MSEC * 3 / 4);
}

START_TEST(a_broker_is_tried_twice_a_second_at_least_in_the_first_minute)
{
    static const int64_t waits_ms[] = {20, 40, 80, 160, 320, 500, 500, 500};
    struct backoff backoff = {0};
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++)
        check_wait(backoff_reconnect_us(&backoff, 59 * USEC_PER_SEC),
                   waits_ms[i]);
}
END_TEST

START_TEST(then_every_two_seconds)
{
    struct backoff backoff = {0};
    for (int i = 0; i < 100; i++)
        check_wait(backoff_reconnect_us(&backoff, 59 * USEC_PER_SEC),
                   i < 5 ? 20LL << i : 500);
    check_wait(backoff_reconnect_us(&backoff, 60 * USEC_PER_SEC), 2000);
    backoff_reset(&backoff);
    check_wait(backoff_reconnect_us(&backoff, 0), 20);
}
END_TEST

START_TEST(many_tries_do_not_overflow)
{
    struct backoff backoff = {1, INT64_MAX / 2, 1000000};
    ck_assert_int_gt(backoff_next_us(&backoff), 0);
}
END_TEST

UNIT_MAIN("backoff",
          a_broker_is_tried_twice_a_second_at_least_in_the_first_minute,
          then_every_two_seconds, many_tries_do_not_overflow)
