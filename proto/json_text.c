/* SPDX-License-Identifier: MIT */
/* UTF-8 per RFC 3629 table 3-7 of the Unicode standard. */
#include "json_text.h"

#include <string.h>

static bool in_range(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

size_t cel_utf8_len(const unsigned char *p, const unsigned char *end,
                    bool generalized)
{
    size_t left = (size_t)(end - p);
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t len = 0;

    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (in_range(p[0], 0xc2, 0xdf))
        len = 2;
    else if (in_range(p[0], 0xe0, 0xef))
        len = 3;
    else if (in_range(p[0], 0xf0, 0xf4))
        len = 4;
    if (len == 0 || left < len)
        return 0;

    /* The second byte tells overlong forms, surrogates, and > U+10FFFF. */
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed && !generalized)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (!in_range(p[1], low, high))
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (!in_range(p[i], 0x80, 0xbf))
            return 0;
    }
    return len;
}

uint32_t cel_utf8_get(const unsigned char *p, size_t len)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (uint32_t)p[0] & first[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((uint32_t)p[i] & 0x3f);
    return code;
}

size_t cel_utf8_put(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Four hexadecimal digits; the document was checked. */
static uint32_t hex4(const char *p)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t c = (unsigned char)p[i];
        value = value << 4 | ((c & 0x0f) + (c >> 6) * 9);
    }
    return value;
}

/* Past "\u": one escape, or a surrogate pair of two, as Python joins them. */
static uint32_t unicode_escape(struct cel_unescape *u)
{
    uint32_t code = hex4(u->p);

    u->p += 4;
    if ((code & 0xfc00) != 0xd800 || u->end - u->p < 6 || u->p[0] != '\\'
        || u->p[1] != 'u')
        return code;
    uint32_t low = hex4(u->p + 2);
    if ((low & 0xfc00) != 0xdc00)
        return code;
    u->p += 6;
    return 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
}

bool cel_unescape_next(struct cel_unescape *u, char *out,
                       struct celery_str *ret)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";

    if (u->p == u->end)
        return false;
    if (*u->p != '\\') {
        size_t left = (size_t)(u->end - u->p);
        const char *stop = memchr(u->p, '\\', left);
        ret->data = u->p;
        ret->len = stop == NULL ? left : (size_t)(stop - u->p);
        u->p += ret->len;
        return true;
    }

    char kind = u->p[1];
    u->p += 2;
    ret->data = out;
    if (kind == 'u') {
        ret->len = cel_utf8_put(unicode_escape(u), out);
        return true;
    }
    const char *at = memchr(from, kind, sizeof from - 1);
    out[0] = (char)(at == NULL ? kind : to[at - from]);
    ret->len = 1;
    return true;
}
