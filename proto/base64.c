/* SPDX-License-Identifier: MIT */
/*
 * Base64 of RFC 4648 section 4. Bits past the last byte are not looked at, as
 * in Python's b64decode.
 */
#include "celery/base64.h"

#include <stdbool.h>
#include <stdint.h>

/* What is no letter of the alphabet: a bit that no value has at any of its four
 * places. */
enum { BAD = 1 << 24 };

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* clang-format off */
#define BAD8(S) BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD
#define BAD64(S) BAD8(S), BAD8(S), BAD8(S), BAD8(S), \
    BAD8(S), BAD8(S), BAD8(S), BAD8(S)
#define V2(n, S) (n) << (S), ((n) + 1) << (S)
#define V4(n, S) V2(n, S), V2((n) + 2, S)
#define V8(n, S) V4(n, S), V4((n) + 4, S)
#define V26(n, S) V8(n, S), V8((n) + 8, S), V8((n) + 16, S), V2((n) + 24, S)
/* The 256 bytes: control characters, " !.../", "0-9:...?", "@A-Z[..._",
 * "`a-z{...", and what is no ASCII. */
#define LETTERS(S) { \
    BAD8(S), BAD8(S), BAD8(S), BAD8(S), \
    BAD8(S), BAD, BAD, BAD, 62 << (S), BAD, BAD, BAD, 63 << (S), \
    V8(52, S), V2(60, S), BAD, BAD, BAD, BAD, BAD, BAD, \
    BAD, V26(0, S), BAD, BAD, BAD, BAD, BAD, \
    BAD, V26(26, S), BAD, BAD, BAD, BAD, BAD, \
    BAD64(S), BAD64(S), \
}
/* Of the letters at the four places, shifted to where they belong. */
static const uint32_t values[4][256] = {
    LETTERS(18), LETTERS(12), LETTERS(6), LETTERS(0),
};
/* clang-format on */

/* 24 bits, or BAD is set. */
static uint32_t value_of(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    return values[0][p[0]] | values[1][p[1]] | values[2][p[2]]
         | values[3][p[3]];
}

/* The last four letters, of which one or two may be padding. */
static bool decode_last(const char *text, size_t pad, char *out)
{
    char letters[4] = {text[0], text[1], 'A', 'A'};

    if (pad < 2)
        letters[2] = text[2];
    if (pad < 1)
        letters[3] = text[3];
    uint32_t bits = value_of(letters);

    if ((bits & BAD) != 0)
        return false;
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
        uint32_t bits = value_of(text.data + i);
        bad |= bits;
        *p++ = (char)(bits >> 16 & 0xff);
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
