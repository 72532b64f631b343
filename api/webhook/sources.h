/* SPDX-License-Identifier: MIT */
/*
 * All sources of webhooks: the chains of WEBHOOK_CHAINS, each at its own path
 * with WEBHOOK_SECRET_<CHAIN> or WEBHOOK_SECRET, and those of
 * WEBHOOK_SOURCES_FILE.
 */
#ifndef WEBHOOK_SOURCES_H
#define WEBHOOK_SOURCES_H

#include <stdio.h>

#include "conf/conf.h"
#include "webhook/source.h"

enum { SOURCES_MAX = 2 * CHAINS_MAX };

struct sources {
    struct chains chains;
    struct webhook_source *list; /* owned, room for SOURCES_MAX */
    size_t count;
};

/* Nothing of conf is borrowed. CELERY_INVALID names the variable, or the place
 * in the file. */
enum celery_status sources_read(const struct conf *conf, struct sources **ret,
                                struct celery_error *err) CELERY_MUST_CHECK;
void sources_free(struct sources *sources);

/* A comment line for each path: its chains, how many secrets it has, what it asks
 * of a body. No secret is among it. */
void sources_print(const struct sources *sources, FILE *out);

/* The one whose path it is, or NULL. Borrowed; its rate limit changes. */
struct webhook_source *sources_find(struct sources *sources,
                                    struct celery_str path);

/* A source of that name, or NULL. */
struct webhook_source *sources_named(struct sources *sources, const char *name);

/* Adds what the file lists; path is for the errors. sources_file.c */
enum celery_status sources_file_read(struct sources *sources, const char *path,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* A new, empty source at the end of the list, or NULL when it is full. */
struct webhook_source *sources_add(struct sources *sources);

#endif /* WEBHOOK_SOURCES_H */
