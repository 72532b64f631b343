/* SPDX-License-Identifier: MIT */
#include "conf/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* NULL when it is unset or empty. */
static const char *variable(const char *name)
{
    /* Nobody changes the environment. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static enum celery_status fail_open(const char *name, const char *path,
                                    int error, struct celery_error *err)
{
    return celery_fail(err, CELERY_INVALID,
                       "%s_FILE='%.100s' cannot be read: %s", name, path,
                       strerrordesc_np(error));
}

static enum celery_status fail_content(const char *name, const char *path,
                                       struct celery_error *err)
{
    return celery_fail(err, CELERY_INVALID,
                       "%s_FILE='%.80s' is not accepted; accepted: a file of 1 "
                       "to %d bytes of text",
                       name, path, (int)ENVIRONMENT_FILE_MAX);
}

static void forget(char *text)
{
    explicit_bzero(text, ENVIRONMENT_FILE_MAX + 1);
    free(text);
}

enum celery_status environment_read_file(const char *name, const char *path,
                                         char **ret, struct celery_error *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return fail_open(name, path, errno, err);
    char *text = xmalloc(ENVIRONMENT_FILE_MAX + 1);
    /* Unbuffered: no copy of a secret stays in stdio's memory. */
    (void)setvbuf(f, NULL, _IONBF, 0);
    size_t len = fread(text, 1, ENVIRONMENT_FILE_MAX + 1, f);
    bool broken = ferror(f) != 0; /* a folder opens, and cannot be read */
    int error = errno;
    (void)fclose(f);
    if (broken) {
        forget(text);
        return fail_open(name, path, error, err);
    }
    bool fits = len <= ENVIRONMENT_FILE_MAX && memchr(text, '\0', len) == NULL;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (!fits || len == 0) {
        forget(text);
        return fail_content(name, path, err);
    }
    text[len] = '\0';
    *ret = text;
    return CELERY_OK;
}

enum celery_status environment_read(const char *name, bool has_file,
                                    char **ret_text, char **ret_path,
                                    struct celery_error *err)
{
    char file_name[ENVIRONMENT_NAME_MAX];
    (void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
    const char *value = variable(name);
    const char *path = variable(file_name);
    *ret_text = NULL;
    *ret_path = NULL;
    if (path != NULL && !has_file)
        return celery_fail(err, CELERY_INVALID,
                           "%s is not accepted: %s is no secret and comes from "
                           "no file; accepted: %s",
                           file_name, name, name);
    if (path != NULL && value != NULL)
        return celery_fail(err, CELERY_INVALID,
                           "%s and %s are both set; accepted: one of them",
                           name, file_name);
    if (path != NULL) {
        enum celery_status st =
            environment_read_file(name, path, ret_text, err);
        if (st == CELERY_OK)
            *ret_path = xstrdup(path);
        return st;
    }
    if (value != NULL)
        *ret_text = xstrdup(value);
    return CELERY_OK;
}
