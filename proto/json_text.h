/* SPDX-License-Identifier: MIT */
/*
 * What the JSON rooms share: characters in and out of UTF-8, and the walk
 * through a string's escapes; and the walk that picks members.
 */
#ifndef CELERY_JSON_TEXT_H
#define CELERY_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/json_scan.h"

/* Length of the UTF-8 sequence at p, 0 when there is no valid one. generalized
 * allows the three bytes of a lone surrogate, as Python's "surrogatepass". */
size_t cel_utf8_len(const unsigned char *p, const unsigned char *end,
                    bool generalized);

/* The character of a sequence that cel_utf8_len measured. */
uint32_t cel_utf8_get(const unsigned char *p, size_t len);

/* Writes at most 4 bytes; surrogates in generalized form. */
size_t cel_utf8_put(uint32_t code, char *out);

/* Bytes of a checked JSON string between its quotes. */
struct cel_unescape {
    const char *p;
    const char *end;
};

/* The next character's bytes, or run of plain bytes; false at the end. out
 * has room for 4 bytes, which *ret may refer to. */
bool cel_unescape_next(struct cel_unescape *u, char *out,
                       struct celery_str *ret);

/* celery_json_pick, which also counts the members of object. */
size_t cel_json_pick(struct celery_json object, const char *const *keys,
                     size_t n, struct celery_json *ret_values);

#endif /* CELERY_JSON_TEXT_H */
