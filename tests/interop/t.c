/* SPDX-License-Identifier: MIT */
/*
 * The tasks that the interoperability tests run on our worker; t.py has the same
 * ones for Python. Uses only installed headers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_CLOEXEC, writev() */
#endif
#include <celery/task.h>
#include <celery/worker.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void add(struct celery_request *req, void *data)
{
    int64_t x = 0;
    int64_t y = 0;
    int64_t sum = 0;
    (void)data;
    if (!celery_args_at_most(req, 2) || !celery_arg_int(req, 0, "x", &x)
        || !celery_arg_int(req, 1, "y", &y))
        return;
    if (__builtin_add_overflow(x, y, &sum))
        celery_raise(req, "OverflowError", NULL,
                     "the sum needs more than 64 bits");
    else
        celery_return_int(req, sum);
}

static void echo(struct celery_request *req, void *data)
{
    struct celery_json x;
    (void)data;
    if (celery_args_at_most(req, 1) && celery_arg(req, 0, "x", &x))
        celery_return_json(req, x.text);
}

static void boom(struct celery_request *req, void *data)
{
    struct celery_str message;
    (void)data;
    if (celery_arg_str(req, 0, "message", &message))
        celery_raise(req, "ValueError", NULL, "%.*s", (int)message.len,
                     message.data);
}

static void sleep_task(struct celery_request *req, void *data)
{
    double seconds = 0;
    (void)data;
    if (!celery_arg_double(req, 0, "seconds", &seconds))
        return;
    if (celery_sleep(req, seconds))
        celery_return_json(req, CELERY_STR("\"slept\""));
    else
        celery_raise(req, "SoftTimeLimitExceeded", "billiard.exceptions",
                     "cut short");
}

/* Fails times times, then succeeds with the number of retries. */
static void retry(struct celery_request *req, void *data)
{
    int64_t times = 0;
    int64_t done = celery_request_message(req)->retries;
    (void)data;
    if (!celery_arg_int(req, 0, "times", &times))
        return;
    if (done < times)
        celery_retry(req, 0.1, "ConnectionError", NULL, "try %lld of %lld",
                     (long long)done + 1, (long long)times);
    else
        celery_return_int(req, done);
}

/* Appends its id to the file of T_NOTES: what has run, whatever happens next. */
static void note(struct celery_request *req, void *data)
{
    struct celery_str id = celery_request_message(req)->id;
    const char *path = getenv("T_NOTES");
    struct iovec line[] = {{(void *)(uintptr_t)id.data, id.len},
                           {(char[]){'\n'}, 1}};
    (void)data;
    int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (fd < 0 || writev(fd, line, 2) != (ssize_t)id.len + 1)
        celery_raise(req, "OSError", NULL, "cannot note in T_NOTES");
    if (fd >= 0)
        (void)close(fd);
    const char *seconds = getenv("T_NOTE_SECONDS");
    (void)celery_sleep(req, seconds != NULL ? strtod(seconds, NULL) : 0.002);
}

static void reject(struct celery_request *req, void *data)
{
    double seconds = 0;
    (void)data;
    if (!celery_arg_double(req, 0, "seconds", &seconds))
        return;
    (void)celery_sleep(req, seconds);
    celery_reject(req, false, "not wanted");
}

/* Takes the whole worker along, as a broken module would. */
static void die(struct celery_request *req, void *data)
{
    (void)req;
    (void)data;
    (void)raise(SIGKILL);
}

static void noop(struct celery_request *req, void *data)
{
    (void)data;
    celery_return_json(req, CELERY_STR("null"));
}

/* Writes down that it starts, one line for each time, then sleeps. The file is the
 * Python workers' too: one write to its end is one line. */
static void mark(struct celery_request *req, void *data)
{
    char line[128];
    (void)data;
    const char *path = getenv("T_STARTS"); /* NOLINT(concurrency-mt-unsafe) */
    int fd = path != NULL
               ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
               : -1;
    (void)snprintf(line, sizeof line, "c %s\n", celery_request_id(req));
    bool written =
        fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    if (fd >= 0)
        (void)close(fd);
    if (!written)
        celery_raise(req, "OSError", NULL, "cannot write to T_STARTS");
    else
        sleep_task(req, data);
}

enum celery_status celery_module_init(struct celery_app *app,
                                      struct celery_error *err)
{
    static const struct celery_task tasks[] = {
        {.name = "t.add", .run = add},
        {.name = "t.echo", .run = echo},
        {.name = "t.boom", .run = boom},
        {.name = "t.sleep", .run = sleep_task},
        {.name = "t.reject", .run = reject, .acks_late = true},
        {.name = "t.retry", .run = retry},
        {.name = "t.noop", .run = noop},
        {.name = "t.late", .run = sleep_task, .acks_late = true},
        {.name = "t.mark", .run = mark},
        {.name = "t.die", .run = die, .acks_late = true},
        {.name = "t.note", .run = note, .acks_late = true},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        enum celery_status st = celery_app_register(app, &tasks[i], err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}
