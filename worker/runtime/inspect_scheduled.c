/* SPDX-License-Identifier: MIT */
/*
 * `inspect scheduled`: what waits for its ETA. The messages that are kept in the
 * broker are looked up there.
 */
#include <string.h>

#include "celery/timestamp.h"
#include "log/log.h"
#include "runtime/inspect.h"

enum {
    PRIORITY = 6,      /* of apply_eta_task, celery/worker/strategy.py */
    SHOWN_MAX = 10000, /* a reply holds them all */
};

static void put_scheduled(const struct celery_request *request,
                          struct celery_json_writer *w)
{
    char eta[CELERY_TIMESTAMP_MAX];
    celery_timestamp_format(request->message.eta_us, eta);
    celery_json_begin_object(w);
    celery_json_key(w, "eta");
    celery_json_put_text(w, eta);
    celery_json_key(w, "priority");
    celery_json_put_int(w, PRIORITY);
    celery_json_key(w, "request");
    inspect_put_info(request, false, w);
    celery_json_end_object(w);
}

static void put_kept(struct worker *worker, const struct schedule_entry *entry,
                     struct broker_kept *kept, struct celery_json_writer *w)
{
    struct broker_delivery delivery = {.queue = entry->queue,
                                       .step = entry->step,
                                       .raw = kept->raw};
    memcpy(delivery.tag, kept->tag, sizeof delivery.tag);
    struct celery_request *request = request_new(&delivery);
    request->hostname = worker->settings.nodename;
    request->state = REQUEST_PARKED;
    if (kept->ours
        && request_decode(request, worker->settings.accept,
                          &worker->settings.limits, NULL)
               == CELERY_OK)
        put_scheduled(request, w);
    request_free(request);
}

/* Heap entries from *at on, at most BROKER_CLAIM_MAX; returns how many. */
static size_t next_kept(const struct schedule *schedule, size_t *at,
                        const struct schedule_entry **entries,
                        struct broker_kept *kept)
{
    size_t count = 0;
    for (; *at < schedule->count && count < BROKER_CLAIM_MAX; (*at)++) {
        const struct schedule_entry *entry = &schedule->heap[*at];
        if (entry->prefix == SCHEDULE_HELD)
            continue;
        entries[count] = entry;
        kept[count].raw = CELERY_BUF_INIT;
        kept[count].ours = false;
        schedule_tag(schedule, entry, kept[count++].tag);
    }
    return count;
}

void inspect_scheduled(struct worker *worker, struct celery_json arguments,
                       struct celery_json_writer *w)
{
    static struct broker_kept kept[BROKER_CLAIM_MAX];
    const struct schedule_entry *entries[BROKER_CLAIM_MAX];
    struct celery_error err = {0};
    size_t at = 0;
    size_t count = 0;
    (void)arguments;
    celery_json_begin_array(w);
    for (size_t i = 0; i < worker->count; i++) {
        if (worker->table[i]->state == REQUEST_PARKED)
            put_scheduled(worker->table[i], w);
    }
    while (at < SHOWN_MAX
           && (count = next_kept(&worker->schedule, &at, entries, kept)) > 0) {
        if (broker_peek(worker->broker, kept, count, &err) != CELERY_OK) {
            LOG_EVENT(LOG_LEVEL_WARNING, "scheduled_not_shown",
                      LOG_STR("error", err.msg));
            at = SHOWN_MAX;
        }
        for (size_t i = 0; i < count; i++)
            put_kept(worker, entries[i], &kept[i], w);
    }
    celery_json_end_array(w);
}
