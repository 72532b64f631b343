/* SPDX-License-Identifier: MIT */
#include "broker/amqp/amqp_envelope.h"

#include <stdio.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "support/unit.h"

static struct celery_json parsed(const char *text)
{
    struct celery_json root;
    ck_assert_int_eq(celery_json_parse((struct celery_str){text, strlen(text)},
                                       NULL, &root, NULL),
                     CELERY_OK);
    return root;
}

/* The kinds py-amqp writes: amqp/serialization.py _write_item. */
START_TEST(kinds)
{
    static const struct {
        const char *json;
        int kind;
    } cases[] = {
        {"\"text\"", AMQP_FIELD_KIND_UTF8},
        {"\"\"", AMQP_FIELD_KIND_UTF8},
        {"true", AMQP_FIELD_KIND_BOOLEAN},
        {"false", AMQP_FIELD_KIND_BOOLEAN},
        {"0", AMQP_FIELD_KIND_I32},
        {"-1", AMQP_FIELD_KIND_I32},
        {"2147483647", AMQP_FIELD_KIND_I32},
        {"-2147483647", AMQP_FIELD_KIND_I32},
        {"2147483648", AMQP_FIELD_KIND_I64},
        {"-2147483648", AMQP_FIELD_KIND_I64},
        {"9223372036854775807", AMQP_FIELD_KIND_I64},
        {"0.1", AMQP_FIELD_KIND_F64},
        {"-0.0", AMQP_FIELD_KIND_F64},
        {"1e+300", AMQP_FIELD_KIND_F64},
        {"Infinity", AMQP_FIELD_KIND_F64},
        {"NaN", AMQP_FIELD_KIND_F64},
        {"null", AMQP_FIELD_KIND_VOID},
        {"[]", AMQP_FIELD_KIND_ARRAY},
        {"[1, \"a\", [null, {}]]", AMQP_FIELD_KIND_ARRAY},
        {"{}", AMQP_FIELD_KIND_TABLE},
        {"{\"a\": {\"b\": [true]}}", AMQP_FIELD_KIND_TABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        amqp_pool_t pool;
        amqp_table_t table;
        struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
        init_amqp_pool(&pool, 1024);
        (void)snprintf(text, sizeof text, "{\"k\": %s}", cases[i].json);
        ck_assert_int_eq(
            amqp_table_from_json(parsed(text), &pool, &table, NULL), CELERY_OK);
        const amqp_field_value_t *value = amqp_table_find(&table, "k");
        ck_assert_ptr_nonnull(value);
        ck_assert_msg(value->kind == cases[i].kind, "%s is a %c", text,
                      value->kind);
        ck_assert(amqp_table_to_json(&table, &w));
        ck_assert_str_eq(celery_buf_str(&buf).data, text);
        celery_buf_done(&buf);
        empty_amqp_pool(&pool);
    }
}
END_TEST

/* A number of no AMQP type keeps its digits. */
START_TEST(big_number)
{
    amqp_pool_t pool;
    amqp_table_t table;
    init_amqp_pool(&pool, 1024);
    ck_assert_int_eq(
        amqp_table_from_json(parsed("{\"k\": 1208925819614629174706176}"),
                             &pool, &table, NULL),
        CELERY_OK);
    const amqp_field_value_t *value = amqp_table_find(&table, "k");
    ck_assert_int_eq(value->kind, AMQP_FIELD_KIND_UTF8);
    ck_assert_uint_eq(value->value.bytes.len, 25);
    empty_amqp_pool(&pool);
}
END_TEST

START_TEST(foreign_kinds)
{
    amqp_table_entry_t e[10];
    static const char *const keys[] = {"a", "b", "c", "d", "e",
                                       "f", "g", "h", "i", "j"};
    memset(e, 0, sizeof e);
    for (size_t i = 0; i < 10; i++)
        e[i].key = amqp_cstring_bytes(keys[i]);
    e[0].value.kind = AMQP_FIELD_KIND_I8;
    e[0].value.value.i8 = -8;
    e[1].value.kind = AMQP_FIELD_KIND_U8;
    e[1].value.value.u8 = 200;
    e[2].value.kind = AMQP_FIELD_KIND_I16;
    e[2].value.value.i16 = -300;
    e[3].value.kind = AMQP_FIELD_KIND_U16;
    e[3].value.value.u16 = 60000;
    e[4].value.kind = AMQP_FIELD_KIND_U32;
    e[4].value.value.u32 = 4000000000U;
    e[5].value.kind = AMQP_FIELD_KIND_U64; /* py-amqp's signed 64 bits */
    e[5].value.value.u64 = (uint64_t)INT64_C(-5000000000);
    e[6].value.kind = AMQP_FIELD_KIND_F32;
    e[6].value.value.f32 = 0.5F;
    e[7].value.kind = AMQP_FIELD_KIND_TIMESTAMP;
    e[7].value.value.u64 = 1700000000;
    e[8].value.kind = AMQP_FIELD_KIND_DECIMAL;
    e[8].value.value.decimal = (amqp_decimal_t){2, 314};
    e[9].value.kind = AMQP_FIELD_KIND_BYTES;
    e[9].value.value.bytes = amqp_cstring_bytes("\xff");
    const amqp_table_t table = {10, e};
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    ck_assert(amqp_table_to_json(&table, &w));
    ck_assert_str_eq(celery_buf_str(&buf).data,
                     "{\"a\": -8, \"b\": 200, \"c\": -300, \"d\": 60000, "
                     "\"e\": 4000000000, \"f\": -5000000000, \"g\": 0.5, "
                     "\"h\": 1700000000, \"i\": 3.14, \"j\": \"\\ufffd\"}");
    celery_buf_done(&buf);
}
END_TEST

START_TEST(too_deep)
{
    amqp_field_value_t values[200];
    amqp_pool_t pool;
    amqp_table_t out;
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < 200; i++) {
        values[i].kind = AMQP_FIELD_KIND_ARRAY;
        if (i > 0)
            values[i].value.array = (amqp_array_t){1, &values[i - 1]};
    }
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes("k"),
                                .value = values[199]};
    const amqp_table_t table = {1, &entry};
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    ck_assert(!amqp_table_to_json(&table, &w));
    celery_buf_clear(&buf);
    celery_buf_append(&buf, CELERY_STR("{\"k\": "));
    for (int i = 0; i < 110; i++)
        celery_buf_append(&buf, CELERY_STR("["));
    for (int i = 0; i < 110; i++)
        celery_buf_append(&buf, CELERY_STR("]"));
    celery_buf_append(&buf, CELERY_STR("}"));
    init_amqp_pool(&pool, 1024);
    ck_assert_int_eq(amqp_table_from_json(parsed(celery_buf_str(&buf).data),
                                          &pool, &out, NULL),
                     CELERY_TOO_LARGE);
    empty_amqp_pool(&pool);
    celery_buf_done(&buf);
}
END_TEST

static amqp_basic_properties_t full_properties(amqp_table_t headers)
{
    return (amqp_basic_properties_t){
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG
                | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG
                | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG
                | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG
                | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG
                | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG
                | AMQP_BASIC_APP_ID_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .content_encoding = amqp_cstring_bytes("utf-8"),
        .headers = headers,
        .delivery_mode = 2,
        .priority = 7,
        .correlation_id = amqp_cstring_bytes("c"),
        .reply_to = amqp_cstring_bytes("r"),
        .expiration = amqp_cstring_bytes("1000"),
        .message_id = amqp_cstring_bytes("m"),
        .timestamp = 1700000000,
        .type = amqp_cstring_bytes("t"),
        .app_id = amqp_cstring_bytes("a"),
    };
}

static void check_same(amqp_bytes_t got, const char *wanted)
{
    ck_assert_uint_eq(got.len, strlen(wanted));
    ck_assert_mem_eq(got.bytes, wanted, got.len);
}

/* Every property, every byte of the body, there and back. */
START_TEST(round_trip)
{
    char body[256];
    amqp_pool_t pool;
    amqp_table_t headers;
    struct amqp_outgoing out;
    struct celery_buf raw = CELERY_BUF_INIT;
    init_amqp_pool(&pool, 1024);
    for (int i = 0; i < 256; i++)
        body[i] = (char)i;
    ck_assert_int_eq(
        amqp_table_from_json(parsed("{\"task\": \"t.add\", \"n\": 5}"), &pool,
                             &headers, NULL),
        CELERY_OK);
    const amqp_basic_properties_t p = full_properties(headers);
    const struct amqp_received received = {.properties = &p,
                                           .body = {body, sizeof body},
                                           .exchange = CELERY_STR(""),
                                           .routing_key = CELERY_STR("q"),
                                           .redelivered = true,
                                           .tag = "1.2"};
    ck_assert(amqp_envelope_put(&raw, &received));
    ck_assert_int_eq(
        amqp_envelope_read(celery_buf_str(&raw), &pool, &out, NULL), CELERY_OK);
    ck_assert_uint_eq(out.properties._flags, p._flags);
    check_same(out.properties.content_type, "application/json");
    check_same(out.properties.correlation_id, "c");
    check_same(out.properties.reply_to, "r");
    check_same(out.properties.expiration, "1000");
    check_same(out.properties.message_id, "m");
    check_same(out.properties.type, "t");
    check_same(out.properties.app_id, "a");
    ck_assert_int_eq(out.properties.priority, 7);
    ck_assert_int_eq(out.properties.delivery_mode, 2);
    ck_assert_uint_eq(out.properties.timestamp, 1700000000);
    ck_assert_uint_eq(out.body.len, sizeof body);
    ck_assert_mem_eq(out.body.bytes, body, sizeof body);
    ck_assert_int_eq(out.properties.headers.num_entries, 2);

    /* The runtime reads the same envelope. */
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope e;
    ck_assert_int_eq(celery_envelope_decode(celery_buf_str(&raw), NULL, &arena,
                                            &e, NULL),
                     CELERY_OK);
    ck_assert_uint_eq(e.content.body.len, sizeof body);
    ck_assert(e.redelivered);
    ck_assert_int_eq((int)e.priority, 7);
    ck_assert_mem_eq(e.routing_key.data, "q", 1);
    celery_arena_done(&arena);
    celery_buf_done(&raw);
    empty_amqp_pool(&pool);
}
END_TEST

/* Servers close the channel over what their timers do not hold. */
START_TEST(an_expiration_past_32_bits_is_left_out)
{
    static const struct {
        const char *given;
        const char *published; /* NULL: none */
    } rows[] = {
        {NULL, NULL},
        {"0", "0"},
        {"4294967295", "4294967295"},
        {"4294967296", NULL},
        {"18446744073709551", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct celery_envelope_out envelope = {
            .content_type = "application/json",
            .expiration = rows[i].given,
        };
        struct amqp_outgoing out;
        amqp_pool_t pool;
        init_amqp_pool(&pool, 1024);
        ck_assert_int_eq(amqp_outgoing_of(&envelope, &pool, &out, NULL),
                         CELERY_OK);
        ck_assert_int_eq((out.properties._flags & AMQP_BASIC_EXPIRATION_FLAG)
                             != 0,
                         rows[i].published != NULL);
        if (rows[i].published != NULL)
            check_same(out.properties.expiration, rows[i].published);
        empty_amqp_pool(&pool);
    }
}
END_TEST

START_TEST(marks_are_stripped)
{
    amqp_pool_t pool;
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_HEADERS_FLAG};
    init_amqp_pool(&pool, 1024);
    ck_assert_int_eq(
        amqp_table_from_json(
            parsed("{\"a\": 1, \"x-death\": [], \"x-deliveries\": 3, \"b\": 2, "
                   "\"x-first-death-queue\": \"q\", \"x-deathly\": 0}"),
            &pool, &p.headers, NULL),
        CELERY_OK);
    const amqp_table_t old = p.headers;
    ck_assert_int_eq(amqp_strip_headers(&p, &pool, NULL), CELERY_OK);
    ck_assert_int_eq(p.headers.num_entries, 3);
    ck_assert_ptr_nonnull(amqp_table_find(&p.headers, "a"));
    ck_assert_ptr_nonnull(amqp_table_find(&p.headers, "b"));
    ck_assert_ptr_nonnull(amqp_table_find(&p.headers, "x-deathly"));
    /* The old one is as it was: the same copy is stripped at every try. */
    ck_assert_int_eq(old.num_entries, 6);
    ck_assert_ptr_nonnull(amqp_table_find(&old, "x-deliveries"));
    empty_amqp_pool(&pool);
}
END_TEST

UNIT_MAIN("amqp_envelope", kinds, big_number, foreign_kinds, too_deep,
          round_trip, an_expiration_past_32_bits_is_left_out,
          marks_are_stripped)
