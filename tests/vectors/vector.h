/* SPDX-License-Identifier: MIT */
/*
 * A recorded line, and what the checks of its kinds share.
 */
#ifndef VECTORS_VECTOR_H
#define VECTORS_VECTOR_H

#include <stdlib.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/error.h"
#include "celery/json_scan.h"

struct vector {
    const char *file;
    long line;
    bool as_ours; /* a release that writes as we do: 5.7 and later */
    struct celery_str name;
    struct celery_str raw;
    struct celery_json meta;
};

typedef void (*vector_fn)(const struct vector *v, struct celery_arena *arena);

/* "5.7.0" and later: the recorded release decides, not the file's name. */
static inline bool vector_writes_as_we_do(const char *release)
{
    char *end = NULL;
    long major = strtol(release, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;

    return major > 5 || (major == 5 && minor >= 7);
}

/* Says what is wrong with the line; the program fails at its end. */
void vector_complain(const struct vector *v, const char *fmt, ...)
    CELERY_PRINTF(2, 3);

bool vector_same(struct celery_str a, struct celery_str b);
bool vector_starts(struct celery_str text, const char *with);

/* A string's text; "" for anything else. */
struct celery_str vector_text(struct celery_arena *arena,
                              struct celery_json value);

/* Decoded, encoded and decoded again. vector_tasks.c */
void vector_task(const struct vector *v, struct celery_arena *arena);
void vector_amqp_task(const struct vector *v, struct celery_arena *arena);
int vector_signatures_seen(void);

/* Decoded. vector_kinds.c */
void vector_event(const struct vector *v, struct celery_arena *arena);
void vector_control(const struct vector *v, struct celery_arena *arena);
void vector_reply(const struct vector *v, struct celery_arena *arena);
void vector_result(const struct vector *v, struct celery_arena *arena);
void vector_result_publish(const struct vector *v, struct celery_arena *arena);
void vector_inspect(const struct vector *v, struct celery_arena *arena);
void vector_spool(const struct vector *v, struct celery_arena *arena);

#endif /* VECTORS_VECTOR_H */
