/* SPDX-License-Identifier: MIT */
/*
 * From a delivery to a claim. What was delivered before and came back is counted
 * where a kill cannot forget it: a quorum queue counts itself (x-delivery-count);
 * of a classic one the message is published again with x-deliveries + 1 and acked,
 * before it runs. What has been tried too often goes to the dead letters, what is
 * not due for long waits in a hold queue instead of being held here past the
 * server's consumer_timeout.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/xalloc.h"
#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_dead.h"
#include "broker/amqp/amqp_envelope.h"
#include "celery/timestamp.h"
#include "log/log.h"

enum { CLAIM_BYTES = 1 << 20 };

static const amqp_table_t *headers_of(const amqp_basic_properties_t *p)
{
    static const amqp_table_t none = {0, NULL};
    return (p->_flags & AMQP_BASIC_HEADERS_FLAG) != 0 ? &p->headers : &none;
}

static int64_t count_in(const amqp_basic_properties_t *p, const char *key)
{
    const amqp_field_value_t *value = amqp_table_find(headers_of(p), key);
    int64_t n = 0;
    return value != NULL && amqp_value_int(value, &n) && n > 0 ? n : 0;
}

static bool has(const amqp_basic_properties_t *p, const char *key)
{
    return amqp_table_find(headers_of(p), key) != NULL;
}

/* The header's time, or 0. */
static int64_t time_in(const amqp_basic_properties_t *p, const char *key)
{
    const amqp_field_value_t *value = amqp_table_find(headers_of(p), key);
    int64_t at = 0;
    if (value == NULL || value->kind != AMQP_FIELD_KIND_UTF8
        || celery_timestamp_parse(amqp_str(value->value.bytes), &at)
               != CELERY_OK)
        return 0;
    return at;
}

static bool runs_here(const struct amqp_broker *ab,
                      const amqp_basic_properties_t *p)
{
    const amqp_field_value_t *id = amqp_table_find(headers_of(p), "id");
    return ab->runs_here != NULL && id != NULL
        && id->kind == AMQP_FIELD_KIND_UTF8
        && ab->runs_here(ab->broadcast_arg, amqp_str(id->value.bytes));
}

/* It came back twice: from now on no worker holds more than one of its kind. */
static bool is_suspect(const struct amqp_broker *ab, int64_t tried)
{
    return tried >= 2 && ab->max_deliveries > 0;
}

static enum amqp_fate fate_of(struct amqp_broker *ab,
                              const struct amqp_received *m, bool suspect,
                              struct amqp_inbound *item)
{
    const amqp_basic_properties_t *p = m->properties;
    bool counted = m->redelivered && has(p, "x-delivery-count");
    item->tried = count_in(p, "x-deliveries")
                + (counted ? count_in(p, "x-delivery-count") : m->redelivered);
    /* What still runs here is no victim: its task gets this claim. */
    if (m->redelivered && runs_here(ab, p))
        return FATE_RUN;
    item->reason = "poison";
    if (ab->max_deliveries > 0 && item->tried >= (int64_t)ab->max_deliveries)
        return FATE_DEAD;
    item->eta_us = time_in(p, "eta");
    int64_t expires = time_in(p, "expires");
    int64_t now = clock_wall_us();
    if (item->eta_us > now + ab->hold_above_us
        && (expires == 0 || expires > now))
        return FATE_HOLD;
    if (m->redelivered
        && (!counted || (!suspect && is_suspect(ab, item->tried))))
        return FATE_AGAIN;
    /* A count on the first delivery is not this server's (a shovel's, or forged):
     * on a classic queue it would stand still, and we believe it later. */
    if (!m->redelivered && count_in(p, "x-delivery-count") > 0)
        return FATE_AGAIN;
    return FATE_RUN;
}

struct amqp_inbound *amqp_take_inbound(struct amqp_broker *ab,
                                       const struct amqp_input *input,
                                       size_t queue, bool suspect)
{
    const amqp_basic_deliver_t *m = input->method.decoded;
    char tag[BROKER_TAG_MAX];
    struct amqp_received received = {
        .properties = input->properties,
        .body = input->body,
        .exchange = amqp_str(m->exchange),
        .routing_key = amqp_str(m->routing_key),
        .redelivered = m->redelivered != 0,
        .tag = tag,
    };
    struct amqp_inbound *item = xcalloc(1, sizeof *item);
    amqp_tag_text(ab, m->delivery_tag, tag);
    item->tag = m->delivery_tag;
    item->queue = queue;
    item->fate = fate_of(ab, &received, suspect, item);
    /* After native delayed delivery neither exchange nor key lead back here: a
     * retry goes to the queue that the task came from. */
    if (received.exchange.len >= strlen("celery_delayed_")
        && memmem(received.exchange.data, received.exchange.len,
                  CELERY_STR("celery_delayed_").data, strlen("celery_delayed_"))
               != NULL) {
        const char *name = ab->broker.queues[queue].name;
        received.exchange = CELERY_STR("");
        received.routing_key = (struct celery_str){name, strlen(name)};
    }
    if (item->fate == FATE_RUN && !amqp_envelope_put(&item->raw, &received)) {
        item->fate = FATE_DEAD;
        item->reason = "undecodable";
    }
    if (item->fate != FATE_RUN) {
        celery_buf_done(&item->raw);
        item->copy = amqp_copy_of(&received);
    }
    return item;
}

/* --- what does not run now ------------------------------------------------------ */

/* Where what came back goes: behind the others of its queue, or to the suspects.
 * Memory is the copy's. */
static enum celery_status return_route(struct amqp_broker *ab,
                                       const struct amqp_inbound *item,
                                       amqp_bytes_t *ret,
                                       struct celery_error *err)
{
    char name[AMQP_SUSPECTS_NAME];
    enum celery_status st = CELERY_OK;
    *ret = amqp_cstring_bytes(ab->broker.queues[item->queue].name);
    if (!is_suspect(ab, item->tried))
        return CELERY_OK;
    st = amqp_suspects_need(ab, item->queue, name, err);
    if (st == CELERY_CONFLICT)
        return CELERY_OK; /* the server has no such queue for us */
    if (st != CELERY_OK)
        return st;
    char *copy = amqp_pool_alloc(&item->copy->pool, strlen(name) + 1);
    if (copy == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for a name");
    memcpy(copy, name, strlen(name) + 1);
    *ret = amqp_cstring_bytes(copy);
    return CELERY_OK;
}

static enum celery_status again(struct amqp_broker *ab,
                                struct amqp_inbound *item,
                                struct amqp_outgoing *ret,
                                struct celery_error *err)
{
    struct amqp_copy *copy = item->copy;
    amqp_table_entry_t count = {.key = amqp_cstring_bytes("x-deliveries")};
    count.value.kind = AMQP_FIELD_KIND_I32;
    count.value.value.i32 =
        item->tried < INT32_MAX ? (int32_t)item->tried : INT32_MAX;
    *ret = (struct amqp_outgoing){
        .mandatory = true,
        .properties = copy->properties,
        .body = amqp_bytes_of(celery_buf_str(&copy->body)),
    };
    enum celery_status st = return_route(ab, item, &ret->routing_key, err);
    if (st == CELERY_OK)
        st = amqp_strip_headers(&ret->properties, &copy->pool, err);
    if (st == CELERY_OK)
        st = amqp_add_headers(&ret->properties, &count, 1, &copy->pool, err);
    if (st == CELERY_OK && !amqp_publisher_fits(ab->producer, &ret->properties))
        st = celery_fail(err, CELERY_TOO_LARGE,
                         "headers without room for a count");
    return st;
}

static enum celery_status prepare(struct amqp_broker *ab,
                                  struct amqp_inbound *item,
                                  struct amqp_outgoing *ret,
                                  struct celery_error *err)
{
    const char *queue = ab->broker.queues[item->queue].name;
    if (item->copy == NULL)
        return celery_fail(err, CELERY_INVALID, "no memory for a message");
    switch (item->fate) {
    case FATE_AGAIN:
        return again(ab, item, ret, err);
    case FATE_HOLD:
        return amqp_hold_route(ab, item, ret, err);
    case FATE_DEAD:
    case FATE_RUN:
        break;
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "message_refused", LOG_STR("queue", queue),
              LOG_STR("reason", item->reason),
              LOG_STR("msg", "sent to the dead letters"));
    return amqp_dead_of_copy(ab, queue, item->copy, item->reason, NULL, ret,
                             err);
}

/* Takes the item out of the list. */
static void unlink_item(struct amqp_broker *ab, struct amqp_inbound **at)
{
    struct amqp_inbound *item = *at;
    *at = item->next;
    if (*at == NULL)
        ab->inbound_tail = at;
    amqp_inbound_free(item);
}

/* What cannot be sent on (a name that may not be declared, headers without room
 * for one more) runs or waits here after all. */
static void rescue(struct amqp_broker *ab, struct amqp_inbound *item,
                   const struct celery_error *why)
{
    char tag[BROKER_TAG_MAX];
    const char *queue = ab->broker.queues[item->queue].name;
    LOG_EVENT(LOG_LEVEL_WARNING, "message_not_sent_on", LOG_STR("queue", queue),
              LOG_STR("error", why->msg));
    if (item->fate == FATE_DEAD || item->copy == NULL)
        return;
    amqp_tag_text(ab, item->tag, tag);
    const struct amqp_received received = {
        .properties = &item->copy->properties,
        .body = celery_buf_str(&item->copy->body),
        .exchange = CELERY_STR(""),
        .routing_key = {queue, strlen(queue)},
        .redelivered = item->fate == FATE_AGAIN,
        .tag = tag,
    };
    if (amqp_envelope_put(&item->raw, &received))
        item->fate = FATE_RUN;
}

/* The messages of the list that do not run, ready to be published. */
static enum celery_status collect(struct amqp_broker *ab,
                                  struct amqp_outgoing *items,
                                  struct amqp_inbound **of, size_t *ret_count,
                                  struct celery_error *err)
{
    *ret_count = 0;
    for (struct amqp_inbound *i = ab->inbound;
         i != NULL && *ret_count < BROKER_CLAIM_MAX; i = i->next) {
        if (i->fate == FATE_RUN)
            continue;
        enum celery_status st = prepare(ab, i, &items[*ret_count], err);
        /* What cannot be counted must not come back for ever. */
        if (st == CELERY_TOO_LARGE && i->fate == FATE_AGAIN) {
            i->fate = FATE_DEAD;
            st = prepare(ab, i, &items[*ret_count], err);
        }
        if (amqp_is_fatal(st))
            return st;
        if (st == CELERY_OK)
            of[(*ret_count)++] = i;
        else
            rescue(ab, i, err);
    }
    return CELERY_OK;
}

/* Publishes what does not run and acks what the server took of it. What it did
 * not take stays, and is tried again. */
static enum celery_status send_on(struct amqp_broker *ab,
                                  struct celery_error *err)
{
    struct amqp_outgoing items[BROKER_CLAIM_MAX] = {{.mandatory = false}};
    struct amqp_inbound *of[BROKER_CLAIM_MAX] = {NULL};
    uint64_t tags[BROKER_CLAIM_MAX];
    struct celery_error why = {0};
    size_t count = 0;
    size_t acked = 0;
    if (clock_monotonic_us() < ab->send_on_at_us)
        return CELERY_OK;
    enum celery_status st = collect(ab, items, of, &count, &why);
    if (st == CELERY_OK && count > 0)
        st = amqp_publish_surely(ab, items, count, &why);
    if (st != CELERY_OK) {
        ab->send_on_at_us = clock_monotonic_us() + AMQP_RETRY_US;
        LOG_EVENT(LOG_LEVEL_WARNING, "message_not_sent_on",
                  LOG_STR("error", why.msg),
                  LOG_STR("msg", "kept and tried again"));
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].outcome != AMQP_CONFIRMED)
            continue;
        struct amqp_inbound **at = &ab->inbound;
        while (*at != NULL && *at != of[i])
            at = &(*at)->next;
        if (*at == NULL)
            continue;
        tags[acked++] = of[i]->tag;
        unlink_item(ab, at);
    }
    return amqp_ack_tags(ab, tags, acked, err);
}

static bool all_run(const struct amqp_broker *ab)
{
    const struct amqp_inbound *item = ab->inbound;
    while (item != NULL && item->fate == FATE_RUN)
        item = item->next;
    return item == NULL;
}

enum celery_status amqp_claim_messages(struct broker *broker, size_t max,
                                       struct broker_delivery *ret,
                                       size_t *ret_count,
                                       struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    size_t bytes = 0;
    *ret_count = 0;
    if (max > BROKER_CLAIM_MAX)
        max = BROKER_CLAIM_MAX;
    enum celery_status st = amqp_apply_prefetch(ab, err);
    if (st == CELERY_OK && !all_run(ab))
        st = send_on(ab, err);
    if (st != CELERY_OK)
        return amqp_drop(ab, st);
    amqp_wake_if_pending(ab);
    for (struct amqp_inbound **at = &ab->inbound;
         *at != NULL && *ret_count < max && bytes < CLAIM_BYTES;) {
        struct amqp_inbound *item = *at;
        if (item->fate != FATE_RUN) {
            at = &item->next;
            continue;
        }
        struct broker_delivery *d = &ret[(*ret_count)++];
        *d = (struct broker_delivery){.queue = item->queue, .raw = item->raw};
        item->raw = CELERY_BUF_INIT;
        amqp_tag_text(ab, item->tag, d->tag);
        bytes += d->raw.len;
        unlink_item(ab, at);
    }
    return CELERY_OK;
}
