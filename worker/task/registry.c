/* SPDX-License-Identifier: MIT */
#include "task/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

struct celery_app *celery_app_new(const char *name)
{
    struct celery_app *app = xcalloc(1, sizeof *app);
    app->name = xstrdup(name);
    return app;
}

void celery_app_free(struct celery_app *app)
{
    if (app == NULL)
        return;
    for (size_t i = 0; i < app->registry.count; i++) {
        /* Our own copy; the struct is the user's and says const.
         * NOLINTNEXTLINE(performance-no-int-to-ptr) */
        free((void *)(uintptr_t)app->registry.tasks[i].name);
    }
    free(app->registry.tasks);
    free(app->default_queues);
    free(app->name);
    free(app);
}

static int compare(const char *name, struct celery_str key)
{
    size_t len = strlen(name);
    int order = memcmp(name, key.data, len < key.len ? len : key.len);
    if (order != 0)
        return order;
    return (len > key.len) - (len < key.len);
}

/* The first task whose name is not below key. */
static size_t lower_bound(const struct registry *registry,
                          struct celery_str key)
{
    size_t low = 0;
    size_t high = registry->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(registry->tasks[middle].name, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct celery_task *registry_find(const struct registry *registry,
                                        struct celery_str name)
{
    size_t at = lower_bound(registry, name);
    if (at < registry->count && compare(registry->tasks[at].name, name) == 0)
        return &registry->tasks[at];
    return NULL;
}

enum celery_status celery_app_register(struct celery_app *app,
                                       const struct celery_task *task,
                                       struct celery_error *err)
{
    if (task->name == NULL || *task->name == '\0')
        return celery_fail(err, CELERY_INVALID, "a task needs a name");
    if ((task->run == NULL) == (task->run_batch == NULL))
        return celery_fail(err, CELERY_INVALID,
                           "task %.100s needs one of run and run_batch",
                           task->name);
    struct celery_str key = {task->name, strlen(task->name)};
    if (registry_find(&app->registry, key) != NULL)
        return celery_fail(err, CELERY_CONFLICT,
                           "task %.100s is registered already", task->name);

    struct registry *r = &app->registry;
    size_t at = lower_bound(r, key);
    r->tasks = xrealloc(r->tasks, (r->count + 1) * sizeof r->tasks[0]);
    memmove(r->tasks + at + 1, r->tasks + at,
            (r->count - at) * sizeof r->tasks[0]);
    r->tasks[at] = *task;
    r->tasks[at].name = xstrdup(task->name);
    r->count++;
    return CELERY_OK;
}

void celery_app_defaults(struct celery_app *app,
                         const struct celery_worker_defaults *defaults)
{
    free(app->default_queues);
    app->default_queues =
        defaults->queues != NULL ? xstrdup(defaults->queues) : NULL;
    app->default_prefetch_multiplier = defaults->prefetch_multiplier;
}

void celery_app_hooks(struct celery_app *app,
                      const struct celery_worker_hooks *hooks)
{
    app->hooks = *hooks;
}
