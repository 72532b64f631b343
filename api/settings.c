/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "celery/json_scan.h"
#include "client/task_publish.h"
#include "http/peers.h"
#include "secrets.h"

/* Adding a setting is a row here. */
static const struct conf_setting settings[] = {
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
     .help = "ask the running program whether it lives; exit 0 or 1"},
    {.option = "migrate",
     .type = CONF_FLAG,
     .help = "apply the schema's missing steps, exit"},
    {.option = "replay",
     .type = CONF_TEXT,
     .help = "read a webhook of the inbox again, exit; with --since instead of "
             "an id all that were not stored"},
    {.option = "since",
     .type = CONF_TEXT,
     .help = "replay what came at or after this time, exit"},
    {.env = "HOST",
     .option = "host",
     .type = CONF_TEXT,
     .fallback = "127.0.0.1",
     .help = "address to listen on; 0.0.0.0 or :: in containers"},
    {.env = "PORT",
     .option = "port",
     .type = CONF_INT,
     .fallback = "8000",
     .min = 0,
     .max = 65535,
     .help = "port to listen on; 0 picks a free one and logs it"},
    {.env = "HTTP_THREADS",
     .option = "http-threads",
     .type = CONF_INT,
     .fallback = "128",
     .min = 4,
     .max = 4096,
     .help = "requests answered at once"},
    {.env = "METRICS_PORT",
     .option = "metrics-port",
     .type = CONF_INT,
     .min = 0,
     .max = 65535,
     .help = "a port of its own for /metrics and the health routes, and no "
             "/metrics on PORT; 0 picks a free one and logs it; unset: PORT "
             "has them all"},
    {.env = "HTTP_CONNECTIONS_MAX",
     .option = "http-connections-max",
     .type = CONF_INT,
     .fallback = "10240",
     .min = 16,
     .max = 1000000,
     .help = "connections open at once; beyond it the longest idle is closed"},
    {.env = "HTTP_CONNECTIONS_PER_PEER",
     .option = "http-connections-per-peer",
     .type = CONF_INT,
     .fallback = "256",
     .min = 0,
     .max = 1000000,
     .help = "connections of one address; 0: no limit; none either for "
             "TRUSTED_PROXIES"},
    {.env = "TRUSTED_PROXIES",
     .option = "trusted-proxies",
     .type = CONF_TEXT,
     .help = "addresses and networks, comma-separated, whose X-Forwarded-For "
             "says who the client is: 10.0.0.0/8,fd00::/8"},
    {.env = "DATABASE_URL",
     .option = "database",
     .type = CONF_TEXT,
     .file = true,
     .fallback = "sqlite:///./cricalgo.db",
     .help = "the ledger: postgresql://user:password@host:port/db or "
             "sqlite:///path"},
    {.env = "DB_POOL_SIZE",
     .option = "db-pool-size",
     .type = CONF_INT,
     .fallback = "10",
     .min = 1,
     .max = 1000,
     .help = "database connections kept open"},
    {.env = "DB_MAX_OVERFLOW",
     .option = "db-max-overflow",
     .type = CONF_INT,
     .fallback = "20",
     .min = 0,
     .max = 1000,
     .help = "database connections opened beyond the pool when it is busy"},
    {.env = "DB_POOL_TIMEOUT",
     .option = "db-pool-timeout",
     .type = CONF_SECONDS,
     .fallback = "30",
     .min = 0.1,
     .max = 600,
     .help = "how long to wait for a connection"},
    {.env = "DB_POOL_RECYCLE",
     .option = "db-pool-recycle",
     .type = CONF_SECONDS,
     .fallback = "3600",
     .min = -1,
     .max = 864000,
     .help = "a connection older than this is replaced; -1 never"},
    {.env = "DB_STATEMENT_TIMEOUT",
     .option = "db-statement-timeout",
     .type = CONF_SECONDS,
     .fallback = "10",
     .min = 0.1,
     .max = 600,
     .help = "a statement that takes longer is given up"},
    {.env = "MIGRATE_ON_START",
     .option = "migrate-on-start",
     .type = CONF_BOOL,
     .fallback = "1",
     .help = "apply the schema's missing steps at start"},
    {.env = "CELERY_BROKER_URL",
     .alias = "REDIS_URL",
     .option = "broker",
     .letter = 'b',
     .type = CONF_TEXT,
     .file = true,
     .fallback = "redis://localhost:6379/0",
     .help = "where tasks go: redis://, redis+socket://, amqp://, amqps://, "
             "filesystem:///folder"},
    {.env = "CELERY_BROKER_TRANSPORT_OPTIONS",
     .option = "broker-transport-options",
     .type = CONF_TEXT,
     .file = true,
     .help = "JSON object, as in Celery"},
    {.env = "CELERY_TASK_COMPRESSION",
     .option = "task-compression",
     .type = CONF_TEXT,
     .help = "compression of task bodies: gzip, bzip2, zstd, …"},
    {.env = "CELERY_TASK_SERIALIZER",
     .type = CONF_CHOICE,
     .fallback = "json",
     .choices = "json|msgpack",
     .help = "serializer of task bodies; workers have to accept it"},
    {.env = "CELERY_TASK_PROTOCOL",
     .type = CONF_INT,
     .fallback = "2",
     .min = 1,
     .max = 2,
     .help = "task protocol of what is published; 1 for workers before 4.0"},
    {.env = "CELERY_C_SIGN_KEYS",
     .type = CONF_TEXT,
     .secret = true,
     .help = "keys that sign what is published: id:key, comma-separated; "
             "the first signs"},
    {.env = "CELERY_RESULT_BACKEND",
     .alias = "REDIS_URL",
     .option = "result-backend",
     .type = CONF_TEXT,
     .file = true,
     .help = "where GET /api/v1/tasks/{id} looks: redis://, file:///folder"},
    {.env = "API_TASKS_ALLOWED",
     .option = "api-tasks-allowed",
     .type = CONF_TEXT,
     .help = "tasks that POST /api/v1/tasks/{name} may send, comma-separated; "
             "a '*' at a name's end stands for the rest; unset: none"},
    {.env = "WEBHOOK_SECRET",
     .type = CONF_TEXT,
     .secret = true,
     .help = "secret of the webhooks' signatures; several, comma-separated; "
             "WEBHOOK_SECRET_<CHAIN> for one chain alone"},
    {.env = "WEBHOOK_CHAINS",
     .option = "webhook-chains",
     .type = CONF_TEXT,
     .fallback = "bep20",
     .help = "chains that deposits may come from, comma-separated, each with "
             "':kind' (evm, bitcoin, tron, solana, other) where its name does "
             "not tell"},
    {.env = "WEBHOOK_SOURCES_FILE",
     .option = "webhook-sources-file",
     .type = CONF_TEXT,
     .help = "JSON file of more senders and how to read them; read again on "
             "SIGHUP"},
    {.env = "WEBHOOK_QUEUE_MAX",
     .option = "webhook-queue-max",
     .type = CONF_INT,
     .fallback = "4096",
     .min = 1,
     .max = 1000000,
     .help = "webhooks that may wait for their commit; more are answered 503"},
    {.env = "WEBHOOK_INBOX_RETENTION",
     .option = "webhook-inbox-retention",
     .type = CONF_SECONDS,
     .fallback = "34560000",
     .min = 0,
     .max = 3456000000,
     .help =
         "seconds for which webhooks are kept as they were sent (400 days); "
         "0: for ever"},
    {.env = "WEBHOOK_ALLOW_UNSIGNED",
     .option = "webhook-allow-unsigned",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "accept webhooks without a signature: anyone who reaches the port "
             "can announce money"},
    {.env = "CONFIRMATION_THRESHOLD",
     .alias = "CONFIRMATIONS_REQUIRED",
     .option = "confirmation-threshold",
     .type = CONF_INT,
     .fallback = "3",
     .min = 0,
     .max = 1000000,
     .help = "confirmations a deposit needs to be credited"},
    {.env = "CURRENCY",
     .option = "currency",
     .type = CONF_TEXT,
     .fallback = "USDT",
     .help = "currency of webhooks that name none"},
    {.env = "CHAIN_DECIMALS",
     .option = "chain-decimals",
     .type = CONF_TEXT,
     .help =
         "JSON object of chain to decimals (18 where not listed); an amount "
         "with more is set aside as a conflict"},
    {.env = "CHAIN_ASSUME_FINAL",
     .option = "chain-assume-final",
     .type = CONF_TEXT,
     .help = "chains, comma-separated, whose webhooks without confirmations "
             "are final"},
    {.env = "API_TOKEN",
     .type = CONF_TEXT,
     .secret = true,
     .help = "bearer tokens: TOKEN for all, NAME:SCOPE+SCOPE:TOKEN for some of "
             "read, tasks, users, operate; several by commas or lines; unset: "
             "loopback only"},
    {.env = "DEPOSIT_REENQUEUE_SECONDS",
     .option = "deposit-reenqueue-seconds",
     .type = CONF_SECONDS,
     .fallback = "60",
     .min = 0.1,
     .max = 86400,
     .help = "a deposit still open after this is published again, then after "
             "twice this, …"},
    {.env = "DEPOSIT_REENQUEUE_MAX_SECONDS",
     .option = "deposit-reenqueue-max-seconds",
     .type = CONF_SECONDS,
     .fallback = "3600",
     .min = 0.1,
     .max = 604800,
     .help = "the longest time between two publishes"},
    {.env = "DEPOSIT_SWEEP_INTERVAL",
     .option = "deposit-sweep-interval",
     .type = CONF_SECONDS,
     .fallback = "5",
     .min = 0.1,
     .max = 3600,
     .help = "time between the sweeper's rounds"},
    {.env = "DEPOSIT_SWEEP_GRACE",
     .option = "deposit-sweep-grace",
     .type = CONF_SECONDS,
     .fallback = "5",
     .min = 0,
     .max = 3600,
     .help = "age at which the sweeper takes a deposit nobody published"},
    {.env = "DEPOSIT_MONITOR_INTERVAL",
     .option = "deposit-monitor-interval",
     .type = CONF_SECONDS,
     .fallback = "15",
     .min = 0.1,
     .max = 3600,
     .help = "seconds between two looks at the backlog for /metrics"},
    {.env = "LEDGER_AUDIT_INTERVAL",
     .option = "ledger-audit-interval",
     .type = CONF_SECONDS,
     .fallback = "300",
     .max = 864000,
     .help = "seconds between two passes that compare the books; 0: none"},
    {.env = "CERTIFICATE_FILES",
     .option = "certificate-files",
     .type = CONF_TEXT,
     .help = "PEM files, comma-separated, whose expiry /metrics shows: the "
             "certificates that stand before this program"},
    {.env = "SHUTDOWN_GRACE",
     .option = "shutdown-grace",
     .type = CONF_SECONDS,
     .fallback = "15",
     .min = 0,
     .max = 600,
     .help = "how long a stop waits for requests and the publisher"},
    {.env = "APP_ENV",
     .option = "app-env",
     .type = CONF_TEXT,
     .fallback = "development",
     .help = "name of the environment, for the log"},
    {.env = "DEBUG",
     .option = "debug",
     .type = CONF_BOOL,
     .fallback = "0",
     .help = "log at level debug"},
    {.env = "LOG_LEVEL",
     .option = "loglevel",
     .letter = 'l',
     .type = CONF_CHOICE,
     .fallback = "info",
     .choices = "debug|info|warning|error|critical",
     .help = "lines below this level are not written"},
    {.env = "LOG_FORMAT",
     .option = "log-format",
     .type = CONF_CHOICE,
     .fallback = "json",
     .choices = "json|logfmt",
     .help = "form of a log line"},
};

const struct conf_setting *api_settings(size_t *ret_count)
{
    *ret_count = sizeof settings / sizeof settings[0];
    return settings;
}

static enum celery_status check_options(const struct conf *conf,
                                        struct celery_error *err)
{
    const char *text = conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS");
    struct celery_json root = {0};
    if (text == NULL)
        return CELERY_OK;
    if (celery_json_parse((struct celery_str){text, strlen(text)}, NULL, &root,
                          NULL)
            == CELERY_OK
        && root.type == CELERY_JSON_OBJECT)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "CELERY_BROKER_TRANSPORT_OPTIONS='%.60s' is not "
                       "accepted; accepted: a JSON object",
                       text);
}

static enum celery_status check_currency(const struct conf *conf,
                                         struct celery_error *err)
{
    const char *text = conf_text(conf, "CURRENCY");
    size_t len = strlen(text);
    bool visible = len < LEDGER_CURRENCY_MAX;
    for (const char *p = text; *p != '\0'; p++)
        visible = visible && *p > ' ' && *p <= '~';
    return visible ? CELERY_OK
                   : celery_fail(err, CELERY_INVALID,
                                 "CURRENCY='%.60s' is not accepted; accepted: "
                                 "1 to 16 visible ASCII characters",
                                 text);
}

static enum celery_status check_proxies(const struct conf *conf,
                                        struct celery_error *err)
{
    struct peer_set set;
    enum celery_status st =
        peer_set_init(&set, "TRUSTED_PROXIES",
                      conf_text(conf, "TRUSTED_PROXIES"), err);
    if (st == CELERY_OK)
        peer_set_done(&set);
    return st;
}

static enum celery_status check_ports(const struct conf *conf,
                                      struct celery_error *err)
{
    int64_t port = conf_int(conf, "METRICS_PORT");
    if (port == 0 || port != conf_int(conf, "PORT"))
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "METRICS_PORT='%s' is not accepted; accepted: another "
                       "port than PORT's, or unset for both on one",
                       conf_text(conf, "METRICS_PORT"));
}

enum celery_status api_settings_check(const struct conf *conf,
                                      struct celery_error *err)
{
    struct secrets *secrets = NULL;
    struct url url = {0};
    enum celery_status st =
        url_parse(conf_text(conf, "DATABASE_URL"), &url, err);
    if (st == CELERY_OK)
        url_done(&url);
    if (st == CELERY_OK)
        st = secrets_read(conf, &secrets, err);
    secrets_free(secrets);
    if (st == CELERY_OK)
        st = check_options(conf, err);
    if (st == CELERY_OK)
        st = check_currency(conf, err);
    if (st == CELERY_OK)
        st = check_proxies(conf, err);
    if (st == CELERY_OK)
        st = check_ports(conf, err);
    if (st == CELERY_OK)
        st = task_sign_with(conf_text(conf, "CELERY_C_SIGN_KEYS"), err);
    return st;
}
