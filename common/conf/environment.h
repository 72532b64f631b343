/* SPDX-License-Identifier: MIT */
/*
 * One variable of the environment, or the file that NAME_FILE names in its
 * place. A wrong one is CELERY_INVALID with a text that names the variable and
 * what is accepted; a secret never stands in it.
 *
 * thread: any, as long as nobody changes the environment.
 */
#ifndef CONF_ENVIRONMENT_H
#define CONF_ENVIRONMENT_H

#include <stdbool.h>

#include "celery/error.h"

/* A file may hold this many bytes. */
enum { ENVIRONMENT_FILE_MAX = 65536, ENVIRONMENT_NAME_MAX = 128 };

/* The value of NAME, or with has_file what stands in the file that NAME_FILE
 * names. Both texts are the caller's; NULL: unset (an empty variable is unset),
 * or for the path: the value is the variable's own. Both variables set, or
 * NAME_FILE for a name that has none, is wrong. */
enum celery_status environment_read(const char *name, bool has_file,
                                    char **ret_text, char **ret_path,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* What stands in the file for NAME, without the line breaks at its end: editors
 * and `echo` add them. An empty file, one with a NUL and one beyond
 * ENVIRONMENT_FILE_MAX are refused. The caller frees. */
enum celery_status environment_read_file(const char *name, const char *path,
                                         char **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* CONF_ENVIRONMENT_H */
