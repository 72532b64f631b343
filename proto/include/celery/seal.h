/* SPDX-License-Identifier: MIT */
/*
 * Our signed envelope: a header that tells who published a task and that
 * nothing of what decides its run was changed. Celery's own "auth" serializer
 * signs bodies only, so that the name of the task can be swapped. Python
 * passes the header by.
 *
 * x-celery-c-signature: "v1:<key id>:<hex HMAC-SHA256>" over the key id, task,
 * id, eta, expires, retries, time limits, queue, content type, compression and
 * the body's bytes, each with its length in front.
 */
#ifndef CELERY_SEAL_H
#define CELERY_SEAL_H

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/content.h"
#include "celery/envelope.h"
#include "celery/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CELERY_SEAL_HEADER "x-celery-c-signature"

enum {
    CELERY_SEAL_KEYS_MAX = 8,
    CELERY_SEAL_ID_MAX = 64,
    CELERY_SEAL_KEY_MIN = 16, /* bytes of a key */
};

/* The first key signs, every one verifies: to rotate, put the new one behind
 * the old one everywhere, then in front, then drop the old one. */
struct celery_seal_keys {
    size_t count;
    struct {
        struct celery_str id;
        struct celery_str key;
    } keys[CELERY_SEAL_KEYS_MAX];
};

/* "id:key,id:key"; borrows from text. Ids are letters, digits, '.', '_', '-';
 * a key is at least 16 bytes without a comma. The error does not show keys. */
CELERY_API enum celery_status celery_seal_keys_parse(
    struct celery_str text, struct celery_seal_keys *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

/* Signs a message that celery_message_encode made: adds the header to headers.
 * queue: where it goes. */
CELERY_API enum celery_status celery_seal_sign(
    const struct celery_seal_keys *keys, struct celery_buf *headers,
    const struct celery_content *content, struct celery_str queue,
    struct celery_error *err) CELERY_MUST_CHECK;

enum celery_seal {
    CELERY_SEAL_GOOD,
    CELERY_SEAL_UNSIGNED, /* no header */
    CELERY_SEAL_BAD,      /* an unknown key or form, or another message */
};

/* Is the message from queue what a holder of one of the keys published there?
 * Takes the same time wherever the signatures differ. */
CELERY_API enum celery_status celery_seal_verify(
    const struct celery_seal_keys *keys, const struct celery_envelope *envelope,
    struct celery_str queue, struct celery_arena *arena, enum celery_seal *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_SEAL_H */
