/* SPDX-License-Identifier: MIT */
/*
 * The numbered steps of the schema, embedded into the program from
 * migrations/<database>/NNNN_name.sql. Steps are only added, never changed; an
 * older program works with a newer schema.
 */
#ifndef LEDGER_MIGRATE_H
#define LEDGER_MIGRATE_H

#include <stddef.h>

#include "celery/error.h"

struct migration {
    int version; /* 1, 2, … without gaps */
    const char *name;
    const char *sql;
};

extern const struct migration postgres_migrations[];
extern const size_t postgres_migrations_count;
extern const struct migration sqlite_migrations[];
extern const size_t sqlite_migrations_count;

/* Applies one step in a transaction that other instances wait for, unless it is
 * recorded as applied already. */
typedef enum celery_status (*migrate_step_fn)(void *arg,
                                              const struct migration *step,
                                              struct celery_error *err);

enum celery_status migrate_all(const struct migration *steps, size_t count,
                               migrate_step_fn apply, void *arg,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* CELERY_OK when a schema at version has every step we know. */
enum celery_status migrate_check(int version, size_t known,
                                 struct celery_error *err) CELERY_MUST_CHECK;

#endif /* LEDGER_MIGRATE_H */
