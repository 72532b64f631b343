/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for their ETA, by time. One is found by its tag only when
 * it is due or revoked. thread: consumer.
 */
#ifndef RUNTIME_SCHEDULE_H
#define RUNTIME_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "task/request.h"

struct schedule_entry {
    int64_t eta_us; /* wall clock */
    struct celery_request *request;
};

struct schedule {
    struct schedule_entry *heap; /* smallest first */
    size_t count;
    size_t cap;
};

void schedule_done(struct schedule *schedule);
void schedule_add(struct schedule *schedule, int64_t eta_us,
                  struct celery_request *request);

/* The earliest ETA; INT64_MAX when nothing waits. */
int64_t schedule_next_us(const struct schedule *schedule);

/* Takes out the earliest. */
struct celery_request *schedule_take(struct schedule *schedule);

#endif /* RUNTIME_SCHEDULE_H */
