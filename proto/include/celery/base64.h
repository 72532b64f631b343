/* SPDX-License-Identifier: MIT */
/*
 * Base64, the standard alphabet with padding, as kombu's virtual transports
 * put bodies into envelopes. Source: RFC 4648 section 4, kombu Base64 codec.
 */
#ifndef CELERY_BASE64_H
#define CELERY_BASE64_H

#include "celery/arena.h"
#include "celery/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Strict: no white space, right padding. The bytes live in the arena. */
CELERY_API enum celery_status celery_base64_decode(struct celery_str text,
                                                   struct celery_arena *arena,
                                                   struct celery_str *ret_bytes)
    CELERY_MUST_CHECK;

CELERY_API void celery_base64_encode(struct celery_buf *buf,
                                     struct celery_str bytes);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_BASE64_H */
