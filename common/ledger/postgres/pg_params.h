/* SPDX-License-Identifier: MIT */
/*
 * The parameters of a statement: scalars as text, whole columns as arrays in
 * PostgreSQL's binary form, so that nothing is ever escaped.
 */
#ifndef LEDGER_POSTGRES_PG_PARAMS_H
#define LEDGER_POSTGRES_PG_PARAMS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"

enum { PG_PARAMS_MAX = 40, PG_NUMBER_MAX = 40 };

struct pg_params {
    int count;
    Oid types[PG_PARAMS_MAX]; /* 0: the server finds it out */
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    int formats[PG_PARAMS_MAX];
    struct celery_buf owned[PG_PARAMS_MAX];
};

#define PG_PARAMS_INIT ((struct pg_params){0})

void pg_params_done(struct pg_params *params);

/* Scalars; text is borrowed until the statement was executed, NULL is NULL. */
void pg_add_text(struct pg_params *params, const char *text);
void pg_add_int(struct pg_params *params, int64_t n);
void pg_add_double(struct pg_params *params, double d);

enum pg_array_type {
    PG_UUIDS,
    PG_TEXTS,
    PG_INTS,
    PG_BIGINTS,
    PG_BYTEAS,
    PG_BOOLS
};

/* Begins the next parameter as an array; the pg_put_… that follow fill it, and
 * pg_end_array closes it. */
void pg_begin_array(struct pg_params *params, enum pg_array_type type);
void pg_end_array(struct pg_params *params);

void pg_put_null(struct pg_params *params);
void pg_put_text(struct pg_params *params, const char *text); /* NULL is NULL */
void pg_put_bytes(struct pg_params *params, struct celery_str bytes);
void pg_put_int(struct pg_params *params, int32_t n);
void pg_put_bigint(struct pg_params *params, int64_t n);
void pg_put_bool(struct pg_params *params, bool value);
/* text is a UUID with dashes; "" is NULL. */
void pg_put_uuid(struct pg_params *params, const char *text);

enum celery_status pg_params_status(const struct pg_params *params)
    CELERY_MUST_CHECK;

#endif /* LEDGER_POSTGRES_PG_PARAMS_H */
