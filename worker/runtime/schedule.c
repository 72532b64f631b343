/* SPDX-License-Identifier: MIT */
#include "runtime/schedule.h"

#include <stdlib.h>

#include "base/xalloc.h"

void schedule_done(struct schedule *schedule)
{
    free(schedule->heap);
    *schedule = (struct schedule){0};
}

static void swap(struct schedule_entry *a, struct schedule_entry *b)
{
    struct schedule_entry t = *a;
    *a = *b;
    *b = t;
}

void schedule_add(struct schedule *schedule, int64_t eta_us,
                  struct celery_request *request)
{
    if (schedule->count == schedule->cap) {
        schedule->cap = schedule->cap == 0 ? 64 : schedule->cap * 2;
        schedule->heap =
            xrealloc(schedule->heap, schedule->cap * sizeof schedule->heap[0]);
    }
    size_t at = schedule->count++;
    schedule->heap[at] = (struct schedule_entry){eta_us, request};
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (schedule->heap[parent].eta_us <= schedule->heap[at].eta_us)
            break;
        swap(&schedule->heap[parent], &schedule->heap[at]);
        at = parent;
    }
}

int64_t schedule_next_us(const struct schedule *schedule)
{
    return schedule->count > 0 ? schedule->heap[0].eta_us : INT64_MAX;
}

struct celery_request *schedule_take(struct schedule *schedule)
{
    if (schedule->count == 0)
        return NULL;
    struct celery_request *request = schedule->heap[0].request;
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
    return request;
}
