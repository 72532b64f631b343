/* SPDX-License-Identifier: MIT */
/*
 * The worker's life: settings, signals, backend, broker, pool, HTTP; the loop;
 * then the same in reverse.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/supervisor.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "http/http_server.h"
#include "http/probes.h"
#include "log/log.h"
#include "runtime/worker_state.h"
#include "version.h"

enum {
    EXIT_CONFIG = 2,
    HTTP_THREADS = 3,
    HTTP_CONNECTIONS = 256,
    STORE_GRACE_S = 5
};

struct life {
    struct worker worker;
    struct conf *conf;
    struct http_server *http;
    struct probes probes;
    bool hooked; /* the start hook ran */
};

/* Before any thread: what is blocked here is seen by the signalfd alone. */
static int block_signals(void)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGQUIT);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static enum celery_status ready(void *arg, struct celery_error *err)
{
    const struct worker *worker = arg;
    const struct celery_worker_hooks *hooks = &worker->app->hooks;
    if (!worker->connected)
        return celery_fail(err, CELERY_CLOSED, "not connected to the broker");
    if (hooks->ready != NULL && !hooks->ready(hooks->arg, err))
        return err->status != CELERY_OK ? err->status : CELERY_CLOSED;
    return CELERY_OK;
}

static enum celery_status open_broker(struct worker *worker,
                                      struct celery_error *err)
{
    const struct worker_settings *s = &worker->settings;
    const struct broker_options options = {
        .url = s->broker_url,
        .transport_options = s->broker_transport_options,
        .client_name = "celery-c-worker",
        .queues = (const char *const *)s->queues,
        .queue_count = s->queue_count,
        .nodename = s->nodename,
        .max_deliveries = s->max_deliveries,
        .on_broadcast = mailbox_receive,
        .runs_here = dispatch_runs_here,
        .broadcast_arg = worker,
    };
    return broker_open(&options, &worker->broker, err);
}

static enum celery_status start_results(struct worker *worker,
                                        struct celery_error *err)
{
    const struct worker_settings *s = &worker->settings;
    struct backend *backend = NULL;
    if (s->result_backend == NULL)
        return CELERY_OK;
    const struct backend_options options = {
        .url = s->result_backend,
        .transport_options = s->result_transport_options,
        .broker_url = s->broker_url,
        .broker_options = s->broker_transport_options,
        .compression = s->result_compression,
        .expires_s = s->result_expires_s,
    };
    enum celery_status st = backend_open(&options, &backend, err);
    if (st != CELERY_OK)
        return st;
    if (s->result_compression != NULL && !backend_compresses(backend))
        LOG_EVENT(LOG_LEVEL_WARNING, "option_without_effect",
                  LOG_STR("option", "CELERY_RESULT_COMPRESSION"),
                  LOG_STR("msg", "rpc:// cannot hold compressed results"));
    st = result_store_start(backend, s->result_extended, s->nodename,
                            &worker->stored, &worker->results, err);
    if (st != CELERY_OK)
        backend_close(backend);
    return st;
}

static enum celery_status start_http(struct life *life,
                                     struct celery_error *err)
{
    const struct worker_settings *s = &life->worker.settings;
    size_t count = 0;
    if (s->metrics_port == 0)
        return CELERY_OK;
    life->probes = (struct probes){ready, &life->worker};
    const struct http_route *routes = probe_routes(&count);
    const struct http_server_options options = {
        .host = s->metrics_host,
        .port = s->metrics_port,
        .threads = HTTP_THREADS,
        .connections_max = HTTP_CONNECTIONS,
        .routes = routes,
        .route_count = count,
        .arg = &life->probes,
    };
    return http_server_start(&options, &life->http, err);
}

static enum celery_status start(struct life *life, struct celery_error *err)
{
    struct worker *worker = &life->worker;
    const struct celery_worker_hooks *hooks = &worker->app->hooks;
    op_queue_init(&worker->done);
    op_queue_init(&worker->started);
    op_queue_init(&worker->stored);
    worker->inbox_tail = &worker->inbox;
    worker->suspects_tail = &worker->suspects;
    worker->events.hostname = worker->settings.nodename;
    worker->events.task_events = worker->settings.send_events;
    worker->totals =
        xcalloc(worker->app->registry.count, sizeof worker->totals[0]);
    worker->started_us = clock_monotonic_us();

    enum celery_status st = open_broker(worker, err);
    if (st != CELERY_OK)
        return st;
    telemetry_register(worker);
    if (hooks->start != NULL)
        st = hooks->start(hooks->arg, err);
    life->hooked = st == CELERY_OK;
    if (st == CELERY_OK)
        st = start_results(worker, err);
    const struct pool_options pool_options = {
        .concurrency = worker->settings.concurrency,
        .done = &worker->done,
        .started = &worker->started,
    };
    if (st == CELERY_OK)
        st = pool_start(&pool_options, &worker->pool, err);
    if (st == CELERY_OK)
        st = start_http(life, err);
    return st;
}

static void log_start(const struct worker *worker)
{
    const struct worker_settings *s = &worker->settings;
    char *broker = url_masked(s->broker_url);
    char *results =
        s->result_backend != NULL ? url_masked(s->result_backend) : NULL;
    struct celery_buf queues = CELERY_BUF_INIT;
    for (size_t i = 0; i < s->queue_count; i++)
        celery_buf_printf(&queues, "%s%s", i > 0 ? "," : "", s->queues[i]);
    LOG_EVENT(LOG_LEVEL_INFO, "worker_ready", LOG_STR("node", s->nodename),
              LOG_STR("broker", broker),
              LOG_STR("results", results != NULL ? results
                                                 : "disabled: no result "
                                                   "backend is set"),
              LOG_SLICE("queues", celery_buf_str(&queues)),
              LOG_INT("concurrency", s->concurrency),
              LOG_STR("version", CRICALGO_VERSION),
              LOG_INT("tasks", worker->app->registry.count));
    celery_buf_done(&queues);
    free(results);
    free(broker);
}

/* The first connection is waited for in the loop like any other; but what will
 * never work (a version, a URL, a password) ends the program at once. */
static enum celery_status first_connect(struct worker *worker,
                                        struct celery_error *err)
{
    broker_set_prefetch(worker->broker, consumer_prefetch(worker));
    enum celery_status st = broker_connect(worker->broker, err);
    if (st == CELERY_UNSUPPORTED || st == CELERY_INVALID)
        return st;
    if (st != CELERY_OK) {
        char *masked = url_masked(worker->settings.broker_url);
        LOG_EVENT(LOG_LEVEL_ERROR, "broker_unreachable",
                  LOG_STR("broker", masked), LOG_STR("error", err->msg),
                  LOG_STR("msg", "trying again until it answers"));
        free(masked);
        return CELERY_OK;
    }
    worker->connected = true;
    heartbeat_send(worker, "worker-online");
    return CELERY_OK;
}

/* Ends what start() began. false: threads are still in a task; the process must
 * end without freeing what they use. */
static bool stop(struct life *life)
{
    struct worker *worker = &life->worker;
    const struct celery_worker_hooks *hooks = &worker->app->hooks;
    bool clean = true;
    int64_t deadline =
        clock_monotonic_us() + (int64_t)STORE_GRACE_S * USEC_PER_SEC;
    http_server_stop(life->http, 1);
    if (worker->pool != NULL)
        clean = pool_stop(worker->pool, clock_monotonic_us() + USEC_PER_SEC);
    result_store_stop(worker->results, deadline);
    for (struct op *op = op_queue_take(&worker->stored); op != NULL;) {
        struct op *next = op->next;
        settle_stored(worker, (struct celery_request *)(void *)op);
        op = next;
    }
    settle_flush(worker);
    if (life->hooked && hooks->stop != NULL && clean)
        hooks->stop(hooks->arg);
    if (worker->broker != NULL && broker_connected(worker->broker)) {
        struct celery_error err = {0};
        if (events_flush(&worker->events, worker->broker, &err) == CELERY_OK)
            heartbeat_send(worker, "worker-offline");
    }
    broker_close(worker->broker);
    return clean;
}

/* Requests whose function returned after their copy had been settled. */
static void free_abandoned(struct worker *worker)
{
    for (struct op *op = op_queue_take(&worker->done); op != NULL;) {
        struct op *next = op->next;
        struct celery_request *request = (struct celery_request *)(void *)op;
        if (request->abandoned)
            request_free(request);
        op = next;
    }
}

static void release(struct life *life)
{
    struct worker *worker = &life->worker;
    free_abandoned(worker);
    for (size_t i = 0; i < worker->pending_count; i++)
        free(worker->pending[i].detail);
    for (size_t i = 0; i < worker->count; i++)
        request_free(worker->table[i]);
    free(worker->table);
    free(worker->pending);
    free(worker->totals);
    schedule_done(&worker->schedule);
    revoked_done(&worker->revoked);
    events_done(&worker->events);
    op_queue_done(&worker->done);
    op_queue_done(&worker->started);
    op_queue_done(&worker->stored);
    settings_done(&worker->settings);
    conf_free(life->conf);
}

static int complain(const char *program, const struct celery_error *err,
                    enum celery_status st)
{
    (void)fprintf(stderr, "%s: %s\n", program, err->msg);
    bool config = st == CELERY_INVALID || st == CELERY_UNSUPPORTED;
    return config ? EXIT_CONFIG : EXIT_FAILURE;
}

int celery_worker_main(struct celery_app *app, int argc, char **argv)
{
    struct life *life = xcalloc(1, sizeof *life);
    struct worker *worker = &life->worker;
    struct celery_error err = {0};
    int status = -1;
    worker->app = app;
    enum celery_status st = settings_load(app, argc, argv, &life->conf,
                                          &worker->settings, &status, &err);
    if (st != CELERY_OK || status >= 0) {
        if (st != CELERY_OK)
            status = complain(app->name, &err, st);
        settings_done(&worker->settings);
        conf_free(life->conf);
        free(life);
        return status;
    }
    worker->signal_fd = block_signals();
    st = start(life, &err);
    if (st == CELERY_OK)
        st = first_connect(worker, &err);
    if (st == CELERY_OK) {
        log_start(worker);
        (void)supervisor_ready(worker->connected ? "working"
                                                 : "waiting for the broker");
        consumer_run(worker);
        status = worker->exit_status;
    } else {
        status = complain(app->name, &err, st);
    }
    bool clean = stop(life);
    if (!clean)
        _exit(status); /* threads still run in what we would free */
    (void)close(worker->signal_fd);
    release(life);
    free(life);
    return status;
}
