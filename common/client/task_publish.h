/* SPDX-License-Identifier: MIT */
/*
 * Tasks to broker messages: what the producer and the worker's own publishes
 * (retries, send_task from a task) share.
 */
#ifndef CLIENT_TASK_PUBLISH_H
#define CLIENT_TASK_PUBLISH_H

#include <stddef.h>

#include "broker/broker.h"
#include "celery/message.h"
#include "celery/seal.h"

/* Encodes and publishes count tasks on broker. ret_sent as broker_publish(). */
enum celery_status task_publish(struct broker *broker,
                                const struct celery_task_out *tasks,
                                size_t count, size_t *ret_sent,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* CELERY_C_SIGN_KEYS: from now on task_publish() signs. NULL and "" change
 * nothing. Called before there are threads, by every part of the program that
 * has the setting; all of them have the same value. */
enum celery_status task_sign_with(const char *keys, struct celery_error *err)
    CELERY_MUST_CHECK;

/* What task_sign_with() read; no keys: nothing is signed. */
const struct celery_seal_keys *task_sign_keys(void);

/* CELERY_TASK_SERIALIZER, "json" or "msgpack", as what it stands for. */
enum celery_serializer task_serializer_of(const char *name);

/* "gen<pid>@<host>", as celery.utils.nodenames.anon_nodename. Static text, made
 * at the first call. */
const char *task_origin(void);

#endif /* CLIENT_TASK_PUBLISH_H */
