/* SPDX-License-Identifier: MIT */
/*
 * What a result store implements. A driver's own struct starts with a struct
 * backend.
 */
#ifndef BACKEND_BACKEND_DRIVER_H
#define BACKEND_BACKEND_DRIVER_H

#include "backend/backend.h"

struct backend_driver {
    const char *const *schemes; /* ends with NULL */
    bool compresses; /* celery/backends: supports_result_compression */
    enum celery_status (*open)(const struct backend_options *options,
                               struct backend **ret, struct celery_error *err);
    void (*close)(struct backend *backend);
    enum celery_status (*store)(struct backend *backend,
                                const struct backend_item *items, size_t count,
                                struct celery_error *err);
    enum celery_status (*get)(struct backend *backend, const char *task_id,
                              struct celery_buf *ret_document, bool *ret_found,
                              struct celery_error *err);
};

struct backend {
    const struct backend_driver *driver;
    char *compression; /* NULL: none */
};

enum { BACKEND_STATE_MAX = 32 };

/* The state in a stored document, compressed or not. Empty when it is none of
 * ours or Python's. */
void backend_state(struct celery_str document, char ret[BACKEND_STATE_MAX]);

/* May item overwrite what is stored (state empty: nothing is)? Source:
 * celery/backends/base.py _store_result, celery/worker/control.py _revoke. */
bool backend_may_store(const struct backend_item *item, const char *state);

extern const struct backend_driver redis_backend_driver;
extern const struct backend_driver file_backend_driver;
extern const struct backend_driver rpc_backend_driver;

#endif /* BACKEND_BACKEND_DRIVER_H */
