/* SPDX-License-Identifier: MIT */
/* Source: Lib/json/encoder.py (ensure_ascii, default separators). */
#include "celery/json_write.h"

#include <string.h>

#include "json_text.h"

static void put(struct celery_json_writer *w, const char *text, size_t len)
{
    celery_buf_append(w->buf, (struct celery_str){text, len});
}

static void separate(struct celery_json_writer *w)
{
    if (w->comma)
        put(w, ", ", 2);
    w->comma = true;
}

void celery_json_begin_object(struct celery_json_writer *w)
{
    separate(w);
    put(w, "{", 1);
    w->comma = false;
}

void celery_json_end_object(struct celery_json_writer *w)
{
    put(w, "}", 1);
    w->comma = true;
}

void celery_json_begin_array(struct celery_json_writer *w)
{
    separate(w);
    put(w, "[", 1);
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

void celery_json_key_str(struct celery_json_writer *w, struct celery_str key)
{
    celery_json_put_str(w, key);
    put(w, ": ", 2);
    w->comma = false;
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

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

void celery_json_put_str(struct celery_json_writer *w, struct celery_str text)
{
    separate(w);
    put(w, "\"", 1);
    if (text.len != 0) {
        const unsigned char *p = (const unsigned char *)text.data;
        const unsigned char *end = p + text.len;

        while (p != end) {
            const unsigned char *run = p;
            while (p != end && is_plain(*p))
                p++;
            put(w, (const char *)run, (size_t)(p - run));
            if (p == end)
                break;
            size_t len = cel_utf8_len(p, end, true);
            put_escaped(w, len == 0 ? 0xfffd : cel_utf8_get(p, len));
            p += len == 0 ? 1 : len;
        }
    }
    put(w, "\"", 1);
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
    separate(w);
    put(w, p, (size_t)(text + sizeof text - p));
}

void celery_json_put_double(struct celery_json_writer *w, double d)
{
    char text[32];
    size_t len = celery_double_repr(d, text);

    separate(w);
    if (text[len - 1] == 'f') /* inf, -inf */
        put(w, *text == '-' ? "-Infinity" : "Infinity", *text == '-' ? 9 : 8);
    else if (*text == 'n')
        put(w, "NaN", 3);
    else
        put(w, text, len);
}

void celery_json_put_bool(struct celery_json_writer *w, bool b)
{
    separate(w);
    put(w, b ? "true" : "false", b ? 4 : 5);
}

void celery_json_put_null(struct celery_json_writer *w)
{
    separate(w);
    put(w, "null", 4);
}

void celery_json_put_raw(struct celery_json_writer *w, struct celery_str json)
{
    separate(w);
    celery_buf_append(w->buf, json);
}

void celery_json_put_value(struct celery_json_writer *w,
                           struct celery_json value)
{
    if (value.type == CELERY_JSON_NONE)
        celery_json_put_null(w);
    else
        celery_json_put_raw(w, value.text);
}
