/* SPDX-License-Identifier: MIT */
/*
 * worker-online, worker-heartbeat, worker-offline.
 */
#include <math.h>
#include <stdlib.h>

#include "log/log.h"
#include "runtime/worker_state.h"
#include "version.h"

static void send(struct worker *worker, struct celery_event_worker *event)
{
    struct celery_error err = {0};
    event->sw_ident = "c-celery";
    event->sw_ver = CRICALGO_VERSION;
    event->sw_sys = "Linux";
    if (!broker_connected(worker->broker))
        return;
    if (events_send_worker(&worker->events, worker->broker, event, &err)
        != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "event_not_sent",
                  LOG_STR("type", event->type), LOG_STR("error", err.msg));
}

void heartbeat_send(struct worker *worker, const char *type)
{
    struct celery_event_worker event = {
        .type = type,
        .freq = worker->settings.heartbeat_s > 0 ? worker->settings.heartbeat_s
                                                 : 2.0,
        .active = (int64_t)consumer_active(worker),
        .processed = (int64_t)worker->processed,
    };
    if (getloadavg(event.loadavg, 3) == 3) {
        for (size_t i = 0; i < 3; i++) /* celery/utils/sysinfo.py rounds up */
            event.loadavg[i] = ceil(event.loadavg[i] * 100) / 100;
    }
    send(worker, &event);
}

void heartbeat_answer(struct worker *worker)
{
    struct celery_event_worker event = {.type = "worker-heartbeat",
                                        .freq = 5,
                                        .brief = true};
    send(worker, &event);
}
