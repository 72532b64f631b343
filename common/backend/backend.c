/* SPDX-License-Identifier: MIT */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend_driver.h"
#include "base/url.h"

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
        if (st == CELERY_OK)
            (*ret)->driver = drivers[i];
        return st;
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
    if (backend != NULL)
        backend->driver->close(backend);
}

enum celery_status backend_store(struct backend *backend,
                                 const struct backend_item *items, size_t count,
                                 struct celery_error *err)
{
    return backend->driver->store(backend, items, count, err);
}

enum celery_status backend_get(struct backend *backend, const char *task_id,
                               struct celery_buf *ret_document, bool *ret_found,
                               struct celery_error *err)
{
    return backend->driver->get(backend, task_id, ret_document, ret_found, err);
}

struct celery_str backend_state(struct celery_str document)
{
    static const char head[] = "{\"status\": \"";
    size_t skip = sizeof head - 1;
    struct celery_str none = {"", 0};
    if (document.len <= skip || memcmp(document.data, head, skip) != 0)
        return none;
    const char *end = memchr(document.data + skip, '"', document.len - skip);
    if (end == NULL)
        return none;
    return (struct celery_str){document.data + skip,
                               (size_t)(end - document.data) - skip};
}

static bool is(struct celery_str state, const char *text)
{
    return state.len == strlen(text)
        && memcmp(state.data, text, state.len) == 0;
}

bool backend_may_store(const struct backend_item *item, struct celery_str state)
{
    if (item->if_unknown)
        return state.len == 0 || is(state, "PENDING") || is(state, "RECEIVED")
            || is(state, "RETRY") || is(state, "REJECTED");
    return !is(state, "SUCCESS");
}
