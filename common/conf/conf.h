/* SPDX-License-Identifier: MIT */
/*
 * Settings from the environment and the command line. A program gives its table;
 * the parser, the checks, --help and --check-config come from it. The command
 * line wins over the environment; a setting that can hold a secret may come from
 * the file that NAME_FILE names. Errors name the variable, the value and what is
 * accepted.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "celery/error.h"

enum conf_type {
    CONF_TEXT,
    CONF_INT,     /* min … max */
    CONF_SECONDS, /* a decimal number, min … max */
    CONF_BOOL,    /* 1 0 true false yes no on off */
    CONF_CHOICE,  /* one of choices, separated by '|' */
    CONF_FLAG,    /* an option without a value; in the environment a bool */
};

struct conf_setting {
    const char *env;    /* "CELERY_BROKER_URL"; NULL: only an option */
    const char *alias;  /* a second environment name, or NULL */
    const char *option; /* long option without dashes, or NULL (secrets) */
    char letter;        /* short option, or 0 */
    enum conf_type type;
    const char *fallback; /* NULL: unset */
    const char *choices;
    double min;
    double max;
    bool secret; /* never shown; has a NAME_FILE form */
    bool file;   /* may hold a secret, as a URL does: has a NAME_FILE form */
    const char *help;
};

struct conf;

/* Reads everything. Options end at the first word that is no option; those
 * words are conf_rest(). --help and --version are the caller's: they are
 * settings of type CONF_FLAG like others. A secret or a URL with a password in
 * argv is overwritten there. */
enum celery_status conf_load(const struct conf_setting *settings, size_t count,
                             int argc, char **argv, struct conf **ret,
                             struct celery_error *err) CELERY_MUST_CHECK;
void conf_free(struct conf *conf);

/* The same settings with those that came from files read again and checked; the
 * rest is copied. conf stays as it is, so that a wrong file changes nothing.
 * thread: any, conf is only read. */
enum celery_status conf_reload(const struct conf *conf, struct conf **ret,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* By the setting's env name, or its option name when it has none. Asking for a
 * name that is not in the table aborts. Texts are borrowed from conf. */
const char *conf_text(const struct conf *conf, const char *name); /* or NULL */
int64_t conf_int(const struct conf *conf, const char *name);
double conf_seconds(const struct conf *conf, const char *name);
bool conf_bool(const struct conf *conf, const char *name);
bool conf_is_set(const struct conf *conf, const char *name);

/* The words after the options: argv-style, *ret_count of them. */
char **conf_rest(const struct conf *conf, size_t *ret_count);

/* Prints the table as --help shows it. */
void conf_help(const struct conf_setting *settings, size_t count, FILE *out);

/* Prints NAME=value lines, secrets and passwords in URLs masked. */
void conf_print(const struct conf *conf, FILE *out);

#endif /* CONF_CONF_H */
