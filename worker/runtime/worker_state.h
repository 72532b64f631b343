/* SPDX-License-Identifier: MIT */
/*
 * The worker's state, shared by the files of runtime/ and remote/. All of it
 * belongs to the consumer thread, but for what is marked atomic.
 */
#ifndef RUNTIME_WORKER_STATE_H
#define RUNTIME_WORKER_STATE_H

#include <stdatomic.h>

#include "base/backoff.h"
#include "base/op_queue.h"
#include "broker/broker.h"
#include "metrics/metrics.h"
#include "pool/pool.h"
#include "remote/events.h"
#include "runtime/result_store.h"
#include "runtime/revoke.h"
#include "runtime/schedule.h"
#include "runtime/settings.h"

enum worker_phase {
    WORKER_RUNNING,
    WORKER_DRAINING, /* warm: nothing is claimed, running tasks end */
    WORKER_COLD,     /* nothing is waited for */
};

/* A settlement that waits for the broker. */
struct pending {
    struct celery_request *request;
    enum broker_settle how;
    const char *reason; /* static */
    char *detail;       /* owned; NULL: none */
    bool keep;          /* an early ack: the request goes on */
};

/* A broadcast that waits for its turn in the loop. */
struct broadcast {
    struct broadcast *next;
    char *exchange;
    struct celery_buf raw;
};

struct worker_metrics {
    struct metric *received;
    struct metric *started;
    struct metric *succeeded;
    struct metric *failed;
    struct metric *retried;
    struct metric *revoked;
    struct metric *rejected;
    struct metric *runtime;
    struct metric *up;
    struct metric *active;
    struct metric *queue_length;
    struct metric *unacked;
    struct metric *eta;
    struct metric *dead;
    struct metric *oldest;
    struct metric *broker_up;
    struct metric *lease_lost;
    struct metric *reconnects;
    struct metric *dead_lettered;
};

struct worker {
    struct celery_app *app;
    struct worker_settings settings;
    struct broker *broker;
    struct pool *pool;
    struct result_store *results; /* NULL: no backend */
    struct op_queue done;         /* requests whose function returned */
    struct op_queue started;      /* requests whose function starts */
    struct op_queue stored;       /* requests whose result is stored */
    int signal_fd;

    enum worker_phase phase;
    int64_t drain_until_us;
    int exit_status;
    _Atomic bool connected; /* for /readyz */

    struct celery_request **table; /* every claim held */
    size_t count;
    size_t cap;
    size_t parked;  /* waiting for their ETA; in the table or by tag alone */
    size_t unacked; /* of the table: not acked and not parked */
    size_t running; /* submitted to the pool and not back */
    size_t limited; /* of them: with a time limit */
    uint64_t next_seq;
    struct schedule schedule;
    size_t parked_cursor;     /* where the renewal of leases goes on */
    struct known_tags *known; /* while the broker asks which claims we hold */

    struct celery_request *suspects; /* wait for their turn; by batch_next */
    struct celery_request **suspects_tail;
    size_t suspects_running;
    bool last_chance_runs;

    struct pending *pending;
    size_t pending_count;
    size_t pending_cap;

    struct broadcast *inbox;
    struct broadcast **inbox_tail;

    struct events events;
    struct revoked revoked;
    uint64_t processed;
    uint64_t *totals; /* accepted, by index in the registry */
    struct worker_metrics metrics;
    const char *host_label;  /* node name after '@' */
    struct lock scrape_lock; /* of the two below */
    pthread_cond_t scrape_done;
    uint64_t scrapes_wanted; /* /metrics waits for fresh queue lengths */
    uint64_t scrapes_served;

    bool orphans; /* tasks may run whose claims ended with a connection */
    bool more;    /* the last claim was full: there may be more */
    int64_t claim_due_us;
    int64_t poll_us; /* without wake-ups: the time between claims */
    int64_t heartbeat_due_us;
    int64_t tick_due_us;
    int64_t renew_due_us;
    int64_t limits_due_us;
    int64_t reconnect_due_us;
    int64_t lost_since_us; /* 0: connected */
    struct backoff backoff;
    int64_t started_us;
};

/* dispatch.c */
void dispatch_delivery(struct worker *worker, struct broker_delivery *delivery);
/* The same for one whose ETA has come. */
void dispatch_due(struct worker *worker, struct broker_delivery *delivery);
/* A request that was held until its time. */
void dispatch_held(struct worker *worker, struct celery_request *request);
/* Hands what was dispatched since the last call to the pool. */
void dispatch_flush(struct worker *worker);
void dispatch_stale(struct worker *worker, struct celery_request *request);
/* Enters the request in the table, as unacked. */
void table_add(struct worker *worker, struct celery_request *request);
/* Takes it out and frees it. */
void table_remove(struct worker *worker, struct celery_request *request);

/* broker_runs_fn; arg: the worker. */
bool dispatch_runs_here(void *arg, struct celery_str task_id);
/* Is the claim still ours? false: the broker is away. A lost one is told. */
bool dispatch_fence(struct worker *worker, struct celery_request *request,
                    bool starting, bool *ret_ours);

/* suspects.c */
void suspects_add(struct worker *worker, struct celery_request *request);
/* The first one that waits, or NULL. */
struct celery_request *suspects_take(struct worker *worker);
/* Starts those whose turn it is. */
void suspects_run(struct worker *worker);
/* For every request that is back from the pool. */
void suspects_ended(struct worker *worker, struct celery_request *request);

/* settle.c */
void settle_started(struct worker *worker, struct celery_request *request);
void settle_ended(struct worker *worker, struct celery_request *request);
void settle_stored(struct worker *worker, struct celery_request *request);
/* Queues a settlement; reason and detail for dead letters (detail is copied). */
void settle_push(struct worker *worker, struct celery_request *request,
                 enum broker_settle how, const char *reason,
                 const char *detail);
/* What waits for the broker on behalf of request goes on for its clone. */
void settle_retarget(struct worker *worker,
                     const struct celery_request *request,
                     struct celery_request *clone);
/* Settles with the broker what is queued; what fails stays queued. */
void settle_flush(struct worker *worker);
/* A revoked or expired request that will not run. */
void settle_revoked(struct worker *worker, struct celery_request *request);
void settle_unknown(struct worker *worker, struct celery_request *request);

/* timelimit.c */
void timelimit_check(struct worker *worker);

/* consumer.c */
void consumer_run(struct worker *worker);
/* Begins the warm or cold shutdown; a second call makes it cold. */
void consumer_shutdown(struct worker *worker, bool cold);
/* How many messages may be claimed now. */
size_t consumer_free(const struct worker *worker);
size_t consumer_prefetch(const struct worker *worker);
/* How many tasks run right now. */
size_t consumer_active(const struct worker *worker);

/* mailbox.c */
void mailbox_receive(void *arg, const char *exchange, struct celery_str raw);
void mailbox_drain(struct worker *worker);

/* heartbeat.c */
void heartbeat_send(struct worker *worker, const char *type);
void heartbeat_answer(struct worker *worker);

/* telemetry.c */
void telemetry_register(struct worker *worker);
/* Looks up the queues' lengths when a scrape waits for them. */
void telemetry_serve(struct worker *worker);
/* metric{name=task, hostname=ours, queue_name=its queue} + 1 */
void telemetry_count(struct worker *worker, struct metric *metric,
                     const struct celery_request *request);

#endif /* RUNTIME_WORKER_STATE_H */
