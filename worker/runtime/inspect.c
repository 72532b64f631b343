/* SPDX-License-Identifier: MIT */
#include "runtime/inspect.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "celery/python_repr.h"
#include "celery/timestamp.h"
#include "version.h"

enum {
    PROCESSES_MAX = 4096,
};

static void key_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static void key_int(struct celery_json_writer *w, const char *key, int64_t n)
{
    celery_json_key(w, key);
    celery_json_put_int(w, n);
}

static void key_bool(struct celery_json_writer *w, const char *key, bool b)
{
    celery_json_key(w, key);
    celery_json_put_bool(w, b);
}

static void key_null(struct celery_json_writer *w, const char *key)
{
    celery_json_key(w, key);
    celery_json_put_null(w);
}

static void put_repr(struct celery_json_writer *w, struct celery_json value,
                     bool as_tuple)
{
    struct celery_buf repr = CELERY_BUF_INIT;
    celery_python_repr(&repr, value, as_tuple, CELERY_REPR_MAX,
                       CELERY_REPR_LEVELS);
    celery_json_put_str(w, celery_buf_str(&repr));
    celery_buf_done(&repr);
}

static void put_delivery_info(const struct celery_request *request,
                              struct celery_json_writer *w)
{
    celery_json_begin_object(w);
    celery_json_key(w, "exchange");
    celery_json_put_str(w, request->envelope.exchange);
    celery_json_key(w, "routing_key");
    celery_json_put_str(w, request->envelope.routing_key);
    key_int(w, "priority", request->envelope.priority);
    key_bool(w, "redelivered", request->envelope.redelivered);
    celery_json_end_object(w);
}

void inspect_put_info(const struct celery_request *request, bool safe,
                      struct celery_json_writer *w)
{
    bool active = request->state == REQUEST_ACTIVE;
    celery_json_begin_object(w);
    key_text(w, "id", request->id);
    celery_json_key(w, "name");
    celery_json_put_str(w, request_name(request));
    celery_json_key(w, "args");
    if (safe)
        put_repr(w, request->message.args, true);
    else
        celery_json_put_value(w, request->message.args);
    celery_json_key(w, "kwargs");
    if (safe)
        put_repr(w, request->message.kwargs, false);
    else
        celery_json_put_value(w, request->message.kwargs);
    celery_json_key(w, "type");
    celery_json_put_str(w, request->message.task);
    key_text(w, "hostname", request->hostname);
    celery_json_key(w, "time_start");
    if (active)
        celery_json_put_double(w, request->time_start);
    else
        celery_json_put_null(w);
    key_bool(w, "acknowledged", request->acked);
    celery_json_key(w, "delivery_info");
    put_delivery_info(request, w);
    celery_json_key(w, "worker_pid");
    if (active)
        celery_json_put_int(w, request->worker_pid);
    else
        celery_json_put_null(w);
    celery_json_end_object(w);
}

static void put_in_state(struct worker *worker, enum request_state state,
                         bool safe, struct celery_json_writer *w)
{
    celery_json_begin_array(w);
    for (size_t i = 0; i < worker->count; i++) {
        if (worker->table[i]->state == state)
            inspect_put_info(worker->table[i], safe, w);
    }
    celery_json_end_array(w);
}

void inspect_active(struct worker *worker, struct celery_json arguments,
                    struct celery_json_writer *w)
{
    bool safe = celery_json_truthy(celery_json_get(arguments, "safe"));
    put_in_state(worker, REQUEST_ACTIVE, safe, w);
}

void inspect_reserved(struct worker *worker, struct celery_json arguments,
                      struct celery_json_writer *w)
{
    (void)arguments;
    put_in_state(worker, REQUEST_RESERVED, false, w);
}

static const char *list_name(enum request_state state)
{
    return state == REQUEST_ACTIVE ? "active" : "reserved";
}

static bool is_asked(struct celery_json ids, const char *id)
{
    if (ids.type == CELERY_JSON_STRING)
        return celery_json_is(ids, id);
    struct celery_json_iter iter = celery_json_iter(ids);
    struct celery_json item;
    while (celery_json_next(&iter, NULL, &item)) {
        if (celery_json_is(item, id))
            return true;
    }
    return false;
}

void inspect_query_task(struct worker *worker, struct celery_json arguments,
                        struct celery_json_writer *w)
{
    struct celery_json ids = celery_json_get(arguments, "ids");
    celery_json_begin_object(w);
    for (size_t i = 0; i < worker->count; i++) {
        const struct celery_request *request = worker->table[i];
        /* As in Celery, what waits for its ETA is not found. */
        if (request->id == NULL || request->state == REQUEST_ENDED
            || request->state == REQUEST_PARKED || !is_asked(ids, request->id))
            continue;
        celery_json_key(w, request->id);
        celery_json_begin_array(w);
        celery_json_put_text(w, list_name(request->state));
        inspect_put_info(request, false, w);
        celery_json_end_array(w);
    }
    celery_json_end_object(w);
}

void inspect_registered(struct worker *worker, struct celery_json arguments,
                        struct celery_json_writer *w)
{
    const struct registry *registry = &worker->app->registry;
    bool builtins = celery_json_truthy(celery_json_get(arguments, "builtins"));
    celery_json_begin_array(w);
    for (size_t i = 0; i < registry->count; i++) {
        if (builtins || strncmp(registry->tasks[i].name, "celery.", 7) != 0)
            celery_json_put_text(w, registry->tasks[i].name);
    }
    celery_json_end_array(w);
}

static void put_exchange(const char *queue, struct celery_json_writer *w)
{
    celery_json_begin_object(w);
    key_text(w, "name", queue);
    key_text(w, "type", "direct");
    key_null(w, "arguments");
    key_bool(w, "durable", true);
    key_bool(w, "passive", false);
    key_bool(w, "auto_delete", false);
    key_null(w, "delivery_mode");
    key_bool(w, "no_declare", false);
    celery_json_end_object(w);
}

static void put_queue(const char *queue, struct celery_json_writer *w)
{
    static const char *const nulls[] = {"no_declare",       "expires",
                                        "message_ttl",      "max_length",
                                        "max_length_bytes", "max_priority"};
    celery_json_begin_object(w);
    key_text(w, "name", queue);
    celery_json_key(w, "exchange");
    put_exchange(queue, w);
    key_text(w, "routing_key", queue);
    key_null(w, "queue_arguments");
    key_null(w, "binding_arguments");
    key_null(w, "consumer_arguments");
    key_bool(w, "durable", true);
    key_bool(w, "exclusive", false);
    key_bool(w, "auto_delete", false);
    key_bool(w, "no_ack", false);
    key_null(w, "alias");
    celery_json_key(w, "bindings");
    celery_json_begin_array(w);
    celery_json_end_array(w);
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        key_null(w, nulls[i]);
    celery_json_end_object(w);
}

void inspect_active_queues(struct worker *worker, struct celery_json arguments,
                           struct celery_json_writer *w)
{
    (void)arguments;
    celery_json_begin_array(w);
    for (size_t i = 0; i < broker_queue_count(worker->broker); i++) {
        if (broker_queue_active(worker->broker, i))
            put_queue(broker_queue_name(worker->broker, i), w);
    }
    celery_json_end_array(w);
}

static void key_url(struct celery_json_writer *w, const char *key,
                    const char *url)
{
    if (url == NULL)
        return;
    char *masked = url_masked(url);
    key_text(w, key, masked);
    free(masked);
}

void inspect_conf(struct worker *worker, struct celery_json arguments,
                  struct celery_json_writer *w)
{
    const struct worker_settings *s = &worker->settings;
    (void)arguments;
    celery_json_begin_object(w);
    key_url(w, "broker_url", s->broker_url);
    key_url(w, "result_backend", s->result_backend);
    key_int(w, "result_expires", (int64_t)s->result_expires_s);
    if (s->result_compression != NULL)
        key_text(w, "result_compression", s->result_compression);
    key_bool(w, "result_extended", s->result_extended);
    key_bool(w, "task_acks_late", s->acks_late);
    key_text(w, "task_default_queue", s->queues[0]);
    key_bool(w, "task_ignore_result", s->ignore_result);
    key_bool(w, "task_track_started", s->track_started);
    key_text(w, "timezone", "UTC");
    key_bool(w, "enable_utc", true);
    key_int(w, "worker_concurrency", (int64_t)s->concurrency);
    key_int(w, "worker_prefetch_multiplier", (int64_t)s->prefetch_multiplier);
    key_text(w, "worker_pool", s->solo ? "solo" : "threads");
    key_bool(w, "worker_send_task_events", s->send_events);
    celery_json_end_object(w);
}

static void put_pool(struct worker *worker, struct celery_json_writer *w)
{
    static int ids[PROCESSES_MAX];
    size_t count = pool_processes(worker->pool, ids, PROCESSES_MAX);
    const struct worker_settings *s = &worker->settings;
    celery_json_begin_object(w);
    key_text(w, "implementation", pool_implementation(worker->pool));
    key_int(w, "max-concurrency", (int64_t)pool_concurrency(worker->pool));
    celery_json_key(w, "processes");
    celery_json_begin_array(w);
    for (size_t i = 0; i < count; i++)
        celery_json_put_int(w, ids[i]);
    celery_json_end_array(w);
    key_text(w, "max-tasks-per-child", "N/A");
    key_bool(w, "put-guarded-by-semaphore", false);
    celery_json_key(w, "timeouts");
    celery_json_begin_array(w);
    celery_json_put_double(w, s->soft_time_limit_s);
    celery_json_put_double(w, s->time_limit_s);
    celery_json_end_array(w);
    key_text(w, "writes", "N/A");
    celery_json_end_object(w);
}

static void put_broker(struct worker *worker, struct celery_json_writer *w)
{
    struct broker_info info;
    broker_info(worker->broker, &info);
    celery_json_begin_object(w);
    key_text(w, "hostname", info.hostname);
    key_text(w, "userid", info.userid);
    key_text(w, "virtual_host", info.virtual_host);
    key_int(w, "port", info.port);
    key_bool(w, "insist", false);
    key_bool(w, "ssl", info.ssl);
    key_text(w, "transport", info.transport);
    key_int(w, "connect_timeout", 4);
    celery_json_key(w, "transport_options");
    if (worker->settings.broker_transport_options != NULL)
        celery_json_put_raw(
            w, (struct celery_str){
                   worker->settings.broker_transport_options,
                   strlen(worker->settings.broker_transport_options)});
    else
        celery_json_put_raw(w, CELERY_STR("{}"));
    key_text(w, "login_method", info.login_method);
    key_null(w, "uri_prefix");
    celery_json_key(w, "heartbeat");
    /* Where there are none, Python shows its setting's default. */
    celery_json_put_double(w, info.heartbeat_s > 0 ? info.heartbeat_s : 120.0);
    key_text(w, "failover_strategy", "round-robin");
    celery_json_key(w, "alternates");
    celery_json_begin_array(w);
    celery_json_end_array(w);
    key_null(w, "credential_provider");
    celery_json_end_object(w);
}

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / USEC_PER_SEC;
}

static void put_rusage(struct celery_json_writer *w)
{
    struct rusage u = {0};
    (void)getrusage(RUSAGE_SELF, &u);
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {
        {"maxrss", u.ru_maxrss},   {"ixrss", u.ru_ixrss},
        {"idrss", u.ru_idrss},     {"isrss", u.ru_isrss},
        {"minflt", u.ru_minflt},   {"majflt", u.ru_majflt},
        {"nswap", u.ru_nswap},     {"inblock", u.ru_inblock},
        {"oublock", u.ru_oublock}, {"msgsnd", u.ru_msgsnd},
        {"msgrcv", u.ru_msgrcv},   {"nsignals", u.ru_nsignals},
        {"nvcsw", u.ru_nvcsw},     {"nivcsw", u.ru_nivcsw},
    };
    celery_json_begin_object(w);
    celery_json_key(w, "utime");
    celery_json_put_double(w, seconds(u.ru_utime));
    celery_json_key(w, "stime");
    celery_json_put_double(w, seconds(u.ru_stime));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        key_int(w, counts[i].key, counts[i].value);
    celery_json_end_object(w);
}

void inspect_stats(struct worker *worker, struct celery_json arguments,
                   struct celery_json_writer *w)
{
    const struct registry *registry = &worker->app->registry;
    (void)arguments;
    celery_json_begin_object(w);
    celery_json_key(w, "total");
    celery_json_begin_object(w);
    for (size_t i = 0; i < registry->count; i++) {
        if (worker->totals[i] > 0)
            key_int(w, registry->tasks[i].name, (int64_t)worker->totals[i]);
    }
    celery_json_end_object(w);
    key_int(w, "pid", getpid());
    char *clock = xasprintf("%lld", (long long)worker->events.clock);
    key_text(w, "clock", clock); /* a string here, an integer elsewhere */
    free(clock);
    key_int(w, "uptime",
            (clock_monotonic_us() - worker->started_us) / USEC_PER_SEC);
    celery_json_key(w, "pool");
    put_pool(worker, w);
    celery_json_key(w, "broker");
    put_broker(worker, w);
    key_int(w, "prefetch_count", (int64_t)consumer_prefetch(worker));
    celery_json_key(w, "rusage");
    put_rusage(w);
    celery_json_end_object(w);
}

void inspect_report(struct worker *worker, struct celery_json arguments,
                    struct celery_json_writer *w)
{
    (void)arguments;
    char *masked = url_masked(worker->settings.broker_url);
    char *text = xasprintf("\nsoftware -> celery-c:%s\nplatform -> Linux\n"
                           "broker_url: '%s'\n",
                           CRICALGO_VERSION, masked);
    celery_json_begin_object(w);
    key_text(w, "ok", text);
    celery_json_end_object(w);
    free(text);
    free(masked);
}
