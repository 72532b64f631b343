/* SPDX-License-Identifier: MIT */
/*
 * The ledger's figures for /metrics, looked up on a schedule in a thread of its
 * own, so that no scrape waits for the database: deposits by state, the oldest
 * open one, what the sweeper is behind with, and what the running comparison of
 * the books found. A program that has no worker's view of the queue can show its
 * length too, as long as no worker does.
 */
#ifndef DEPOSITS_DEPOSIT_MONITOR_H
#define DEPOSITS_DEPOSIT_MONITOR_H

#include "celery/error.h"
#include "ledger/ledger.h"

struct deposit_monitor;

struct deposit_monitor_options {
    struct ledger *ledger; /* borrowed */
    double interval_s;     /* between two looks at the backlog */
    double audit_pause_s;  /* between two passes over the books; 0: none */
    double inbox_keep_s;   /* webhooks older than this are deleted; 0: none */
    /* The queue to watch, NULL: none. */
    const char *queue;
    const char *broker_url;
    const char *broker_transport_options; /* JSON object text or NULL */
};

enum celery_status deposit_monitor_start(
    const struct deposit_monitor_options *options, struct deposit_monitor **ret,
    struct celery_error *err) CELERY_MUST_CHECK;

/* Waits for the look under way. NULL is accepted. */
void deposit_monitor_stop(struct deposit_monitor *monitor);

#endif /* DEPOSITS_DEPOSIT_MONITOR_H */
