/* SPDX-License-Identifier: MIT */
#include "runtime/parked.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "log/log.h"

enum {
    LEASE_S = 900,         /* how far ahead a lease may be stamped */
    SOON_S = 300,          /* when it is moved on */
    LOOKED_AT_MAX = 65536, /* entries a second: each is seen every 16 s */
    RENEWED_MAX = 4096,    /* leases a second: a million in 250 s */
    GIVEN_BACK_AT_ONCE = 1000,
};

static struct broker_lease fresh[BROKER_CLAIM_MAX];
static char fresh_tags[BROKER_CLAIM_MAX][BROKER_TAG_MAX];
static size_t fresh_count;

static void renew(struct worker *worker, const struct broker_lease *leases,
                  size_t count)
{
    struct celery_error err = {0};
    if (count > 0
        && broker_renew(worker->broker, leases, count, &err) != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "lease_not_renewed",
                  LOG_STR("error", err.msg));
}

void parked_flush(struct worker *worker)
{
    size_t count = fresh_count;
    fresh_count = 0;
    renew(worker, fresh, count);
}

static uint32_t lease_end(int64_t eta_us)
{
    int64_t most = clock_wall_us() / USEC_PER_SEC + LEASE_S;
    int64_t eta = eta_us / USEC_PER_SEC;
    return (uint32_t)(eta < most ? eta : most);
}

void parked_add(struct worker *worker, struct celery_request *request)
{
    int64_t eta = request->message.eta_us;
    if (fresh_count == BROKER_CLAIM_MAX)
        parked_flush(worker);
    memcpy(fresh_tags[fresh_count], request->tag, BROKER_TAG_MAX);
    fresh[fresh_count] = (struct broker_lease){fresh_tags[fresh_count],
                                               (double)eta / USEC_PER_SEC};
    fresh_count++;

    request->state = REQUEST_PARKED;
    worker->parked++;
    if (broker_keeps_messages(worker->broker)
        && schedule_park(&worker->schedule, eta, lease_end(eta), request)) {
        table_remove(worker, request);
        return;
    }
    worker->unacked--;
    schedule_hold(&worker->schedule, eta, request);
}

/* --- due --------------------------------------------------------------------- */

/* Up to BROKER_CLAIM_MAX entries that are due and kept by their tag; held ones are
 * handed on at once. */
static size_t take_due(struct worker *worker, struct schedule_entry *entries)
{
    int64_t now = clock_wall_us();
    size_t count = 0;
    while (count < BROKER_CLAIM_MAX
           && schedule_next_us(&worker->schedule) <= now
           && schedule_take(&worker->schedule, &entries[count])) {
        if (entries[count].prefix != SCHEDULE_HELD) {
            count++;
            continue;
        }
        worker->parked--;
        worker->unacked++;
        dispatch_held(worker, entries[count].request);
    }
    return count;
}

static void dispatch_fetched(struct worker *worker,
                             const struct schedule_entry *entry,
                             struct broker_kept *kept)
{
    struct broker_delivery delivery = {.queue = entry->queue,
                                       .step = entry->step,
                                       .raw = kept->raw};
    kept->raw = CELERY_BUF_INIT;
    worker->parked--;
    if (!kept->ours) {
        celery_buf_done(&delivery.raw);
        metric_add(worker->metrics.lease_lost, 1, NULL);
        LOG_EVENT(LOG_LEVEL_WARNING, "lease_lost", LOG_STR("tag", kept->tag),
                  LOG_STR("msg", "a peer took the claim over before its time"));
        return;
    }
    memcpy(delivery.tag, kept->tag, sizeof delivery.tag);
    dispatch_due(worker, &delivery);
}

static bool fetch_due(struct worker *worker)
{
    static struct schedule_entry entries[BROKER_CLAIM_MAX];
    static struct broker_kept kept[BROKER_CLAIM_MAX];
    struct celery_error err = {0};
    size_t count = take_due(worker, entries);
    for (size_t i = 0; i < count; i++) {
        schedule_tag(&worker->schedule, &entries[i], kept[i].tag);
        kept[i].raw = CELERY_BUF_INIT;
    }
    if (count == 0)
        return false;
    enum celery_status st = broker_fetch(worker->broker, kept, count, &err);
    for (size_t i = 0; i < count; i++) {
        if (st == CELERY_OK) {
            dispatch_fetched(worker, &entries[i], &kept[i]);
        } else {
            celery_buf_done(&kept[i].raw);
            schedule_return(&worker->schedule, &entries[i]);
        }
    }
    if (st != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "due_not_fetched",
                  LOG_STR("error", err.msg), LOG_INT("messages", count));
    return st == CELERY_OK;
}

void parked_due(struct worker *worker)
{
    while (broker_connected(worker->broker)
           && schedule_next_us(&worker->schedule) <= clock_wall_us()
           && fetch_due(worker))
        ;
}

/* --- leases ------------------------------------------------------------------ */

/* Held ones are renewed with the rest of the table. */
static bool runs_out(const struct schedule_entry *entry, uint32_t soon)
{
    return entry->prefix != SCHEDULE_HELD && entry->until_s < soon
        && entry->eta_us / USEC_PER_SEC > entry->until_s;
}

void parked_renew(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    struct broker_lease leases[BROKER_CLAIM_MAX];
    char tags[BROKER_CLAIM_MAX][BROKER_TAG_MAX];
    uint32_t soon = (uint32_t)(clock_wall_us() / USEC_PER_SEC + SOON_S);
    size_t count = 0;
    size_t renewed = 0;
    for (size_t i = 0;
         i < schedule->count && i < LOOKED_AT_MAX && renewed < RENEWED_MAX
         && broker_connected(worker->broker);
         i++) {
        if (worker->parked_cursor >= schedule->count)
            worker->parked_cursor = 0;
        struct schedule_entry *entry = &schedule->heap[worker->parked_cursor++];
        if (!runs_out(entry, soon))
            continue;
        entry->until_s = lease_end(entry->eta_us);
        schedule_tag(schedule, entry, tags[count]);
        leases[count] = (struct broker_lease){tags[count], (double)entry->eta_us
                                                               / USEC_PER_SEC};
        renewed++;
        if (++count == BROKER_CLAIM_MAX) {
            renew(worker, leases, count);
            count = 0;
        }
    }
    renew(worker, leases, count);
}

/* --- the end ------------------------------------------------------------------ */

struct celery_request *parked_take_held(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    for (size_t i = 0; schedule->held > 0 && i < schedule->count; i++) {
        struct schedule_entry entry = schedule->heap[i];
        if (entry.prefix != SCHEDULE_HELD)
            continue;
        /* The order is lost: nothing is taken by time any more. */
        schedule->heap[i] = schedule->heap[--schedule->count];
        schedule->held--;
        worker->parked--;
        worker->unacked++;
        return entry.request;
    }
    return NULL;
}

size_t parked_give_back(struct worker *worker)
{
    static struct broker_settlement list[GIVEN_BACK_AT_ONCE];
    static char tags[GIVEN_BACK_AT_ONCE][BROKER_TAG_MAX];
    struct schedule *schedule = &worker->schedule;
    struct schedule_entry entry;
    struct celery_error err = {0};
    size_t total = 0;
    while (broker_connected(worker->broker) && schedule->count > 0) {
        size_t count = 0;
        while (count < GIVEN_BACK_AT_ONCE && schedule_take(schedule, &entry)) {
            schedule_tag(schedule, &entry, tags[count]);
            list[count] = (struct broker_settlement){.how = BROKER_GIVE_BACK,
                                                     .tag = tags[count],
                                                     .queue = entry.queue,
                                                     .step = entry.step};
            count++;
        }
        worker->parked -= count;
        /* What fails comes back when our key has expired. */
        if (broker_settle(worker->broker, list, count, &err) != CELERY_OK)
            LOG_EVENT(LOG_LEVEL_WARNING, "not_given_back",
                      LOG_STR("error", err.msg), LOG_INT("messages", count));
        else
            total += count;
    }
    return total;
}

/* --- what is known ------------------------------------------------------------- */

struct known_tags {
    char (*tags)[BROKER_TAG_MAX];
    size_t count;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All of them in one piece: only after an answer was lost. */
static struct known_tags *collect(const struct worker *worker)
{
    const struct schedule *schedule = &worker->schedule;
    struct known_tags *known = xcalloc(1, sizeof *known);
    known->tags =
        xcalloc(worker->count + schedule->count + 1, sizeof known->tags[0]);
    for (size_t i = 0; i < worker->count; i++)
        memcpy(known->tags[known->count++], worker->table[i]->tag,
               BROKER_TAG_MAX);
    for (size_t i = 0; i < schedule->count; i++)
        schedule_tag(schedule, &schedule->heap[i], known->tags[known->count++]);
    qsort(known->tags, known->count, sizeof known->tags[0], by_text);
    return known;
}

bool parked_knows(void *arg, const char *tag)
{
    struct worker *worker = arg;
    if (worker->known == NULL)
        worker->known = collect(worker);
    return bsearch(tag, worker->known->tags, worker->known->count,
                   sizeof worker->known->tags[0], by_text)
        != NULL;
}

void parked_knows_done(struct worker *worker)
{
    if (worker->known != NULL)
        free(worker->known->tags);
    free(worker->known);
    worker->known = NULL;
}
