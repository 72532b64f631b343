/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "runtime/schedule.h"
#include "support/unit.h"

static struct celery_request *request_with(struct celery_request *request,
                                           const char *tag)
{
    memset(request, 0, sizeof *request);
    (void)snprintf(request->tag, sizeof request->tag, "%s", tag);
    request->queue = 3;
    request->step = 2;
    return request;
}

START_TEST(the_earliest_comes_first)
{
    static const int64_t etas[] = {50, 10, 40, 10, 30, 20, 60};
    struct schedule schedule = {0};
    struct schedule_entry entry;
    struct celery_request request;
    int64_t last = 0;
    ck_assert_int_eq(schedule_next_us(&schedule), INT64_MAX);
    for (size_t i = 0; i < 7; i++) {
        char tag[32];
        (void)snprintf(tag, sizeof tag, "w.%zu", i);
        ck_assert(
            schedule_park(&schedule, etas[i], 0, request_with(&request, tag)));
    }
    ck_assert_int_eq(schedule_next_us(&schedule), 10);
    for (size_t i = 0; i < 7; i++) {
        ck_assert(schedule_take(&schedule, &entry));
        ck_assert_int_ge(entry.eta_us, last);
        ck_assert_int_eq(entry.eta_us, etas[entry.number]);
        last = entry.eta_us;
    }
    ck_assert(!schedule_take(&schedule, &entry));
    schedule_done(&schedule);
}
END_TEST

START_TEST(a_tag_is_written_again_just_so)
{
    static const char *const tags[] = {
        "7c6ed4ab-0a1c-4c1b-9d68-3a9cb0f0a001.0",
        "7c6ed4ab-0a1c-4c1b-9d68-3a9cb0f0a001.18446744073709551615", "other.7"};
    struct schedule schedule = {0};
    struct celery_request request;
    char tag[BROKER_TAG_MAX];
    for (size_t i = 0; i < 3; i++) {
        struct schedule_entry entry;
        ck_assert(
            schedule_park(&schedule, 1, 5, request_with(&request, tags[i])));
        ck_assert(schedule_take(&schedule, &entry));
        schedule_tag(&schedule, &entry, tag);
        ck_assert_str_eq(tag, tags[i]);
        ck_assert_uint_eq(entry.queue, 3);
        ck_assert_uint_eq(entry.step, 2);
        ck_assert_uint_eq(entry.until_s, 5);
    }
    schedule_done(&schedule);
}
END_TEST

START_TEST(other_tags_are_held)
{
    static const char *const tags[] = {"no-dot",
                                       "w.",
                                       "w.01",
                                       "w.-1",
                                       "w.1x",
                                       "w.s1",
                                       "w.18446744073709551616"};
    struct schedule schedule = {0};
    struct celery_request request;
    struct schedule_entry entry;
    char tag[BROKER_TAG_MAX];
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        ck_assert_msg(!schedule_park(&schedule, 1, 0,
                                     request_with(&request, tags[i])),
                      "%s", tags[i]);
    for (int i = 0; i < SCHEDULE_PREFIXES_MAX; i++) {
        (void)snprintf(tag, sizeof tag, "prefix-%d.1", i);
        ck_assert(schedule_park(&schedule, 9, 0, request_with(&request, tag)));
    }
    ck_assert(!schedule_park(&schedule, 9, 0,
                             request_with(&request, "one-too-many.1")));
    ck_assert_uint_eq(schedule.held, 0);

    schedule_hold(&schedule, 5, &request);
    ck_assert_uint_eq(schedule.held, 1);
    ck_assert(schedule_take(&schedule, &entry));
    ck_assert_uint_eq(entry.prefix, SCHEDULE_HELD);
    ck_assert_ptr_eq(entry.request, &request);
    ck_assert_uint_eq(schedule.held, 0);
    schedule_tag(&schedule, &entry, tag);
    ck_assert_str_eq(tag, "one-too-many.1");
    schedule_done(&schedule);
}
END_TEST

UNIT_MAIN("schedule", the_earliest_comes_first, a_tag_is_written_again_just_so,
          other_tags_are_held)
