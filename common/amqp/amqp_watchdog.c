/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_watchdog.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/lock.h"

static struct lock lock = {PTHREAD_MUTEX_INITIALIZER};
static pthread_cond_t changed;
static struct amqp_watch *watches GUARDED_BY(lock);
static bool stopping GUARDED_BY(lock);
static _Atomic bool idle; /* the thread sleeps until it is woken */
static pthread_t thread;
static bool running; /* guarded by life, as thread */

/* Shuts down what is over its time; the earliest deadline left, or 0. */
static int64_t check(int64_t now) REQUIRES(lock)
{
    int64_t earliest = 0;
    for (struct amqp_watch *w = watches; w != NULL; w = w->next) {
        int64_t deadline = w->deadline_us;
        if (deadline == 0)
            continue;
        if (deadline <= now) {
            w->fired = true;
            w->deadline_us = 0;
            (void)shutdown(w->fd, SHUT_RDWR);
        } else if (earliest == 0 || deadline < earliest) {
            earliest = deadline;
        }
    }
    return earliest;
}

static void sleep_until(int64_t until_us) REQUIRES(lock) LOCK_PRIMITIVE
{
    if (until_us == 0) {
        (void)pthread_cond_wait(&changed, &lock.mutex);
        return;
    }
    const struct timespec at = {
        .tv_sec = until_us / USEC_PER_SEC,
        .tv_nsec = (until_us % USEC_PER_SEC) * 1000,
    };
    (void)pthread_cond_timedwait(&changed, &lock.mutex, &at);
}

static void *run(void *arg)
{
    (void)arg;
    lock_acquire(&lock);
    while (!stopping) {
        int64_t until = check(clock_monotonic_us());
        if (until == 0) {
            /* Whoever arms from now on sees idle; who armed before is seen. */
            idle = true;
            until = check(clock_monotonic_us());
        }
        sleep_until(until);
        idle = false;
    }
    lock_release(&lock);
    return NULL;
}

static void start(void)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    lock_acquire(&lock);
    stopping = false;
    lock_release(&lock);
    /* Without the thread the kernel's own TCP timeouts are left. */
    running = pthread_create(&thread, NULL, run, NULL) == 0;
}

/* Connections come and go in several threads; the thread is started and joined
 * by one at a time. */
static struct lock life = {PTHREAD_MUTEX_INITIALIZER};

void amqp_watch_add(struct amqp_watch *watch, int fd)
{
    watch->fd = fd;
    watch->deadline_us = 0;
    watch->fired = false;
    lock_acquire(&life);
    lock_acquire(&lock);
    bool first = watches == NULL;
    watch->next = watches;
    watches = watch;
    lock_release(&lock);
    if (first)
        start();
    lock_release(&life);
}

void amqp_watch_remove(struct amqp_watch *watch)
{
    lock_acquire(&life);
    lock_acquire(&lock);
    struct amqp_watch **at = &watches;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    bool last = watches == NULL;
    if (last) {
        stopping = true;
        (void)pthread_cond_signal(&changed);
    }
    lock_release(&lock);
    if (last) {
        if (running)
            (void)pthread_join(thread, NULL);
        (void)pthread_cond_destroy(&changed);
    }
    lock_release(&life);
}

void amqp_watch_arm(struct amqp_watch *watch, int64_t deadline_us)
{
    watch->deadline_us = deadline_us;
    if (!idle)
        return;
    lock_acquire(&lock);
    (void)pthread_cond_signal(&changed);
    lock_release(&lock);
}

void amqp_watch_disarm(struct amqp_watch *watch)
{
    watch->deadline_us = 0;
}
