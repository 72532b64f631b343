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
    enum celery_status (*fence)(struct broker *broker, const char *tag,
                                struct celery_buf *raw, bool *ret_ours,
                                struct celery_error *err);
    enum celery_status (*reclaim)(struct broker *broker,
                                  const char *const *known, size_t count,
                                  struct celery_error *err);
    enum celery_status (*maintain)(struct broker *broker,
                                   struct celery_error *err);
    enum celery_status (*declare)(struct broker *broker, const char *queue,
                                  struct celery_error *err);
    enum celery_status (*depth)(struct broker *broker, size_t queue,
                                struct broker_depth *ret,
                                struct celery_error *err);
    /* NULL: whoever asks leads. */
    enum celery_status (*lead)(struct broker *broker, enum broker_lead as,
                               double ttl_s, bool *ret_leading,
                               struct celery_error *err);
    enum celery_status (*publish)(struct broker *broker,
                                  const struct broker_message *messages,
                                  size_t count, size_t *ret_sent,
                                  struct celery_error *err);
    void (*info)(const struct broker *broker, struct broker_info *ret);
};

struct broker {
    const struct broker_driver *driver;
    struct broker_queue *queues;
    size_t queue_count;
    bool connected; /* the driver sets and clears it */
};

extern const struct broker_driver redis_broker_driver;
extern const struct broker_driver spool_broker_driver;

#endif /* BROKER_BROKER_DRIVER_H */
