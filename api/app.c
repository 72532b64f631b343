/* SPDX-License-Identifier: MIT */
#include "app.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api.h"
#include "base/supervisor.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "certificates.h"
#include "client/task_publish.h"
#include "deposits/deposit_message.h"
#include "deposits/deposit_monitor.h"
#include "handlers/handlers.h"
#include "http/http_server.h"
#include "log/log.h"
#include "reload.h"
#include "routes.h"
#include "version.h"

/* One commit at a time: measured, a second one only makes the batches smaller. */
enum { MIGRATE_RETRY_MS = 1000, INGEST_THREADS = 1, PROBE_THREADS = 4 };

struct app {
    const struct conf *conf;
    struct api api;
    struct deposit_publisher *publisher;
    struct deposit_monitor *monitor;
    struct http_server *server;
    struct peer_set trusted; /* TRUSTED_PROXIES */
    char *origin;
    char currency[LEDGER_CURRENCY_MAX];
    int signal_fd;
    bool migrated;
};

/* --- parts -------------------------------------------------------------- */

enum celery_status app_open_ledger(const struct conf *conf, struct ledger **ret,
                                   struct celery_error *err)
{
    struct ledger_options options = {
        .url = conf_text(conf, "DATABASE_URL"),
        .pool_size = (int)conf_int(conf, "DB_POOL_SIZE"),
        .max_overflow = (int)conf_int(conf, "DB_MAX_OVERFLOW"),
        .pool_timeout_s = conf_seconds(conf, "DB_POOL_TIMEOUT"),
        .pool_recycle_s = conf_seconds(conf, "DB_POOL_RECYCLE"),
        .statement_timeout_s = conf_seconds(conf, "DB_STATEMENT_TIMEOUT"),
    };
    return ledger_open(&options, ret, err);
}

static enum celery_status start_publisher(struct app *app,
                                          struct celery_error *err)
{
    const struct conf *conf = app->conf;
    char host[64] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    app->origin = xasprintf("gen%d@%s", (int)getpid(), host);
    struct deposit_publisher_options options = {
        .ledger = app->api.ledger,
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .broker_transport_options =
            conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
        .queue = DEPOSIT_QUEUE,
        .compression = conf_text(conf, "CELERY_TASK_COMPRESSION"),
        .protocol = (int)conf_int(conf, "CELERY_TASK_PROTOCOL"),
        .serializer =
            task_serializer_of(conf_text(conf, "CELERY_TASK_SERIALIZER")),
        .sweep_interval_s = conf_seconds(conf, "DEPOSIT_SWEEP_INTERVAL"),
        .grace_s = conf_seconds(conf, "DEPOSIT_SWEEP_GRACE"),
        .first_s = conf_seconds(conf, "DEPOSIT_REENQUEUE_SECONDS"),
        .cap_s = conf_seconds(conf, "DEPOSIT_REENQUEUE_MAX_SECONDS"),
        .origin = app->origin,
    };
    return deposit_publisher_start(&options, &app->publisher, err);
}

static enum celery_status start_monitor(struct app *app,
                                        struct celery_error *err)
{
    const struct conf *conf = app->conf;
    const struct deposit_monitor_options options = {
        .ledger = app->api.ledger,
        .interval_s = conf_seconds(conf, "DEPOSIT_MONITOR_INTERVAL"),
        .audit_pause_s = conf_seconds(conf, "LEDGER_AUDIT_INTERVAL"),
        .queue = DEPOSIT_QUEUE,
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .broker_transport_options =
            conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
        .inbox_keep_s = conf_seconds(conf, "WEBHOOK_INBOX_RETENTION"),
    };
    certificates_watch(conf_text(conf, "CERTIFICATE_FILES"));
    return deposit_monitor_start(&options, &app->monitor, err);
}

static enum celery_status start_tasks(struct app *app, struct celery_error *err)
{
    const struct conf *conf = app->conf;
    const char *results = conf_text(conf, "CELERY_RESULT_BACKEND");
    struct celery_producer_options producer = {
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .transport_options = conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
    };
    struct backend_options backend = {
        .url = results,
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .broker_options = conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
    };
    app->api.tasks_allowed = conf_text(conf, "API_TASKS_ALLOWED");
    app->api.task_protocol = (int)conf_int(conf, "CELERY_TASK_PROTOCOL");
    app->api.task_serializer =
        task_serializer_of(conf_text(conf, "CELERY_TASK_SERIALIZER"));
    (void)pthread_mutex_init(&app->api.results_lock.mutex, NULL);
    enum celery_status st =
        celery_producer_new(&producer, &app->api.producer, err);
    if (st == CELERY_OK && results != NULL)
        st = backend_open(&backend, &app->api.results, err);
    return st;
}

static enum celery_status start_ingest(struct app *app,
                                       struct celery_error *err)
{
    struct ingest_options options = {
        .ledger = app->api.ledger,
        .publisher = app->publisher,
        .threads = INGEST_THREADS,
        .queue_max = (size_t)conf_int(app->conf, "WEBHOOK_QUEUE_MAX"),
    };
    return ingest_start(&options, &app->api.ingest, err);
}

static bool guard(void *arg, const struct http_route *route,
                  const struct http_request *request,
                  struct http_response *response)
{
    struct api *api = arg;
    struct secrets *secrets = secrets_hold(&api->secrets);
    bool passes = auth_guard(&secrets->auth, route, request, response);
    secrets_release(&api->secrets, secrets);
    /* The open routes read no query; a webhook's sender may have one of its own. */
    if (!passes || (route->flags & SCOPE_ALL) == 0)
        return passes;
    passes = check_parameters(request, response);
    response->close = !passes && route->body_limit > 0; /* it was not read */
    return passes;
}

static enum celery_status start_http(struct app *app, struct celery_error *err)
{
    struct http_server_options options = {
        .host = conf_text(app->conf, "HOST"),
        .port = (int)conf_int(app->conf, "PORT"),
        .threads = (int)conf_int(app->conf, "HTTP_THREADS"),
        .probe_threads = PROBE_THREADS,
        .has_probe_port = conf_is_set(app->conf, "METRICS_PORT"),
        .probe_port = (int)conf_int(app->conf, "METRICS_PORT"),
        .connections_max = (int)conf_int(app->conf, "HTTP_CONNECTIONS_MAX"),
        .connections_per_peer =
            (int)conf_int(app->conf, "HTTP_CONNECTIONS_PER_PEER"),
        .trusted = &app->trusted,
        .arg = &app->api,
        .guard = guard,
    };
    options.routes = api_routes(&options.route_count);
    enum celery_status st =
        peer_set_init(&app->trusted, "TRUSTED_PROXIES",
                      conf_text(app->conf, "TRUSTED_PROXIES"), err);
    return st != CELERY_OK ? st
                           : http_server_start(&options, &app->server, err);
}

static enum celery_status read_rules(struct app *app, struct celery_error *err)
{
    struct api *api = &app->api;
    struct secrets *secrets = NULL;
    enum celery_status st = secrets_read(app->conf, &secrets, err);
    if (st != CELERY_OK)
        return st;
    secret_store_init(&api->secrets, secrets);
    api->allow_unsigned = conf_bool(app->conf, "WEBHOOK_ALLOW_UNSIGNED");
    ledger_currency_fold(conf_text(app->conf, "CURRENCY"), app->currency);
    api->rules.currency = app->currency;
    api->rules.confirmations_required =
        conf_int(app->conf, "CONFIRMATION_THRESHOLD");
    return CELERY_OK;
}

/* --- start -------------------------------------------------------------- */

/* All of them, before any thread: only the signalfd sees them. But not a
 * thread's own faults: a blocked one ends the program without a word. */
static int block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        (void)sigdelset(&set, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void configure_log(const struct conf *conf)
{
    enum log_level level = LOG_LEVEL_INFO;
    enum log_format format = LOG_FORMAT_JSON;
    (void)log_level_parse(conf_text(conf, "LOG_LEVEL"), &level);
    (void)log_format_parse(conf_text(conf, "LOG_FORMAT"), &format);
    if (conf_bool(conf, "DEBUG"))
        level = LOG_LEVEL_DEBUG;
    log_configure(level, format, STDERR_FILENO);
}

static void log_start(const struct app *app)
{
    char *database = url_masked(conf_text(app->conf, "DATABASE_URL"));
    char *broker = url_masked(conf_text(app->conf, "CELERY_BROKER_URL"));
    LOG_EVENT(LOG_LEVEL_INFO, "api_started",
              LOG_STR("version", CRICALGO_VERSION),
              LOG_STR("env", conf_text(app->conf, "APP_ENV")),
              LOG_STR("host", conf_text(app->conf, "HOST")),
              LOG_INT("port", http_server_port(app->server)),
              LOG_INT("metrics_port", http_server_probe_port(app->server)),
              LOG_STR("database", database), LOG_STR("broker", broker));
    free(database);
    free(broker);
    if (app->api.allow_unsigned)
        LOG_EVENT(LOG_LEVEL_WARNING, "webhooks_unsigned",
                  LOG_STR("msg", "WEBHOOK_ALLOW_UNSIGNED=1: anyone who reaches "
                                 "this port can announce deposits"));
    if (app->api.secrets.current->auth.count == 0)
        LOG_EVENT(LOG_LEVEL_WARNING, "api_token_unset",
                  LOG_STR("msg", "API_TOKEN is not set: transactions and "
                                 "wallets answer on loopback only"));
}

/* A database that is away at start is waited for, by the loop. false: it cannot
 * be migrated at all. */
static bool try_migrate(struct app *app)
{
    struct celery_error err = {0};
    if (app->migrated || !conf_bool(app->conf, "MIGRATE_ON_START"))
        return true;
    if (ledger_migrate(app->api.ledger, &err) == CELERY_OK) {
        app->migrated = true;
        return true;
    }
    LOG_EVENT(err.retryable ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
              "migration_failed", LOG_STR("error", err.msg),
              LOG_BOOL("retrying", err.retryable));
    return err.retryable;
}

static int start(struct app *app)
{
    struct celery_error err = {0};
    enum celery_status st = read_rules(app, &err);
    if (st == CELERY_OK)
        st = app_open_ledger(app->conf, &app->api.ledger, &err);
    if (st != CELERY_OK) {
        (void)fprintf(stderr, "cricalgo-api: %s\n", err.msg);
        return APP_MISCONFIGURED;
    }
    webhook_register_metrics();
    reload_register_metrics();
    if (!try_migrate(app))
        return APP_FAILED;
    st = start_publisher(app, &err);
    if (st == CELERY_OK)
        st = start_tasks(app, &err);
    bool bad_broker = st == CELERY_INVALID || st == CELERY_UNSUPPORTED;
    if (st == CELERY_OK)
        st = start_ingest(app, &err);
    if (st == CELERY_OK)
        st = start_monitor(app, &err);
    if (st == CELERY_OK)
        st = start_http(app, &err);
    if (st == CELERY_OK) {
        log_start(app);
        (void)supervisor_ready("serving");
        return APP_OK;
    }
    LOG_EVENT(LOG_LEVEL_CRITICAL, "api_not_started", LOG_STR("error", err.msg));
    return bad_broker ? APP_MISCONFIGURED : APP_FAILED;
}

/* --- loop and stop ------------------------------------------------------ */

static bool took_signal(const struct app *app, uint32_t *ret_signal)
{
    struct signalfd_siginfo info;
    if (read(app->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    *ret_signal = info.ssi_signo;
    return true;
}

static bool must_stop(struct app *app)
{
    uint32_t signal = 0;
    if (!took_signal(app, &signal))
        return false;
    if (signal == SIGHUP) {
        reload_secrets(&app->api.secrets, app->conf);
        return false;
    }
    LOG_EVENT(LOG_LEVEL_INFO, "api_stopping", LOG_INT("signal", signal));
    (void)supervisor_stopping("finishing requests");
    return true;
}

static int loop(struct app *app)
{
    struct pollfd fd = {.fd = app->signal_fd, .events = POLLIN};
    for (;;) {
        bool waiting =
            !app->migrated && conf_bool(app->conf, "MIGRATE_ON_START");
        (void)poll(&fd, 1, waiting ? MIGRATE_RETRY_MS : -1);
        if (must_stop(app))
            return APP_OK;
        if (waiting && !try_migrate(app))
            return APP_FAILED;
    }
}

/* The reverse of the start; requests first, so that what they accepted is
 * committed, then told to the broker. */
static void stop(struct app *app)
{
    double grace_s = conf_seconds(app->conf, "SHUTDOWN_GRACE");
    app->api.draining = true;
    http_server_stop(app->server, grace_s);
    peer_set_done(&app->trusted);
    ingest_stop(app->api.ingest);
    deposit_monitor_stop(app->monitor);
    if (app->publisher != NULL)
        deposit_publisher_stop(app->publisher, grace_s);
    celery_producer_free(app->api.producer);
    backend_close(app->api.results);
    ledger_close(app->api.ledger);
    secret_store_done(&app->api.secrets);
    free(app->origin);
    (void)close(app->signal_fd);
}

int app_run(const struct conf *conf)
{
    static struct app app; /* the metrics' collector keeps its address */
    configure_log(conf);
    app.conf = conf;
    app.signal_fd = block_signals();
    int code = start(&app);
    if (code == APP_OK)
        code = loop(&app);
    stop(&app);
    LOG_EVENT(LOG_LEVEL_INFO, "api_stopped", LOG_INT("code", code));
    return code;
}

int app_migrate(const struct conf *conf)
{
    struct ledger *ledger = NULL;
    struct celery_error err = {0};
    configure_log(conf);
    enum celery_status st = app_open_ledger(conf, &ledger, &err);
    if (st != CELERY_OK) {
        (void)fprintf(stderr, "cricalgo-api: %s\n", err.msg);
        return APP_MISCONFIGURED;
    }
    st = ledger_migrate(ledger, &err);
    if (st != CELERY_OK)
        (void)fprintf(stderr, "cricalgo-api: %s\n", err.msg);
    ledger_close(ledger);
    return st == CELERY_OK ? APP_OK : APP_FAILED;
}
