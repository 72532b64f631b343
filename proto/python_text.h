/* SPDX-License-Identifier: MIT */
/*
 * Text as Python shows it: characters of a JSON string or of plain bytes, and
 * the repr() of str, bytes and of the objects behind kombu's typed values.
 */
#ifndef CELERY_PYTHON_TEXT_H
#define CELERY_PYTHON_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/json_scan.h"
#include "json_text.h"

bool cel_is_printable(uint32_t code);

/* Reads characters one by one. Bytes that are no UTF-8 come as U+DC80 to
 * U+DCFF, as with Python's "surrogateescape". */
struct cel_chars {
    struct cel_unescape rest;
    struct celery_str piece; /* unescaped, not yet read */
    char room[4];
    bool plain; /* rest has no escapes */
};

void cel_chars_text(struct cel_chars *c, struct celery_str text);
void cel_chars_json(struct cel_chars *c, struct celery_json string);
bool cel_chars_next(struct cel_chars *c, uint32_t *ret_code);

/* Appends one character as generalized UTF-8. */
void cel_put_char(struct celery_buf *buf, uint32_t code);

/* Appends repr(str). */
void cel_repr_chars(struct celery_buf *buf, const struct cel_chars *chars);

/* Appends repr(bytes). */
void cel_repr_bytes(struct celery_buf *buf, struct celery_str bytes);

enum cel_typed {
    CEL_TYPED_NONE,   /* a plain object */
    CEL_TYPED_BYTES,  /* ret_value is the text */
    CEL_TYPED_BASE64, /* ret_value is base64 */
    CEL_TYPED_OTHER,  /* for cel_repr_typed */
};

/* Is object one of kombu's {"__type__": …, "__value__": …}? */
enum cel_typed cel_typed_get(struct celery_json object,
                             struct celery_json *ret_type,
                             struct celery_json *ret_value);

/* Appends the repr() of a datetime, date, time, decimal or uuid; false, with
 * nothing appended, when the value is none. */
bool cel_repr_typed(struct celery_buf *buf, struct celery_json type,
                    struct celery_json value);

/* Appends the repr() of the Decimal that text stands for; false, with nothing
 * appended, when it stands for none. */
bool cel_repr_decimal(struct celery_buf *buf, struct celery_str text);

/* May two keys of object be equal? In one walk: an escaped key counts as equal
 * to any. false for an object of more than 32 members. */
bool cel_keys_may_repeat(struct celery_json object);

/* Is the member called key, which all comes to, not the first one of its name?
 * If it is the first, *value becomes the last one's. */
bool cel_key_is_repetition(struct celery_json_iter all, struct celery_json key,
                           struct celery_json *value);

/* Appends repr(value) without limits, where celery_python_repr appends
 * saferepr(value). */
void cel_repr_exact(struct celery_buf *buf, struct celery_json value);

#endif /* CELERY_PYTHON_TEXT_H */
