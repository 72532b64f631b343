/* SPDX-License-Identifier: MIT */
/*
 * Where results are kept. One driver a store behind the table in backend.c. A
 * backend belongs to one thread; no call blocks past its timeout. CELERY_IO,
 * CLOSED and TIMEOUT: try again, storing twice is harmless.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/buf.h"
#include "celery/error.h"

struct backend;

struct backend_options {
    const char *url; /* redis://…, file:///folder, rpc:// */
    const char
        *transport_options;     /* result_backend_transport_options or NULL */
    const char *broker_url;     /* rpc:// sends results there; or NULL */
    const char *broker_options; /* broker_transport_options, or NULL */
    const char *compression;    /* result_compression, or NULL */
    double expires_s;           /* result_expires; 0: never */
    double timeout_s;           /* 0: 5 s */
};

struct backend_item {
    const char *task_id;
    struct celery_str document;
    /* The message's, for rpc://; without reply_to nobody waits. */
    struct celery_str reply_to;
    struct celery_str correlation_id;
    bool
        if_unknown; /* only when nothing, RECEIVED, RETRY or REJECTED is stored:
                        what the revoke command may overwrite */
};

enum celery_status backend_open(const struct backend_options *options,
                                struct backend **ret, struct celery_error *err)
    CELERY_MUST_CHECK; /* checks the URL; does not connect */
void backend_close(struct backend *backend);

/* Are documents compressed? Not where the driver cannot hold such. */
bool backend_compresses(const struct backend *backend);

/* Stores all; a stored SUCCESS is never overwritten. */
enum celery_status backend_store(struct backend *backend,
                                 const struct backend_item *items, size_t count,
                                 struct celery_error *err) CELERY_MUST_CHECK;

/* Appends the stored document; *ret_found false: nothing is stored. */
enum celery_status backend_get(struct backend *backend, const char *task_id,
                               struct celery_buf *ret_document, bool *ret_found,
                               struct celery_error *err) CELERY_MUST_CHECK;

#endif /* BACKEND_BACKEND_H */
