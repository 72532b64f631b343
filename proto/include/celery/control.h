/* SPDX-License-Identifier: MIT */
/*
 * Remote control: the requests that arrive in a worker's pidbox and the
 * replies to them. Source: kombu/pidbox.py, celery/worker/pidbox.py.
 */
#ifndef CELERY_CONTROL_H
#define CELERY_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/envelope.h"
#include "celery/error.h"
#include "celery/json_scan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_control_request {
    struct celery_str method;
    struct celery_json arguments;   /* object; NONE: no arguments */
    struct celery_json destination; /* array, string or NONE */
    struct celery_str pattern;
    struct celery_str matcher; /* "glob" or "pcre" */
    struct celery_str ticket;  /* empty: no reply is wanted */
    struct celery_str reply_exchange;
    struct celery_str reply_routing_key;
    int64_t clock;  /* header; 0 when absent */
    double expires; /* header; 0: never */
};

CELERY_API enum celery_status celery_control_decode(
    const struct celery_envelope *envelope, const struct celery_limits *limits,
    struct celery_arena *arena, struct celery_control_request *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

/* Is the request meant for this node? Destination first, then pattern and
 * matcher: glob as fnmatch(), pcre as re.match() as far as nothing has to be
 * tried again (see docs/protocol.md); what is beyond that matches nothing. */
CELERY_API bool celery_control_is_for(
    const struct celery_control_request *request, const char *nodename);

/* Appends the reply's envelope: body {nodename: reply}, headers ticket and
 * clock. reply is JSON text. */
CELERY_API void celery_control_reply(
    struct celery_buf *buf, const struct celery_control_request *request,
    const char *nodename, struct celery_str reply, int64_t clock,
    const char *delivery_tag);

/* Appends a broadcast request's envelope for exchange celery.pidbox. Without
 * ticket no reply is asked for. destination: JSON array text, or empty. */
struct celery_control_out {
    const char *method;
    struct celery_str arguments; /* JSON object text; empty: {} */
    struct celery_str destination;
    const char *ticket;
    const char *reply_routing_key; /* the client's oid */
    int64_t clock;
    double expires;
    const char *delivery_tag;
    const char *pattern; /* NULL: null */
    const char *matcher; /* "glob", "pcre"; NULL: null */
};
CELERY_API void celery_control_encode(struct celery_buf *buf,
                                      const struct celery_control_out *out);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_CONTROL_H */
