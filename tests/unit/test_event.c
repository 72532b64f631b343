/* SPDX-License-Identifier: MIT */
#include "celery/event.h"

#include <math.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

static const struct celery_event_base base = {
    .hostname = "w@h",
    .utcoffset = 0,
    .pid = 7,
    .clock = 12,
    .timestamp = 1795497474.7026083,
};

#define HEAD \
    "{\"hostname\": \"w@h\", \"utcoffset\": 0.0, \"pid\": 7, \"clock\": 12, "
#define TAIL(type) "\"timestamp\": 1795497474.7026083, \"type\": \"" type "\"}"
#define TASK       HEAD "\"uuid\": \"i\", "

START_TEST(worker_events)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_event_worker worker = {
        .type = "worker-heartbeat",
        .freq = 2,
        .active = 3,
        .processed = 1207,
        .loadavg = {0.42, 0.37, (double)NAN},
        .sw_ident = "c-celery",
        .sw_ver = "1.0",
        .sw_sys = "Linux",
    };

    celery_event_worker(&buf, &base, &worker);
    ASSERT_BUF(&buf, HEAD "\"freq\": 2.0, \"active\": 3, \"processed\": 1207, "
                          "\"loadavg\": [0.42, 0.37, 0.0], \"sw_ident\": "
                          "\"c-celery\", \"sw_ver\": \"1.0\", \"sw_sys\": "
                          "\"Linux\", " TAIL("worker-heartbeat"));
    worker.brief = true;
    worker.freq = 5;
    celery_buf_clear(&buf);
    celery_event_worker(&buf, &base, &worker);
    ASSERT_BUF(&buf, HEAD "\"freq\": 5, \"sw_ident\": \"c-celery\", "
                          "\"sw_ver\": \"1.0\", \"sw_sys\": "
                          "\"Linux\", " TAIL("worker-heartbeat"));
}
END_TEST

START_TEST(received_events)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_message message = {
        .protocol = 2,
        .task = text("t"),
        .id = text("i"),
        .root_id = text("i"),
        .argsrepr = text("(2, 3)"),
        .kwargsrepr = text("{}"),
        .args = json("[2]"),
        .kwargs = json("{\"k\": 1}"),
        .retries = 1,
        .eta_us = 1795469808274203,
        .eta_text = text("2026-11-24T03:06:48.274203+05:30"),
        .expires_us = 1795469808000000,
        .expires_text = text("2026-11-23T21:36:48Z"),
    };

    celery_event_received(&buf, &base, &message);
    ASSERT_BUF(&buf, TASK
               "\"name\": \"t\", \"args\": \"(2, 3)\", \"kwargs\": "
               "\"{}\", \"root_id\": \"i\", \"parent_id\": null, "
               "\"retries\": 1, \"eta\": "
               "\"2026-11-24T03:06:48.274203+05:30\", \"expires\": "
               "\"2026-11-23T21:36:48.000000+00:00\", " TAIL("task-received"));
    message.protocol = 1;
    message.shadow = text("s");
    message.argsrepr = message.kwargsrepr = text("");
    message.eta_us = message.expires_us = CELERY_TIME_NONE;
    celery_buf_clear(&buf);
    celery_event_received(&buf, &base, &message);
    ASSERT_BUF(&buf, TASK "\"name\": \"s\", \"args\": \"[2]\", \"kwargs\": "
                          "\"{'k': 1}\", \"root_id\": \"i\", \"parent_id\": "
                          "null, \"retries\": 1, \"eta\": null, \"expires\": "
                          "null, " TAIL("task-received"));
}
END_TEST

START_TEST(outcome_events)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_str id = text("i");

    celery_event_started(&buf, &base, id);
    ASSERT_BUF(&buf, TASK TAIL("task-started"));
    celery_buf_clear(&buf);
    celery_event_succeeded(&buf, &base, id, json("\"a\""), 0.5);
    ASSERT_BUF(&buf, TASK "\"result\": \"'a'\", \"runtime\": 0.5, " TAIL(
                         "task-succeeded"));
    celery_buf_clear(&buf);
    celery_event_failed(&buf, &base, "task-retried", id, text("E('x')"),
                        text("tb\n"));
    ASSERT_BUF(&buf, TASK "\"exception\": \"E('x')\", \"traceback\": "
                          "\"tb\\n\", " TAIL("task-retried"));
    celery_buf_clear(&buf);
    celery_event_failed(&buf, &base, "task-failed", id,
                        text("NotRegistered('x')"), text(""));
    ASSERT_BUF(&buf, TASK
               "\"exception\": \"NotRegistered('x')\", " TAIL("task-failed"));
    celery_buf_clear(&buf);
    celery_event_revoked(&buf, &base, id, true, 15, false);
    ASSERT_BUF(&buf, TASK "\"terminated\": true, \"signum\": 15, \"expired\": "
                          "false, " TAIL("task-revoked"));
    celery_buf_clear(&buf);
    celery_event_revoked(&buf, &base, id, false, 0, true);
    ASSERT_BUF(&buf, TASK "\"terminated\": false, \"signum\": null, "
                          "\"expired\": true, " TAIL("task-revoked"));
    celery_buf_clear(&buf);
    celery_event_rejected(&buf, &base, id, true);
    ASSERT_BUF(&buf, TASK "\"requeue\": true, " TAIL("task-rejected"));
}
END_TEST

START_TEST(sent_events)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    const struct celery_task_out task = {
        .task = "t",
        .id = "i",
        .args = text("[2, 3]"),
        .eta_us = 1795469808274203,
        .routing_key = "q",
    };

    celery_event_sent(&buf, &base, &task);
    ASSERT_BUF(&buf,
               TASK "\"root_id\": \"i\", \"parent_id\": null, \"name\": \"t\", "
                    "\"args\": \"(2, 3)\", \"kwargs\": \"{}\", \"retries\": 0, "
                    "\"eta\": \"2026-11-23T21:36:48.274203+00:00\", "
                    "\"expires\": null, \"queue\": \"q\", \"exchange\": \"\", "
                    "\"routing_key\": \"q\", " TAIL("task-sent"));
}
END_TEST

START_TEST(routing_keys)
{
    char key[64];

    celery_event_routing_key("task-received", key);
    ck_assert_str_eq(key, "task.received");
    celery_event_routing_key("worker-elect-ack", key);
    ck_assert_str_eq(key, "worker.elect.ack");
    celery_event_routing_key(
        "0123456789012345678901234567890123456789012345678901234567890123456",
        key);
    ck_assert_uint_eq(strlen(key), 63);
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;
    struct celery_json value = json("[\"x\"]");

    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_event_succeeded(&buf, &base, text("i"), value, 0.5);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
    const struct celery_message message = {
        .protocol = 2,
        .task = text("t"),
        .id = text("i"),
        .args = json("[\"\\u0041\", {\"a\": 1}]"),
        .kwargs = json("{\"\\u0041\": [1]}"),
        .eta_text = text("2026-11-24T05:17:54Z"),
        .eta_us = 1,
    };
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_event_received(&buf, &base, &message);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
    const struct celery_task_out task = {
        .task = "t",
        .id = "i",
        .args = text("[\"\\u0041\", {\"a\": 1}]"),
        .kwargs = text("{\"\\u0041\": [1]}"),
        .eta_us = 1,
    };
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_event_sent(&buf, &base, &task);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("event", worker_events, received_events, outcome_events, sent_events,
          routing_keys, survives_out_of_memory)
