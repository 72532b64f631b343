/* SPDX-License-Identifier: MIT */
/*
 * JSON as slices of its source text, so that numbers stay exact: what is
 * passed on is passed on byte for byte.
 *
 * Accepts what Python's json.loads accepts: NaN, Infinity and -Infinity as
 * bare tokens, lone surrogates in \u escapes, duplicate keys (the last one
 * wins). Refuses the rest: invalid UTF-8, raw control characters in strings,
 * trailing text. Walks with an explicit stack; depth and element count are
 * limited. Source: Lib/json/decoder.py, RFC 8259.
 */
#ifndef CELERY_JSON_SCAN_H
#define CELERY_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/error.h"
#include "celery/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

enum celery_json_type {
    CELERY_JSON_NONE, /* no value: a member that is absent */
    CELERY_JSON_NULL,
    CELERY_JSON_FALSE,
    CELERY_JSON_TRUE,
    CELERY_JSON_NUMBER,
    CELERY_JSON_STRING,
    CELERY_JSON_ARRAY,
    CELERY_JSON_OBJECT,
};

/* One value: a borrowed slice of a checked document, without white space
 * around it. */
struct celery_json {
    enum celery_json_type type;
    struct celery_str text;
};

/* Checks the whole of text and returns its root. The error names the byte
 * offset. limits may be NULL (the defaults). */
CELERY_API enum celery_status celery_json_parse(
    struct celery_str text, const struct celery_limits *limits,
    struct celery_json *ret_root, struct celery_error *err) CELERY_MUST_CHECK;

/* Walks the members of an array or object that came from celery_json_parse. */
struct celery_json_iter {
    const char *p;
    const char *end;
    bool object;
};

CELERY_API struct celery_json_iter celery_json_iter(struct celery_json parent);

/* The next member, or false at the end (and for parents that have none).
 * ret_key may be NULL; in arrays its type is CELERY_JSON_NONE. */
CELERY_API bool celery_json_next(struct celery_json_iter *iter,
                                 struct celery_json *ret_key,
                                 struct celery_json *ret_value);

/* The member called key (the last one wins); type CELERY_JSON_NONE when
 * object is no object or has no such member. Keys with escapes are compared
 * unescaped. */
CELERY_API struct celery_json celery_json_get(struct celery_json object,
                                              const char *key);

/* celery_json_get for n keys in one walk. */
CELERY_API void celery_json_pick(struct celery_json object,
                                 const char *const *keys, size_t n,
                                 struct celery_json *ret_values);

/* The index-th element; type CELERY_JSON_NONE when there is none. */
CELERY_API struct celery_json celery_json_at(struct celery_json array,
                                             size_t index);

CELERY_API size_t celery_json_count(struct celery_json parent);

/* Does the string value equal text, after unescaping? */
CELERY_API bool celery_json_is(struct celery_json string, const char *text);

/* The string's text as UTF-8 in the arena (or borrowed from the source when
 * nothing was escaped). A lone surrogate becomes its three-byte generalized
 * UTF-8 form; "\u0000" a NUL byte. CELERY_MALFORMED when value is no string. */
CELERY_API enum celery_status celery_json_string(struct celery_json value,
                                                 struct celery_arena *arena,
                                                 struct celery_str *ret_text)
    CELERY_MUST_CHECK;

/* Exact: false when value is no integer token or does not fit. */
CELERY_API bool celery_json_int64(struct celery_json value, int64_t *ret);

/* false when value is no number token; NaN and infinities are numbers. */
CELERY_API bool celery_json_double(struct celery_json value, double *ret);

/* Python's truth of a JSON value: null, false, 0, "", [] and {} are false. */
CELERY_API bool celery_json_truthy(struct celery_json value);

static inline bool celery_json_null(struct celery_json value)
{
    return value.type == CELERY_JSON_NONE || value.type == CELERY_JSON_NULL;
}

#ifdef __cplusplus
}
#endif

#endif /* CELERY_JSON_SCAN_H */
