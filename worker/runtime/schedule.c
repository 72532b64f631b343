/* SPDX-License-Identifier: MIT */
#include "runtime/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void schedule_done(struct schedule *schedule)
{
    free(schedule->heap);
    for (size_t i = 0; i < SCHEDULE_PREFIXES_MAX; i++)
        free(schedule->prefixes[i]);
    *schedule = (struct schedule){0};
}

static void swap(struct schedule_entry *a, struct schedule_entry *b)
{
    struct schedule_entry t = *a;
    *a = *b;
    *b = t;
}

void schedule_return(struct schedule *schedule,
                     const struct schedule_entry *entry)
{
    if (schedule->count == schedule->cap) {
        schedule->cap = schedule->cap == 0 ? 64 : schedule->cap * 2;
        schedule->heap =
            xrealloc(schedule->heap, schedule->cap * sizeof schedule->heap[0]);
    }
    size_t at = schedule->count++;
    schedule->heap[at] = *entry;
    schedule->held += entry->prefix == SCHEDULE_HELD;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (schedule->heap[parent].eta_us <= schedule->heap[at].eta_us)
            break;
        swap(&schedule->heap[parent], &schedule->heap[at]);
        at = parent;
    }
}

void schedule_hold(struct schedule *schedule, int64_t at_us,
                   struct celery_request *request)
{
    const struct schedule_entry entry = {.eta_us = at_us,
                                         .request = request,
                                         .prefix = SCHEDULE_HELD};
    schedule_return(schedule, &entry);
}

/* SCHEDULE_PREFIXES_MAX: no room for another one. */
static size_t find_prefix(struct schedule *schedule, const char *tag,
                          size_t len)
{
    size_t i = 0;
    for (; i < SCHEDULE_PREFIXES_MAX && schedule->prefixes[i] != NULL; i++) {
        if (strlen(schedule->prefixes[i]) == len
            && memcmp(schedule->prefixes[i], tag, len) == 0)
            return i;
    }
    if (i < SCHEDULE_PREFIXES_MAX)
        schedule->prefixes[i] = xstrndup(tag, len);
    return i;
}

bool schedule_park(struct schedule *schedule, int64_t eta_us, uint32_t until_s,
                   const struct celery_request *request)
{
    const char *dot = strrchr(request->tag, '.');
    char *end = NULL;
    char again[24];
    if (dot == NULL || request->queue > UINT16_MAX || request->step > UINT8_MAX)
        return false;
    uint64_t number = strtoull(dot + 1, &end, 10);
    /* Only what is written again just so. */
    (void)snprintf(again, sizeof again, "%" PRIu64, number);
    if (*end != '\0' || strcmp(again, dot + 1) != 0)
        return false;
    size_t prefix =
        find_prefix(schedule, request->tag, (size_t)(dot - request->tag));
    if (prefix == SCHEDULE_PREFIXES_MAX)
        return false;
    const struct schedule_entry entry = {.eta_us = eta_us,
                                         .number = number,
                                         .until_s = until_s,
                                         .queue = (uint16_t)request->queue,
                                         .step = (uint8_t)request->step,
                                         .prefix = (uint8_t)prefix};
    schedule_return(schedule, &entry);
    return true;
}

int64_t schedule_next_us(const struct schedule *schedule)
{
    return schedule->count > 0 ? schedule->heap[0].eta_us : INT64_MAX;
}

bool schedule_take(struct schedule *schedule, struct schedule_entry *ret)
{
    if (schedule->count == 0)
        return false;
    *ret = schedule->heap[0];
    schedule->held -= ret->prefix == SCHEDULE_HELD;
    schedule->heap[0] = schedule->heap[--schedule->count];
    size_t at = 0;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < schedule->count
                && schedule->heap[child].eta_us < schedule->heap[least].eta_us)
                least = child;
        }
        if (least == at)
            break;
        swap(&schedule->heap[least], &schedule->heap[at]);
        at = least;
    }
    return true;
}

void schedule_tag(const struct schedule *schedule,
                  const struct schedule_entry *entry, char ret[BROKER_TAG_MAX])
{
    if (entry->prefix == SCHEDULE_HELD)
        (void)snprintf(ret, BROKER_TAG_MAX, "%s", entry->request->tag);
    else
        (void)snprintf(ret, BROKER_TAG_MAX, "%.160s.%" PRIu64,
                       schedule->prefixes[entry->prefix], entry->number);
}
