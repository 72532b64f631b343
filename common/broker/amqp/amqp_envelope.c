/* SPDX-License-Identifier: MIT */
/*
 * Source: kombu/transport/pyamqp.py (Message, prepare_message),
 * kombu/transport/virtual/base.py (the envelope).
 */
#include "broker/amqp/amqp_envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/xalloc.h"
#include "celery/base64.h"
#include "celery/json_write.h"

enum { POOL_PAGE = 4096 };

/* The properties that are short strings: flag, place, name in the envelope. */
struct text_property {
    amqp_flags_t flag;
    size_t offset;
    const char *name;
};
#define TEXT(FLAG, member)                                                   \
    {                                                                        \
        AMQP_BASIC_##FLAG##_FLAG, offsetof(amqp_basic_properties_t, member), \
            #member                                                          \
    }
static const struct text_property texts[] = {
    TEXT(CORRELATION_ID, correlation_id),
    TEXT(REPLY_TO, reply_to),
    TEXT(EXPIRATION, expiration),
    TEXT(MESSAGE_ID, message_id),
    TEXT(TYPE, type),
    TEXT(APP_ID, app_id),
    TEXT(CLUSTER_ID, cluster_id),
};
#undef TEXT
enum { TEXTS = sizeof texts / sizeof texts[0] };

static amqp_bytes_t *slot(amqp_basic_properties_t *p,
                          const struct text_property *text)
{
    return (amqp_bytes_t *)(void *)((char *)p + text->offset);
}

static amqp_bytes_t value_of(const amqp_basic_properties_t *p,
                             const struct text_property *text)
{
    if ((p->_flags & text->flag) == 0)
        return amqp_empty_bytes;
    return *(const amqp_bytes_t *)(const void *)((const char *)p
                                                 + text->offset);
}

/* --- to an envelope ------------------------------------------------------------ */

static void put_content(struct celery_json_writer *w, const char *key,
                        bool present, amqp_bytes_t value)
{
    celery_json_key(w, key);
    if (present)
        celery_json_put_str(w, amqp_str(value));
    else
        celery_json_put_null(w);
}

static void put_properties(struct celery_json_writer *w,
                           const struct amqp_received *m)
{
    const amqp_basic_properties_t *p = m->properties;
    celery_json_key(w, "properties");
    celery_json_begin_object(w);
    for (size_t i = 0; i < TEXTS; i++) {
        if ((p->_flags & texts[i].flag) == 0)
            continue;
        celery_json_key(w, texts[i].name);
        celery_json_put_str(w, amqp_str(value_of(p, &texts[i])));
    }
    if ((p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG) != 0) {
        celery_json_key(w, "delivery_mode");
        celery_json_put_int(w, p->delivery_mode);
    }
    if ((p->_flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0) {
        celery_json_key(w, "timestamp");
        celery_json_put_int(w, (int64_t)p->timestamp);
    }
    celery_json_key(w, "delivery_info");
    celery_json_begin_object(w);
    celery_json_key(w, "exchange");
    celery_json_put_str(w, m->exchange);
    celery_json_key(w, "routing_key");
    celery_json_put_str(w, m->routing_key);
    celery_json_key(w, "redelivered");
    celery_json_put_bool(w, m->redelivered);
    celery_json_end_object(w);
    celery_json_key(w, "priority");
    celery_json_put_int(w, (p->_flags & AMQP_BASIC_PRIORITY_FLAG) != 0
                               ? p->priority
                               : 0);
    celery_json_key(w, "body_encoding");
    celery_json_put_text(w, "base64");
    celery_json_key(w, "delivery_tag");
    celery_json_put_text(w, m->tag);
    celery_json_end_object(w);
}

bool amqp_envelope_put(struct celery_buf *buf, const struct amqp_received *m)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    const amqp_basic_properties_t *p = m->properties;
    static const amqp_table_t none = {0, NULL};
    bool headers = (p->_flags & AMQP_BASIC_HEADERS_FLAG) != 0;
    celery_json_begin_object(&w);
    celery_json_key(&w, "body");
    celery_json_put_raw(&w, CELERY_STR("\""));
    celery_base64_encode(buf, m->body);
    celery_buf_append(buf, CELERY_STR("\""));
    put_content(&w, "content-encoding",
                (p->_flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) != 0,
                p->content_encoding);
    put_content(&w, "content-type",
                (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0,
                p->content_type);
    celery_json_key(&w, "headers");
    if (!amqp_table_to_json(headers ? &p->headers : &none, &w))
        return false;
    put_properties(&w, m);
    celery_json_end_object(&w);
    return celery_buf_status(buf) == CELERY_OK;
}

/* --- from an envelope ------------------------------------------------------------ */

static enum celery_status pool_copy(amqp_pool_t *pool, struct celery_str s,
                                    amqp_bytes_t *ret)
{
    ret->len = s.len;
    ret->bytes = amqp_pool_alloc(pool, s.len + 1);
    if (ret->bytes == NULL)
        return CELERY_NOMEM;
    memcpy(ret->bytes, s.data, s.len);
    return CELERY_OK;
}

/* A short string's length is one byte. */
enum { SHORT_MAX = 255 };

static enum celery_status read_text(struct celery_json value, amqp_pool_t *pool,
                                    struct celery_arena *arena,
                                    amqp_flags_t flag, amqp_bytes_t *ret,
                                    amqp_basic_properties_t *p)
{
    struct celery_str text = {"", 0};
    if (value.type != CELERY_JSON_STRING)
        return CELERY_OK;
    enum celery_status st = celery_json_string(value, arena, &text);
    if (st != CELERY_OK || text.len > SHORT_MAX)
        return st;
    p->_flags |= flag;
    return pool_copy(pool, text, ret);
}

static enum celery_status read_properties(struct celery_json root,
                                          amqp_pool_t *pool,
                                          struct celery_arena *arena,
                                          amqp_basic_properties_t *p)
{
    struct celery_json properties = celery_json_get(root, "properties");
    int64_t number = 0;
    enum celery_status st =
        read_text(celery_json_get(root, "content-type"), pool, arena,
                  AMQP_BASIC_CONTENT_TYPE_FLAG, &p->content_type, p);
    if (st == CELERY_OK)
        st = read_text(celery_json_get(root, "content-encoding"), pool, arena,
                       AMQP_BASIC_CONTENT_ENCODING_FLAG, &p->content_encoding,
                       p);
    for (size_t i = 0; i < TEXTS && st == CELERY_OK; i++)
        st = read_text(celery_json_get(properties, texts[i].name), pool, arena,
                       texts[i].flag, slot(p, &texts[i]), p);
    if (celery_json_int64(celery_json_get(properties, "delivery_mode"),
                          &number)) {
        p->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
        p->delivery_mode = (uint8_t)number;
    }
    if (celery_json_int64(celery_json_get(properties, "priority"), &number)) {
        p->_flags |= AMQP_BASIC_PRIORITY_FLAG;
        p->priority = (uint8_t)number;
    }
    if (celery_json_int64(celery_json_get(properties, "timestamp"), &number)) {
        p->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
        p->timestamp = (uint64_t)number;
    }
    return st;
}

static enum celery_status read_body(struct celery_json root, amqp_pool_t *pool,
                                    struct celery_arena *arena,
                                    amqp_bytes_t *ret)
{
    struct celery_str text = {"", 0};
    struct celery_str body = {"", 0};
    enum celery_status st =
        celery_json_string(celery_json_get(root, "body"), arena, &text);
    if (st == CELERY_OK)
        st = celery_base64_decode(text, arena, &body);
    return st == CELERY_OK ? pool_copy(pool, body, ret) : st;
}

enum celery_status amqp_envelope_read(struct celery_str raw, amqp_pool_t *pool,
                                      struct amqp_outgoing *ret,
                                      struct celery_error *err)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root;
    const struct celery_limits limits = {.message_bytes = SIZE_MAX,
                                         .inflated_bytes = SIZE_MAX,
                                         .elements = SIZE_MAX,
                                         .depth = 1024,
                                         .headers = UINT32_MAX};
    *ret = (struct amqp_outgoing){.mandatory = true};
    enum celery_status st = celery_json_parse(raw, &limits, &root, err);
    if (st != CELERY_OK)
        return st;
    st = read_body(root, pool, &arena, &ret->body);
    if (st == CELERY_OK)
        st = read_properties(root, pool, &arena, &ret->properties);
    struct celery_json headers = celery_json_get(root, "headers");
    if (st != CELERY_OK) {
        (void)celery_fail(err, st, "the envelope: %s", celery_status_text(st));
    } else if (headers.type == CELERY_JSON_OBJECT) {
        ret->properties._flags |= AMQP_BASIC_HEADERS_FLAG;
        st = amqp_table_from_json(headers, pool, &ret->properties.headers, err);
    }
    celery_arena_done(&arena);
    return st;
}

static void set_text(amqp_basic_properties_t *p, amqp_flags_t flag,
                     amqp_bytes_t *ret, const char *text)
{
    if (text == NULL)
        return;
    p->_flags |= flag;
    *ret = amqp_cstring_bytes(text);
}

/* A server refuses what its timers do not hold, 32 bits in older ones, and
 * closes the channel. The header "expires" says the same to workers. */
static bool expiration_is_taken(const char *ms)
{
    return ms != NULL && strtoull(ms, NULL, 10) <= UINT32_MAX;
}

enum celery_status amqp_outgoing_of(const struct celery_envelope_out *out,
                                    amqp_pool_t *pool,
                                    struct amqp_outgoing *ret,
                                    struct celery_error *err)
{
    struct celery_json headers = {CELERY_JSON_OBJECT, CELERY_STR("{}")};
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
                | AMQP_BASIC_PRIORITY_FLAG,
        .delivery_mode = (uint8_t)out->delivery_mode,
        .priority = (uint8_t)(out->priority < 0     ? 0
                              : out->priority > 255 ? 255
                                                    : out->priority),
    };
    set_text(&p, AMQP_BASIC_CONTENT_TYPE_FLAG, &p.content_type,
             out->content_type);
    set_text(&p, AMQP_BASIC_CONTENT_ENCODING_FLAG, &p.content_encoding,
             out->content_encoding);
    set_text(&p, AMQP_BASIC_CORRELATION_ID_FLAG, &p.correlation_id,
             out->correlation_id);
    set_text(&p, AMQP_BASIC_REPLY_TO_FLAG, &p.reply_to, out->reply_to);
    if (expiration_is_taken(out->expiration))
        set_text(&p, AMQP_BASIC_EXPIRATION_FLAG, &p.expiration,
                 out->expiration);
    if (out->headers.len > 0)
        headers.text = out->headers;
    enum celery_status st =
        amqp_table_from_json(headers, pool, &p.headers, err);
    if (st != CELERY_OK)
        return st;
    *ret = (struct amqp_outgoing){
        .exchange =
            amqp_cstring_bytes(out->exchange != NULL ? out->exchange : ""),
        .routing_key = amqp_cstring_bytes(
            out->routing_key != NULL ? out->routing_key : ""),
        .mandatory = true,
        .properties = p,
        .body = amqp_bytes_of(out->body),
    };
    return CELERY_OK;
}

/* --- copies and headers ------------------------------------------------------------ */

/* amqp_table_clone() fails for an empty name, which anybody can send. */
static bool copy_table(amqp_pool_t *pool, const amqp_table_t *table,
                       amqp_table_t *ret)
{
    amqp_table_t from = *table;
    amqp_bytes_t bytes = {.len = amqp_table_size(table)};
    size_t written = 0;
    size_t read = 0;
    bytes.bytes = amqp_pool_alloc(pool, bytes.len);
    if (bytes.bytes == NULL
        || amqp_encode_table(bytes, &from, &written) != AMQP_STATUS_OK)
        return false;
    bytes.len = written;
    return amqp_decode_table(bytes, pool, ret, &read) == AMQP_STATUS_OK;
}

struct amqp_copy *amqp_copy_of(const struct amqp_received *m)
{
    struct amqp_copy *copy = xcalloc(1, sizeof *copy);
    amqp_basic_properties_t *p = &copy->properties;
    bool good = true;
    init_amqp_pool(&copy->pool, POOL_PAGE);
    *p = *m->properties;
    /* The server demands that a user_id is the publisher's own. */
    p->_flags &= ~(amqp_flags_t)AMQP_BASIC_USER_ID_FLAG;
    for (size_t i = 0; i < TEXTS; i++)
        good &= pool_copy(&copy->pool, amqp_str(value_of(p, &texts[i])),
                          slot(p, &texts[i]))
             == CELERY_OK;
    if ((p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0)
        good &= pool_copy(&copy->pool, amqp_str(m->properties->content_type),
                          &p->content_type)
             == CELERY_OK;
    if ((p->_flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) != 0)
        good &=
            pool_copy(&copy->pool, amqp_str(m->properties->content_encoding),
                      &p->content_encoding)
            == CELERY_OK;
    if ((p->_flags & AMQP_BASIC_HEADERS_FLAG) != 0)
        good &= copy_table(&copy->pool, &m->properties->headers, &p->headers);
    celery_buf_append(&copy->body, m->body);
    if (good && celery_buf_status(&copy->body) == CELERY_OK)
        return copy;
    amqp_copy_free(copy);
    return NULL;
}

void amqp_copy_free(struct amqp_copy *copy)
{
    if (copy == NULL)
        return;
    empty_amqp_pool(&copy->pool);
    celery_buf_done(&copy->body);
    free(copy);
}

static bool is_mark(amqp_bytes_t key)
{
    static const char *const names[] = {
        "x-death",
        "x-deliveries",
        "x-delivery-count",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
    };
    /* Facts of dead letters, ours; x-death is RabbitMQ's. */
    static const char facts[] = "x-dead-";
    if (key.len >= sizeof facts - 1
        && memcmp(key.bytes, facts, sizeof facts - 1) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (key.len == strlen(names[i])
            && memcmp(key.bytes, names[i], key.len) == 0)
            return true;
    }
    return false;
}

enum celery_status amqp_strip_headers(amqp_basic_properties_t *properties,
                                      amqp_pool_t *pool,
                                      struct celery_error *err)
{
    amqp_table_t old = properties->headers;
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0
        || old.num_entries == 0)
        return CELERY_OK;
    amqp_table_entry_t *kept =
        amqp_pool_alloc(pool, (size_t)old.num_entries * sizeof kept[0]);
    if (kept == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for the headers");
    properties->headers = (amqp_table_t){0, kept};
    for (int i = 0; i < old.num_entries; i++) {
        if (!is_mark(old.entries[i].key))
            kept[properties->headers.num_entries++] = old.entries[i];
    }
    return CELERY_OK;
}

enum celery_status amqp_add_headers(amqp_basic_properties_t *properties,
                                    const amqp_table_entry_t *entries,
                                    size_t count, amqp_pool_t *pool,
                                    struct celery_error *err)
{
    amqp_table_t old = {0, NULL};
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) != 0)
        old = properties->headers;
    size_t had = (size_t)old.num_entries;
    amqp_table_entry_t *all =
        amqp_pool_alloc(pool, (had + count) * sizeof all[0]);
    if (all == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for the headers");
    if (had > 0)
        memcpy(all, old.entries, had * sizeof all[0]);
    memcpy(all + had, entries, count * sizeof all[0]);
    properties->_flags |= AMQP_BASIC_HEADERS_FLAG;
    properties->headers = (amqp_table_t){(int)(had + count), all};
    return CELERY_OK;
}
