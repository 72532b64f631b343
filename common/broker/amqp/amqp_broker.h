/* SPDX-License-Identifier: MIT */
/*
 * What the RabbitMQ driver's files share. Two connections: one consumes
 * (deliveries, acks, remote control, prefetch), one publishes. Under a memory or
 * disk alarm the server stops reading a connection that publishes: acks must not
 * stand behind a publish. Both belong to the broker's thread.
 *
 * A claim lives as long as the connection that delivered it: what is unacked
 * when that ends, the server gives to somebody else.
 */
#ifndef BROKER_AMQP_AMQP_BROKER_H
#define BROKER_AMQP_AMQP_BROKER_H

#include "amqp/amqp_conn.h"
#include "amqp/amqp_publisher.h"
#include "base/clock.h"
#include "broker/broker_driver.h"
#include "celery/task_id.h"

/* Channels of the consuming connection; as a Python worker's 1, 2 and 3. */
enum {
    CHANNEL_TASKS = 1,
    CHANNEL_PIDBOX = 2,
    CHANNEL_GOSSIP = 3,
    /* Of the publishing one. */
    CHANNEL_CONFIRM = 1, /* what must not be lost */
    CHANNEL_PLAIN = 2,   /* events, broadcasts, replies */
    /* Of both: declarations, whose failure closes the channel. */
    CHANNEL_SCRATCH = 4,
};

enum {
    AMQP_RETRY_US = 1000000,
    AMQP_CONSUMER_TAG = 48,
    AMQP_SUSPECTS_NAME = 300,
};

/* What is known of a queue that we consume; by its index in broker.queues. */
struct amqp_queue {
    bool consuming;
    bool quorum;
    bool refuses_global; /* a limit that consumers share: learnt from a 540 */
    bool topic;          /* its exchange is not direct */
    bool delayed;        /* bound to celery_delayed_delivery */
    unsigned serial;     /* of its consumer tag */
    /* Of <queue>.suspects (amqp_suspects.c). */
    bool suspects; /* there is one */
    bool suspects_consuming;
    bool suspects_refused; /* we may not consume them; also after a reconnect */
    unsigned suspects_serial;
};

/* Unsettled deliveries of the consuming connection, oldest first. */
struct amqp_claim {
    uint64_t tag;
    bool settled;
};

enum amqp_fate {
    FATE_RUN,
    FATE_AGAIN, /* redelivered: goes back with x-deliveries + 1 */
    FATE_HOLD,  /* its ETA is far: waits in a hold queue */
    FATE_DEAD,
};

/* A delivery that nobody has claimed yet. */
struct amqp_inbound {
    struct amqp_inbound *next;
    uint64_t tag;
    size_t queue;
    int64_t tried; /* so often it came back */
    enum amqp_fate fate;
    struct celery_buf raw;  /* FATE_RUN: the envelope */
    struct amqp_copy *copy; /* others: the message as it came */
    const char *reason;     /* FATE_DEAD */
    int64_t eta_us;         /* FATE_HOLD */
};

struct amqp_broker {
    struct broker broker;
    struct amqp_endpoints endpoints;
    size_t endpoint; /* the one in use, or to be tried next */
    int64_t timeout_us;
    unsigned max_deliveries; /* 0: no cap */
    int64_t hold_above_us;   /* an ETA further away waits in the server */
    char *client_name;
    char *nodename; /* NULL: a producer */
    broker_broadcast_fn on_broadcast;
    broker_runs_fn runs_here;
    void *broadcast_arg;

    struct amqp_conn *consumer;
    struct amqp_conn *producer;
    struct amqp_publisher publisher;
    char **declared; /* queues and exchanges known to exist, on producer */
    size_t declared_count;

    uint64_t epoch; /* counts the consuming connections: half of a tag */
    struct amqp_queue *queues;
    size_t queue_count;
    struct amqp_claim *claims;
    size_t claim_first; /* of claims[]: the oldest */
    size_t claim_count;
    size_t claim_cap;
    struct amqp_inbound *inbound;
    struct amqp_inbound **inbound_tail;
    size_t prefetch; /* as last told to the server; 0: not yet */
    bool qos_global;
    bool pidbox; /* its consumer runs */
    bool gossip;
    /* The publishing side failed: not tried again before these (monotonic). */
    int64_t producer_at_us;
    int64_t send_on_at_us;
    int64_t bury_at_us;
    bool stopped;   /* nothing is consumed any more */
    bool retry_due; /* a consumer is to be started again */
    int64_t retry_at_us;
    int wake_fd; /* an eventfd: a call read more than its own answer */
    char event_queue[16 + CELERY_TASK_ID_LEN];
};

static inline struct amqp_broker *amqp_broker(struct broker *broker)
{
    return (struct amqp_broker *)(void *)broker;
}

static inline int64_t amqp_deadline(const struct amqp_broker *ab)
{
    return clock_monotonic_us() + ab->timeout_us;
}

/* Ends both connections, or the publishing one; return st. */
enum celery_status amqp_drop(struct amqp_broker *ab, enum celery_status st);
enum celery_status amqp_drop_producer(struct amqp_broker *ab,
                                      enum celery_status st);

/* Calls that wait for an answer may read deliveries with it, of which poll(2)
 * does not tell: they end with this. */
void amqp_wake_if_pending(struct amqp_broker *ab);

/* amqp_declare.c */
enum celery_status amqp_declare_exchange(struct amqp_conn *conn,
                                         const char *name, const char *type,
                                         bool durable, bool *ret_other_type,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
struct amqp_queue_spec {
    const char *name;
    bool durable;
    bool exclusive;
    bool auto_delete;
    amqp_table_t arguments;
};
/* Declares, or finds that the queue is there with other arguments (quorum,
 * priorities) and takes it as it is; ret_other (may be NULL) gets the server's
 * words then. */
enum celery_status amqp_declare_queue(struct amqp_conn *conn,
                                      const struct amqp_queue_spec *spec,
                                      struct celery_error *ret_other,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_bind(struct amqp_conn *conn, const char *queue,
                             const char *exchange, const char *routing_key,
                             struct celery_error *err) CELERY_MUST_CHECK;
/* A task queue with its exchange and binding, as Celery declares it. ret may be
 * NULL. */
enum celery_status amqp_declare_task_queue(struct amqp_conn *conn,
                                           const char *queue,
                                           struct amqp_queue *ret,
                                           struct celery_error *err)
    CELERY_MUST_CHECK;
/* ready < 0: there is no such queue. */
enum celery_status amqp_count_messages(struct amqp_conn *conn,
                                       const char *queue, int64_t *ret_ready,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* As py-amqp writes them: a number in 32 bits where they suffice. */
amqp_table_entry_t amqp_text_argument(const char *key, const char *text);
amqp_table_entry_t amqp_int_argument(const char *key, int64_t value);

/* amqp_consume.c */
enum celery_status amqp_set_qos(struct amqp_broker *ab, size_t count,
                                bool global, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_consume_as(struct amqp_broker *ab,
                                   amqp_channel_t channel, const char *queue,
                                   const char *tag, bool no_ack,
                                   struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status amqp_cancel_consumer(struct amqp_broker *ab, const char *tag,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_consume_all(struct amqp_broker *ab,
                                    struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status amqp_cancel_queue(struct amqp_broker *ab, size_t queue,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;
/* Starts again what could not be started or was cancelled. */
enum celery_status amqp_consume_missing(struct amqp_broker *ab,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;
/* The prefetch that broker.prefetch asks for. */
enum celery_status amqp_apply_prefetch(struct amqp_broker *ab,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* amqp_receive.c */
/* Reads what has arrived. */
enum celery_status amqp_receive(struct broker *broker, bool *ret_wake,
                                struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status amqp_receive_producer(struct amqp_broker *ab,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
void amqp_forget_deliveries(struct amqp_broker *ab);
void amqp_inbound_free(struct amqp_inbound *item);

/* amqp_claim.c */
enum celery_status amqp_claim_messages(struct broker *broker, size_t max,
                                       struct broker_delivery *ret,
                                       size_t *ret_count,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;
struct amqp_inbound *amqp_take_inbound(struct amqp_broker *ab,
                                       const struct amqp_input *input,
                                       size_t queue, bool suspect);

/* amqp_settle.c */
enum celery_status amqp_settle(struct broker *broker,
                               struct broker_settlement *settlements,
                               size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_fence(struct broker *broker, char *tag, bool starting,
                              struct celery_buf *raw, bool *ret_ours,
                              struct celery_error *err) CELERY_MUST_CHECK;
void amqp_claim_add(struct amqp_broker *ab, uint64_t tag);
/* Acks the tags, which it sorts; each of them at most once. */
enum celery_status amqp_ack_tags(struct amqp_broker *ab, uint64_t *tags,
                                 size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_reject_tag(struct amqp_broker *ab, uint64_t tag,
                                   struct celery_error *err) CELERY_MUST_CHECK;
void amqp_tag_text(const struct amqp_broker *ab, uint64_t tag,
                   char ret[BROKER_TAG_MAX]);

/* amqp_publish.c */
enum celery_status amqp_publish(struct broker *broker,
                                const struct broker_message *messages,
                                size_t count, size_t *ret_sent,
                                struct celery_error *err) CELERY_MUST_CHECK;
/* Connects the publishing side if it is not. TIMEOUT: the server takes no publishes
 * now, nor does it answer anything on this connection. */
enum celery_status amqp_need_producer(struct amqp_broker *ab,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;
/* Publishes with confirms and mandatory; items[].outcome tells of each. */
enum celery_status amqp_publish_surely(struct amqp_broker *ab,
                                       struct amqp_outgoing *items,
                                       size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
/* Declares name once a connection: a queue with nothing but itself, the default
 * exchange its way in. */
enum celery_status amqp_need_queue(struct amqp_broker *ab, const char *name,
                                   const amqp_table_t *arguments,
                                   struct celery_error *err) CELERY_MUST_CHECK;
bool amqp_is_declared(const struct amqp_broker *ab, const char *name);
void amqp_note_declared(struct amqp_broker *ab, const char *name);
void amqp_forget_declared(struct amqp_broker *ab);

/* amqp_hold.c */
/* Where the copy waits for its ETA: a hold queue, or native delayed delivery. */
enum celery_status amqp_hold_route(struct amqp_broker *ab,
                                   const struct amqp_inbound *item,
                                   struct amqp_outgoing *ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;
/* Declares native delayed delivery's exchanges and queues and binds ours. */
enum celery_status amqp_delayed_declare(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

/* amqp_suspects.c; all but need on the consuming connection */
/* Declares the queue's suspects; it is consumed soon after. */
enum celery_status amqp_suspects_need(struct amqp_broker *ab, size_t queue,
                                      char ret_name[AMQP_SUSPECTS_NAME],
                                      struct celery_error *err)
    CELERY_MUST_CHECK;
/* Are there any, from before? */
enum celery_status amqp_suspects_find(struct amqp_broker *ab, size_t queue,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_suspects_consume(struct amqp_broker *ab, size_t queue,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status amqp_suspects_cancel(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* BROKER_AMQP_AMQP_BROKER_H */
