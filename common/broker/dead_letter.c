/* SPDX-License-Identifier: MIT */
#include "broker/dead_letter.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "broker/deliveries.h"
#include "celery/json_scan.h"
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

void broker_dead_parse(struct celery_str entry, struct celery_str *ret_facts,
                       struct celery_str *ret_message)
{
    const char *end = memchr(entry.data, '\n', entry.len);
    struct celery_json facts;
    *ret_facts = (struct celery_str){NULL, 0};
    *ret_message = entry;
    if (end == NULL)
        return;
    struct celery_str line = {entry.data, (size_t)(end - entry.data)};
    if (celery_json_parse(line, NULL, &facts, NULL) != CELERY_OK
        || celery_json_get(facts, "x-dead-reason").type == CELERY_JSON_NONE)
        return;
    *ret_facts = line;
    *ret_message = (struct celery_str){end + 1, entry.len - line.len - 1};
}

void broker_dead_revive(struct celery_buf *buf, struct celery_str message)
{
    struct celery_json envelope;
    if (celery_json_parse(message, NULL, &envelope, NULL) == CELERY_OK
        && envelope.type == CELERY_JSON_OBJECT
        && broker_deliveries(celery_json_get(envelope, "headers")) > 0)
        broker_deliveries_put(buf, envelope, 0);
    else
        celery_buf_append(buf, message);
}
