/* SPDX-License-Identifier: MIT */
/*
 * Publishes the tasks of deposits, in a thread of its own: what is pushed, at
 * once; what the ledger says is open (the sweeper), on its rounds. Publishing
 * twice is harmless and counted. A broker that is down costs a delay: the row
 * stays due and the sweeper takes it.
 */
#ifndef DEPOSITS_DEPOSIT_PUBLISHER_H
#define DEPOSITS_DEPOSIT_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/error.h"
#include "celery/message.h"
#include "ledger/ledger.h"

struct deposit_publisher;

struct deposit_publisher_options {
    struct ledger *ledger; /* borrowed */
    const char *broker_url;
    const char *broker_transport_options; /* JSON object text or NULL */
    const char *queue;                    /* "deposits" */
    const char *compression;              /* CELERY_TASK_COMPRESSION or NULL */
    int protocol;                         /* CELERY_TASK_PROTOCOL */
    enum celery_serializer serializer;    /* CELERY_TASK_SERIALIZER */
    double sweep_interval_s; /* between rounds that found nothing */
    double grace_s;          /* age of a row that was never published */
    double first_s; /* next_enqueue_at: first_s · 2ⁿ, at most cap_s */
    double cap_s;
    const char *origin; /* "gen<pid>@<host>" */
};

/* Checks the options and starts the thread; does not need the broker. */
enum celery_status deposit_publisher_start(
    const struct deposit_publisher_options *options,
    struct deposit_publisher **ret, struct celery_error *err) CELERY_MUST_CHECK;

/* thread: any. Never blocks; the items are copied. */
void deposit_publisher_push(struct deposit_publisher *publisher,
                            const struct ledger_due *due, size_t count);

/* Publishes what was pushed (for at most grace_s), stops the thread, frees. */
void deposit_publisher_stop(struct deposit_publisher *publisher,
                            double grace_s);

#endif /* DEPOSITS_DEPOSIT_PUBLISHER_H */
