/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include "base/clock.h"
#include "base/supervisor.h"
#include "log/log.h"
#include "metrics/metrics.h"

static struct metric *successful;
static struct metric *success_seconds;

static void note(bool well)
{
    metric_set(successful, well ? 1 : 0, NULL);
    if (well)
        metric_set(success_seconds, (double)clock_wall_us() / 1e6, NULL);
}

/* A gauge, as Prometheus and Alertmanager have it, and no counter: what is wrong
 * stays so until somebody mends it. */
void reload_register_metrics(void)
{
    static const struct metric_desc last = {
        "config_last_reload_successful",
        "1 while the last reading of tokens, secrets and sources succeeded.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    static const struct metric_desc when = {
        "config_last_reload_success_timestamp_seconds",
        "When tokens, secrets and sources were last read with success.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    successful = metric_register(&last);
    success_seconds = metric_register(&when);
    note(true);
}

void reload_secrets(struct secret_store *store, const struct conf *conf)
{
    struct celery_error err = {0};
    (void)supervisor_reloading("reading secrets again");
    bool well = secret_store_reload(store, conf, &err) == CELERY_OK;
    note(well);
    if (well)
        LOG_EVENT(LOG_LEVEL_INFO, "reloaded",
                  LOG_STR("msg", "secrets that come from files were read "
                                 "again"));
    else
        LOG_EVENT(LOG_LEVEL_ERROR, "reload_failed", LOG_STR("error", err.msg),
                  LOG_STR("msg", "the old secrets stay in force"));
    (void)supervisor_ready("serving");
}
