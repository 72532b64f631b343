/* SPDX-License-Identifier: MIT */
/*
 * Base64 of RFC 4648 section 4. Bits past the last byte are not looked at, as
 * in Python's b64decode.
 */
#include "celery/base64.h"

#include <stdbool.h>
#include <stdint.h>

enum { BAD = 64 }; /* what is no letter of the alphabet */

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* clang-format off */
#define X BAD
static const uint8_t values[256] = {
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, 62, X, X, X, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, X, X, X,
    X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, X,
    X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
#undef X
/* clang-format on */

static uint32_t value_of(const char *text, size_t i)
{
    return values[(unsigned char)text[i]];
}

/* The last four letters, of which one or two may be padding. */
static bool decode_last(const char *text, size_t pad, char *out)
{
    uint32_t a = value_of(text, 0);
    uint32_t b = value_of(text, 1);
    uint32_t c = pad == 2 ? 0 : value_of(text, 2);
    uint32_t d = pad != 0 ? 0 : value_of(text, 3);

    if (((a | b | c | d) & BAD) != 0)
        return false;
    uint32_t bits = a << 18 | b << 12 | c << 6 | d;
    out[0] = (char)(bits >> 16);
    if (pad < 2)
        out[1] = (char)(bits >> 8 & 0xff);
    if (pad < 1)
        out[2] = (char)(bits & 0xff);
    return true;
}

enum celery_status celery_base64_decode(struct celery_str text,
                                        struct celery_arena *arena,
                                        struct celery_str *ret_bytes)
{
    if (text.len % 4 != 0)
        return CELERY_MALFORMED;
    if (text.len == 0) {
        *ret_bytes = CELERY_STR("");
        return CELERY_OK;
    }

    size_t pad = 0;
    if (text.data[text.len - 1] == '=')
        pad = text.data[text.len - 2] == '=' ? 2 : 1;
    size_t len = text.len / 4 * 3 - pad;
    char *out = celery_arena_alloc(arena, len);
    if (out == NULL)
        return CELERY_NOMEM;

    char *p = out;
    uint32_t bad = 0;
    size_t i = 0;
    for (; i + 4 < text.len; i += 4) {
        uint32_t a = value_of(text.data, i);
        uint32_t b = value_of(text.data, i + 1);
        uint32_t c = value_of(text.data, i + 2);
        uint32_t d = value_of(text.data, i + 3);
        bad |= a | b | c | d;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *p++ = (char)(bits >> 16);
        *p++ = (char)(bits >> 8 & 0xff);
        *p++ = (char)(bits & 0xff);
    }
    if ((bad & BAD) != 0 || !decode_last(text.data + i, pad, p))
        return CELERY_MALFORMED;
    ret_bytes->data = out;
    ret_bytes->len = len;
    return CELERY_OK;
}

static char *put_four(char *out, uint32_t bits)
{
    *out++ = alphabet[bits >> 18 & 63];
    *out++ = alphabet[bits >> 12 & 63];
    *out++ = alphabet[bits >> 6 & 63];
    *out++ = alphabet[bits & 63];
    return out;
}

void celery_base64_encode(struct celery_buf *buf, struct celery_str bytes)
{
    if (bytes.len > SIZE_MAX / 2) {
        buf->status = CELERY_TOO_LARGE;
        return;
    }
    size_t len = (bytes.len + 2) / 3 * 4;
    char *out = celery_buf_reserve(buf, len);
    if (out == NULL)
        return;

    const uint8_t *in = (const uint8_t *)bytes.data;
    size_t i = 0;
    for (; i + 3 <= bytes.len; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8;
        out = put_four(out, bits | in[i + 2]);
    }
    if (i < bytes.len) {
        bool two = i + 2 == bytes.len;
        uint32_t bits = (uint32_t)in[i] << 16;
        if (two)
            bits |= (uint32_t)in[i + 1] << 8;
        out = put_four(out, bits);
        out[-1] = '=';
        if (!two)
            out[-2] = '=';
    }
    celery_buf_commit(buf, len);
}
