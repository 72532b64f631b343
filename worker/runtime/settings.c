/* SPDX-License-Identifier: MIT */
#include "runtime/settings.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "celery/compress.h"
#include "celery/content.h"
#include "client/task_publish.h"
#include "http/health_check.h"
#include "log/log.h"
#include "version.h"

/* Adding a setting is a row here. */
static const struct conf_setting table[] = {
    {.option = "help",
     .letter = 'h',
     .type = CONF_FLAG,
     .help = "show this text"},
    {.option = "version", .type = CONF_FLAG, .help = "show the version"},
    {.option = "check-config",
     .type = CONF_FLAG,
     .help = "check the settings, print them, exit"},
    {.option = "health",
     .type = CONF_FLAG,
     .help = "ask the running worker whether it lives; exit 0 or 1"},
    {.env = "CELERY_BROKER_URL",
     .alias = "REDIS_URL",
     .option = "broker",
     .letter = 'b',
     .type = CONF_TEXT,
     .file = true,
     .fallback = "redis://localhost:6379/0",
     .help =
         "where messages come from: redis://[user:password@]host[:port]/db, "
         "rediss://…, redis+socket:///path, sentinel://a;sentinel://b, "
         "amqp[s]://[user:password@]host[:port]/vhost, filesystem:///folder"},
    {.env = "CELERY_BROKER_TRANSPORT_OPTIONS",
     .type = CONF_TEXT,
     .file = true,
     .help = "JSON object: visibility_timeout, global_keyprefix, "
             "master_name, sentinel_kwargs; on amqp:// hold_eta_above, ssl"},
    {.env = "CELERY_RESULT_BACKEND",
     .alias = "REDIS_URL",
     .option = "result-backend",
     .type = CONF_TEXT,
     .file = true,
     .help = "where results go: redis://…, file:///folder, rpc:// (to the "
             "sender, on amqp://), disabled://"},
    {.env = "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS",
     .type = CONF_TEXT,
     .file = true,
     .help = "JSON object: global_keyprefix"},
    {.env = "CELERY_RESULT_EXPIRES",
     .type = CONF_SECONDS,
     .fallback = "86400",
     .help = "seconds a result is kept; 0 keeps it for ever"},
    {.env = "CELERY_RESULT_EXTENDED",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "store name, args, kwargs, worker, retries, queue too"},
    {.env = "CELERY_RESULT_COMPRESSION",
     .type = CONF_TEXT,
     .help = "compress results: gzip, bzip2, lzma, zstd, brotli; read by "
             "Celery from 5.7 on"},
    {.env = "CELERY_TASK_IGNORE_RESULT",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "store no results unless the message asks for it"},
    {.env = "CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "store failures all the same"},
    {.env = "CELERY_TASK_ACKS_LATE",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "ack after the task, not before"},
    {.env = "CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT",
     .type = CONF_BOOL,
     .fallback = "1",
     .help = "with late acks: ack failed tasks too"},
    {.env = "CELERY_TASK_TRACK_STARTED",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "store the state STARTED"},
    {.env = "CELERY_TASK_COMPRESSION",
     .type = CONF_TEXT,
     .help = "compress what we publish: gzip, bzip2, lzma, zstd, brotli"},
    {.env = "CELERY_TASK_SERIALIZER",
     .type = CONF_CHOICE,
     .fallback = "json",
     .choices = "json|msgpack",
     .help = "serializer of what we publish; msgpack has to be accepted too"},
    {.env = "CELERY_TASK_PROTOCOL",
     .type = CONF_INT,
     .fallback = "2",
     .min = 1,
     .max = 2,
     .help = "task protocol of what we publish; 1 for workers before 4.0"},
    {.env = "CELERY_ACCEPT_CONTENT",
     .type = CONF_TEXT,
     .fallback = "[\"json\"]",
     .help = "JSON list of json, msgpack (pickle and yaml are always refused)"},
    {.env = "CELERY_C_SIGN_KEYS",
     .type = CONF_TEXT,
     .secret = true,
     .help = "keys that sign what we publish: id:key, comma-separated; the "
             "first signs, all verify"},
    {.env = "CELERY_C_REQUIRE_SIGNED",
     .type = CONF_TEXT,
     .help = "queues, comma-separated, whose unsigned or wrongly signed "
             "messages go to the dead letters"},
    {.env = "CELERY_TASK_TIME_LIMIT",
     .option = "time-limit",
     .type = CONF_SECONDS,
     .help = "hard limit of a task in seconds"},
    {.env = "CELERY_TASK_SOFT_TIME_LIMIT",
     .option = "soft-time-limit",
     .type = CONF_SECONDS,
     .help = "soft limit of a task in seconds"},
    {.env = "CELERY_WORKER_CONCURRENCY",
     .option = "concurrency",
     .letter = 'c',
     .type = CONF_INT,
     .min = 1,
     .max = 1024,
     .help = "tasks at the same time; the number of CPUs unless set"},
    {.env = "CELERY_WORKER_PREFETCH_MULTIPLIER",
     .option = "prefetch-multiplier",
     .type = CONF_INT,
     .min = 0,
     .max = 10000,
     .help = "messages held per slot; 0 takes all there are"},
    {.env = "CELERY_C_MAX_DELIVERIES",
     .type = CONF_INT,
     .fallback = "5",
     .min = 0,
     .max = 1000,
     .help = "a message that killed so many workers goes to the dead letters; "
             "0: it comes back for ever"},
    {.env = "CELERY_WORKER_DISABLE_PREFETCH",
     .option = "disable-prefetch",
     .type = CONF_FLAG,
     .help = "hold no message that no slot is free for"},
    {.option = "optimization",
     .letter = 'O',
     .type = CONF_CHOICE,
     .choices = "default|fair",
     .help = "fair holds no message either"},
    {.env = "CELERY_WORKER_POOL",
     .option = "pool",
     .letter = 'P',
     .type = CONF_CHOICE,
     .choices = "threads|solo",
     .fallback = "threads",
     .help = "where tasks run"},
    {.env = "CELERY_WORKER_SEND_TASK_EVENTS",
     .option = "task-events",
     .letter = 'E',
     .type = CONF_FLAG,
     .help = "send task events from the start"},
    {.env = "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
     .type = CONF_SECONDS,
     .fallback = "25",
     .max = 86400,
     .help = "seconds that running tasks get after SIGTERM"},
    {.env = "CELERY_WORKER_ENABLE_REMOTE_CONTROL",
     .type = CONF_BOOL,
     .fallback = "1",
     .help = "answer celery inspect and control"},
    {.option = "queues",
     .env = "CELERY_WORKER_QUEUES",
     .letter = 'Q',
     .type = CONF_TEXT,
     .help = "queues to consume, comma-separated"},
    {.option = "exclude-queues",
     .letter = 'X',
     .type = CONF_TEXT,
     .help = "queues not to consume, comma-separated"},
    {.env = "CELERY_TASK_DEFAULT_QUEUE",
     .type = CONF_TEXT,
     .fallback = "celery",
     .help = "consumed when no queue is named"},
    {.option = "hostname",
     .env = "CELERY_WORKER_HOSTNAME",
     .letter = 'n',
     .type = CONF_TEXT,
     .fallback = "celery@%h",
     .help = "node name; %h host name, %n its first part, %d the rest"},
    {.option = "loglevel",
     .env = "LOG_LEVEL",
     .letter = 'l',
     .type = CONF_CHOICE,
     .choices = "debug|info|warning|error|critical|fatal",
     .fallback = "info",
     .help = "least level of log lines"},
    {.env = "LOG_FORMAT",
     .option = "log-format",
     .type = CONF_CHOICE,
     .choices = "json|logfmt",
     .fallback = "json",
     .help = "form of log lines"},
    {.option = "without-mingle",
     .type = CONF_FLAG,
     .help = "do not ask neighbours at the start"},
    {.option = "without-gossip",
     .type = CONF_FLAG,
     .help = "do not listen to neighbours"},
    {.option = "without-heartbeat",
     .type = CONF_FLAG,
     .help = "send no heartbeats"},
    {.option = "heartbeat-interval",
     .type = CONF_SECONDS,
     .fallback = "2",
     .min = 0.1,
     .max = 3600,
     .help = "seconds between heartbeats"},
    {.option = "metrics-port",
     .env = "METRICS_PORT",
     .type = CONF_INT,
     .fallback = "9808",
     .min = 0,
     .max = 65535,
     .help = "port of /metrics, /healthz, /readyz; 0 is off"},
    {.option = "metrics-host",
     .env = "METRICS_HOST",
     .alias = "HOST",
     .type = CONF_TEXT,
     .fallback = "127.0.0.1",
     .help = "address of /metrics, /healthz, /readyz"},
    {.option = "app",
     .letter = 'A',
     .type = CONF_TEXT,
     .help = "of celeryc: the module whose tasks to run (./tasks.so); other "
             "programs have theirs compiled in"},
};

enum { SETTINGS = sizeof table / sizeof table[0] };

static enum celery_status add_queues(struct worker_settings *s,
                                     const char *list, struct celery_error *err)
{
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (len > 0) {
            if (s->queue_count == QUEUES_MAX)
                return celery_fail(err, CELERY_INVALID,
                                   "--queues: more than %d queues", QUEUES_MAX);
            s->queues[s->queue_count++] = xstrndup(p, len);
        }
        p += len + (p[len] == ',');
    }
    return CELERY_OK;
}

static void remove_queue(struct worker_settings *s, const char *name,
                         size_t len)
{
    for (size_t i = 0; i < s->queue_count; i++) {
        if (strlen(s->queues[i]) == len
            && memcmp(s->queues[i], name, len) == 0) {
            free(s->queues[i]);
            memmove(s->queues + i, s->queues + i + 1,
                    (s->queue_count - i - 1) * sizeof s->queues[0]);
            s->queue_count--;
            return;
        }
    }
}

static enum celery_status load_queues(struct celery_app *app, struct conf *conf,
                                      struct worker_settings *s,
                                      struct celery_error *err)
{
    const char *list = conf_text(conf, "CELERY_WORKER_QUEUES");
    if (list == NULL)
        list = app->default_queues;
    if (list == NULL)
        list = conf_text(conf, "CELERY_TASK_DEFAULT_QUEUE");
    enum celery_status st = add_queues(s, list, err);
    const char *excluded = conf_text(conf, "exclude-queues");
    for (const char *p = excluded; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",");
        remove_queue(s, p, len);
        p += len + (p[len] == ',');
    }
    if (st == CELERY_OK && s->queue_count == 0)
        st = celery_fail(err, CELERY_INVALID,
                         "--queues='%.60s' is not accepted; accepted: at least "
                         "one queue name",
                         list);
    return st;
}

/* %h, %n, %d and %% as celery.utils.nodenames.host_format. */
static char *expand_nodename(const char *format)
{
    char host[256] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    struct celery_buf buf = CELERY_BUF_INIT;
    size_t first = strcspn(host, ".");
    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%' || p[1] == '\0') {
            celery_buf_append(&buf, (struct celery_str){p, 1});
            continue;
        }
        p++;
        if (*p == 'h')
            celery_buf_printf(&buf, "%s", host);
        else if (*p == 'n')
            celery_buf_printf(&buf, "%.*s", (int)first, host);
        else if (*p == 'd')
            celery_buf_printf(&buf, "%s",
                              host[first] == '.' ? host + first + 1 : "");
        else if (*p == '%')
            celery_buf_append(&buf, CELERY_STR("%"));
    }
    if (memchr(celery_buf_str(&buf).data, '@', buf.len) == NULL)
        celery_buf_printf(&buf, "@%s", host);
    char *name = xstrndup(celery_buf_str(&buf).data, buf.len);
    celery_buf_done(&buf);
    return name;
}

static enum celery_status load_accept(struct conf *conf,
                                      struct worker_settings *s,
                                      struct celery_error *err)
{
    const char *text = conf_text(conf, "CELERY_ACCEPT_CONTENT");
    struct celery_json root;
    if (celery_json_parse((struct celery_str){text, strlen(text)}, NULL, &root,
                          NULL)
            != CELERY_OK
        || root.type != CELERY_JSON_ARRAY)
        root.type = CELERY_JSON_NONE;
    struct celery_json_iter iter = celery_json_iter(root);
    struct celery_json item;
    bool good = root.type == CELERY_JSON_ARRAY;
    while (good && celery_json_next(&iter, NULL, &item)) {
        if (celery_json_is(item, "json")
            || celery_json_is(item, "application/json"))
            s->accept |= CELERY_ACCEPT_JSON;
        else if (celery_json_is(item, "msgpack")
                 || celery_json_is(item, "application/x-msgpack"))
            s->accept |= CELERY_ACCEPT_MSGPACK;
        else
            good = false;
    }
    /* A worker that refuses its own retries would lose them. */
    if (good && s->accept != 0 && s->serializer == CELERY_SERIALIZER_MSGPACK
        && (s->accept & CELERY_ACCEPT_MSGPACK) == 0)
        return celery_fail(err, CELERY_INVALID,
                           "CELERY_TASK_SERIALIZER='msgpack' is not accepted; "
                           "accepted with \"msgpack\" in "
                           "CELERY_ACCEPT_CONTENT");
    if (good && s->accept != 0)
        return CELERY_OK;
    return celery_fail(
        err, CELERY_INVALID,
        "CELERY_ACCEPT_CONTENT='%.60s' is not accepted; accepted: "
        "a JSON list of \"json\" and \"msgpack\"",
        text);
}

static enum celery_status check_compression(const struct worker_settings *s,
                                            struct celery_error *err)
{
    const char *name = s->result_compression;
    if (name == NULL || *name == '\0'
        || celery_compression_mime((struct celery_str){name, strlen(name)})
               != NULL)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "CELERY_RESULT_COMPRESSION='%.60s' is not accepted; "
                       "accepted: gzip, bzip2, lzma, zstd, brotli",
                       name);
}

static enum celery_status load_signing(struct conf *conf,
                                       struct worker_settings *s,
                                       struct celery_error *err)
{
    enum celery_status st =
        task_sign_with(conf_text(conf, "CELERY_C_SIGN_KEYS"), err);
    s->require_signed = conf_text(conf, "CELERY_C_REQUIRE_SIGNED");
    if (st == CELERY_OK && s->require_signed != NULL
        && *s->require_signed != '\0' && task_sign_keys()->count == 0)
        st = celery_fail(err, CELERY_INVALID,
                         "CELERY_C_REQUIRE_SIGNED is set without "
                         "CELERY_C_SIGN_KEYS: nothing could be verified");
    return st;
}

bool settings_require_signed(const struct worker_settings *s, const char *queue)
{
    size_t want = strlen(queue);
    const char *p = s->require_signed;
    while (p != NULL && *p != '\0') {
        size_t len = strcspn(p, ",");
        if (len == want && memcmp(p, queue, len) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

static size_t cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (size_t)count : 1;
}

static void load_plain(struct celery_app *app, struct conf *conf,
                       struct worker_settings *s)
{
    const char *backend = conf_text(conf, "CELERY_RESULT_BACKEND");
    if (backend != NULL && strncmp(backend, "disabled", 8) == 0)
        backend = NULL;
    s->broker_url = conf_text(conf, "CELERY_BROKER_URL");
    s->broker_transport_options =
        conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS");
    s->result_backend = backend;
    s->result_transport_options =
        conf_text(conf, "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS");
    s->result_expires_s = conf_seconds(conf, "CELERY_RESULT_EXPIRES");
    s->result_extended = conf_bool(conf, "CELERY_RESULT_EXTENDED");
    s->result_compression = conf_text(conf, "CELERY_RESULT_COMPRESSION");
    s->ignore_result = conf_bool(conf, "CELERY_TASK_IGNORE_RESULT");
    s->store_errors_even_if_ignored =
        conf_bool(conf, "CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED");
    s->acks_late = conf_bool(conf, "CELERY_TASK_ACKS_LATE");
    s->acks_on_failure =
        conf_bool(conf, "CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT");
    s->track_started = conf_bool(conf, "CELERY_TASK_TRACK_STARTED");
    s->send_events = conf_bool(conf, "CELERY_WORKER_SEND_TASK_EVENTS");
    s->compression = conf_text(conf, "CELERY_TASK_COMPRESSION");
    s->protocol = (int)conf_int(conf, "CELERY_TASK_PROTOCOL");
    s->serializer =
        task_serializer_of(conf_text(conf, "CELERY_TASK_SERIALIZER"));
    s->concurrency = (size_t)conf_int(conf, "CELERY_WORKER_CONCURRENCY");
    if (s->concurrency == 0)
        s->concurrency = cpu_count();
    int64_t fallback = app->default_prefetch_multiplier > 0
                         ? app->default_prefetch_multiplier
                         : 4;
    s->prefetch_multiplier =
        (size_t)(conf_is_set(conf, "CELERY_WORKER_PREFETCH_MULTIPLIER")
                     ? conf_int(conf, "CELERY_WORKER_PREFETCH_MULTIPLIER")
                     : fallback);
    s->max_deliveries = (unsigned)conf_int(conf, "CELERY_C_MAX_DELIVERIES");
    const char *optimization = conf_text(conf, "optimization");
    s->fair = conf_bool(conf, "CELERY_WORKER_DISABLE_PREFETCH")
           || (optimization != NULL && strcasecmp(optimization, "fair") == 0);
    s->solo = strcasecmp(conf_text(conf, "CELERY_WORKER_POOL"), "solo") == 0;
    if (s->solo)
        s->concurrency = 1;
    s->soft_time_limit_s = conf_seconds(conf, "CELERY_TASK_SOFT_TIME_LIMIT");
    s->time_limit_s = conf_seconds(conf, "CELERY_TASK_TIME_LIMIT");
    s->shutdown_s = conf_seconds(conf, "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT");
    s->heartbeat_s = conf_bool(conf, "without-heartbeat")
                       ? 0
                       : conf_seconds(conf, "heartbeat-interval");
    s->mingle = !conf_bool(conf, "without-mingle");
    s->gossip = !conf_bool(conf, "without-gossip");
    s->metrics_host = conf_text(conf, "METRICS_HOST");
    s->metrics_port = (int)conf_int(conf, "METRICS_PORT");
    s->nodename = expand_nodename(conf_text(conf, "CELERY_WORKER_HOSTNAME"));
    s->limits = CELERY_LIMITS_DEFAULT;
}

static int print_if_asked(struct celery_app *app, struct conf *conf)
{
    if (conf_bool(conf, "help")) {
        (void)printf(
            "Usage: %s [worker] [options]\n\nRuns tasks from the queues "
            "of a Celery broker.\n\n",
            app->name);
        conf_help(table, SETTINGS, stdout);
        return 0;
    }
    if (conf_bool(conf, "version")) {
        (void)printf("%s %s\n", app->name, CRICALGO_VERSION);
        return 0;
    }
    if (conf_bool(conf, "health"))
        return health_check(app->name, conf_text(conf, "METRICS_HOST"),
                            (int)conf_int(conf, "METRICS_PORT"));
    if (conf_bool(conf, "check-config")) {
        conf_print(conf, stdout);
        return 0;
    }
    return -1;
}

static void configure_log(const struct conf *conf)
{
    enum log_level level = LOG_LEVEL_INFO;
    enum log_format format = LOG_FORMAT_JSON;
    (void)log_level_parse(conf_text(conf, "LOG_LEVEL"), &level);
    (void)log_format_parse(conf_text(conf, "LOG_FORMAT"), &format);
    log_configure(level, format, STDERR_FILENO);
}

/* "celery -A proj worker -l info" is what people paste: the word goes, unless it
 * is the value of an option. */
static int drop_command_word(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *before = argv[i - 1];
        bool value = i > 1 && before[0] == '-' && strcmp(before, "-E") != 0
                  && strchr(before, '=') == NULL;
        if (strcmp(argv[i], "worker") != 0 || value)
            continue;
        memmove(argv + i, argv + i + 1,
                (size_t)(argc - i - 1) * sizeof argv[0]);
        return argc - 1;
    }
    return argc;
}

static enum celery_status load_all(struct celery_app *app, struct conf *conf,
                                   struct worker_settings *s,
                                   struct celery_error *err)
{
    size_t rest = 0;
    char **words = conf_rest(conf, &rest);
    load_plain(app, conf, s);
    if (rest > 0)
        return celery_fail(err, CELERY_INVALID,
                           "unexpected word '%.60s'; --help lists the options",
                           words[0]);
    enum celery_status st = check_compression(s, err);
    if (st == CELERY_OK)
        st = load_queues(app, conf, s, err);
    if (st == CELERY_OK)
        st = load_accept(conf, s, err);
    if (st == CELERY_OK)
        st = load_signing(conf, s, err);
    return st;
}

enum celery_status settings_load(struct celery_app *app, int argc, char **argv,
                                 struct conf **ret_conf,
                                 struct worker_settings *ret, int *ret_exit,
                                 struct celery_error *err)
{
    struct conf *conf = NULL;
    *ret = (struct worker_settings){.accept = 0};
    *ret_exit = -1;
    argc = drop_command_word(argc, argv);
    enum celery_status st = conf_load(table, SETTINGS, argc, argv, &conf, err);
    if (st != CELERY_OK)
        return st;
    configure_log(conf);
    st = load_all(app, conf, ret, err);
    if (st != CELERY_OK) {
        settings_done(ret);
        conf_free(conf);
        return st;
    }
    if (conf_is_set(conf, "app"))
        LOG_EVENT(LOG_LEVEL_INFO, "option_without_effect",
                  LOG_STR("option", "-A"),
                  LOG_STR("msg", "the tasks of this program are compiled in"));
    *ret_exit = print_if_asked(app, conf);
    *ret_conf = conf;
    return CELERY_OK;
}

void settings_done(struct worker_settings *settings)
{
    for (size_t i = 0; i < settings->queue_count; i++)
        free(settings->queues[i]);
    free(settings->nodename);
    *settings = (struct worker_settings){.accept = 0};
}
