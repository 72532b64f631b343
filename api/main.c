/* SPDX-License-Identifier: MIT */
/*
 * cricalgo-api: webhooks in, answers about deposits out.
 */
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "http/health_check.h"
#include "replay.h"
#include "settings.h"
#include "version.h"
#include "webhook/sources.h"

static void print_help(const struct conf_setting *settings, size_t count)
{
    (void)puts("Usage: cricalgo-api [OPTIONS]\n\n"
               "Takes deposits from webhooks into the ledger and publishes "
               "their tasks.\nEvery option is also the environment variable in "
               "brackets.\n");
    conf_help(settings, count, stdout);
}

static int refuse(const struct celery_error *err)
{
    (void)fprintf(stderr, "cricalgo-api: %s\n", err->msg);
    return APP_MISCONFIGURED;
}

/* Clients can take all of PORT's connections, and none of METRICS_PORT's. */
static int health_port(const struct conf *conf)
{
    int port = (int)conf_int(conf, "METRICS_PORT");
    return port != 0 ? port : (int)conf_int(conf, "PORT");
}

static int print_config(const struct conf *conf)
{
    struct celery_error err = {0};
    struct sources *sources = NULL;
    if (sources_read(conf, &sources, &err) != CELERY_OK)
        return refuse(&err);
    conf_print(conf, stdout);
    sources_print(sources, stdout);
    sources_free(sources);
    return APP_OK;
}

static int run(const struct conf *conf)
{
    struct celery_error err = {0};
    size_t words = 0;
    char **rest = conf_rest(conf, &words);
    /* --replay --since T: the option took the word for its value. */
    const char *replay = conf_text(conf, "replay");
    const char *since = conf_text(conf, "since");
    if (replay != NULL && strcmp(replay, "--since") == 0 && words == 1) {
        since = rest[0];
        words = 0;
    }
    if (words > 0) {
        (void)celery_fail(&err, CELERY_INVALID, "'%.60s' is no option",
                          rest[0]);
        return refuse(&err);
    }
    if (conf_bool(conf, "health"))
        return health_check("cricalgo-api", conf_text(conf, "HOST"),
                            health_port(conf));
    if (conf_bool(conf, "migrate"))
        return app_migrate(conf);
    if (api_settings_check(conf, &err) != CELERY_OK)
        return refuse(&err);
    if (replay != NULL || since != NULL)
        return replay_run(conf, replay, since);
    if (conf_bool(conf, "check-config"))
        return print_config(conf);
    return app_run(conf);
}

int main(int argc, char **argv)
{
    struct celery_error err = {0};
    struct conf *conf = NULL;
    size_t count = 0;
    const struct conf_setting *settings = api_settings(&count);
    if (conf_load(settings, count, argc, argv, &conf, &err) != CELERY_OK)
        return refuse(&err);
    int code = APP_OK;
    if (conf_bool(conf, "help"))
        print_help(settings, count);
    else if (conf_bool(conf, "version"))
        (void)puts("cricalgo-api " CRICALGO_VERSION);
    else
        code = run(conf);
    conf_free(conf);
    return code;
}
