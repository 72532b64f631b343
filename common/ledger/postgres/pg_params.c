/* SPDX-License-Identifier: MIT */
#include "ledger/postgres/pg_params.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* The Oids of the types and their arrays: fixed in pg_type.dat. */
static const struct {
    Oid element;
    Oid array;
} array_types[] = {
    [PG_UUIDS] = {2950, 2951}, [PG_TEXTS] = {25, 1009},
    [PG_INTS] = {23, 1007},    [PG_BIGINTS] = {20, 1016},
    [PG_BYTEAS] = {17, 1001},  [PG_BOOLS] = {16, 1000},
};

/* ndim, flags, element type, length, lower bound: five 32-bit words. */
enum { ARRAY_HEAD = 20, ARRAY_LENGTH_AT = 12 };

void pg_params_done(struct pg_params *params)
{
    for (int i = 0; i < params->count; i++)
        celery_buf_done(&params->owned[i]);
    *params = PG_PARAMS_INIT;
}

void pg_add_text(struct pg_params *params, const char *text)
{
    params->values[params->count++] = text;
}

void pg_add_int(struct pg_params *params, int64_t n)
{
    struct celery_buf *buf = &params->owned[params->count];
    celery_buf_printf(buf, "%" PRId64, n);
    pg_add_text(params, buf->data);
}

void pg_add_double(struct pg_params *params, double d)
{
    struct celery_buf *buf = &params->owned[params->count];
    celery_buf_printf(buf, "%.17g", d);
    pg_add_text(params, buf->data);
}

static void put_word(struct celery_buf *buf, uint32_t word)
{
    uint32_t wire = htobe32(word);
    celery_buf_append(buf, (struct celery_str){(const char *)&wire, 4});
}

void pg_begin_array(struct pg_params *params, enum pg_array_type type)
{
    struct celery_buf *buf = &params->owned[params->count];
    params->types[params->count] = array_types[type].array;
    put_word(buf, 1);
    put_word(buf, 1);
    put_word(buf, array_types[type].element);
    put_word(buf, 0);
    put_word(buf, 1);
}

static struct celery_buf *open_array(struct pg_params *params)
{
    return &params->owned[params->count];
}

/* The length stands in the head and grows with every element. */
static void count_element(struct celery_buf *buf)
{
    uint32_t wire = 0;
    if (celery_buf_status(buf) != CELERY_OK || buf->len < ARRAY_HEAD)
        return;
    memcpy(&wire, buf->data + ARRAY_LENGTH_AT, sizeof wire);
    wire = htobe32(be32toh(wire) + 1);
    memcpy(buf->data + ARRAY_LENGTH_AT, &wire, sizeof wire);
}

void pg_end_array(struct pg_params *params)
{
    struct celery_buf *buf = open_array(params);
    params->values[params->count] = buf->data;
    params->lengths[params->count] = (int)buf->len;
    params->formats[params->count] = 1;
    params->count++;
}

void pg_put_null(struct pg_params *params)
{
    put_word(open_array(params), UINT32_MAX);
    count_element(open_array(params));
}

void pg_put_bytes(struct pg_params *params, struct celery_str bytes)
{
    struct celery_buf *buf = open_array(params);
    put_word(buf, (uint32_t)bytes.len);
    celery_buf_append(buf, bytes);
    count_element(buf);
}

void pg_put_text(struct pg_params *params, const char *text)
{
    if (text == NULL)
        pg_put_null(params);
    else
        pg_put_bytes(params, (struct celery_str){text, strlen(text)});
}

void pg_put_int(struct pg_params *params, int32_t n)
{
    uint32_t wire = htobe32((uint32_t)n);
    pg_put_bytes(params, (struct celery_str){(const char *)&wire, sizeof wire});
}

void pg_put_bigint(struct pg_params *params, int64_t n)
{
    uint64_t wire = htobe64((uint64_t)n);
    pg_put_bytes(params, (struct celery_str){(const char *)&wire, sizeof wire});
}

void pg_put_bool(struct pg_params *params, bool value)
{
    pg_put_bytes(params, (struct celery_str){value ? "\1" : "\0", 1});
}

static unsigned nibble(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return ((unsigned)c | 0x20U) - 'a' + 10U;
}

void pg_put_uuid(struct pg_params *params, const char *text)
{
    uint8_t bytes[16] = {0};
    size_t n = 0;
    if (text[0] == '\0') {
        pg_put_null(params);
        return;
    }
    for (const char *p = text; n < sizeof bytes && p[0] != '\0' && p[1] != '\0';
         p++) {
        if (*p == '-')
            continue;
        bytes[n++] = (uint8_t)(nibble(p[0]) << 4U | nibble(p[1]));
        p++;
    }
    pg_put_bytes(params, (struct celery_str){(const char *)bytes, 16});
}

enum celery_status pg_params_status(const struct pg_params *params)
{
    for (int i = 0; i < params->count; i++) {
        enum celery_status st = celery_buf_status(&params->owned[i]);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}
