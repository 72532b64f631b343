/* SPDX-License-Identifier: MIT */
/*
 * cricalgo-worker: what a user of libcelery would write. Registers the deposit
 * task, opens the ledger, runs the sweeper beside the worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "celery/worker.h"
#include "client/task_publish.h"
#include "deposits/deposit_message.h"
#include "deposits/deposit_monitor.h"
#include "deposits/deposit_publisher.h"
#include "deposits/process_deposit.h"
#include "deposits/settings.h"
#include "deposits/tools.h"
#include "ledger/ledger.h"
#include "log/log.h"

struct program {
    struct deposit_settings settings;
    struct ledger *ledger;
    struct deposit_publisher *publisher;
    struct deposit_monitor *monitor;
};

static enum celery_status start(void *arg, struct celery_error *err)
{
    struct program *program = arg;
    const struct deposit_settings *s = &program->settings;
    enum celery_status st = ledger_open(&s->ledger, &program->ledger, err);
    if (st == CELERY_OK && s->migrate_on_start)
        st = ledger_migrate(program->ledger, err);
    if (st != CELERY_OK)
        return st;
    const struct deposit_publisher_options options = {
        .ledger = program->ledger,
        .broker_url = s->broker_url,
        .broker_transport_options = s->broker_transport_options,
        .queue = DEPOSIT_QUEUE,
        .compression = s->compression,
        .protocol = s->protocol,
        .serializer = s->serializer,
        .sweep_interval_s = s->sweep_interval_s,
        .grace_s = s->sweep_grace_s,
        .first_s = s->reenqueue_s,
        .cap_s = s->reenqueue_max_s,
        .origin = task_origin(),
    };
    const struct deposit_monitor_options monitor = {
        .ledger = program->ledger,
        .interval_s = s->monitor_interval_s,
        .audit_pause_s = s->audit_interval_s,
    };
    st = deposit_publisher_start(&options, &program->publisher, err);
    if (st == CELERY_OK)
        st = deposit_monitor_start(&monitor, &program->monitor, err);
    return st;
}

static void stop(void *arg)
{
    struct program *program = arg;
    deposit_monitor_stop(program->monitor);
    deposit_publisher_stop(program->publisher, 1);
    ledger_close(program->ledger);
}

static bool ready(void *arg, struct celery_error *err)
{
    const struct program *program = arg;
    return ledger_ready(program->ledger, err) == CELERY_OK;
}

static int run_worker(struct program *program, int argc, char **argv)
{
    static const struct celery_worker_defaults defaults = {
        .queues = DEPOSIT_QUEUE, .prefetch_multiplier = 32};
    const struct celery_worker_hooks hooks = {start, stop, ready, program};
    struct celery_error err = {0};
    int status = EXIT_FAILURE;
    struct celery_app *app = celery_app_new("cricalgo-worker");
    celery_app_defaults(app, &defaults);
    celery_app_hooks(app, &hooks);
    if (process_deposit_register(app, &program->ledger, &err) == CELERY_OK)
        status = celery_worker_main(app, argc, argv);
    else
        (void)fprintf(stderr, "cricalgo-worker: %s\n", err.msg);
    celery_app_free(app);
    return status;
}

int main(int argc, char **argv)
{
    struct program program = {.ledger = NULL};
    struct celery_error err = {0};
    int status = 0;
    if (deposit_settings_load(&program.settings, &argc, argv, &err)
        != CELERY_OK) {
        (void)fprintf(stderr, "cricalgo-worker: %s\n", err.msg);
        return 2;
    }
    if (!tools_run(&program.settings, &status))
        status = run_worker(&program, argc, argv);
    deposit_settings_done(&program.settings);
    return status;
}
