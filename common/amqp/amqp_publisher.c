/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_publisher.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "net/socket.h"

enum {
    WINDOW = 1000,           /* sent and not yet answered */
    LOOK_EVERY = 32,         /* publishes between two looks at what arrived */
    FRAME_OVERHEAD = 8 + 12, /* its own; class, weight and body size */
    OTHERS_MAX = 4096,       /* all other properties together */
};

/* One call of send(). */
struct batch {
    struct amqp_outgoing *items;
    size_t count;
    size_t sent;
    size_t open;        /* sent and not answered */
    size_t oldest;      /* no item before it is unanswered */
    uint64_t first_tag; /* of items[0] */
    bool failed;        /* something was returned or nacked */
};

enum celery_status amqp_publisher_start(struct amqp_publisher *publisher,
                                        struct amqp_conn *conn,
                                        amqp_channel_t channel,
                                        struct celery_error *err)
{
    *publisher = (struct amqp_publisher){conn, channel, 1};
    (void)amqp_confirm_select(amqp_conn_begin(conn), channel);
    enum celery_status st =
        amqp_conn_end_rpc(conn, channel, "asking for confirms", err);
    amqp_conn_release(conn, channel);
    return st;
}

static void answer(struct batch *batch, size_t index, enum amqp_outcome outcome)
{
    struct amqp_outgoing *item = &batch->items[index];
    /* A return comes before the ack of the same message. */
    if (item->outcome == AMQP_UNKNOWN)
        item->outcome = outcome;
    batch->failed |= item->outcome != AMQP_CONFIRMED;
    batch->open--;
}

/* Answers come in any order, and a returned message has its outcome before its
 * ack: what is answered stands in a list of its own. */
static void on_answer(struct batch *batch, uint64_t tag, bool multiple,
                      enum amqp_outcome outcome, bool *answered)
{
    if (batch->sent == 0 || (tag != 0 && tag < batch->first_tag))
        return; /* of a call that gave up waiting */
    size_t last = tag == 0 ? batch->sent - 1 : (size_t)(tag - batch->first_tag);
    if (last >= batch->sent)
        return;
    size_t first = multiple ? batch->oldest : last;
    for (size_t i = first; i <= last; i++) {
        if (answered[i])
            continue;
        answered[i] = true;
        answer(batch, i, outcome);
    }
    while (batch->oldest < batch->sent && answered[batch->oldest])
        batch->oldest++;
}

static bool same(amqp_bytes_t a, amqp_bytes_t b)
{
    return a.len == b.len
        && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
}

/* basic.return names no publish: all open ones that went the same way count as
 * returned. (A queue that vanished has lost those it took, too.) */
static void on_return(struct batch *batch, const struct amqp_input *input,
                      const bool *answered)
{
    const amqp_basic_return_t *m = input->method.decoded;
    for (size_t i = batch->oldest; i < batch->sent; i++) {
        if (!answered[i] && same(batch->items[i].exchange, m->exchange)
            && same(batch->items[i].routing_key, m->routing_key))
            batch->items[i].outcome = AMQP_RETURNED;
    }
}

static enum celery_status on_channel_close(struct amqp_publisher *publisher,
                                           const struct amqp_input *input,
                                           struct celery_error *err)
{
    enum celery_status st = amqp_fail_closed(err, &input->method, "publishing");
    enum celery_status opened =
        amqp_conn_reopen(publisher->conn, publisher->channel, err);
    if (opened == CELERY_OK)
        opened = amqp_publisher_start(publisher, publisher->conn,
                                      publisher->channel, NULL);
    return opened == CELERY_OK ? st : CELERY_CLOSED;
}

enum celery_status amqp_publisher_input(struct amqp_publisher *publisher,
                                        const struct amqp_input *input,
                                        struct celery_error *err)
{
    if (input->channel == publisher->channel && input->kind == AMQP_INPUT_METHOD
        && input->method.id == AMQP_CHANNEL_CLOSE_METHOD)
        return on_channel_close(publisher, input, err);
    return CELERY_OK;
}

static enum celery_status on_input(struct amqp_publisher *publisher,
                                   struct batch *batch,
                                   const struct amqp_input *input,
                                   bool *answered, struct celery_error *err)
{
    if (input->channel != publisher->channel)
        /* An event for an exchange that is not there closes its channel. */
        return input->kind == AMQP_INPUT_METHOD
                    && input->method.id == AMQP_CHANNEL_CLOSE_METHOD
                 ? amqp_conn_reopen(publisher->conn, input->channel, err)
                 : CELERY_OK;
    if (input->kind == AMQP_INPUT_CONTENT
        && input->method.id == AMQP_BASIC_RETURN_METHOD) {
        on_return(batch, input, answered);
    } else if (input->method.id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *m = input->method.decoded;
        on_answer(batch, m->delivery_tag, m->multiple, AMQP_CONFIRMED,
                  answered);
    } else if (input->method.id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *m = input->method.decoded;
        on_answer(batch, m->delivery_tag, m->multiple, AMQP_NACKED, answered);
    } else if (input->method.id == AMQP_CHANNEL_CLOSE_METHOD) {
        return on_channel_close(publisher, input, err);
    }
    return CELERY_OK;
}

static enum celery_status blocked(struct celery_error *err)
{
    return celery_fail(err, CELERY_TIMEOUT,
                       "RabbitMQ takes no publishes now (it is low on memory "
                       "or disk)");
}

static enum celery_status read_one(struct amqp_publisher *publisher,
                                   struct batch *batch, int64_t deadline_us,
                                   bool *answered, bool *ret_something,
                                   struct celery_error *err)
{
    struct amqp_input input;
    enum celery_status st =
        amqp_conn_next(publisher->conn, deadline_us, &input, err);
    *ret_something = st == CELERY_OK && input.kind != AMQP_INPUT_NONE;
    if (*ret_something)
        st = on_input(publisher, batch, &input, answered, err);
    return st;
}

/* Reads what is there; also the end of an alarm. */
static enum celery_status read_all(struct amqp_publisher *publisher,
                                   struct batch *batch, bool *answered,
                                   struct celery_error *err)
{
    bool more = true;
    while (more) {
        enum celery_status st =
            read_one(publisher, batch, 0, answered, &more, err);
        if (st != CELERY_OK)
            return st;
    }
    return amqp_conn_blocked(publisher->conn) ? blocked(err) : CELERY_OK;
}

/* Reads until no more than open_max of what was sent are unanswered. */
static enum celery_status wait_answers(struct amqp_publisher *publisher,
                                       struct batch *batch, size_t open_max,
                                       int64_t deadline_us, bool *answered,
                                       struct celery_error *err)
{
    bool something = false;
    while (batch->open > open_max) {
        if (amqp_conn_blocked(publisher->conn))
            return blocked(err);
        if (clock_monotonic_us() >= deadline_us)
            return celery_fail(err, CELERY_TIMEOUT,
                               "RabbitMQ did not confirm %zu messages in time",
                               batch->open);
        enum celery_status st =
            read_one(publisher, batch, deadline_us, answered, &something, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

/* A server under an alarm does not read: what it has to say comes first, and a
 * full socket is waited for, not written to. */
static enum celery_status make_room(struct amqp_publisher *publisher,
                                    struct batch *batch, int64_t deadline_us,
                                    bool *answered, struct celery_error *err)
{
    for (;;) {
        enum celery_status st = read_all(publisher, batch, answered, err);
        if (st != CELERY_OK)
            return st;
        short got = 0;
        if (!net_wait(amqp_conn_fd(publisher->conn), POLLIN | POLLOUT,
                      deadline_us, &got))
            return celery_fail(err, CELERY_TIMEOUT,
                               "RabbitMQ reads nothing more");
        if ((got & POLLOUT) != 0)
            return CELERY_OK;
    }
}

static enum celery_status send_one(struct amqp_publisher *publisher,
                                   struct batch *batch,
                                   struct celery_error *err)
{
    struct amqp_outgoing *item = &batch->items[batch->sent];
    int status =
        amqp_basic_publish(amqp_conn_begin(publisher->conn), publisher->channel,
                           item->exchange, item->routing_key, item->mandatory,
                           0, &item->properties, item->body);
    enum celery_status st =
        amqp_conn_end(publisher->conn, status, "publishing", err);
    if (st != CELERY_OK)
        return st;
    publisher->next_tag++;
    batch->sent++;
    batch->open++;
    return CELERY_OK;
}

static enum celery_status verdict(const struct batch *batch,
                                  struct celery_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct amqp_outgoing *item = &batch->items[i];
        struct celery_str key = amqp_str(item->routing_key);
        if (item->outcome == AMQP_RETURNED)
            return celery_fail(err, CELERY_CONFLICT,
                               "no queue takes messages for '%.*s'",
                               (int)(key.len < 100 ? key.len : 100), key.data);
        if (item->outcome == AMQP_NACKED)
            return celery_fail(err, CELERY_CONFLICT,
                               "the queue refused a message for '%.*s'",
                               (int)(key.len < 100 ? key.len : 100), key.data);
    }
    return CELERY_OK;
}

bool amqp_publisher_fits(const struct amqp_conn *conn,
                         const amqp_basic_properties_t *properties)
{
    size_t max = amqp_conn_frame_max(conn) - FRAME_OVERHEAD;
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0
        || amqp_table_size(&properties->headers) + OTHERS_MAX <= max)
        return true;
    amqp_bytes_t room = {max, malloc(max)};
    amqp_basic_properties_t copy = *properties;
    bool fits = room.bytes != NULL
             && amqp_encode_properties(AMQP_BASIC_CLASS, &copy, room) >= 0;
    free(room.bytes);
    return fits;
}

static enum celery_status check_sizes(const struct amqp_publisher *publisher,
                                      const struct batch *batch,
                                      struct celery_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!amqp_publisher_fits(publisher->conn, &batch->items[i].properties))
            return celery_fail(err, CELERY_TOO_LARGE,
                               "headers that fill more than a frame (%zu "
                               "bytes)",
                               amqp_conn_frame_max(publisher->conn));
    }
    return CELERY_OK;
}

static enum celery_status send_all(struct amqp_publisher *publisher,
                                   struct batch *batch, int64_t deadline_us,
                                   bool *answered, struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < batch->count && st == CELERY_OK; i++) {
        if (i % LOOK_EVERY == 0)
            st = make_room(publisher, batch, deadline_us, answered, err);
        if (st == CELERY_OK && batch->open >= WINDOW)
            st = wait_answers(publisher, batch, WINDOW - LOOK_EVERY,
                              deadline_us, answered, err);
        if (st == CELERY_OK)
            st = send_one(publisher, batch, err);
    }
    if (st == CELERY_OK)
        st = wait_answers(publisher, batch, 0, deadline_us, answered, err);
    return st;
}

enum celery_status amqp_publisher_send(struct amqp_publisher *publisher,
                                       struct amqp_outgoing *items,
                                       size_t count, int64_t deadline_us,
                                       struct celery_error *err)
{
    bool *answered = xcalloc(count + 1, sizeof *answered);
    struct batch batch = {.items = items,
                          .count = count,
                          .first_tag = publisher->next_tag};
    for (size_t i = 0; i < count; i++)
        items[i].outcome = AMQP_UNKNOWN;
    enum celery_status st = check_sizes(publisher, &batch, err);
    if (st == CELERY_OK)
        st = send_all(publisher, &batch, deadline_us, answered, err);
    /* A refused message does not keep the others back, but it is told of. */
    if (st == CELERY_OK && batch.failed)
        st = verdict(&batch, err);
    free(answered);
    return st;
}
