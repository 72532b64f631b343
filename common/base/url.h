/* SPDX-License-Identifier: MIT */
/*
 * Broker, backend and database URLs in parts, the password apart so that no
 * log line shows it.
 */
#ifndef BASE_URL_H
#define BASE_URL_H

#include <stdbool.h>

#include "celery/error.h"

struct url {
    char *scheme;   /* lower case, "redis" */
    char *user;     /* percent-decoded; NULL: none */
    char *password; /* percent-decoded; NULL: none */
    char *host;     /* without brackets; NULL: none */
    int port;       /* 0: none */
    char *path;     /* percent-decoded, with its leading '/'; "" when absent */
    char *query;    /* as written, after the '?'; NULL: none */
};

/* Parses text. The error never shows the password. On success url_done() frees
 * the parts. */
enum celery_status url_parse(const char *text, struct url *ret,
                             struct celery_error *err) CELERY_MUST_CHECK;
void url_done(struct url *url);

/* The query parameter's value, percent-decoded, or NULL; the caller frees. */
char *url_query(const struct url *url, const char *name);

/* text with the password replaced by ********; the caller frees. Works on any
 * text: what is no URL comes back as it is. */
char *url_masked(const char *text);

/* Is the scheme of text one of schemes (which end with NULL), in any case? */
bool url_has_scheme(const char *text, const char *const *schemes);

/* For CLEANUP(): frees the text. */
void url_freep(char **text);

#endif /* BASE_URL_H */
