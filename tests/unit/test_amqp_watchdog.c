/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_watchdog.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/unit.h"

/* A read that nobody answers ends at its deadline. */
START_TEST(ends_a_call_without_a_deadline)
{
    int ends[2];
    char byte = 0;
    struct amqp_watch watch = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    amqp_watch_add(&watch, ends[0]);
    int64_t begin = clock_monotonic_us();
    amqp_watch_arm(&watch, begin + 50 * USEC_PER_MSEC);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    int64_t took = clock_monotonic_us() - begin;
    ck_assert(watch.fired);
    ck_assert_int_ge(took, 49 * USEC_PER_MSEC);
    ck_assert_int_lt(took, 5 * USEC_PER_SEC);
    amqp_watch_remove(&watch);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

START_TEST(leaves_a_call_in_time_alone)
{
    int ends[2];
    char byte = 'x';
    struct amqp_watch early = {0};
    struct amqp_watch late = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    amqp_watch_add(&early, ends[0]);
    amqp_watch_add(&late, ends[1]);
    /* Armed later, due earlier: it must not wait behind the other. */
    amqp_watch_arm(&late, clock_monotonic_us() + 60 * USEC_PER_SEC);
    amqp_watch_arm(&early, clock_monotonic_us() + 30 * USEC_PER_MSEC);
    amqp_watch_disarm(&early);
    (void)usleep(80000);
    ck_assert_int_eq(write(ends[0], &byte, 1), 1);
    ck_assert_int_eq(read(ends[1], &byte, 1), 1);
    ck_assert(!early.fired && !late.fired);
    amqp_watch_remove(&early);
    amqp_watch_remove(&late);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

static void *come_and_go(void *arg)
{
    int ends[2];
    (void)arg;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    for (int i = 0; i < 200; i++) {
        struct amqp_watch watch = {0};
        amqp_watch_add(&watch, ends[0]);
        amqp_watch_arm(&watch, clock_monotonic_us() + 60 * USEC_PER_SEC);
        amqp_watch_disarm(&watch);
        amqp_watch_remove(&watch);
        ck_assert(!watch.fired);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    return NULL;
}

START_TEST(connections_come_and_go)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, NULL),
                         0);
    for (size_t i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
}
END_TEST

UNIT_MAIN("amqp_watchdog", ends_a_call_without_a_deadline,
          leaves_a_call_in_time_alone, connections_come_and_go)
