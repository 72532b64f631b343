/* SPDX-License-Identifier: MIT */
/*
 * What the Redis driver's files share. The layout of the keys is kombu's
 * (kombu/transport/redis.py); the claim and its scripts are ours.
 */
#ifndef BROKER_REDIS_REDIS_BROKER_H
#define BROKER_REDIS_REDIS_BROKER_H

#include "base/process_identity.h"
#include "broker/broker_driver.h"
#include "celery/task_id.h"
#include "redis/redis_conn.h"
#include "redis/redis_script.h"

enum {
    REDIS_STEPS = 4,    /* priority_steps 0 3 6 9 */
    REDIS_ALIVE_S = 30, /* a worker without its key is dead */
    REDIS_ALIVE_EVERY_S = 10,
};

/* The two bytes between a queue's name and its priority step. */
#define REDIS_SEP "\x06\x16"

/* How far ahead of the server's time our claims are stamped. A peer gives back what
 * is older than its visibility timeout by its own clock: with the time of the claim
 * alone, a timeout below the 10 s between two stamps, or a clock that is further
 * ahead than the timeout, would take from us what we are running. */
#define REDIS_LEASE_AHEAD_S "60"

struct redis_broker {
    struct broker broker;
    struct redis_endpoint endpoint;
    int64_t timeout_us;
    double visibility_timeout_s;
    char *prefix; /* global_keyprefix, "" */
    char *client_name;
    char *nodename; /* NULL: a producer */
    broker_broadcast_fn on_broadcast;
    void *broadcast_arg;
    char db_text[16];

    struct redis_conn *commands;
    struct redis_conn *pubsub; /* NULL for a producer */
    bool tracking;             /* the server tells us of new messages */
    bool warned_no_tracking;

    char
        uuid[CELERY_TASK_ID_LEN + 1]; /* of this worker: the tags' first half */
    uint64_t next_tag;
    unsigned max_deliveries;
    char identity[PROCESS_IDENTITY_MAX]; /* what our alive key says */
    bool claim_unsure; /* an answer was lost: claims of ours may be unknown */
    size_t rotation;   /* which queue is asked first */
    double oldest_s;
    int64_t alive_due_us;
    int64_t register_due_us;
    int64_t orphans_due_us;
    int64_t restore_due_us;
    int64_t bindings_due_us;
    bool leads;      /* the fleet's figures are ours to show */
    char **declared; /* queues that this connection has bound */
    size_t declared_count;
};

static inline struct redis_broker *redis_broker(struct broker *broker)
{
    return (struct redis_broker *)(void *)broker;
}

int64_t redis_broker_deadline(const struct redis_broker *rb);

/* Closes both connections after a failure; returns st. */
enum celery_status redis_broker_drop(struct redis_broker *rb,
                                     enum celery_status st);

/* Is st the end of the connection (against an answer we do not like)? */
static inline bool redis_broker_fatal(enum celery_status st)
{
    return st == CELERY_IO || st == CELERY_CLOSED || st == CELERY_TIMEOUT
        || st == CELERY_MALFORMED || st == CELERY_NOMEM;
}

/* Keys, prefixed; the caller frees. */
char *redis_key(const struct redis_broker *rb, const char *name);
char *redis_list_key(const struct redis_broker *rb, const char *queue,
                     unsigned step);

/* step: index into 0, 3, 6, 9. priority as kombu clamps it. */
unsigned redis_step_of(int64_t priority);

/* TIME: the one clock that the leases of several machines are compared by. */
enum celery_status redis_server_time(struct redis_broker *rb,
                                     double *ret_seconds,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* redis_claim.c */
enum celery_status redis_claim_load(struct redis_broker *rb,
                                    struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status redis_claim(struct broker *broker, size_t max,
                               struct broker_delivery *ret, size_t *ret_count,
                               struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status redis_fence(struct broker *broker, char *tag, bool starting,
                               struct celery_buf *raw, bool *ret_ours,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* How long ',"",' queue ']' is, which stands behind the message in a claim. */
size_t redis_claim_tail_len(const char *queue);

/* redis_kept.c */
enum celery_status redis_fetch(struct broker *broker, struct broker_kept *kept,
                               size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status redis_peek(struct broker *broker, struct broker_kept *kept,
                              size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Appends the question of redis_fence() to the pipeline. fenced gets the tag that
 * the claim has when the answer is a text. */
void redis_fence_append(struct redis_broker *rb, const char *tag, bool starting,
                        bool want_message, char fenced[BROKER_TAG_MAX]);
/* The message inside '[' message ',"",' queue ']'; empty when it is no claim. */
struct celery_str redis_unwrap(const char *value, size_t len);

/* Was the claim marked as started when it got this tag? */
bool redis_tag_started(const char *tag);

/* redis_settle.c */
enum celery_status redis_settle_load(struct redis_broker *rb,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status redis_settle(struct broker *broker,
                                struct broker_settlement *settlements,
                                size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Moves a claim, whoever made it, out of unacked and into a list, if its tag is
 * still there. */
struct redis_move {
    struct celery_str tag;
    const char *list_key;
    struct celery_str text; /* empty: the message of the claim itself */
    size_t tail_len;        /* then: of what stands behind it */
    bool to_front;          /* RPUSH: the next one popped */
    const char *alive_key;  /* not NULL: only while this key does not exist */
    const char
        *max_score; /* not NULL: only while the score has not passed it */
};
enum celery_status redis_move_claim(struct redis_broker *rb,
                                    const struct redis_move *move,
                                    bool *ret_moved, struct celery_error *err)
    CELERY_MUST_CHECK;

/* redis_lead.c */
enum celery_status redis_lead(struct broker *broker, enum broker_lead as,
                              double ttl_s, bool *ret_leading,
                              struct celery_error *err) CELERY_MUST_CHECK;
/* Leaves the part to the next one that asks. */
void redis_lead_end(struct redis_broker *rb);

/* redis_lease.c */
enum celery_status redis_lease_load(struct redis_broker *rb,
                                    struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status redis_renew(struct broker *broker,
                               const struct broker_lease *leases, size_t count,
                               struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status redis_maintain(struct broker *broker,
                                  struct celery_error *err) CELERY_MUST_CHECK;
/* celery-c.alive.<uuid>, prefixed; the caller frees. */
char *redis_alive_key(const struct redis_broker *rb, const char *uuid);
enum celery_status redis_say_alive(struct redis_broker *rb,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* redis_restore.c: claims of workers that are gone. */
enum celery_status redis_restore_orphans(struct redis_broker *rb,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
/* Gives back claims of ours that the caller does not know of, when a claim's
 * answer was lost. */
enum celery_status redis_reclaim(struct broker *broker, broker_known_fn known,
                                 void *arg, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status redis_restore_expired(struct redis_broker *rb,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;

/* redis_dead.c */
enum celery_status redis_dead_each(struct broker *broker, const char *queue,
                                   broker_dead_fn fn, void *arg,
                                   struct broker_dead_counts *ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* redis_publish.c */
enum celery_status redis_publish_load(struct redis_broker *rb,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status redis_declare(struct broker *broker, const char *queue,
                                 struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status redis_bind_pidbox(struct redis_broker *rb,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status redis_publish(struct broker *broker,
                                 const struct broker_message *messages,
                                 size_t count, size_t *ret_sent,
                                 struct celery_error *err) CELERY_MUST_CHECK;

#endif /* BROKER_REDIS_REDIS_BROKER_H */
