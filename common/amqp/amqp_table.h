/* SPDX-License-Identifier: MIT */
/*
 * AMQP field tables (a message's headers) to JSON and back, with the types that
 * py-amqp writes: str S, bool t, int I or, past 32 bits, l; float d, null V,
 * list A, object F. Source: amqp/serialization.py _write_item, _read_item.
 */
#ifndef AMQP_AMQP_TABLE_H
#define AMQP_AMQP_TABLE_H

#include <amqp.h>

#include "celery/json_scan.h"
#include "celery/json_write.h"

/* Appends the table as a JSON object. What JSON has no type for: a timestamp
 * becomes its seconds, a decimal its number, bytes a string. False: it is nested
 * too deep. */
bool amqp_table_to_json(const amqp_table_t *table, struct celery_json_writer *w)
    CELERY_MUST_CHECK;

/* The object's members as a table; memory is the pool's, texts too. A number
 * that no AMQP type holds exactly travels as text. */
enum celery_status amqp_table_from_json(struct celery_json object,
                                        amqp_pool_t *pool, amqp_table_t *ret,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

/* The bytes it takes on the wire. */
size_t amqp_table_size(const amqp_table_t *table);

/* The entry called key, or NULL. */
const amqp_field_value_t *amqp_table_find(const amqp_table_t *table,
                                          const char *key);

/* An integer of any width; false when value is none. */
bool amqp_value_int(const amqp_field_value_t *value, int64_t *ret);

#endif /* AMQP_AMQP_TABLE_H */
