/* SPDX-License-Identifier: MIT */
/*
 * From a message's body bytes to a JSON document: decompress, check the
 * content type, convert msgpack. pickle and yaml are refused by name.
 * Source: kombu/serialization.py, kombu/message.py.
 */
#ifndef CELERY_CONTENT_H
#define CELERY_CONTENT_H

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/error.h"
#include "celery/json_scan.h"
#include "celery/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

/* accept_content: which content types a peer may send us. */
enum celery_accept {
    CELERY_ACCEPT_JSON = 1,
    CELERY_ACCEPT_MSGPACK = 2,
};

struct celery_content {
    struct celery_str type;        /* empty: none given */
    struct celery_str encoding;    /* empty: utf-8 */
    struct celery_str compression; /* header "compression"; empty: none */
    struct celery_str body;        /* as carried, after base64 */
};

/* The checked root of the body as JSON; all memory is in the arena or in
 * content.body. CELERY_UNSUPPORTED: a content type that accept (a set of enum
 * celery_accept) lacks; CELERY_MALFORMED, CELERY_TOO_LARGE: the bytes. */
CELERY_API enum celery_status celery_content_decode(
    const struct celery_content *content, unsigned accept,
    const struct celery_limits *limits, struct celery_arena *arena,
    struct celery_json *ret_root, struct celery_error *err) CELERY_MUST_CHECK;

/* JSON text to msgpack bytes, as kombu's msgpack serializer. */
CELERY_API enum celery_status celery_msgpack_encode(struct celery_json value,
                                                    struct celery_buf *buf,
                                                    struct celery_error *err)
    CELERY_MUST_CHECK;

/* msgpack bytes to JSON text, appended. */
CELERY_API enum celery_status celery_msgpack_decode(
    struct celery_str bytes, const struct celery_limits *limits,
    struct celery_buf *buf, struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_CONTENT_H */
