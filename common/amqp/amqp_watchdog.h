/* SPDX-License-Identifier: MIT */
/*
 * A deadline for calls that have none: librabbitmq waits for ever for a socket
 * that takes nothing more (a server under an alarm, a dead peer). One thread for
 * the process shuts the sockets down whose deadline has passed, which ends the
 * call with an error.
 */
#ifndef AMQP_AMQP_WATCHDOG_H
#define AMQP_AMQP_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct amqp_watch {
    _Atomic int64_t deadline_us; /* monotonic; 0: not armed */
    _Atomic bool fired;
    int fd;
    struct amqp_watch *next;
};

/* Between these two, fd must stay open. The first one starts the thread, the
 * last one ends it. */
void amqp_watch_add(struct amqp_watch *watch, int fd);
void amqp_watch_remove(struct amqp_watch *watch);

/* Around a call; cheap, it wakes the thread only when that sleeps without a
 * deadline. */
void amqp_watch_arm(struct amqp_watch *watch, int64_t deadline_us);
void amqp_watch_disarm(struct amqp_watch *watch);

#endif /* AMQP_AMQP_WATCHDOG_H */
