/* SPDX-License-Identifier: MIT */
/*
 * celeryc worker -A module.so: loads tasks from a shared object. What is loaded
 * runs with our rights, so it must be a file that only we or root can write.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "celery/worker.h"
#include "cli/commands.h"

static enum celery_status check_file(const char *path, struct celery_error *err)
{
    struct stat info = {0};
    if (stat(path, &info) != 0)
        return celery_fail(err, CELERY_INVALID, "module %.100s: %s", path,
                           strerrordesc_np(errno));
    if (!S_ISREG(info.st_mode))
        return celery_fail(err, CELERY_INVALID, "module %.100s is no file",
                           path);
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return celery_fail(
            err, CELERY_INVALID,
            "module %.100s belongs to user %u; accepted: ours or "
            "root's",
            path, (unsigned)info.st_uid);
    if ((info.st_mode & S_IWOTH) != 0)
        return celery_fail(err, CELERY_INVALID,
                           "module %.100s can be written by everybody", path);
    return CELERY_OK;
}

static enum celery_status load_module(struct celery_app *app, const char *name,
                                      struct celery_error *err)
{
    char *path = realpath(name, NULL);
    if (path == NULL)
        return celery_fail(err, CELERY_INVALID, "module %.100s: %s", name,
                           strerrordesc_np(errno));
    enum celery_status st = check_file(path, err);
    void *module = st == CELERY_OK ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (st == CELERY_OK && module == NULL)
        st = celery_fail(
            err, CELERY_INVALID, "cannot load %.80s: %.100s", path,
            dlerror()); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (st == CELERY_OK) {
        enum celery_status (*init)(struct celery_app *, struct celery_error *) =
            NULL;
        /* The one conversion that POSIX asks for and ISO C lacks. */
        *(void **)(&init) = dlsym(module, "celery_module_init");
        st = init != NULL
               ? init(app, err)
               : celery_fail(err, CELERY_INVALID,
                             "%.100s exports no celery_module_init", path);
    }
    free(path);
    return st; /* the module stays loaded as long as the process */
}

/* -A NAME, -ANAME, --app NAME, --app=NAME: taken out of argv. */
static const char *take_module(int *argc, char **argv)
{
    for (int i = 1; i < *argc && argv[i] != NULL; i++) {
        const char *value = NULL;
        int used = 1;
        if (strncmp(argv[i], "--app=", 6) == 0) {
            value = argv[i] + 6;
        } else if (strncmp(argv[i], "-A", 2) == 0 && argv[i][2] != '\0') {
            value = argv[i] + 2;
        } else if ((strcmp(argv[i], "-A") == 0 || strcmp(argv[i], "--app") == 0)
                   && i + 1 < *argc) {
            value = argv[i + 1];
            used = 2;
        }
        if (value == NULL)
            continue;
        memmove(argv + i, argv + i + used,
                (size_t)(*argc - i - used + 1) * sizeof argv[0]);
        *argc -= used;
        return value;
    }
    return NULL;
}

/* Options that end the program before any task could be run. */
static bool only_asks(int argc, char **argv)
{
    static const char *const words[] = {"--help", "-h", "--version",
                                        "--check-config"};
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
            if (strcmp(argv[i], words[k]) == 0)
                return true;
        }
    }
    return false;
}

/* A worker without tasks would make dead letters of a whole queue. */
static enum celery_status load(struct celery_app *app, const char *module,
                               bool needed, struct celery_error *err)
{
    if (module != NULL)
        return load_module(app, module, err);
    if (!needed)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "worker needs the module whose tasks it runs: "
                       "celeryc worker -A ./module.so");
}

int cli_worker(int argc, char **argv)
{
    struct celery_error err = {0};
    const char *module = take_module(&argc, argv);
    struct celery_app *app = celery_app_new("celeryc");
    int status = CLI_EXIT_USAGE;
    if (load(app, module, !only_asks(argc, argv), &err) != CELERY_OK)
        (void)fprintf(stderr, "celeryc: %s\n", err.msg);
    else
        status = celery_worker_main(app, argc, argv);
    celery_app_free(app);
    return status;
}
