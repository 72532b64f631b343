/* SPDX-License-Identifier: MIT */
#include "broker/dead_letter.h"

#include <stdio.h>

#include "base/clock.h"
#include "celery/json_write.h"

void broker_dead_entry(struct celery_buf *buf, const char *queue,
                       const char *reason, const char *detail,
                       struct celery_str raw)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    celery_json_begin_object(&w);
    celery_json_key(&w, "x-dead-reason");
    celery_json_put_text(&w, reason);
    celery_json_key(&w, "x-dead-queue");
    celery_json_put_text(&w, queue);
    celery_json_key(&w, "x-dead-at");
    celery_json_put_double(&w, (double)clock_wall_us() / USEC_PER_SEC);
    celery_json_key(&w, "x-dead-detail");
    celery_json_put_text(&w, detail);
    celery_json_end_object(&w);
    celery_buf_append(buf, CELERY_STR("\n"));
    celery_buf_append(buf, raw);
}

void broker_dead_poison(struct celery_buf *buf, const char *queue,
                        unsigned count, struct celery_str raw)
{
    char detail[64];
    (void)snprintf(detail, sizeof detail, "%u workers died while they had it",
                   count);
    broker_dead_entry(buf, queue, "poison", detail, raw);
}
