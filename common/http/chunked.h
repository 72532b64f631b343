/* SPDX-License-Identifier: MIT */
/*
 * The chunked transfer coding of a request's body (RFC 9112 section 7.1),
 * decoded piece by piece as bytes arrive. Extensions and trailer fields are
 * read, checked for their form and dropped. Pure.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"

enum http_chunk_state { HTTP_CHUNK_MORE, HTTP_CHUNK_DONE, HTTP_CHUNK_BAD };

enum http_chunk_at {
    HTTP_CHUNK_AT_SIZE,
    HTTP_CHUNK_AT_EXTENSION,
    HTTP_CHUNK_AT_SIZE_LF,
    HTTP_CHUNK_AT_DATA,
    HTTP_CHUNK_AT_DATA_CR,
    HTTP_CHUNK_AT_DATA_LF,
    HTTP_CHUNK_AT_TRAILER_START,
    HTTP_CHUNK_AT_TRAILER_NAME,
    HTTP_CHUNK_AT_TRAILER,
    HTTP_CHUNK_AT_TRAILER_LF,
    HTTP_CHUNK_AT_END_LF,
};

/* Zeroes are the start of a body. */
struct http_chunked {
    enum http_chunk_at at;
    uint64_t left;   /* of the chunk's size or data */
    size_t digits;   /* of the size so far */
    size_t overhead; /* bytes of extensions and trailers so far */
};

/* Reads at most len bytes, appends what is data to body (whose limit is the
 * caller's business: *ret_used stops at the end of the message). DONE: the
 * last byte of the message was read. BAD: it is no chunked body. */
enum http_chunk_state http_chunked_feed(struct http_chunked *chunked,
                                        const char *data, size_t len,
                                        size_t *ret_used,
                                        struct celery_buf *body);

#endif /* HTTP_CHUNKED_H */
