/* SPDX-License-Identifier: MIT */
/*
 * JSON to msgpack, as kombu's msgpack serializer packs it (use_bin_type):
 * integers in the smallest form, floats as doubles, typed bytes as bin.
 * Source: kombu/serialization.py, kombu/utils/json.py.
 */
#include <stdint.h>
#include <string.h>

#include <msgpack.h>

#include "celery/base64.h"
#include "celery/content.h"
#include "python_text.h"

enum { MAX_DEPTH = 1024 };

struct packer {
    msgpack_packer pack;
    struct celery_arena arena; /* the text of one string */
    enum celery_status status;
    const char *problem;
    unsigned depth;
    struct celery_json_iter frames[MAX_DEPTH];
};

static bool fail(struct packer *p, enum celery_status status,
                 const char *problem)
{
    p->status = status;
    p->problem = problem;
    return false;
}

/* The buffer remembers whether it failed. */
static int write_buf(void *data, const char *bytes, size_t len)
{
    struct celery_buf *buf = data;

    celery_buf_append(buf, (struct celery_str){bytes, len});
    return 0;
}

static bool is_utf8(struct celery_str text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    const unsigned char *end = p + text.len;

    while (p != end) {
        size_t len = cel_utf8_len(p, end, false);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

static bool pack_string(struct packer *p, struct celery_json value)
{
    struct celery_str text;

    celery_arena_clear(&p->arena);
    enum celery_status status = celery_json_string(value, &p->arena, &text);
    if (status != CELERY_OK)
        return fail(p, status, "text");
    if (!is_utf8(text))
        return fail(p, CELERY_UNSUPPORTED, "lone surrogate");
    (void)msgpack_pack_str(&p->pack, text.len);
    (void)msgpack_pack_str_body(&p->pack, text.data, text.len);
    return true;
}

static bool pack_bytes(struct packer *p, enum cel_typed kind,
                       struct celery_json value)
{
    struct celery_str bytes;

    celery_arena_clear(&p->arena);
    enum celery_status status = celery_json_string(value, &p->arena, &bytes);
    if (status == CELERY_OK && kind == CEL_TYPED_BASE64)
        status = celery_base64_decode(bytes, &p->arena, &bytes);
    if (status != CELERY_OK)
        return fail(p, status, "typed bytes");
    (void)msgpack_pack_bin(&p->pack, bytes.len);
    (void)msgpack_pack_bin_body(&p->pack, bytes.data, bytes.len);
    return true;
}

static bool is_integer(struct celery_str text)
{
    for (size_t i = text.data[0] == '-'; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return true;
}

static bool read_uint64(struct celery_str text, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9'
            || __builtin_mul_overflow(value, 10U, &value)
            || __builtin_add_overflow(value, (unsigned)(text.data[i] - '0'),
                                      &value))
            return false;
    }
    *ret = value;
    return true;
}

static bool pack_number(struct packer *p, struct celery_json value)
{
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;

    if (celery_json_int64(value, &i)) {
        (void)msgpack_pack_int64(&p->pack, i);
        return true;
    }
    if (read_uint64(value.text, &u)) {
        (void)msgpack_pack_uint64(&p->pack, u);
        return true;
    }
    if (is_integer(value.text) || !celery_json_double(value, &d))
        return fail(p, CELERY_UNSUPPORTED, "integer of more than 64 bits");
    (void)msgpack_pack_double(&p->pack, d);
    return true;
}

static bool pack_container(struct packer *p, struct celery_json value)
{
    struct celery_json type;
    struct celery_json inner;

    enum cel_typed kind = cel_typed_get(value, &type, &inner);
    if (kind == CEL_TYPED_BYTES || kind == CEL_TYPED_BASE64)
        return pack_bytes(p, kind, inner);
    if (p->depth == MAX_DEPTH)
        return fail(p, CELERY_TOO_LARGE, "nested too deeply");
    size_t count = celery_json_count(value);
    if (count > UINT32_MAX)
        return fail(p, CELERY_TOO_LARGE, "too many elements");
    if (value.type == CELERY_JSON_OBJECT)
        (void)msgpack_pack_map(&p->pack, count);
    else
        (void)msgpack_pack_array(&p->pack, count);
    p->frames[p->depth++] = celery_json_iter(value);
    return true;
}

static bool pack_value(struct packer *p, struct celery_json value)
{
    switch (value.type) {
    case CELERY_JSON_TRUE:
        (void)msgpack_pack_true(&p->pack);
        return true;
    case CELERY_JSON_FALSE:
        (void)msgpack_pack_false(&p->pack);
        return true;
    case CELERY_JSON_NUMBER:
        return pack_number(p, value);
    case CELERY_JSON_STRING:
        return pack_string(p, value);
    case CELERY_JSON_ARRAY:
    case CELERY_JSON_OBJECT:
        return pack_container(p, value);
    case CELERY_JSON_NONE:
    case CELERY_JSON_NULL:
    default:
        (void)msgpack_pack_nil(&p->pack);
        return true;
    }
}

static bool pack_all(struct packer *p, struct celery_json value)
{
    struct celery_json key;

    if (!pack_value(p, value))
        return false;
    while (p->depth != 0) {
        struct celery_json_iter *iter = &p->frames[p->depth - 1];
        if (!celery_json_next(iter, &key, &value)) {
            p->depth--;
            continue;
        }
        if (key.type == CELERY_JSON_STRING && !pack_string(p, key))
            return false;
        if (!pack_value(p, value))
            return false;
    }
    return true;
}

enum celery_status celery_msgpack_encode(struct celery_json value,
                                         struct celery_buf *buf,
                                         struct celery_error *err)
{
    struct packer p;

    msgpack_packer_init(&p.pack, buf, write_buf);
    p.arena = CELERY_ARENA_INIT;
    p.status = CELERY_OK;
    p.problem = "no room";
    p.depth = 0;

    size_t before = buf->len;
    bool packed = pack_all(&p, value);
    celery_arena_done(&p.arena);
    if (packed && celery_buf_status(buf) == CELERY_OK)
        return CELERY_OK;
    if (buf->data != NULL) {
        buf->len = before;
        buf->data[before] = '\0';
    }
    if (packed)
        p.status = celery_buf_status(buf);
    return celery_fail(err, p.status, "msgpack: %s", p.problem);
}
