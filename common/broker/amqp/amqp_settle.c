/* SPDX-License-Identifier: MIT */
/*
 * Settling. An ack is a frame without an answer; what it settles is known from
 * our own list of claims, and a tag of a connection that is gone was lost with it.
 * A second ack of a tag would close the channel: each goes out once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_dead.h"
#include "broker/amqp/amqp_envelope.h"

/* --- the claims -------------------------------------------------------------- */

void amqp_tag_text(const struct amqp_broker *ab, uint64_t tag,
                   char ret[BROKER_TAG_MAX])
{
    (void)snprintf(ret, BROKER_TAG_MAX, "%" PRIu64 ".%" PRIu64, ab->epoch, tag);
}

/* 0: of another connection, or no tag. */
static uint64_t tag_of_text(const struct amqp_broker *ab, const char *text)
{
    char *dot = NULL;
    if (strtoull(text, &dot, 10) != ab->epoch || *dot != '.')
        return 0;
    return strtoull(dot + 1, NULL, 10);
}

void amqp_claim_add(struct amqp_broker *ab, uint64_t tag)
{
    if (ab->claim_first + ab->claim_count == ab->claim_cap) {
        /* Settled ones at the front make room before the memory grows. */
        if (ab->claim_count > 0)
            memmove(ab->claims, ab->claims + ab->claim_first,
                    ab->claim_count * sizeof ab->claims[0]);
        ab->claim_first = 0;
        if (ab->claim_count * 2 >= ab->claim_cap) {
            ab->claim_cap = ab->claim_cap == 0 ? 256 : ab->claim_cap * 2;
            ab->claims =
                xrealloc(ab->claims, ab->claim_cap * sizeof ab->claims[0]);
        }
    }
    ab->claims[ab->claim_first + ab->claim_count++] =
        (struct amqp_claim){tag, false};
}

/* Tags of one channel grow, so the list is sorted. NULL: settled or unknown. */
static struct amqp_claim *find_claim(struct amqp_broker *ab, uint64_t tag)
{
    size_t low = ab->claim_first;
    size_t high = low + ab->claim_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ab->claims[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == ab->claim_first + ab->claim_count || ab->claims[low].tag != tag
        || ab->claims[low].settled)
        return NULL;
    return &ab->claims[low];
}

static void forget_settled(struct amqp_broker *ab)
{
    while (ab->claim_count > 0 && ab->claims[ab->claim_first].settled) {
        ab->claim_first++;
        ab->claim_count--;
    }
}

/* --- frames --------------------------------------------------------------------- */

static enum celery_status ack(struct amqp_broker *ab, uint64_t tag,
                              bool multiple, struct celery_error *err)
{
    int status = amqp_basic_ack(amqp_conn_begin(ab->consumer), CHANNEL_TASKS,
                                tag, multiple);
    return amqp_conn_end(ab->consumer, status, "acking", err);
}

enum celery_status amqp_reject_tag(struct amqp_broker *ab, uint64_t tag,
                                   struct celery_error *err)
{
    struct amqp_claim *claim = find_claim(ab, tag);
    if (claim == NULL)
        return CELERY_OK;
    claim->settled = true;
    int status = amqp_basic_reject(amqp_conn_begin(ab->consumer), CHANNEL_TASKS,
                                   tag, true);
    forget_settled(ab);
    return amqp_conn_end(ab->consumer, status, "giving back", err);
}

static int by_tag(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The oldest claims, as far as they are all settled by now, are acked by one
 * frame; the others by one each. */
enum celery_status amqp_ack_tags(struct amqp_broker *ab, uint64_t *tags,
                                 size_t count, struct celery_error *err)
{
    size_t front = 0;
    qsort(tags, count, sizeof tags[0], by_tag);
    for (size_t i = 0; i < count; i++) {
        struct amqp_claim *claim = find_claim(ab, tags[i]);
        if (claim != NULL)
            claim->settled = true;
    }
    forget_settled(ab);
    uint64_t open =
        ab->claim_count > 0 ? ab->claims[ab->claim_first].tag : UINT64_MAX;
    while (front < count && tags[front] < open)
        front++;
    enum celery_status st = CELERY_OK;
    if (front > 0)
        st = ack(ab, tags[front - 1], true, err);
    for (size_t i = front; i < count && st == CELERY_OK; i++)
        st = ack(ab, tags[i], false, err);
    return st;
}

/* --- the driver's calls ------------------------------------------------------------- */

enum celery_status amqp_fence(struct broker *broker, char *tag, bool starting,
                              struct celery_buf *raw, bool *ret_ours,
                              struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    (void)raw;      /* the worker has kept it */
    (void)starting; /* the broker counts what comes back */
    (void)err;
    *ret_ours = find_claim(ab, tag_of_text(ab, tag)) != NULL;
    return CELERY_OK;
}

/* Publishes the dead letters; those that the server took are acked with the rest,
 * the others are kept. */
static enum celery_status bury(struct amqp_broker *ab,
                               struct broker_settlement *settlements,
                               size_t count, uint64_t *tags, size_t *tag_count,
                               struct celery_error *err)
{
    amqp_pool_t pool;
    struct amqp_outgoing *items = xcalloc(count, sizeof *items);
    struct broker_settlement **of = xcalloc(count, sizeof(void *));
    size_t n = 0;
    enum celery_status st = CELERY_OK;
    init_amqp_pool(&pool, 4096);
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        struct broker_settlement *s = &settlements[i];
        if (!s->kept)
            continue;
        of[n] = s;
        st = amqp_dead_of_raw(ab, s, &pool, &items[n], err);
        n += st == CELERY_OK;
    }
    if (n > 0 && st == CELERY_OK)
        st = amqp_publish_surely(ab, items, n, err);
    for (size_t i = 0; i < n; i++) {
        if (items[i].outcome != AMQP_CONFIRMED)
            continue;
        of[i]->kept = false;
        tags[(*tag_count)++] = tag_of_text(ab, of[i]->tag);
    }
    empty_amqp_pool(&pool);
    free(items);
    free(of);
    return st;
}

enum celery_status amqp_settle(struct broker *broker,
                               struct broker_settlement *settlements,
                               size_t count, struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    uint64_t *tags = xcalloc(count + 1, sizeof *tags);
    size_t tag_count = 0;
    bool dead = false;
    struct celery_error why = {0};
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count; i++) {
        struct broker_settlement *s = &settlements[i];
        uint64_t tag = tag_of_text(ab, s->tag);
        s->lost = find_claim(ab, tag) == NULL;
        s->kept = s->how == BROKER_DEAD_LETTER && !s->lost;
        dead |= s->kept && clock_monotonic_us() >= ab->bury_at_us;
        if (s->how == BROKER_ACK && !s->lost)
            tags[tag_count++] = tag;
    }
    if (dead
        && bury(ab, settlements, count, tags, &tag_count, &why) != CELERY_OK) {
        ab->bury_at_us = clock_monotonic_us() + AMQP_RETRY_US;
        amqp_note_dead_failed(&why);
    }
    /* The publishing side's failure keeps dead letters; acks go on. */
    st = amqp_ack_tags(ab, tags, tag_count, err);
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        struct broker_settlement *s = &settlements[i];
        if (!s->lost
            && (s->how == BROKER_REQUEUE || s->how == BROKER_GIVE_BACK))
            st = amqp_reject_tag(ab, tag_of_text(ab, s->tag), err);
    }
    free(tags);
    return st != CELERY_OK ? amqp_drop(ab, st) : st;
}
