/* SPDX-License-Identifier: MIT */
/*
 * The worker's settings: Celery's names as environment variables and the options
 * of `celery worker`, checked and put into one struct.
 */
#ifndef RUNTIME_SETTINGS_H
#define RUNTIME_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/limits.h"
#include "celery/message.h"
#include "conf/conf.h"
#include "task/registry.h"

enum { QUEUES_MAX = 64 };

struct worker_settings {
    const char *broker_url;
    const char *broker_transport_options;
    const char *result_backend; /* NULL: none */
    const char *result_transport_options;
    double result_expires_s;
    bool result_extended;
    const char *result_compression; /* NULL: none */
    bool ignore_result;
    bool store_errors_even_if_ignored;
    bool acks_late;
    bool acks_on_failure;
    bool track_started;
    bool send_events;
    size_t concurrency;
    size_t prefetch_multiplier; /* 0: no limit */
    bool fair;                  /* free slots only */
    unsigned max_deliveries;    /* 0: no limit */
    bool solo;
    double soft_time_limit_s;
    double time_limit_s;
    double shutdown_s;  /* worker_soft_shutdown_timeout */
    double heartbeat_s; /* 0: none */
    bool mingle;
    bool gossip;
    unsigned accept;            /* set of enum celery_accept */
    const char *require_signed; /* queues, comma-separated, or NULL */
    const char *compression;    /* task_compression of what we publish */
    int protocol;               /* task_protocol, the same */
    enum celery_serializer serializer;
    const char *metrics_host;
    int metrics_port; /* 0: off; -1: any free one */
    char *queues[QUEUES_MAX];
    size_t queue_count;
    char *nodename;
    struct celery_limits limits;
};

/* Parses everything. *ret_exit ≥ 0: print has been done (--help, --version,
 * --check-config), end with that status. */
enum celery_status settings_load(struct celery_app *app, int argc, char **argv,
                                 struct conf **ret_conf,
                                 struct worker_settings *ret, int *ret_exit,
                                 struct celery_error *err) CELERY_MUST_CHECK;
/* Must messages from queue be signed? */
bool settings_require_signed(const struct worker_settings *s,
                             const char *queue);

void settings_done(struct worker_settings *settings);

#endif /* RUNTIME_SETTINGS_H */
