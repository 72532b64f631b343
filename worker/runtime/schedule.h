/* SPDX-License-Identifier: MIT */
/*
 * What waits for its ETA, by time: a million of them cost 32 bytes each. Of a claim
 * whose message the broker shows again only the tag is kept; where it does not,
 * the whole request. thread: consumer.
 */
#ifndef RUNTIME_SCHEDULE_H
#define RUNTIME_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "task/request.h"

enum { SCHEDULE_PREFIXES_MAX = 16, SCHEDULE_HELD = UINT8_MAX };

struct schedule_entry {
    int64_t eta_us; /* wall clock */
    union {
        struct celery_request *request; /* prefix == SCHEDULE_HELD */
        uint64_t number;                /* of the tag, behind its prefix */
    };
    uint32_t
        until_s; /* how far ahead the lease is stamped, wall clock; 0: not */
    uint16_t queue;
    uint8_t step;
    uint8_t prefix; /* index into prefixes, or SCHEDULE_HELD */
};

struct schedule {
    struct schedule_entry *heap; /* smallest ETA first */
    size_t count;
    size_t cap;
    size_t held;                           /* entries with a request */
    char *prefixes[SCHEDULE_PREFIXES_MAX]; /* what tags have in common */
};

void schedule_done(struct schedule *schedule);

/* Keeps the request until its ETA or until at_us. */
void schedule_hold(struct schedule *schedule, int64_t at_us,
                   struct celery_request *request);

/* Keeps the tag, queue and step of a claim; false when the tag is not of the form
 * <prefix>.<number> with one of a few prefixes: then hold it. */
bool schedule_park(struct schedule *schedule, int64_t eta_us, uint32_t until_s,
                   const struct celery_request *request);

/* The earliest time; INT64_MAX when nothing waits. */
int64_t schedule_next_us(const struct schedule *schedule);

/* Takes out the earliest; false: nothing waits. */
bool schedule_take(struct schedule *schedule, struct schedule_entry *ret);
/* Puts back what was taken. */
void schedule_return(struct schedule *schedule,
                     const struct schedule_entry *entry);

/* The claim's tag. */
void schedule_tag(const struct schedule *schedule,
                  const struct schedule_entry *entry, char ret[BROKER_TAG_MAX]);

#endif /* RUNTIME_SCHEDULE_H */
