/* SPDX-License-Identifier: MIT */
/*
 * A worker: register tasks, then hand over to celery_worker_main(), which reads
 * the settings, connects and runs until it is told to stop.
 */
#ifndef CELERY_WORKER_H
#define CELERY_WORKER_H

#include <stdbool.h>

#include "celery/error.h"
#include "celery/task.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_app;

/* name is the program's, for messages: "celeryc", "cricalgo-worker". Copied. */
CELERY_API struct celery_app *celery_app_new(const char *name);
CELERY_API void celery_app_free(struct celery_app *app);

/* Adds a task; the struct is copied. CELERY_CONFLICT: the name is taken;
 * CELERY_INVALID: no name or not exactly one function. Before
 * celery_worker_main() only. */
CELERY_API enum celery_status celery_app_register(
    struct celery_app *app, const struct celery_task *task,
    struct celery_error *err) CELERY_MUST_CHECK;

/* What -Q, --prefetch-multiplier and -E say unless the command line, the
 * environment or nobody does. NULL and 0 leave Celery's default. */
struct celery_worker_defaults {
    const char *queues;
    int prefetch_multiplier;
};
CELERY_API void celery_app_defaults(
    struct celery_app *app, const struct celery_worker_defaults *defaults);

/* Hooks of a program around the worker's life, all optional, all in the main
 * thread. */
struct celery_worker_hooks {
    /* After the settings are read and signals are blocked, before anything
     * connects. An error ends the worker with status 1 (2 for CELERY_INVALID). */
    enum celery_status (*start)(void *arg, struct celery_error *err);
    /* After the last task ended. */
    void (*stop)(void *arg);
    /* Ready to work? For /readyz; called in an HTTP thread. */
    bool (*ready)(void *arg, struct celery_error *err);
    void *arg;
};
CELERY_API void celery_app_hooks(struct celery_app *app,
                                 const struct celery_worker_hooks *hooks);

/* Runs a worker with the options of `celery worker` and the settings of the
 * environment; a leading word "worker" is accepted. Returns the exit status: 0
 * after a warm shutdown, 1 after a failure, 2 for a wrong setting. */
CELERY_API int celery_worker_main(struct celery_app *app, int argc,
                                  char **argv);

/* What a task module defines and `celeryc worker -A module.so` calls once, before
 * anything connects and before any thread starts: it registers its tasks. */
CELERY_API enum celery_status celery_module_init(struct celery_app *app,
                                                 struct celery_error *err);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_WORKER_H */
