/* SPDX-License-Identifier: MIT */
/*
 * The spool folder: kombu's filesystem transport with claims that survive a
 * kill. Under P (filesystem:///P) stand queue/ (messages, in and out), control/
 * (exchange tables), claims/<uuid>/ (what a worker has taken), claims/<uuid>.lock
 * (held while that worker lives), dead/. Source: kombu/transport/filesystem.py.
 *
 * A local disk and one user: folders are 0700 and their owner is checked.
 */
#ifndef BROKER_SPOOL_SPOOL_BROKER_H
#define BROKER_SPOOL_SPOOL_BROKER_H

#include "broker/broker_driver.h"
#include "broker/spool/spool_index.h"
#include "celery/task_id.h"

enum { SPOOL_NAME_MAX = 256 };

struct spool_broker {
    struct broker broker;
    char *root;
    char *nodename; /* NULL: a producer */
    char *pidbox;   /* "<nodename>.celery.pidbox" */
    broker_broadcast_fn on_broadcast;
    void *broadcast_arg;

    int queue_dir; /* descriptors of the folders; -1 when not connected */
    int control_dir;
    int claims_dir;
    int own_dir; /* claims/<uuid> */
    int dead_dir;
    int lock_fd;
    int lead_fd; /* locked while the fleet's figures are ours to show */
    int inotify_fd;
    char uuid[CELERY_TASK_ID_LEN + 1];
    struct spool_index index; /* messages that wait, by queue */
    struct spool_index young; /* being written still: looked at again later */
    int64_t young_due_us;
    int64_t timeout_us;
    bool bound;        /* our pidbox stands in the exchange's table */
    bool tables_stuck; /* somebody did not let go of a table's lock */
    size_t rotation;
    unsigned max_deliveries;
    int64_t orphans_due_us;
    int64_t bind_due_us;
    int64_t age_due_us;
};

static inline struct spool_broker *spool_broker(struct broker *broker)
{
    return (struct spool_broker *)(void *)broker;
}

/* Closes everything after a failure; returns st. */
enum celery_status spool_drop(struct spool_broker *sb, enum celery_status st);

/* Reads a whole file of folder dir; CELERY_CLOSED when it is not there. */
enum celery_status spool_read(int dir, const char *name, struct celery_buf *buf,
                              struct celery_error *err) CELERY_MUST_CHECK;

/* A fresh file name for a message of queue, as kombu forms it. */
void spool_name(const char *queue, char ret[SPOOL_NAME_MAX]);

/* Writes text to a name that no reader takes, then renames it: nobody sees half
 * a message. */
enum celery_status spool_write(int dir, const char *name,
                               struct celery_str text, struct celery_error *err)
    CELERY_MUST_CHECK;

/* spool_claim.c */
enum celery_status spool_claim(struct broker *broker, size_t max,
                               struct broker_delivery *ret, size_t *ret_count,
                               struct celery_error *err) CELERY_MUST_CHECK;
enum celery_status spool_settle(struct broker *broker,
                                struct broker_settlement *settlements,
                                size_t count, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status spool_fence(struct broker *broker, char *tag, bool starting,
                               struct celery_buf *raw, bool *ret_ours,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* The file name of a claim's message; true when the claim was marked as started
 * (its file has another name then). */
bool spool_claim_name(const char *tag, char ret[SPOOL_NAME_MAX]);

/* spool_lease.c */
enum celery_status spool_lease_take(struct spool_broker *sb,
                                    struct celery_error *err) CELERY_MUST_CHECK;
void spool_lease_release(struct spool_broker *sb);
enum celery_status spool_restore_orphans(struct spool_broker *sb,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
void spool_age_out(struct spool_broker *sb);

enum celery_status spool_lead(struct broker *broker, enum broker_lead as,
                              double ttl_s, bool *ret_leading,
                              struct celery_error *err) CELERY_MUST_CHECK;

/* spool_dead.c */
size_t spool_dead_count(struct spool_broker *sb, const char *queue);
enum celery_status spool_dead_each(struct broker *broker, const char *queue,
                                   broker_dead_fn fn, void *arg,
                                   struct broker_dead_counts *ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* spool_publish.c */
enum celery_status spool_publish(struct broker *broker,
                                 const struct broker_message *messages,
                                 size_t count, size_t *ret_sent,
                                 struct celery_error *err) CELERY_MUST_CHECK;
/* CELERY_TIMEOUT: somebody held the table's lock for all of timeout_us. */
enum celery_status spool_bind(struct spool_broker *sb, const char *exchange,
                              const char *routing_key, const char *queue,
                              int64_t timeout_us, struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* BROKER_SPOOL_SPOOL_BROKER_H */
