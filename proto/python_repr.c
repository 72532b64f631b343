/* SPDX-License-Identifier: MIT */
/*
 * saferepr() as a walk with an explicit stack. Its rules, token by token:
 * while characters are left, a token is written and counted; strings and
 * numbers are cut to what is left; then ", ..." and the closing brackets of
 * what is open. A container below maxlevels is "[...]".
 *
 * Of equal keys the first has its place and the last its value, as in a dict;
 * that is looked for in small objects only, and both are shown in others.
 * Source: celery/utils/saferepr.py 5.7.0, celery/utils/text.py truncate.
 */
#include "celery/python_repr.h"

#include <string.h>

#include "byte_scan.h"
#include "celery/base64.h"
#include "celery/json_write.h"
#include "python_text.h"

enum {
    MAX_DEPTH = 1024,
    /* Where equal keys are looked for, since that reads an object twice:
     * objects of so many bytes, and so many bytes in all. */
    LOOK_BYTES = 4096,
    LOOK_TOTAL = 65536,
};

struct frame {
    struct celery_json_iter iter;
    const char *first; /* where iter began, if keys are repeated */
    size_t members;    /* begun */
    const char *close;
};

struct repr {
    struct celery_buf *buf;
    int64_t left; /* characters; may end below zero */
    bool limited;
    bool exact; /* repr() in place of saferepr() */
    bool cut;
    bool as_tuple;
    unsigned maxlevels;
    size_t look_left; /* bytes in which equal keys may still be looked for */
    unsigned depth;
    struct frame frames[MAX_DEPTH];
};

/* The start of every token but the closing ones. */
static bool may_write(struct repr *r)
{
    if (r->limited && r->left <= 0)
        r->cut = true;
    return !r->cut;
}

static void put_ascii(struct repr *r, const char *text, size_t len)
{
    celery_buf_append(r->buf, (struct celery_str){text, len});
    r->left -= (int64_t)len;
}

static void put_literal(struct repr *r, const char *text)
{
    if (may_write(r))
        put_ascii(r, text, strlen(text));
}

/* How many characters truncate() keeps of text; all when it does not cut. */
static size_t kept(const struct repr *r, struct cel_chars chars, bool *ret_cut)
{
    size_t n = 0;
    size_t space = 0; /* one past the index of the last space */
    uint32_t code = 0;

    *ret_cut = false;
    while (!r->limited || (int64_t)n < r->left) {
        if (!cel_chars_next(&chars, &code))
            return n;
        n++;
        if (code == ' ')
            space = n;
    }
    *ret_cut = true;
    return space != 0 ? space - 1 : n;
}

/* Counts what was appended since from. */
static void count(struct repr *r, size_t from)
{
    if (!r->limited || celery_buf_status(r->buf) != CELERY_OK)
        return;
    for (size_t i = from; i < r->buf->len; i++)
        r->left -= ((unsigned char)r->buf->data[i] & 0xc0) != 0x80;
}

/* A string that is shown as it stands, whole: ASCII without a quote or an
 * escape. false: it is none. */
static bool put_plain(struct repr *r, const struct cel_chars *chars)
{
    const char *p = chars->rest.p;
    size_t len = (size_t)(chars->rest.end - p);

    if (chars->piece.len != 0 || (r->limited && (int64_t)len >= r->left)
        || cel_find_special(p, p + len) != p + len
        || memchr(p, '\'', len) != NULL)
        return false;
    char *out = celery_buf_reserve(r->buf, len + 2);
    if (out == NULL)
        return true;
    out[0] = '\'';
    memcpy(out + 1, p, len);
    out[len + 1] = '\'';
    celery_buf_commit(r->buf, len + 2);
    r->left -= (int64_t)len + 2;
    return true;
}

static void put_string(struct repr *r, struct cel_chars *chars)
{
    bool cut = false;
    uint32_t code = 0;
    size_t from = r->buf->len;

    if (!may_write(r))
        return;
    if (r->exact) {
        cel_repr_chars(r->buf, chars);
        return;
    }
    if (put_plain(r, chars))
        return;
    size_t n = kept(r, *chars, &cut);
    celery_buf_append(r->buf, CELERY_STR("'"));
    for (size_t i = 0; i < n && cel_chars_next(chars, &code); i++) {
        if (code == '\'')
            celery_buf_append(r->buf, CELERY_STR("\\"));
        cel_put_char(r->buf, code);
    }
    if (cut)
        celery_buf_append(r->buf, CELERY_STR("..."));
    celery_buf_append(r->buf, CELERY_STR("'"));
    count(r, from);
}

/* A number, None, or the repr() of a typed value. */
static void put_token(struct repr *r, struct celery_str text)
{
    struct cel_chars chars;
    bool cut = false;

    if (!may_write(r))
        return;
    if (!r->limited || (int64_t)text.len < r->left) {
        put_ascii(r, text.data, text.len);
        return;
    }
    cel_chars_text(&chars, text);
    size_t n = kept(r, chars, &cut);
    put_ascii(r, text.data, n);
    if (cut)
        put_ascii(r, "...", 3);
}

static void put_number(struct repr *r, struct celery_json value)
{
    char text[32];
    double d = 0;

    if (value.text.len == 2 && memcmp(value.text.data, "-0", 2) == 0) {
        put_token(r, CELERY_STR("0"));
        return;
    }
    /* An integer of any size stands as it is. */
    const char *digits = value.text.data + (*value.text.data == '-');
    size_t n = value.text.len - (*value.text.data == '-');
    size_t i = 0;
    while (i < n && digits[i] >= '0' && digits[i] <= '9')
        i++;
    if (i == n) {
        put_token(r, value.text);
        return;
    }
    if (celery_json_double(value, &d))
        put_token(r, (struct celery_str){text, celery_double_repr(d, text)});
}

static bool is_utf8(struct celery_str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    const unsigned char *end = p + bytes.len;

    while (p != end) {
        size_t len = cel_utf8_len(p, end, false);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

/* _format_binary_bytes: text when it is UTF-8, else hexadecimal. */
static void put_bytes(struct repr *r, struct celery_str bytes)
{
    size_t from = r->buf->len;

    if (!may_write(r))
        return;
    if (r->exact) {
        cel_repr_bytes(r->buf, bytes);
        return;
    }
    bool cut = r->limited && (int64_t)bytes.len > r->left;
    if (cut)
        bytes.len = (size_t)r->left;
    celery_buf_append(r->buf, CELERY_STR("b'"));
    if (is_utf8(bytes)) {
        celery_buf_append(r->buf, bytes);
    } else {
        for (size_t i = 0; i < bytes.len; i++)
            celery_buf_printf(r->buf, "%02x",
                              (unsigned)(unsigned char)bytes.data[i]);
    }
    if (cut)
        celery_buf_append(r->buf, CELERY_STR("..."));
    celery_buf_append(r->buf, CELERY_STR("'"));
    count(r, from);
}

/* false: the bytes could not be had, so the object is shown as it stands. */
static bool put_typed_bytes(struct repr *r, enum cel_typed kind,
                            struct celery_json value)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str bytes = {"", 0};

    enum celery_status status = celery_json_string(value, &arena, &bytes);
    if (status == CELERY_OK && kind == CEL_TYPED_BASE64)
        status = celery_base64_decode(bytes, &arena, &bytes);
    if (status == CELERY_OK)
        put_bytes(r, bytes);
    if (status == CELERY_NOMEM)
        r->buf->status = CELERY_NOMEM;
    celery_arena_done(&arena);
    return status == CELERY_OK;
}

static bool put_typed(struct repr *r, struct celery_json object)
{
    struct celery_json type;
    struct celery_json value;
    struct celery_buf text = CELERY_BUF_INIT;

    enum cel_typed kind = cel_typed_get(object, &type, &value);
    if (kind == CEL_TYPED_NONE)
        return false;
    if (kind != CEL_TYPED_OTHER)
        return put_typed_bytes(r, kind, value);
    bool known = cel_repr_typed(&text, type, value);
    if (celery_buf_status(&text) != CELERY_OK)
        r->buf->status = celery_buf_status(&text);
    else if (known)
        put_token(r, celery_buf_str(&text));
    celery_buf_done(&text);
    return known;
}

static bool is_single(struct celery_json_iter iter)
{
    struct celery_json value;

    return celery_json_next(&iter, NULL, &value)
        && !celery_json_next(&iter, NULL, &value);
}

static bool look_for_equal_keys(struct repr *r, struct celery_json object)
{
    if (object.text.len > LOOK_BYTES || object.text.len > r->look_left)
        return false;
    r->look_left -= object.text.len;
    return cel_keys_may_repeat(object);
}

static void put_container(struct repr *r, struct celery_json value)
{
    bool object = value.type == CELERY_JSON_OBJECT;

    if ((r->maxlevels != 0 && r->depth >= r->maxlevels)
        || r->depth == MAX_DEPTH) {
        put_literal(r, object ? "{...}" : "[...]");
        return;
    }
    bool tuple = r->as_tuple && r->depth == 0 && !object;
    const char *open = object ? "{" : "[";
    put_literal(r, tuple ? "(" : open);
    if (r->cut)
        return; /* not open, so it is not closed either */
    struct frame *frame = &r->frames[r->depth++];
    frame->iter = celery_json_iter(value);
    frame->first = NULL;
    if (object && look_for_equal_keys(r, value))
        frame->first = frame->iter.p;
    frame->members = 0;
    frame->close = object ? "}" : "]";
    if (tuple)
        frame->close = is_single(frame->iter) ? ",)" : ")";
}

static void put_value(struct repr *r, struct celery_json value)
{
    struct cel_chars chars;

    switch (value.type) {
    case CELERY_JSON_TRUE:
        put_token(r, CELERY_STR("True"));
        break;
    case CELERY_JSON_FALSE:
        put_token(r, CELERY_STR("False"));
        break;
    case CELERY_JSON_NUMBER:
        put_number(r, value);
        break;
    case CELERY_JSON_STRING:
        cel_chars_json(&chars, value);
        put_string(r, &chars);
        break;
    case CELERY_JSON_OBJECT:
        if (put_typed(r, value))
            break;
        put_container(r, value);
        break;
    case CELERY_JSON_ARRAY:
        put_container(r, value);
        break;
    case CELERY_JSON_NONE:
    case CELERY_JSON_NULL:
    default:
        put_token(r, CELERY_STR("None"));
        break;
    }
}

/* Closing brackets are written however little is left. */
static void close_frame(struct repr *r)
{
    const struct frame *frame = &r->frames[--r->depth];

    put_ascii(r, frame->close, strlen(frame->close));
}

static void put_member(struct repr *r, struct frame *frame,
                       struct celery_json key, struct celery_json value)
{
    struct cel_chars chars;

    if (frame->first != NULL) {
        struct celery_json_iter all = frame->iter;
        all.p = frame->first;
        if (cel_key_is_repetition(all, key, &value))
            return;
    }
    if (frame->members++ != 0)
        put_literal(r, ", ");
    if (frame->iter.object) {
        cel_chars_json(&chars, key);
        put_string(r, &chars);
        put_literal(r, ": ");
    }
    if (!r->cut)
        put_value(r, value);
}

static void walk(struct repr *r, struct celery_json value)
{
    struct celery_json key;

    put_value(r, value);
    while (r->depth != 0 && !r->cut) {
        struct frame *frame = &r->frames[r->depth - 1];
        if (celery_json_next(&frame->iter, &key, &value))
            put_member(r, frame, key, value);
        else
            close_frame(r);
    }
    if (r->cut)
        put_ascii(r, ", ...", 5);
    while (r->depth != 0)
        close_frame(r);
}

/* The frames of an opened container are set when it is opened; to zero all 48
 * KB of them, as hardened builds do, costs more than the rest of an encode. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

static void start(struct repr *r, struct celery_buf *buf)
{
    r->buf = buf;
    r->left = 0;
    r->limited = false;
    r->exact = false;
    r->cut = false;
    r->as_tuple = false;
    r->maxlevels = 0;
    r->look_left = LOOK_TOTAL;
    r->depth = 0;
}

void celery_python_repr(struct celery_buf *buf, struct celery_json value,
                        bool as_tuple, size_t maxlen, unsigned maxlevels)
{
    UNINITIALIZED struct repr r;

    start(&r, buf);
    r.limited = maxlen != 0;
    r.left = maxlen > INT32_MAX ? INT32_MAX : (int64_t)maxlen;
    r.as_tuple = as_tuple;
    r.maxlevels = maxlevels;
    walk(&r, value);
}

void cel_repr_exact(struct celery_buf *buf, struct celery_json value)
{
    UNINITIALIZED struct repr r;

    start(&r, buf);
    r.exact = true;
    walk(&r, value);
}
