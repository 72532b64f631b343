/* SPDX-License-Identifier: MIT */
/*
 * JSON text as Python's json.dumps writes it: ", " and ": " as separators,
 * non-ASCII as \uXXXX with surrogate pairs, floats by repr(). A writer keeps
 * the commas; the status is the buffer's, asked once at the end.
 */
#ifndef CELERY_JSON_WRITE_H
#define CELERY_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/json_scan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_json_writer {
    struct celery_buf *buf; /* borrowed */
    bool comma;             /* the next value or key needs a separator */
};

#define CELERY_JSON_WRITER(b) ((struct celery_json_writer){.buf = (b)})

CELERY_API void celery_json_begin_object(struct celery_json_writer *w);
CELERY_API void celery_json_end_object(struct celery_json_writer *w);
CELERY_API void celery_json_begin_array(struct celery_json_writer *w);
CELERY_API void celery_json_end_array(struct celery_json_writer *w);
CELERY_API void celery_json_key(struct celery_json_writer *w, const char *key);
CELERY_API void celery_json_key_str(struct celery_json_writer *w,
                                    struct celery_str key);

/* UTF-8 (generalized: lone surrogates come out as \udXXX); bytes that are no
 * UTF-8 become U+FFFD, so the output is always valid JSON. */
CELERY_API void celery_json_put_str(struct celery_json_writer *w,
                                    struct celery_str text);
/* text NULL writes null. */
CELERY_API void celery_json_put_text(struct celery_json_writer *w,
                                     const char *text);
CELERY_API void celery_json_put_int(struct celery_json_writer *w, int64_t n);
/* Shortest text that reads back equal, as Python's repr: 1e+16, 0.1, 5.0. */
CELERY_API void celery_json_put_double(struct celery_json_writer *w, double d);
CELERY_API void celery_json_put_bool(struct celery_json_writer *w, bool b);
CELERY_API void celery_json_put_null(struct celery_json_writer *w);
/* Valid JSON text, passed on byte for byte. */
CELERY_API void celery_json_put_raw(struct celery_json_writer *w,
                                    struct celery_str json);
/* The value's source text, or null for CELERY_JSON_NONE. */
CELERY_API void celery_json_put_value(struct celery_json_writer *w,
                                      struct celery_json value);

/* Python's repr() of a double into at most 32 bytes with the NUL; returns the
 * length. */
CELERY_API size_t celery_double_repr(double d, char ret_text[32]);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_JSON_WRITE_H */
