/* SPDX-License-Identifier: MIT */
#include "broker/deliveries.h"

#include <stdio.h>
#include <string.h>

unsigned broker_deliveries(struct celery_json headers)
{
    /* The second is RabbitMQ's own, of the quorum queue that it is in now. */
    static const char *const names[] = {BROKER_DELIVERIES_HEADER,
                                        "x-delivery-count"};
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t one = 0;
        if (celery_json_int64(celery_json_get(headers, names[i]), &one)
            && one > 0)
            count += (uint64_t)one;
    }
    return count < BROKER_DELIVERIES_MOST ? (unsigned)count
                                          : BROKER_DELIVERIES_MOST;
}

static struct celery_str between(const char *from, const char *to)
{
    return (struct celery_str){from, (size_t)(to - from)};
}

/* Writes whole with the slice old in it replaced by text. */
static void put_replaced(struct celery_buf *buf, struct celery_str whole,
                         struct celery_str old, const char *text)
{
    celery_buf_append(buf, between(whole.data, old.data));
    celery_buf_append(buf, (struct celery_str){text, strlen(text)});
    celery_buf_append(buf, between(old.data + old.len, whole.data + whole.len));
}

/* The empty slice behind an object's brace. */
static struct celery_str first_place(struct celery_json object)
{
    return (struct celery_str){object.text.data + 1, 0};
}

void broker_deliveries_put(struct celery_buf *buf, struct celery_json envelope,
                           unsigned count)
{
    struct celery_json headers = celery_json_get(envelope, "headers");
    struct celery_json old = celery_json_get(headers, BROKER_DELIVERIES_HEADER);
    struct celery_str place = first_place(envelope);
    char text[64];

    if (old.type != CELERY_JSON_NONE) {
        place = old.text;
        (void)snprintf(text, sizeof text, "%u", count);
    } else if (headers.type == CELERY_JSON_OBJECT) {
        place = first_place(headers);
        (void)snprintf(text, sizeof text,
                       "\"" BROKER_DELIVERIES_HEADER "\": %u%s", count,
                       celery_json_count(headers) > 0 ? ", " : "");
    } else if (headers.type
               != CELERY_JSON_NONE) { /* null, or no headers at all */
        place = headers.text;
        (void)snprintf(text, sizeof text,
                       "{\"" BROKER_DELIVERIES_HEADER "\": %u}", count);
    } else {
        (void)snprintf(text, sizeof text,
                       "\"headers\": {\"" BROKER_DELIVERIES_HEADER "\": %u}%s",
                       count, celery_json_count(envelope) > 0 ? ", " : "");
    }
    put_replaced(buf, envelope.text, place, text);
}
