/* SPDX-License-Identifier: MIT */
/*
 * A broker as the worker and the producer see it: claim messages, settle them,
 * publish. One driver a transport stands behind the table in broker.c.
 *
 * A struct broker belongs to one thread. No call blocks past the timeout of the
 * options. After CELERY_IO, CLOSED, TIMEOUT and MALFORMED the connection may be
 * gone: when broker_connected() says so, call broker_connect() again; what was
 * under way may or may not have been done. CELERY_UNSUPPORTED and INVALID are
 * final. CELERY_CONFLICT: the broker refused a message (no queue takes it, or the
 * queue is full).
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/envelope.h"
#include "celery/error.h"

enum {
    BROKER_TAG_MAX = 192, /* a delivery's tag and its NUL */
    BROKER_FDS_MAX = 3,
    BROKER_CLAIM_MAX = 256,
};

struct broker;

/* A broadcast (remote control, worker events) or reply that arrived; raw is
 * borrowed until the handler returns. */
typedef void (*broker_broadcast_fn)(void *arg, const char *exchange,
                                    struct celery_str raw);

/* Does the task still run here although its claim ended with a connection? Then a
 * delivery of it that came back is no sign of a death. */
typedef bool (*broker_runs_fn)(void *arg, struct celery_str task_id);

struct broker_options {
    const char *url;
    const char *transport_options; /* JSON object text, or NULL */
    double timeout_s;              /* of every operation; 0: 5 s */
    const char *client_name;       /* shown in the server's client list */
    /* A consumer has queues and a node name; a producer has neither. */
    const char *const *queues;
    size_t queue_count;
    const char *nodename; /* "celery@host"; NULL: no remote control */
    /* A message that killed this many workers goes to the dead letters; 0: it
     * comes back for ever. */
    unsigned max_deliveries;
    broker_broadcast_fn on_broadcast;
    broker_runs_fn runs_here; /* may be NULL */
    void *broadcast_arg;      /* of both */
};

enum celery_status broker_open(const struct broker_options *options,
                               struct broker **ret, struct celery_error *err)
    CELERY_MUST_CHECK; /* checks the URL; does not connect */
void broker_close(struct broker *broker);

/* Connects (again): declares the queues, subscribes, says that we live. */
enum celery_status broker_connect(struct broker *broker,
                                  struct celery_error *err) CELERY_MUST_CHECK;
bool broker_connected(const struct broker *broker);

/* Descriptors that become readable when broker_receive() has work. */
size_t broker_fds(const struct broker *broker,
                  struct pollfd ret[BROKER_FDS_MAX]);

/* Reads what has arrived, without waiting; broadcasts go to the handler.
 * *ret_wake: a claim may find something now. */
enum celery_status broker_receive(struct broker *broker, bool *ret_wake,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* Does the broker tell us of new messages? Otherwise claims must be polled. */
bool broker_wakes(const struct broker *broker);

/* --- consuming ----------------------------------------------------------- */

struct broker_delivery {
    char tag[BROKER_TAG_MAX];
    size_t queue;  /* index into the options' queues */
    unsigned step; /* driver's own: the priority list it came from */
    struct celery_buf
        raw; /* the envelope; owned by whoever holds the delivery */
};

/* Takes up to max (≤ BROKER_CLAIM_MAX) messages or 1 MiB into our claim; they
 * stay ours until settled or until our lease runs out. */
enum celery_status broker_claim(struct broker *broker, size_t max,
                                struct broker_delivery *ret, size_t *ret_count,
                                struct celery_error *err) CELERY_MUST_CHECK;

enum broker_settle {
    BROKER_ACK,
    BROKER_REQUEUE,     /* reject with requeue: to the back of the line */
    BROKER_GIVE_BACK,   /* not started: to the front, where it came from */
    BROKER_DEAD_LETTER, /* to <queue>.dead with the reason */
};

struct broker_settlement {
    enum broker_settle how;
    const char *tag;
    size_t queue;
    unsigned step;
    /* Not needed for BROKER_ACK; for BROKER_GIVE_BACK empty when the broker keeps
     * messages. */
    struct celery_str raw;
    const char *reason; /* BROKER_DEAD_LETTER: one word, "unknown_task" */
    const char *detail; /* BROKER_DEAD_LETTER: for people; may be NULL */
    bool lost;          /* out: the claim was not ours any more */
    bool kept; /* out: could not be settled now, nothing was done; ask again */
};

enum celery_status broker_settle(struct broker *broker,
                                 struct broker_settlement *settlements,
                                 size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Our claims are alive: running and reserved ones get the time of now, parked
 * ones (until_s > 0, wall clock) a time in the future. */
struct broker_lease {
    const char *tag;
    double until_s;
};
enum celery_status broker_renew(struct broker *broker,
                                const struct broker_lease *leases, size_t count,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* Before starting a claim that waited: is it still ours? Stamps it and, when raw
 * is not NULL, fetches the message again. tag (of BROKER_TAG_MAX bytes) may be
 * another one afterwards. starting: it is about to run alone; should its worker
 * die, the delivery is counted (broker/deliveries.h). *ret_ours false: drop it. */
enum celery_status broker_fence(struct broker *broker, char *tag, bool starting,
                                struct celery_buf *raw, bool *ret_ours,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* Does the broker show a claim's message again? Then the worker need not keep it. */
bool broker_keeps_messages(const struct broker *broker);

/* A claim of which only the tag is known. */
struct broker_kept {
    char tag[BROKER_TAG_MAX]; /* in and out, as broker_fence() */
    struct celery_buf raw;    /* out: appended */
    bool ours;                /* out */
};

/* broker_fence() for up to BROKER_CLAIM_MAX claims at once, with their messages. On
 * failure nothing is known of any of them. */
enum celery_status broker_fetch(struct broker *broker, struct broker_kept *kept,
                                size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
/* Their messages, to show them; changes nothing. */
enum celery_status broker_peek(struct broker *broker, struct broker_kept *kept,
                               size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;

/* After a reconnect: claims of ours that the caller does not know, taken by a claim
 * whose answer was lost, go back to their queues. */
typedef bool (*broker_known_fn)(void *arg, const char *tag);
enum celery_status broker_reclaim(struct broker *broker, broker_known_fn known,
                                  void *arg, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Once a second: liveness, dead neighbours' claims, binding refresh. */
enum celery_status broker_maintain(struct broker *broker,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* Starts or stops consuming a queue; names are copied. The index of a queue
 * never changes; a stopped one keeps its index. */
enum celery_status broker_add_queue(struct broker *broker, const char *queue,
                                    struct celery_error *err) CELERY_MUST_CHECK;
void broker_cancel_queue(struct broker *broker, const char *queue);
/* For a shutdown: nothing more comes to us; what came and was not claimed goes
 * back. Claims can still be settled. */
void broker_stop(struct broker *broker);

/* How many claims the worker wants to hold, 0: any number. A broker that pushes
 * sends no more than that ahead. */
void broker_set_prefetch(struct broker *broker, size_t count);

/* Do the claims die with the connection (RabbitMQ)? Then what has not started
 * must be forgotten when it is lost: somebody else gets it. */
bool broker_claims_end_with_connection(const struct broker *broker);

size_t broker_queue_count(const struct broker *broker);
const char *broker_queue_name(const struct broker *broker, size_t index);
bool broker_queue_active(const struct broker *broker, size_t index);

struct broker_depth {
    int64_t ready;   /* all priority steps */
    int64_t unacked; /* of all queues, where the broker counts no better */
    int64_t dead;
    double oldest_s; /* age of the oldest claim; -1: unknown */
};
enum celery_status broker_depth(struct broker *broker, size_t queue,
                                struct broker_depth *ret,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* Figures of the whole fleet, such as the length of a queue, are shown by one
 * process at a time, or sums over processes would count them as often. Is it us?
 * Asked again before ttl_s is over, the answer stays; a worker takes the part
 * from a program that only watches. */
enum broker_lead { BROKER_WATCHES, BROKER_WORKS };
enum celery_status broker_lead(struct broker *broker, enum broker_lead as,
                               double ttl_s, bool *ret_leading,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* --- dead letters -------------------------------------------------------- */

enum broker_dead_action {
    BROKER_DEAD_KEEP,
    BROKER_DEAD_REPLAY, /* back to the end of its queue, its deliveries at 0 */
    BROKER_DEAD_PURGE,  /* gone */
    BROKER_DEAD_STOP,   /* keep this one and look at no more */
};

/* Borrowed until the handler returns. */
struct broker_dead {
    struct celery_str facts;   /* JSON object text; empty: none */
    struct celery_str message; /* the envelope as it was */
};

typedef enum broker_dead_action (*broker_dead_fn)(
    void *arg, const struct broker_dead *entry);

struct broker_dead_counts {
    size_t kept;
    size_t replayed;
    size_t purged;
};

/* Shows the handler each dead letter of queue, oldest first, and does with it what
 * the handler says. A replay that is cut off may leave the entry and its copy;
 * nothing is lost. What another client takes away meanwhile is not counted. */
enum celery_status broker_dead_each(struct broker *broker, const char *queue,
                                    broker_dead_fn fn, void *arg,
                                    struct broker_dead_counts *ret,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* --- publishing ---------------------------------------------------------- */

enum broker_route {
    BROKER_TO_QUEUE,  /* default exchange; the routing key is a queue */
    BROKER_BROADCAST, /* a fanout or topic exchange; nobody may listen */
    BROKER_REPLY,     /* a direct exchange; dropped when nobody is bound */
};

struct broker_message {
    enum broker_route route;
    struct celery_envelope_out out;
};

/* Publishes in order, pipelined; on CELERY_OK the broker has taken them all. On
 * failure *ret_sent (may be NULL) says how many it certainly has. */
enum celery_status broker_publish(struct broker *broker,
                                  const struct broker_message *messages,
                                  size_t count, size_t *ret_sent,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* What `inspect stats` shows of the connection. Borrowed until the broker is
 * closed; never a password. */
struct broker_info {
    const char *transport; /* "redis", "filesystem", "amqp" */
    const char *hostname;
    const char *userid; /* NULL: none */
    const char *virtual_host;
    const char *login_method; /* NULL: none */
    int port;
    int heartbeat_s; /* 0: it has none */
    bool ssl;
    bool fanout; /* mingle and gossip make sense */
};
void broker_info(const struct broker *broker, struct broker_info *ret);

#endif /* BROKER_BROKER_H */
