/* SPDX-License-Identifier: MIT */
/*
 * kombu's virtual message: the JSON object that stands in a Redis list, in a
 * spool file or on a pub/sub channel. On RabbitMQ the same parts come from
 * the AMQP frame. Source: kombu/transport/virtual/base.py.
 */
#ifndef CELERY_ENVELOPE_H
#define CELERY_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/content.h"
#include "celery/error.h"
#include "celery/json_scan.h"
#include "celery/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cel_fields;

struct celery_envelope {
    struct celery_content content; /* compression is taken from headers */
    struct celery_json headers;    /* object; NONE when absent or null */
    struct celery_json properties; /* object, for what is not listed here */
    struct celery_str correlation_id;
    struct celery_str reply_to;
    struct celery_str exchange;
    struct celery_str routing_key;
    struct celery_str delivery_tag;
    int64_t priority; /* 0 when absent or no integer */
    bool redelivered;
    /* The decoder's note of where the headers are, for celery_message_decode;
     * NULL in an envelope that was put together by hand. */
    const struct cel_fields *fields;
};

/* Decodes raw; slices borrow from raw or live in the arena. Absent members are
 * empty, never an error; what is no JSON object, whose body is no string or no
 * base64 where the properties say so, is CELERY_MALFORMED. */
CELERY_API enum celery_status celery_envelope_decode(
    struct celery_str raw, const struct celery_limits *limits,
    struct celery_arena *arena, struct celery_envelope *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

/* What a message needs to become an envelope. */
struct celery_envelope_out {
    struct celery_str body;       /* bytes; written as base64 */
    const char *content_type;     /* "application/json" */
    const char *content_encoding; /* "utf-8" */
    struct celery_str headers;    /* JSON object text */
    const char *correlation_id;   /* NULL: the member is left out */
    const char *reply_to;         /* NULL: left out */
    const char *expiration;       /* NULL: left out; milliseconds as text */
    int delivery_mode;            /* 1 or 2 */
    int priority;
    const char *exchange; /* "" for the default exchange */
    const char *routing_key;
    const char *delivery_tag; /* a fresh UUID */
};

/* Appends the envelope with kombu's keys in kombu's order. */
CELERY_API void celery_envelope_encode(struct celery_buf *buf,
                                       const struct celery_envelope_out *out);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_ENVELOPE_H */
