/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_table.h"

#include <math.h>
#include <string.h>

#include "amqp/amqp_error.h"

/* Python's json refuses nothing here; ours refuses deeper documents anyway
 * (CELERY_LIMITS_DEFAULT). */
enum { DEPTH_MAX = 100 };

const amqp_field_value_t *amqp_table_find(const amqp_table_t *table,
                                          const char *key)
{
    size_t len = strlen(key);
    for (int i = 0; i < table->num_entries; i++) {
        const amqp_table_entry_t *entry = &table->entries[i];
        if (entry->key.len == len && memcmp(entry->key.bytes, key, len) == 0)
            return &entry->value;
    }
    return NULL;
}

bool amqp_value_int(const amqp_field_value_t *value, int64_t *ret)
{
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8:
        *ret = (int64_t)value->value
                   .i8; /* NOLINT(bugprone-signed-char-misuse,cert-str34-c) */
        return true;
    case AMQP_FIELD_KIND_U8:
        *ret = value->value.u8;
        return true;
    case AMQP_FIELD_KIND_I16:
        *ret = value->value.i16;
        return true;
    case AMQP_FIELD_KIND_U16:
        *ret = value->value.u16;
        return true;
    case AMQP_FIELD_KIND_I32:
        *ret = value->value.i32;
        return true;
    case AMQP_FIELD_KIND_U32:
        *ret = value->value.u32;
        return true;
    case AMQP_FIELD_KIND_I64:
        *ret = value->value.i64;
        return true;
    case AMQP_FIELD_KIND_U64:
        /* py-amqp writes its signed 64-bit numbers under this letter. */
    case AMQP_FIELD_KIND_TIMESTAMP:
        *ret = (int64_t)value->value.u64;
        return true;
    default:
        return false;
    }
}

/* NOLINTBEGIN(misc-no-recursion): all of it stops at DEPTH_MAX. */

/* --- to JSON ----------------------------------------------------------------- */

static bool put_table(const amqp_table_t *table, struct celery_json_writer *w,
                      unsigned depth);
static bool put_array(const amqp_array_t *array, struct celery_json_writer *w,
                      unsigned depth);

static bool put_value(const amqp_field_value_t *value,
                      struct celery_json_writer *w, unsigned depth)
{
    int64_t number = 0;
    if (amqp_value_int(value, &number)) {
        celery_json_put_int(w, number);
        return true;
    }
    switch (value->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        celery_json_put_bool(w, value->value.boolean != 0);
        return true;
    case AMQP_FIELD_KIND_F32:
        celery_json_put_double(w, (double)value->value.f32);
        return true;
    case AMQP_FIELD_KIND_F64:
        celery_json_put_double(w, value->value.f64);
        return true;
    case AMQP_FIELD_KIND_DECIMAL:
        celery_json_put_double(w, (double)(int32_t)value->value.decimal.value
                                      / pow(10, value->value.decimal.decimals));
        return true;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        celery_json_put_str(w, amqp_str(value->value.bytes));
        return true;
    case AMQP_FIELD_KIND_ARRAY:
        return put_array(&value->value.array, w, depth + 1);
    case AMQP_FIELD_KIND_TABLE:
        return put_table(&value->value.table, w, depth + 1);
    default:
        celery_json_put_null(w);
        return true;
    }
}

static bool put_array(const amqp_array_t *array, struct celery_json_writer *w,
                      unsigned depth)
{
    if (depth > DEPTH_MAX)
        return false;
    celery_json_begin_array(w);
    for (int i = 0; i < array->num_entries; i++) {
        if (!put_value(&array->entries[i], w, depth))
            return false;
    }
    celery_json_end_array(w);
    return true;
}

static bool put_table(const amqp_table_t *table, struct celery_json_writer *w,
                      unsigned depth)
{
    if (depth > DEPTH_MAX)
        return false;
    celery_json_begin_object(w);
    for (int i = 0; i < table->num_entries; i++) {
        celery_json_key_str(w, amqp_str(table->entries[i].key));
        if (!put_value(&table->entries[i].value, w, depth))
            return false;
    }
    celery_json_end_object(w);
    return true;
}

bool amqp_table_to_json(const amqp_table_t *table, struct celery_json_writer *w)
{
    return put_table(table, w, 0);
}

/* --- from JSON --------------------------------------------------------------- */

struct builder {
    amqp_pool_t *pool;
    struct celery_arena *arena; /* unescaped texts, before they are copied */
    struct celery_error *err;
};

static enum celery_status build_members(const struct builder *b,
                                        struct celery_json object,
                                        unsigned depth, amqp_table_t *ret);
static enum celery_status build_elements(const struct builder *b,
                                         struct celery_json array,
                                         unsigned depth, amqp_array_t *ret);

static enum celery_status no_memory(const struct builder *b)
{
    return celery_fail(b->err, CELERY_NOMEM, "no memory for the headers");
}

static enum celery_status copy(const struct builder *b, struct celery_str s,
                               amqp_bytes_t *ret)
{
    ret->len = s.len;
    ret->bytes = amqp_pool_alloc(b->pool, s.len + 1);
    if (ret->bytes == NULL)
        return no_memory(b);
    memcpy(ret->bytes, s.data, s.len);
    return CELERY_OK;
}

static enum celery_status build_text(const struct builder *b,
                                     struct celery_json value,
                                     amqp_bytes_t *ret)
{
    struct celery_str text = {"", 0};
    if (celery_json_string(value, b->arena, &text) != CELERY_OK)
        return no_memory(b);
    return copy(b, text, ret);
}

static enum celery_status build_number(const struct builder *b,
                                       struct celery_json value,
                                       amqp_field_value_t *ret)
{
    int64_t n = 0;
    double d = 0;
    if (celery_json_int64(value, &n)) {
        bool narrow = n <= INT32_MAX && n >= -(int64_t)INT32_MAX;
        ret->kind = narrow ? AMQP_FIELD_KIND_I32 : AMQP_FIELD_KIND_I64;
        if (narrow)
            ret->value.i32 = (int32_t)n;
        else
            ret->value.i64 = n;
        return CELERY_OK;
    }
    bool fraction = memchr(value.text.data, '.', value.text.len) != NULL
                 || memchr(value.text.data, 'e', value.text.len) != NULL
                 || memchr(value.text.data, 'E', value.text.len) != NULL
                 || memchr(value.text.data, 'N', value.text.len) != NULL
                 || memchr(value.text.data, 'I', value.text.len) != NULL;
    if (fraction && celery_json_double(value, &d)) {
        ret->kind = AMQP_FIELD_KIND_F64;
        ret->value.f64 = d;
        return CELERY_OK;
    }
    ret->kind = AMQP_FIELD_KIND_UTF8;
    return copy(b, value.text, &ret->value.bytes);
}

static enum celery_status build_value(const struct builder *b,
                                      struct celery_json value, unsigned depth,
                                      amqp_field_value_t *ret)
{
    switch (value.type) {
    case CELERY_JSON_TRUE:
    case CELERY_JSON_FALSE:
        ret->kind = AMQP_FIELD_KIND_BOOLEAN;
        ret->value.boolean = value.type == CELERY_JSON_TRUE;
        return CELERY_OK;
    case CELERY_JSON_NUMBER:
        return build_number(b, value, ret);
    case CELERY_JSON_STRING:
        ret->kind = AMQP_FIELD_KIND_UTF8;
        return build_text(b, value, &ret->value.bytes);
    case CELERY_JSON_ARRAY:
        ret->kind = AMQP_FIELD_KIND_ARRAY;
        return build_elements(b, value, depth + 1, &ret->value.array);
    case CELERY_JSON_OBJECT:
        ret->kind = AMQP_FIELD_KIND_TABLE;
        return build_members(b, value, depth + 1, &ret->value.table);
    case CELERY_JSON_NONE:
    case CELERY_JSON_NULL:
        break;
    }
    ret->kind = AMQP_FIELD_KIND_VOID;
    return CELERY_OK;
}

static enum celery_status build_elements(const struct builder *b,
                                         struct celery_json array,
                                         unsigned depth, amqp_array_t *ret)
{
    size_t count = celery_json_count(array);
    struct celery_json_iter iter = celery_json_iter(array);
    struct celery_json value;
    *ret = (amqp_array_t){0, NULL};
    if (depth > DEPTH_MAX)
        return celery_fail(b->err, CELERY_TOO_LARGE,
                           "headers nested deeper than %d", DEPTH_MAX);
    if (count == 0)
        return CELERY_OK;
    ret->entries = amqp_pool_alloc(b->pool, count * sizeof ret->entries[0]);
    if (ret->entries == NULL)
        return no_memory(b);
    while (celery_json_next(&iter, NULL, &value)) {
        enum celery_status st =
            build_value(b, value, depth, &ret->entries[ret->num_entries]);
        if (st != CELERY_OK)
            return st;
        ret->num_entries++;
    }
    return CELERY_OK;
}

/* A key takes a byte for its length. */
enum { KEY_MAX = 255 };

static enum celery_status build_members(const struct builder *b,
                                        struct celery_json object,
                                        unsigned depth, amqp_table_t *ret)
{
    size_t count = celery_json_count(object);
    struct celery_json_iter iter = celery_json_iter(object);
    struct celery_json key;
    struct celery_json value;
    *ret = (amqp_table_t){0, NULL};
    if (depth > DEPTH_MAX)
        return celery_fail(b->err, CELERY_TOO_LARGE,
                           "headers nested deeper than %d", DEPTH_MAX);
    if (count == 0)
        return CELERY_OK;
    ret->entries = amqp_pool_alloc(b->pool, count * sizeof ret->entries[0]);
    if (ret->entries == NULL)
        return no_memory(b);
    while (celery_json_next(&iter, &key, &value)) {
        amqp_table_entry_t *entry = &ret->entries[ret->num_entries];
        enum celery_status st = build_text(b, key, &entry->key);
        if (st == CELERY_OK && entry->key.len > KEY_MAX)
            st =
                celery_fail(b->err, CELERY_TOO_LARGE,
                            "a header's name is longer than %d bytes", KEY_MAX);
        if (st == CELERY_OK)
            st = build_value(b, value, depth, &entry->value);
        if (st != CELERY_OK)
            return st;
        ret->num_entries++;
    }
    return CELERY_OK;
}

/* --- size ---------------------------------------------------------------------- */

static size_t array_size(const amqp_array_t *array);

static size_t value_size(const amqp_field_value_t *value)
{
    enum { KIND = 1, LENGTH = 4, WIDEST = 8 };
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        return KIND + LENGTH + value->value.bytes.len;
    case AMQP_FIELD_KIND_ARRAY:
        return KIND + array_size(&value->value.array);
    case AMQP_FIELD_KIND_TABLE:
        return KIND + amqp_table_size(&value->value.table);
    default:
        return KIND + WIDEST;
    }
}

static size_t array_size(const amqp_array_t *array)
{
    size_t size = 4;
    for (int i = 0; i < array->num_entries; i++)
        size += value_size(&array->entries[i]);
    return size;
}

size_t amqp_table_size(const amqp_table_t *table)
{
    size_t size = 4;
    for (int i = 0; i < table->num_entries; i++)
        size += 1 + table->entries[i].key.len
              + value_size(&table->entries[i].value);
    return size;
}

/* NOLINTEND(misc-no-recursion) */

enum celery_status amqp_table_from_json(struct celery_json object,
                                        amqp_pool_t *pool, amqp_table_t *ret,
                                        struct celery_error *err)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    const struct builder b = {pool, &arena, err};
    enum celery_status st = build_members(&b, object, 0, ret);
    celery_arena_done(&arena);
    return st;
}
