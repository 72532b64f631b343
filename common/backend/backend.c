/* SPDX-License-Identifier: MIT */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend_driver.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "celery/result.h"

/* Adding a result store is a row here. */
static const struct backend_driver *const drivers[] = {
    &redis_backend_driver,
    &file_backend_driver,
    &rpc_backend_driver,
};

enum celery_status backend_open(const struct backend_options *options,
                                struct backend **ret, struct celery_error *err)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (!url_has_scheme(options->url, drivers[i]->schemes))
            continue;
        enum celery_status st = drivers[i]->open(options, ret, err);
        if (st != CELERY_OK)
            return st;
        (*ret)->driver = drivers[i];
        if (drivers[i]->compresses && options->compression != NULL
            && *options->compression != '\0')
            (*ret)->compression = xstrdup(options->compression);
        return CELERY_OK;
    }
    char *masked = url_masked(options->url);
    enum celery_status st = celery_fail(
        err, CELERY_INVALID,
        "result backend '%.80s' is not accepted; accepted: redis://, "
        "rediss://, redis+socket://, sentinel://, file:///folder, rpc://",
        masked);
    free(masked);
    return st;
}

void backend_close(struct backend *backend)
{
    if (backend == NULL)
        return;
    free(backend->compression);
    backend->driver->close(backend);
}

bool backend_compresses(const struct backend *backend)
{
    return backend->compression != NULL;
}

/* What cannot be compressed is stored as it is: it can be read all the same. */
static void compress_item(const struct backend *backend,
                          struct backend_item *item, struct celery_buf *buf)
{
    if (celery_result_compress(item->document, backend->compression, buf, NULL)
        == CELERY_OK)
        item->document = celery_buf_str(buf);
}

static enum celery_status store_compressed(struct backend *backend,
                                           const struct backend_item *items,
                                           size_t count,
                                           struct celery_error *err)
{
    struct backend_item *packed = xcalloc(count, sizeof *packed);
    struct celery_buf *bufs = xcalloc(count, sizeof *bufs);
    for (size_t i = 0; i < count; i++) {
        packed[i] = items[i];
        bufs[i] = CELERY_BUF_INIT;
        compress_item(backend, &packed[i], &bufs[i]);
    }
    enum celery_status st = backend->driver->store(backend, packed, count, err);
    for (size_t i = 0; i < count; i++)
        celery_buf_done(&bufs[i]);
    free(bufs);
    free(packed);
    return st;
}

enum celery_status backend_store(struct backend *backend,
                                 const struct backend_item *items, size_t count,
                                 struct celery_error *err)
{
    if (backend->compression != NULL && count > 0)
        return store_compressed(backend, items, count, err);
    return backend->driver->store(backend, items, count, err);
}

enum celery_status backend_get(struct backend *backend, const char *task_id,
                               struct celery_buf *ret_document, bool *ret_found,
                               struct celery_error *err)
{
    return backend->driver->get(backend, task_id, ret_document, ret_found, err);
}

static void copy_state(struct celery_str state, char ret[BACKEND_STATE_MAX])
{
    if (state.len >= BACKEND_STATE_MAX)
        return;
    memcpy(ret, state.data, state.len);
    ret[state.len] = '\0';
}

void backend_state(struct celery_str document, char ret[BACKEND_STATE_MAX])
{
    /* Python writes "status" first: the rest need not be looked at. */
    static const char head[] = "{\"status\": \"";
    size_t skip = sizeof head - 1;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_result result;
    ret[0] = '\0';
    if (document.len > skip && memcmp(document.data, head, skip) == 0) {
        const char *state = document.data + skip;
        const char *end = memchr(state, '"', document.len - skip);
        if (end != NULL)
            copy_state((struct celery_str){state, (size_t)(end - state)}, ret);
    } else if (document.len > 0 && *document.data == '\0'
               && celery_result_decode(document, NULL, &arena, &result, NULL)
                      == CELERY_OK) {
        copy_state(result.status, ret);
    }
    celery_arena_done(&arena);
}

bool backend_may_store(const struct backend_item *item, const char *state)
{
    if (item->if_unknown)
        return *state == '\0' || strcmp(state, "PENDING") == 0
            || strcmp(state, "RECEIVED") == 0 || strcmp(state, "RETRY") == 0
            || strcmp(state, "REJECTED") == 0;
    return strcmp(state, "SUCCESS") != 0;
}
