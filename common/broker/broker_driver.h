/* SPDX-License-Identifier: MIT */
/*
 * What a transport implements. A driver's own struct starts with a struct
 * broker; broker.c knows the drivers, the drivers do not know each other.
 */
#ifndef BROKER_BROKER_DRIVER_H
#define BROKER_BROKER_DRIVER_H

#include "broker/broker.h"

struct broker_queue {
    char *name;
    bool active;
};

struct broker_driver {
    const char *const *schemes; /* ends with NULL */
    enum celery_status (*open)(const struct broker_options *options,
                               struct broker **ret, struct celery_error *err);
    void (*close)(struct broker *broker);
    enum celery_status (*connect)(struct broker *broker,
                                  struct celery_error *err);
    size_t (*fds)(const struct broker *broker, struct pollfd *ret);
    enum celery_status (*receive)(struct broker *broker, bool *ret_wake,
                                  struct celery_error *err);
    bool (*wakes)(const struct broker *broker);
    enum celery_status (*claim)(struct broker *broker, size_t max,
                                struct broker_delivery *ret, size_t *ret_count,
                                struct celery_error *err);
    enum celery_status (*settle)(struct broker *broker,
                                 struct broker_settlement *settlements,
                                 size_t count, struct celery_error *err);
    enum celery_status (*renew)(struct broker *broker,
                                const struct broker_lease *leases, size_t count,
                                struct celery_error *err);
    enum celery_status (*fence)(struct broker *broker, char *tag, bool starting,
                                struct celery_buf *raw, bool *ret_ours,
                                struct celery_error *err);
    /* Both NULL: claims show their messages once. */
    enum celery_status (*fetch)(struct broker *broker, struct broker_kept *kept,
                                size_t count, struct celery_error *err);
    enum celery_status (*peek)(struct broker *broker, struct broker_kept *kept,
                               size_t count, struct celery_error *err);
    enum celery_status (*reclaim)(struct broker *broker, broker_known_fn known,
                                  void *arg, struct celery_error *err);
    enum celery_status (*maintain)(struct broker *broker,
                                   struct celery_error *err);
    enum celery_status (*declare)(struct broker *broker, const char *queue,
                                  struct celery_error *err);
    /* May be NULL: the queue is inactive from now on. */
    void (*cancel)(struct broker *broker, size_t queue);
    /* May be NULL: see broker_stop(). */
    void (*stop)(struct broker *broker);
    enum celery_status (*depth)(struct broker *broker, size_t queue,
                                struct broker_depth *ret,
                                struct celery_error *err);
    enum celery_status (*dead_each)(struct broker *broker, const char *queue,
                                    broker_dead_fn fn, void *arg,
                                    struct broker_dead_counts *ret,
                                    struct celery_error *err);
    enum celery_status (*publish)(struct broker *broker,
                                  const struct broker_message *messages,
                                  size_t count, size_t *ret_sent,
                                  struct celery_error *err);
    void (*info)(const struct broker *broker, struct broker_info *ret);
    bool claims_end_with_connection;
};

struct broker {
    const struct broker_driver *driver;
    struct broker_queue *queues;
    size_t queue_count;
    bool connected;  /* the driver sets and clears it */
    size_t prefetch; /* how many claims the worker wants; 0: any number */
};

extern const struct broker_driver redis_broker_driver;
extern const struct broker_driver spool_broker_driver;
extern const struct broker_driver amqp_broker_driver;

#endif /* BROKER_BROKER_DRIVER_H */
