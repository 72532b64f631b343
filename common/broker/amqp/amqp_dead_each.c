/* SPDX-License-Identifier: MIT */
/*
 * Walks the dead letters of a queue: each is got and held unacked until the walk
 * ends; what is kept goes back where it stood.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/xalloc.h"
#include "broker/amqp/amqp_dead.h"

/* Where the messages are, and what becomes of them. */
struct walk {
    struct amqp_broker *ab;
    const char *queue;
    char *dead;
    broker_dead_fn fn;
    void *arg;
    struct broker_dead_counts *counts;
    uint64_t last_tag; /* got so far */
    size_t open;       /* of them not acked */
    int64_t left;      /* messages that stood there at the start */
    bool stop;
};

static bool is_fact(amqp_bytes_t key)
{
    static const char prefix[] = "x-dead-";
    return key.len >= sizeof prefix - 1
        && memcmp(key.bytes, prefix, sizeof prefix - 1) == 0;
}

/* The x-dead-* headers as a JSON object. */
static bool put_facts(struct celery_buf *buf, const amqp_table_t *headers)
{
    amqp_table_entry_t *facts =
        xcalloc((size_t)headers->num_entries + 1, sizeof facts[0]);
    amqp_table_t table = {0, facts};
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    for (int i = 0; i < headers->num_entries; i++) {
        if (is_fact(headers->entries[i].key))
            facts[table.num_entries++] = headers->entries[i];
    }
    bool good = amqp_table_to_json(&table, &w);
    free(facts);
    return good;
}

static enum celery_status ack(const struct walk *walk, uint64_t tag,
                              struct celery_error *err)
{
    struct amqp_conn *conn = walk->ab->producer;
    amqp_connection_state_t state = amqp_conn_begin(conn);
    int rc = amqp_basic_ack(state, CHANNEL_SCRATCH, tag, false);
    return amqp_conn_end(conn, rc, "acking a dead letter", err);
}

/* Published and confirmed before its entry goes: a cut between the two leaves
 * both. */
static enum celery_status replay(const struct walk *walk,
                                 const struct amqp_received *received,
                                 struct celery_error *err)
{
    struct amqp_copy *copy = amqp_copy_of(received);
    if (copy == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for a message");
    struct amqp_outgoing out = {
        .routing_key = amqp_cstring_bytes(walk->queue),
        .mandatory = true,
        .properties = copy->properties,
        .body = amqp_bytes_of(celery_buf_str(&copy->body)),
    };
    enum celery_status st =
        amqp_strip_headers(&out.properties, &copy->pool, err);
    if (st == CELERY_OK)
        st = amqp_publish_surely(walk->ab, &out, 1, err);
    amqp_copy_free(copy);
    return st;
}

static enum celery_status act(struct walk *walk,
                              const struct amqp_received *received,
                              uint64_t tag, struct celery_error *err)
{
    struct celery_buf facts = CELERY_BUF_INIT;
    struct celery_buf raw = CELERY_BUF_INIT;
    enum celery_status st = CELERY_OK;
    enum broker_dead_action action = BROKER_DEAD_KEEP;
    if (put_facts(&facts, &received->properties->headers)
        && amqp_envelope_put(&raw, received)) {
        const struct broker_dead entry = {celery_buf_str(&facts),
                                          celery_buf_str(&raw)};
        action = walk->fn(walk->arg, &entry);
    }
    walk->stop = action == BROKER_DEAD_STOP;
    if (action == BROKER_DEAD_REPLAY)
        st = replay(walk, received, err);
    if (action == BROKER_DEAD_REPLAY || action == BROKER_DEAD_PURGE) {
        if (st == CELERY_OK)
            st = ack(walk, tag, err);
        walk->open -= st == CELERY_OK;
        if (action == BROKER_DEAD_REPLAY)
            walk->counts->replayed += st == CELERY_OK;
        else
            walk->counts->purged += st == CELERY_OK;
    } else {
        walk->counts->kept++;
    }
    celery_buf_done(&facts);
    celery_buf_done(&raw);
    return st;
}

/* The next one; walk->stop when there is none. */
static enum celery_status next(struct walk *walk, struct celery_error *err)
{
    struct amqp_conn *conn = walk->ab->producer;
    amqp_message_t message;
    amqp_connection_state_t state = amqp_conn_begin(conn);
    amqp_rpc_reply_t reply =
        amqp_basic_get(state, CHANNEL_SCRATCH, amqp_cstring_bytes(walk->dead),
                       false);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL
        || reply.reply.id != AMQP_BASIC_GET_OK_METHOD) {
        walk->stop = true;
        enum celery_status st = amqp_conn_end_rpc(conn, CHANNEL_SCRATCH,
                                                  "getting a dead letter", err);
        /* No such queue: no dead letters. */
        return st == CELERY_CONFLICT ? CELERY_OK : st;
    }
    const amqp_basic_get_ok_t *got = reply.reply.decoded;
    uint64_t tag = got->delivery_tag;
    amqp_rpc_reply_t read =
        amqp_read_message(state, CHANNEL_SCRATCH, &message, 0);
    int rc = read.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
               ? read.library_error
               : AMQP_STATUS_OK;
    enum celery_status st =
        amqp_conn_end(conn, rc, "reading a dead letter", err);
    if (st != CELERY_OK || read.reply_type != AMQP_RESPONSE_NORMAL)
        return st != CELERY_OK
                 ? st
                 : celery_fail(err, CELERY_CLOSED, "the channel was closed");
    walk->last_tag = tag;
    walk->open++;
    const struct amqp_received received = {
        .properties = &message.properties,
        .body = {message.body.bytes, message.body.len},
        .exchange = CELERY_STR(""),
        .routing_key = {walk->queue, strlen(walk->queue)},
        .tag = "dead",
    };
    st = act(walk, &received, tag, err);
    amqp_destroy_message(&message);
    amqp_conn_release(conn, CHANNEL_SCRATCH);
    return st;
}

/* All that was got and is not acked, back where it stood. */
static enum celery_status give_back(const struct walk *walk,
                                    struct celery_error *err)
{
    struct amqp_conn *conn = walk->ab->producer;
    amqp_connection_state_t state = amqp_conn_begin(conn);
    int rc =
        amqp_basic_nack(state, CHANNEL_SCRATCH, walk->last_tag, true, true);
    return amqp_conn_end(conn, rc, "giving dead letters back", err);
}

enum celery_status amqp_dead_each(struct broker *broker, const char *queue,
                                  broker_dead_fn fn, void *arg,
                                  struct broker_dead_counts *ret,
                                  struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct walk walk = {.ab = ab,
                        .queue = queue,
                        .dead = xasprintf("%s.dead", queue),
                        .fn = fn,
                        .arg = arg,
                        .counts = ret};
    enum celery_status st = amqp_need_producer(ab, err);
    if (st == CELERY_OK)
        st = amqp_count_messages(ab->producer, walk.dead, &walk.left, err);
    for (; st == CELERY_OK && !walk.stop && walk.left > 0; walk.left--)
        st = next(&walk, err);
    /* Also what a refused replay has left: only a lost connection gives back by
     * itself. */
    if (!amqp_is_fatal(st) && walk.open > 0) {
        enum celery_status back = give_back(&walk, err);
        st = back == CELERY_OK ? st : back;
    }
    free(walk.dead);
    return amqp_is_fatal(st) ? amqp_drop(ab, st) : st;
}
