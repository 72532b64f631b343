/* SPDX-License-Identifier: MIT */
/* Source: Objects/unicodeobject.c unicode_repr, bytesobject.c PyBytes_Repr. */
#include "python_text.h"

#include <string.h>

#include "celery/python_repr.h"

void cel_chars_text(struct cel_chars *c, struct celery_str text)
{
    c->rest.p = text.len == 0 ? "" : text.data;
    c->rest.end = c->rest.p + text.len;
    c->piece = CELERY_STR("");
    c->plain = true;
}

void cel_chars_json(struct cel_chars *c, struct celery_json string)
{
    c->rest.p = string.text.data + 1;
    c->rest.end = string.text.data + string.text.len - 1;
    c->piece = CELERY_STR("");
    c->plain = false;
}

static bool refill(struct cel_chars *c)
{
    if (!c->plain)
        return cel_unescape_next(&c->rest, c->room, &c->piece);
    c->piece.data = c->rest.p;
    c->piece.len = (size_t)(c->rest.end - c->rest.p);
    c->rest.p = c->rest.end;
    return c->piece.len != 0;
}

bool cel_chars_next(struct cel_chars *c, uint32_t *ret_code)
{
    if (c->piece.len == 0 && !refill(c))
        return false;

    const unsigned char *p = (const unsigned char *)c->piece.data;
    size_t len = cel_utf8_len(p, p + c->piece.len, true);
    if (len == 0) {
        *ret_code = 0xdc00U + p[0];
        len = 1;
    } else {
        *ret_code = cel_utf8_get(p, len);
    }
    c->piece.data += len;
    c->piece.len -= len;
    return true;
}

void cel_put_char(struct celery_buf *buf, uint32_t code)
{
    char out[4];
    size_t len = cel_utf8_put(code, out);

    celery_buf_append(buf, (struct celery_str){out, len});
}

static void put_hex(struct celery_buf *buf, char kind, uint32_t code,
                    int digits)
{
    static const char hex[] = "0123456789abcdef";
    char out[12] = {'\\', kind};

    for (int i = 0; i < digits; i++)
        out[2 + i] = hex[code >> (digits - 1 - i) * 4 & 0x0f];
    celery_buf_append(buf, (struct celery_str){out, (size_t)digits + 2});
}

/* The escapes that str and bytes share; false: none of them. */
static bool put_common(struct celery_buf *buf, uint32_t code, char quote)
{
    char out[2] = {'\\', '\0'};

    if (code == '\\' || code == (unsigned char)quote)
        out[1] = (char)code;
    else if (code == '\n')
        out[1] = 'n';
    else if (code == '\r')
        out[1] = 'r';
    else if (code == '\t')
        out[1] = 't';
    else
        return false;
    celery_buf_append(buf, (struct celery_str){out, 2});
    return true;
}

static void put_str_char(struct celery_buf *buf, uint32_t code, char quote)
{
    if (put_common(buf, code, quote))
        return;
    if (cel_is_printable(code))
        cel_put_char(buf, code);
    else if (code < 0x100)
        put_hex(buf, 'x', code, 2);
    else if (code < 0x10000)
        put_hex(buf, 'u', code, 4);
    else
        put_hex(buf, 'U', code, 8);
}

static void put_quote(struct celery_buf *buf, char quote)
{
    celery_buf_append(buf, (struct celery_str){&quote, 1});
}

void cel_repr_chars(struct celery_buf *buf, const struct cel_chars *chars)
{
    struct cel_chars c = *chars;
    uint32_t code = 0;
    bool single = false;
    bool both = false;

    while (cel_chars_next(&c, &code)) {
        single = single || code == '\'';
        both = both || code == '"';
    }
    char quote = single && !both ? '"' : '\'';

    c = *chars;
    put_quote(buf, quote);
    while (cel_chars_next(&c, &code))
        put_str_char(buf, code, quote);
    put_quote(buf, quote);
}

void cel_repr_bytes(struct celery_buf *buf, struct celery_str bytes)
{
    bool single = false;
    bool both = false;

    for (size_t i = 0; i < bytes.len; i++) {
        single = single || bytes.data[i] == '\'';
        both = both || bytes.data[i] == '"';
    }
    char quote = single && !both ? '"' : '\'';

    celery_buf_append(buf, CELERY_STR("b"));
    put_quote(buf, quote);
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (put_common(buf, c, quote))
            continue;
        if (c < ' ' || c >= 0x7f)
            put_hex(buf, 'x', c, 2);
        else
            cel_put_char(buf, c);
    }
    put_quote(buf, quote);
}

void celery_python_repr_str(struct celery_buf *buf, struct celery_str text)
{
    struct cel_chars chars;

    cel_chars_text(&chars, text);
    cel_repr_chars(buf, &chars);
}
