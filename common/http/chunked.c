/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include <stdbool.h>

#include "base/ascii.h"
#include "http/head.h"

enum {
    SIZE_DIGITS_MAX = 8, /* far above every route's limit */
    /* RFC 9112 section 7.1.1: a recipient limits what extensions may take. */
    OVERHEAD_MAX = 16384,
};

static bool is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return c == '\t' || (u >= ' ' && u != 0x7f);
}

/* One step: c in a place where single characters count. false: malformed. */
static bool step_size(struct http_chunked *k, char c)
{
    int digit = ascii_hex(c);
    if (digit >= 0) {
        k->left = k->left * 16 + (uint64_t)digit;
        return ++k->digits <= SIZE_DIGITS_MAX;
    }
    /* Blanks before ';' are what RFC 9112 calls bad whitespace. */
    k->at = c == '\r' ? HTTP_CHUNK_AT_SIZE_LF : HTTP_CHUNK_AT_EXTENSION;
    return k->digits > 0 && (c == '\r' || c == ';');
}

static bool step_trailer(struct http_chunked *k, char c)
{
    switch ((int)k->at) {
    case HTTP_CHUNK_AT_TRAILER_START:
        k->at = c == '\r' ? HTTP_CHUNK_AT_END_LF : HTTP_CHUNK_AT_TRAILER_NAME;
        return c == '\r' || http_is_token_char(c);
    case HTTP_CHUNK_AT_TRAILER_NAME:
        if (c == ':')
            k->at = HTTP_CHUNK_AT_TRAILER;
        return c == ':' || http_is_token_char(c);
    case HTTP_CHUNK_AT_TRAILER:
        if (c == '\r')
            k->at = HTTP_CHUNK_AT_TRAILER_LF;
        return c == '\r' || is_text(c);
    default: /* HTTP_CHUNK_AT_TRAILER_LF */
        k->at = HTTP_CHUNK_AT_TRAILER_START;
        return c == '\n';
    }
}

static void after_size(struct http_chunked *k)
{
    k->digits = 0;
    k->at = k->left > 0 ? HTTP_CHUNK_AT_DATA : HTTP_CHUNK_AT_TRAILER_START;
}

static bool step(struct http_chunked *k, char c)
{
    switch ((int)k->at) {
    case HTTP_CHUNK_AT_SIZE:
        return step_size(k, c);
    case HTTP_CHUNK_AT_EXTENSION:
        if (c == '\r')
            k->at = HTTP_CHUNK_AT_SIZE_LF;
        return ++k->overhead <= OVERHEAD_MAX && (c == '\r' || is_text(c));
    case HTTP_CHUNK_AT_SIZE_LF:
        after_size(k);
        return c == '\n';
    case HTTP_CHUNK_AT_DATA_CR:
        k->at = HTTP_CHUNK_AT_DATA_LF;
        return c == '\r';
    case HTTP_CHUNK_AT_DATA_LF:
        k->at = HTTP_CHUNK_AT_SIZE;
        return c == '\n';
    default:
        return ++k->overhead <= OVERHEAD_MAX && step_trailer(k, c);
    }
}

static size_t take_data(struct http_chunked *k, const char *data, size_t len,
                        struct celery_buf *body)
{
    size_t n = len < k->left ? len : (size_t)k->left;
    celery_buf_append(body, (struct celery_str){data, n});
    k->left -= n;
    if (k->left == 0)
        k->at = HTTP_CHUNK_AT_DATA_CR;
    return n;
}

enum http_chunk_state http_chunked_feed(struct http_chunked *chunked,
                                        const char *data, size_t len,
                                        size_t *ret_used,
                                        struct celery_buf *body)
{
    size_t i = 0;
    while (i < len) {
        if (chunked->at == HTTP_CHUNK_AT_DATA) {
            i += take_data(chunked, data + i, len - i, body);
            continue;
        }
        char c = data[i++];
        *ret_used = i;
        if (chunked->at == HTTP_CHUNK_AT_END_LF)
            return c == '\n' ? HTTP_CHUNK_DONE : HTTP_CHUNK_BAD;
        if (!step(chunked, c))
            return HTTP_CHUNK_BAD;
    }
    *ret_used = i;
    return HTTP_CHUNK_MORE;
}
