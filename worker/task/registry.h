/* SPDX-License-Identifier: MIT */
/*
 * Task names to functions, sorted. Filled before the worker starts, read-only
 * after: no lock.
 */
#ifndef TASK_REGISTRY_H
#define TASK_REGISTRY_H

#include <stddef.h>

#include "celery/task.h"
#include "celery/worker.h"

struct registry {
    struct celery_task *tasks; /* by name; names are owned */
    size_t count;
};

struct celery_app {
    char *name;
    struct registry registry;
    char *default_queues; /* NULL: Celery's */
    int default_prefetch_multiplier;
    struct celery_worker_hooks hooks;
};

/* NULL when no task has this name. */
const struct celery_task *registry_find(const struct registry *registry,
                                        struct celery_str name);

#endif /* TASK_REGISTRY_H */
