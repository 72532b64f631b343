/* SPDX-License-Identifier: MIT */
#include "deposits/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "client/task_publish.h"

static const struct conf_setting table[] = {
    {.env = "DATABASE_URL",
     .option = "ledger",
     .type = CONF_TEXT,
     .file = true,
     .fallback = "sqlite:///./cricalgo.db",
     .help = "the ledger: postgresql://…, sqlite:///path"},
    {.env = "DB_POOL_SIZE",
     .type = CONF_INT,
     .fallback = "5",
     .min = 1,
     .max = 1000,
     .help = "database connections kept open"},
    {.env = "DB_MAX_OVERFLOW",
     .type = CONF_INT,
     .fallback = "10",
     .min = 0,
     .max = 1000,
     .help = "more of them when all are busy"},
    {.env = "DB_POOL_TIMEOUT",
     .type = CONF_SECONDS,
     .fallback = "30",
     .max = 3600,
     .help = "seconds to wait for a connection"},
    {.env = "DB_POOL_RECYCLE",
     .type = CONF_SECONDS,
     .fallback = "3600",
     .min = -1,
     .max = 1e9,
     .help = "seconds after which one is replaced; -1 never"},
    {.env = "MIGRATE_ON_START",
     .type = CONF_BOOL,
     .fallback = "1",
     .help = "bring the schema up to date at the start"},
    {.env = "CELERY_BROKER_URL",
     .alias = "REDIS_URL",
     .type = CONF_TEXT,
     .file = true,
     .fallback = "redis://localhost:6379/0",
     .help = "as the worker's"},
    {.env = "CELERY_BROKER_TRANSPORT_OPTIONS",
     .type = CONF_TEXT,
     .file = true,
     .help = "as the worker's"},
    {.env = "CELERY_TASK_COMPRESSION",
     .type = CONF_TEXT,
     .help = "as the worker's"},
    {.env = "CELERY_TASK_SERIALIZER",
     .type = CONF_CHOICE,
     .fallback = "json",
     .choices = "json|msgpack",
     .help = "as the worker's"},
    {.env = "CELERY_TASK_PROTOCOL",
     .type = CONF_INT,
     .fallback = "2",
     .min = 1,
     .max = 2,
     .help = "as the worker's"},
    {.env = "CELERY_C_SIGN_KEYS",
     .type = CONF_TEXT,
     .secret = true,
     .help = "as the worker's"},
    {.env = "DEPOSIT_SWEEP_INTERVAL",
     .type = CONF_SECONDS,
     .fallback = "1",
     .min = 0.05,
     .max = 3600,
     .help = "seconds between the sweeper's rounds"},
    {.env = "DEPOSIT_SWEEP_GRACE",
     .type = CONF_SECONDS,
     .fallback = "5",
     .max = 3600,
     .help = "age of an unpublished deposit that the sweeper takes"},
    {.env = "DEPOSIT_REENQUEUE_SECONDS",
     .type = CONF_SECONDS,
     .fallback = "60",
     .min = 0.1,
     .max = 86400,
     .help = "seconds after which an open deposit is published again; doubles"},
    {.env = "DEPOSIT_REENQUEUE_MAX_SECONDS",
     .type = CONF_SECONDS,
     .fallback = "3600",
     .min = 0.1,
     .max = 864000,
     .help = "at most so long"},
    {.env = "DEPOSIT_MONITOR_INTERVAL",
     .type = CONF_SECONDS,
     .fallback = "15",
     .min = 0.1,
     .max = 3600,
     .help = "seconds between two looks at the backlog for /metrics"},
    {.env = "LEDGER_AUDIT_INTERVAL",
     .type = CONF_SECONDS,
     .fallback = "300",
     .max = 864000,
     .help = "seconds between two passes that compare the books; 0: none"},
    {.option = "migrate",
     .type = CONF_FLAG,
     .help = "bring the ledger's schema up to date and exit"},
    {.option = "check-ledger",
     .type = CONF_FLAG,
     .help = "compare wallets, journal and deposits; exit 1 when they differ"},
    {.option = "explain",
     .type = CONF_TEXT,
     .help = "tell the life of one deposit and exit"},
    {.option = "resolve",
     .type = CONF_TEXT,
     .help =
         "a deposit in conflict, followed by 'credit' or 'reject': say what "
         "becomes of it and exit"},
    {.option = "reason",
     .type = CONF_TEXT,
     .help = "why, for the audit log; --resolve needs it"},
};

enum { SETTINGS = sizeof table / sizeof table[0] };

void deposit_settings_help(FILE *out)
{
    conf_help(table, SETTINGS, out);
}

/* The row of an own option in word ("--name" or "--name=value"), or NULL. */
static const struct conf_setting *own_option(const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return NULL;
    size_t len = strcspn(word + 2, "=");
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].option != NULL && strlen(table[i].option) == len
            && strncmp(table[i].option, word + 2, len) == 0)
            return &table[i];
    }
    return NULL;
}

/* Splits argv: own options to ret, the rest stays. */
static int split(int *argc, char **argv, char **ret)
{
    int own = 0;
    int kept = 1;
    ret[own++] = argv[0];
    for (int i = 1; i < *argc; i++) {
        const struct conf_setting *s = own_option(argv[i]);
        if (s == NULL) {
            argv[kept++] = argv[i];
            continue;
        }
        ret[own++] = argv[i];
        if (s->type != CONF_FLAG && strchr(argv[i], '=') == NULL
            && i + 1 < *argc)
            ret[own++] = argv[++i];
    }
    *argc = kept;
    argv[kept] = NULL;
    return own;
}

/* The broker that the command line names for the worker is the sweeper's too. */
static const char *broker_option(int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i] != NULL; i++) {
        if (strncmp(argv[i], "--broker=", 9) == 0)
            return argv[i] + 9;
        if (strncmp(argv[i], "-b", 2) == 0 && argv[i][2] != '\0')
            return argv[i] + 2;
        if ((strcmp(argv[i], "--broker") == 0 || strcmp(argv[i], "-b") == 0)
            && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc && argv[i] != NULL; i++) {
        if (strcmp(argv[i], word) == 0)
            return true;
    }
    return false;
}

/* The word behind --resolve TX_ID, taken out of argv. */
static enum celery_status read_resolution(struct deposit_settings *ret,
                                          int *argc, char **argv,
                                          struct celery_error *err)
{
    const char *word = *argc == 2 ? argv[1] : "";
    bool credit = strcmp(word, "credit") == 0;
    ret->resolve = conf_text(ret->conf, "resolve");
    ret->reason = conf_text(ret->conf, "reason");
    if (ret->resolve == NULL)
        return CELERY_OK;
    if ((!credit && strcmp(word, "reject") != 0) || ret->reason == NULL)
        return celery_fail(err, CELERY_INVALID,
                           "--resolve='%.60s' is not accepted; accepted: "
                           "--resolve TX_ID credit|reject --reason TEXT",
                           ret->resolve);
    ret->credit = credit;
    *argc = 1;
    argv[1] = NULL;
    return CELERY_OK;
}

enum celery_status deposit_settings_load(struct deposit_settings *ret,
                                         int *argc, char **argv,
                                         struct celery_error *err)
{
    char **own = xcalloc((size_t)*argc + 1, sizeof *own);
    *ret = (struct deposit_settings){.conf = NULL};
    int own_count = split(argc, argv, own);
    enum celery_status st =
        conf_load(table, SETTINGS, own_count, own, &ret->conf, err);
    free(own);
    if (st != CELERY_OK)
        return st;
    const struct conf *conf = ret->conf;
    const char *broker = broker_option(*argc, argv);
    ret->broker_override = broker != NULL ? xstrdup(broker) : NULL;
    ret->broker_url = broker != NULL ? ret->broker_override
                                     : conf_text(conf, "CELERY_BROKER_URL");
    ret->ledger = (struct ledger_options){
        .url = conf_text(conf, "DATABASE_URL"),
        .pool_size = (int)conf_int(conf, "DB_POOL_SIZE"),
        .max_overflow = (int)conf_int(conf, "DB_MAX_OVERFLOW"),
        .pool_timeout_s = conf_seconds(conf, "DB_POOL_TIMEOUT"),
        .pool_recycle_s = conf_seconds(conf, "DB_POOL_RECYCLE"),
    };
    ret->broker_transport_options =
        conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS");
    ret->compression = conf_text(conf, "CELERY_TASK_COMPRESSION");
    ret->protocol = (int)conf_int(conf, "CELERY_TASK_PROTOCOL");
    ret->serializer =
        task_serializer_of(conf_text(conf, "CELERY_TASK_SERIALIZER"));
    ret->migrate_on_start = conf_bool(conf, "MIGRATE_ON_START");
    ret->sweep_interval_s = conf_seconds(conf, "DEPOSIT_SWEEP_INTERVAL");
    ret->sweep_grace_s = conf_seconds(conf, "DEPOSIT_SWEEP_GRACE");
    ret->reenqueue_s = conf_seconds(conf, "DEPOSIT_REENQUEUE_SECONDS");
    ret->reenqueue_max_s = conf_seconds(conf, "DEPOSIT_REENQUEUE_MAX_SECONDS");
    ret->monitor_interval_s = conf_seconds(conf, "DEPOSIT_MONITOR_INTERVAL");
    ret->audit_interval_s = conf_seconds(conf, "LEDGER_AUDIT_INTERVAL");
    ret->help = has_word(*argc, argv, "--help") || has_word(*argc, argv, "-h");
    ret->migrate = conf_bool(conf, "migrate");
    ret->check_ledger = conf_bool(conf, "check-ledger");
    ret->explain = conf_text(conf, "explain");
    st = read_resolution(ret, argc, argv, err);
    if (st == CELERY_OK)
        st = task_sign_with(conf_text(conf, "CELERY_C_SIGN_KEYS"), err);
    if (st != CELERY_OK)
        deposit_settings_done(ret);
    return st;
}

void deposit_settings_done(struct deposit_settings *settings)
{
    free(settings->broker_override);
    conf_free(settings->conf);
    *settings = (struct deposit_settings){.conf = NULL};
}
