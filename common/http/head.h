/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1.x request, read strictly (RFC 9112): what two readers
 * could understand in two ways is refused, so that no proxy before us can be
 * made to see other requests than we do. Pure: no I/O, no clock, no memory of
 * its own.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"

enum {
    HTTP_HEAD_MAX = 16384, /* bytes, with the empty line */
    HTTP_FIELDS_MAX = 63,  /* header fields of one request */
};

struct http_field {
    struct celery_str name;
    struct celery_str value; /* without the blanks around it */
};

struct http_head {
    struct celery_str method;
    struct celery_str target; /* as sent; see target.h */
    int minor;                /* 0 or 1; later 1.x count as 1 */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    int64_t content_length; /* -1: there is none */
    bool chunked;
    bool keep_alive;      /* may the connection serve another request? */
    bool expect_continue; /* the client waits for 100 */
};

/* Why a request is refused. The texts are static, or the exchange's. */
struct http_refusal {
    int status;
    const char *reason; /* a word, for the metric's label */
    const char *text;   /* a sentence, for the client */
};

enum http_head_state { HTTP_HEAD_MORE, HTTP_HEAD_DONE, HTTP_HEAD_REFUSED };

/* Looks for the end of the head in the first len bytes; *scanned is where the
 * last call stopped (0 at first), so a slow head is read once. DONE: *ret_len
 * is the head's length, with leading and final empty line. */
enum http_head_state http_head_find_end(const char *data, size_t len,
                                        size_t *scanned, size_t *ret_len,
                                        struct http_refusal *ret_refusal);

/* Reads a whole head of len bytes, as found by http_head_find_end(). Slices
 * are borrowed from data. false: *ret_refusal says why. */
bool http_head_parse(const char *data, size_t len, struct http_head *ret_head,
                     struct http_refusal *ret_refusal);

/* Is c allowed in a token (RFC 9110 section 5.6.2): a method, a field's name? */
bool http_is_token_char(char c);

#endif /* HTTP_HEAD_H */
