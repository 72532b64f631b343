/* SPDX-License-Identifier: MIT */
/* Source: Lib/json/encoder.py (ensure_ascii, default separators). */
#include "celery/json_write.h"

#include <stdint.h>
#include <string.h>

#include "byte_scan.h"
#include "json_text.h"

/* Room for len bytes in one step, behind the separator if one is due; NULL when
 * the buffer is marked. */
static char *begin(struct celery_json_writer *w, size_t len)
{
    struct celery_buf *buf = w->buf;

    if (w->comma && len < SIZE_MAX - 2) {
        char *p = celery_buf_reserve(buf, len + 2);
        if (p == NULL)
            return NULL;
        p[0] = ',';
        p[1] = ' ';
        buf->len += 2;
        return p + 2;
    }
    w->comma = true;
    return celery_buf_reserve(buf, len);
}

static void put(struct celery_json_writer *w, const char *text, size_t len)
{
    celery_buf_append(w->buf, (struct celery_str){text, len});
}

/* A whole value. */
static void put_token(struct celery_json_writer *w, const char *text,
                      size_t len)
{
    char *p = begin(w, len);

    if (p == NULL)
        return;
    if (len != 0)
        memcpy(p, text, len);
    celery_buf_commit(w->buf, len);
}

static void separate(struct celery_json_writer *w)
{
    if (w->comma)
        put(w, ", ", 2);
    w->comma = true;
}

void celery_json_begin_object(struct celery_json_writer *w)
{
    put_token(w, "{", 1);
    w->comma = false;
}

void celery_json_end_object(struct celery_json_writer *w)
{
    put(w, "}", 1);
    w->comma = true;
}

void celery_json_begin_array(struct celery_json_writer *w)
{
    put_token(w, "[", 1);
    w->comma = false;
}

void celery_json_end_array(struct celery_json_writer *w)
{
    put(w, "]", 1);
    w->comma = true;
}

void celery_json_key(struct celery_json_writer *w, const char *key)
{
    celery_json_key_str(w, (struct celery_str){key, strlen(key)});
}

static char *put_unicode(char *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";

    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *out++ = hex[unit >> shift & 0x0f];
    return out;
}

static void put_escaped(struct celery_json_writer *w, uint32_t code)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    char out[12];
    char *p = out;

    const char *at = NULL;
    if (code != 0 && code < 0x80)
        at = memchr(from, (int)code, sizeof from - 1);
    if (at != NULL) {
        *p++ = '\\';
        *p++ = to[at - from];
    } else if (code >= 0x10000) {
        code -= 0x10000;
        p = put_unicode(p, 0xd800 | code >> 10);
        p = put_unicode(p, 0xdc00 | (code & 0x3ff));
    } else {
        p = put_unicode(p, code);
    }
    put(w, out, (size_t)(p - out));
}

/* A text with something to escape. */
static void put_escapes(struct celery_json_writer *w, struct celery_str text)
{
    const char *p = text.data;
    const char *end = p + text.len;

    separate(w);
    put(w, "\"", 1);
    while (p != end) {
        const char *run = p;
        p = cel_find_unprintable(p, end);
        put(w, run, (size_t)(p - run));
        if (p == end)
            break;
        const unsigned char *bytes = (const unsigned char *)p;
        size_t len = cel_utf8_len(bytes, (const unsigned char *)end, true);
        put_escaped(w, len == 0 ? 0xfffd : cel_utf8_get(bytes, len));
        p += len == 0 ? 1 : len;
    }
    put(w, "\"", 1);
}

/* The text in quotes, and behind them what follows a key or nothing. */
static void put_quoted(struct celery_json_writer *w, struct celery_str text,
                       struct celery_str tail)
{
    if (text.len != 0 && !cel_is_printable_text(text.data, text.len)) {
        put_escapes(w, text);
        put(w, tail.data, tail.len);
        return;
    }
    char *p = begin(w, text.len + 2 + tail.len);
    if (p == NULL)
        return;
    *p++ = '"';
    if (text.len != 0)
        memcpy(p, text.data, text.len);
    p += text.len;
    *p++ = '"';
    memcpy(p, tail.data, tail.len);
    celery_buf_commit(w->buf, text.len + 2 + tail.len);
}

void cel_json_raw_key(struct celery_json_writer *w, struct celery_str key)
{
    put_token(w, key.data, key.len);
    w->comma = false;
}

void celery_json_key_str(struct celery_json_writer *w, struct celery_str key)
{
    put_quoted(w, key, CELERY_STR(": "));
    w->comma = false;
}

void celery_json_put_str(struct celery_json_writer *w, struct celery_str text)
{
    put_quoted(w, text, CELERY_STR(""));
}

void celery_json_put_text(struct celery_json_writer *w, const char *text)
{
    if (text == NULL)
        celery_json_put_null(w);
    else
        celery_json_put_str(w, (struct celery_str){text, strlen(text)});
}

void celery_json_put_int(struct celery_json_writer *w, int64_t n)
{
    char text[24];
    char *p = text + sizeof text;
    uint64_t rest = n < 0 ? (uint64_t)0 - (uint64_t)n : (uint64_t)n;

    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (n < 0)
        *--p = '-';
    put_token(w, p, (size_t)(text + sizeof text - p));
}

void celery_json_put_double(struct celery_json_writer *w, double d)
{
    char text[32];
    size_t len = celery_double_repr(d, text);

    if (text[len - 1] == 'f') /* inf, -inf */
        put_token(w, *text == '-' ? "-Infinity" : "Infinity",
                  *text == '-' ? 9 : 8);
    else if (*text == 'n')
        put_token(w, "NaN", 3);
    else
        put_token(w, text, len);
}

void celery_json_put_bool(struct celery_json_writer *w, bool b)
{
    put_token(w, b ? "true" : "false", b ? 4 : 5);
}

void celery_json_put_null(struct celery_json_writer *w)
{
    put_token(w, "null", 4);
}

void celery_json_put_raw(struct celery_json_writer *w, struct celery_str json)
{
    put_token(w, json.data, json.len);
}

void celery_json_put_value(struct celery_json_writer *w,
                           struct celery_json value)
{
    if (value.type == CELERY_JSON_NONE)
        celery_json_put_null(w);
    else
        celery_json_put_raw(w, value.text);
}
