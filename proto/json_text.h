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
#include "celery/json_write.h"

/* Length of the UTF-8 sequence at p, 0 when there is no valid one. generalized
 * allows the three bytes of a lone surrogate, as Python's "surrogatepass". */
size_t cel_utf8_len(const unsigned char *p, const unsigned char *end,
                    bool generalized);

/* The character of a sequence that cel_utf8_len measured. */
uint32_t cel_utf8_get(const unsigned char *p, size_t len);

/* Writes at most 4 bytes; surrogates in generalized form. */
size_t cel_utf8_put(uint32_t code, char *out);

/* Writes a key whose text is known to need no escapes, in one step. */
#define CEL_KEY(literal) CELERY_STR("\"" literal "\": ")
void cel_json_raw_key(struct celery_json_writer *w, struct celery_str key);

/* Bytes of a checked JSON string between its quotes. */
struct cel_unescape {
    const char *p;
    const char *end;
};

/* The next character's bytes, or run of plain bytes; false at the end. out
 * has room for 4 bytes, which *ret may refer to. */
bool cel_unescape_next(struct cel_unescape *u, char *out,
                       struct celery_str *ret);

/* A celery_str in a table. */
#define CEL_NAME(literal)              \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

/* The index of name among n keys, looked for from guess on; n: none. name is
 * what is between the quotes; plain: it has no escapes. */
size_t cel_find_key(struct celery_str name, bool plain,
                    const struct celery_str *keys, size_t n, size_t guess);

/* The same for a key that celery_json_next gave. */
size_t cel_json_find_key(struct celery_json key, const struct celery_str *keys,
                         size_t n, size_t guess);

/* Members to note while a document is checked: of its root, or of one member
 * of another pick, its parent. */
struct cel_pick {
    const struct cel_pick *parent; /* NULL: the root, the first pick alone */
    size_t slot;                   /* in the parent */
    const struct celery_str
        *keys; /* of an object; NULL: elements of an array */
    size_t n;
    struct celery_json *values; /* n; absent ones are CELERY_JSON_NONE */
    size_t members;             /* of the whole container */
    size_t guess;               /* the scanner's */
};

/* celery_json_parse, which also fills the picks as celery_json_pick would.
 * Parents come before their children, at most four levels of them. On failure
 * what they hold is not to be used. */
enum celery_status cel_json_parse_picks(struct celery_str text,
                                        const struct celery_limits *limits,
                                        struct cel_pick *picks, size_t n_picks,
                                        struct celery_json *ret_root,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

/* celery_json_pick, which also counts the members of object. */
size_t cel_json_pick(struct celery_json object, const struct celery_str *keys,
                     size_t n, struct celery_json *ret_values);

#endif /* CELERY_JSON_TEXT_H */
