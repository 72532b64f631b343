/* SPDX-License-Identifier: MIT */
/*
 * msgpack to JSON text as a walk over the tokens: nothing is allocated by what
 * a header claims, nesting costs one frame of a fixed stack. bin becomes
 * kombu's typed value, as its JSON encoder would write it. Refused as
 * msgpack-python refuses it: keys that are no text, text that is no UTF-8,
 * trailing bytes. Source: the msgpack specification; kombu/serialization.py
 * (unpackb(raw=False)).
 */
#include <stdint.h>
#include <string.h>

#include "celery/base64.h"
#include "celery/content.h"
#include "celery/json_write.h"
#include "json_text.h"

enum { MAX_DEPTH = 1024 };

struct frame {
    size_t left; /* tokens that belong to it: two a member of a map */
    bool map;
};

struct unpacker {
    const unsigned char *start;
    const unsigned char *p;
    const unsigned char *end;
    struct celery_json_writer out;
    size_t elements_left;
    size_t max_elements;
    size_t limit; /* the one that was passed; problem is its name */
    unsigned depth;
    unsigned max_depth;
    enum celery_status status;
    const char *problem;
    struct frame frames[MAX_DEPTH];
};

static bool fail(struct unpacker *u, enum celery_status status,
                 const char *problem)
{
    u->status = status;
    u->problem = problem;
    return false;
}

static bool over_limit(struct unpacker *u, const char *name, size_t limit)
{
    u->limit = limit;
    return fail(u, CELERY_TOO_LARGE, name);
}

/* A big-endian unsigned of 1, 2, 4 or 8 bytes. */
static bool read_uint(struct unpacker *u, unsigned size, uint64_t *ret)
{
    uint64_t value = 0;

    if ((size_t)(u->end - u->p) < size)
        return fail(u, CELERY_MALFORMED, "cut short");
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | *u->p++;
    *ret = value;
    return true;
}

static bool read_bytes(struct unpacker *u, uint64_t len, struct celery_str *ret)
{
    if ((uint64_t)(u->end - u->p) < len)
        return fail(u, CELERY_MALFORMED, "cut short");
    ret->data = (const char *)u->p;
    ret->len = (size_t)len;
    u->p += len;
    return true;
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

/* The next token is a member's name. */
static bool at_key(const struct unpacker *u)
{
    if (u->depth == 0)
        return false;
    const struct frame *frame = &u->frames[u->depth - 1];
    return frame->map && frame->left % 2 == 0;
}

static bool put_str(struct unpacker *u, uint64_t len, bool key)
{
    struct celery_str text;

    if (!read_bytes(u, len, &text))
        return false;
    if (!is_utf8(text))
        return fail(u, CELERY_MALFORMED, "text is no UTF-8");
    if (key)
        celery_json_key_str(&u->out, text);
    else
        celery_json_put_str(&u->out, text);
    return true;
}

static bool put_bin(struct unpacker *u, uint64_t len)
{
    struct celery_str bytes;

    if (!read_bytes(u, len, &bytes))
        return false;
    bool text = is_utf8(bytes);
    celery_json_begin_object(&u->out);
    celery_json_key(&u->out, "__type__");
    celery_json_put_text(&u->out, text ? "bytes" : "base64");
    celery_json_key(&u->out, "__value__");
    if (text) {
        celery_json_put_str(&u->out, bytes);
    } else {
        celery_json_put_raw(&u->out, CELERY_STR("\""));
        celery_base64_encode(u->out.buf, bytes);
        celery_buf_append(u->out.buf, CELERY_STR("\""));
    }
    celery_json_end_object(&u->out);
    return true;
}

static void put_uint(struct unpacker *u, uint64_t value)
{
    if (value <= INT64_MAX) {
        celery_json_put_int(&u->out, (int64_t)value);
        return;
    }
    celery_json_put_raw(&u->out, CELERY_STR(""));
    celery_buf_printf(u->out.buf, "%llu", (unsigned long long)value);
}

static bool put_int(struct unpacker *u, unsigned size)
{
    uint64_t bits = 0;

    if (!read_uint(u, size, &bits))
        return false;
    unsigned shift = 64 - size * 8;
    /* The shift up and down again copies the sign. */
    int64_t value = (int64_t)(bits << shift) >> shift;
    celery_json_put_int(&u->out, value);
    return true;
}

static bool put_float(struct unpacker *u, unsigned size)
{
    uint64_t bits = 0;
    double d = 0;

    if (!read_uint(u, size, &bits))
        return false;
    if (size == 4) {
        uint32_t half = (uint32_t)bits;
        float f = 0;
        memcpy(&f, &half, sizeof f);
        d = (double)f;
    } else {
        memcpy(&d, &bits, sizeof d);
    }
    celery_json_put_double(&u->out, d);
    return true;
}

static bool open_container(struct unpacker *u, uint64_t count, bool map)
{
    uint64_t tokens = map ? count * 2 : count; /* count < 2^32 */

    if (tokens > (uint64_t)(u->end - u->p))
        return fail(u, CELERY_MALFORMED, "cut short");
    if (u->depth == u->max_depth)
        return over_limit(u, "depth", u->max_depth);
    if (map)
        celery_json_begin_object(&u->out);
    else
        celery_json_begin_array(&u->out);
    struct frame *frame = &u->frames[u->depth++];
    frame->left = (size_t)tokens;
    frame->map = map;
    return true;
}

/* The token kinds behind one byte 0xc0 to 0xdf. */
static bool put_marked(struct unpacker *u, unsigned char mark)
{
    static const unsigned char sizes[] = {1, 2, 4, 8};
    uint64_t n = 0;

    switch (mark) {
    case 0xc0:
        celery_json_put_null(&u->out);
        return true;
    case 0xc2:
    case 0xc3:
        celery_json_put_bool(&u->out, mark == 0xc3);
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return read_uint(u, sizes[mark - 0xc4], &n) && put_bin(u, n);
    case 0xca:
    case 0xcb:
        return put_float(u, mark == 0xca ? 4 : 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        if (!read_uint(u, sizes[mark - 0xcc], &n))
            return false;
        put_uint(u, n);
        return true;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return put_int(u, sizes[mark - 0xd0]);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return read_uint(u, sizes[mark - 0xd9], &n) && put_str(u, n, false);
    case 0xdc:
    case 0xdd:
        return read_uint(u, mark == 0xdc ? 2 : 4, &n)
            && open_container(u, n, false);
    case 0xde:
    case 0xdf:
        return read_uint(u, mark == 0xde ? 2 : 4, &n)
            && open_container(u, n, true);
    case 0xc1:
        return fail(u, CELERY_MALFORMED, "byte 0xc1");
    default:
        return fail(u, CELERY_UNSUPPORTED, "extension type");
    }
}

static bool put_key(struct unpacker *u)
{
    unsigned char mark = *u->p++;
    uint64_t len = 0;

    if ((mark & 0xe0) == 0xa0)
        return put_str(u, mark & 0x1f, true);
    if (mark >= 0xd9 && mark <= 0xdb)
        return read_uint(u, 1U << (mark - 0xd9), &len) && put_str(u, len, true);
    return fail(u, CELERY_MALFORMED, "map key is no text");
}

static bool put_value(struct unpacker *u)
{
    unsigned char mark = *u->p++;

    if (u->elements_left-- == 0)
        return over_limit(u, "elements", u->max_elements);
    if (mark < 0x80) {
        celery_json_put_int(&u->out, mark);
        return true;
    }
    if (mark >= 0xe0) {
        celery_json_put_int(&u->out, (int64_t)mark - 0x100);
        return true;
    }
    if (mark < 0x90)
        return open_container(u, mark & 0x0f, true);
    if (mark < 0xa0)
        return open_container(u, mark & 0x0f, false);
    if (mark < 0xc0)
        return put_str(u, mark & 0x1f, false);
    return put_marked(u, mark);
}

static void close_full(struct unpacker *u)
{
    while (u->depth != 0 && u->frames[u->depth - 1].left == 0) {
        u->depth--;
        if (u->frames[u->depth].map)
            celery_json_end_object(&u->out);
        else
            celery_json_end_array(&u->out);
    }
}

static bool unpack(struct unpacker *u)
{
    do {
        if (u->p == u->end)
            return fail(u, CELERY_MALFORMED, "cut short");
        bool key = at_key(u);
        if (u->depth != 0)
            u->frames[u->depth - 1].left--;
        if (key ? !put_key(u) : !put_value(u))
            return false;
        if (celery_buf_status(u->out.buf) != CELERY_OK)
            return fail(u, celery_buf_status(u->out.buf), "no room");
        close_full(u);
    } while (u->depth != 0);
    if (u->p != u->end)
        return fail(u, CELERY_MALFORMED, "trailing bytes");
    return true;
}

enum celery_status celery_msgpack_decode(struct celery_str bytes,
                                         const struct celery_limits *limits,
                                         struct celery_buf *buf,
                                         struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct unpacker u;

    if (limits == NULL)
        limits = &defaults;
    u.start = (const unsigned char *)(bytes.len == 0 ? "" : bytes.data);
    u.p = u.start;
    u.end = u.start + bytes.len;
    u.out = CELERY_JSON_WRITER(buf);
    u.elements_left = limits->elements;
    u.max_elements = limits->elements;
    u.limit = 0;
    u.depth = 0;
    u.max_depth = limits->depth < MAX_DEPTH ? limits->depth : MAX_DEPTH;
    u.status = CELERY_OK;
    u.problem = "";

    size_t before = buf->len;
    if (unpack(&u) && celery_buf_status(buf) == CELERY_OK)
        return CELERY_OK;
    if (buf->data != NULL) {
        buf->len = before;
        buf->data[before] = '\0';
    }
    size_t at = (size_t)(u.p - u.start);
    if (u.status == CELERY_OK) {
        u.status = celery_buf_status(buf);
        u.problem = "inflated_bytes"; /* what limits the text that we write */
        u.limit = buf->limit;
    }
    if (u.status == CELERY_NOMEM)
        return celery_fail(err, u.status, "msgpack: out of memory");
    if (u.status == CELERY_TOO_LARGE)
        return celery_fail(err, u.status,
                           "msgpack: past the limit %s of %zu at byte %zu",
                           u.problem, u.limit, at);
    return celery_fail(err, u.status, "msgpack: %s at byte %zu", u.problem, at);
}
