/* SPDX-License-Identifier: MIT */
/* Equal keys of an object, which in Python are one member of a dict. */
#include <string.h>

#include "python_text.h"

enum { LOOK_MEMBERS = 32 };

static bool has_escapes(struct celery_json key)
{
    return memchr(key.text.data, '\\', key.text.len) != NULL;
}

static bool same_key(struct celery_json a, struct celery_json b)
{
    struct cel_chars x;
    struct cel_chars y;
    uint32_t code_x = 0;
    uint32_t code_y = 0;

    if (a.text.len == b.text.len
        && memcmp(a.text.data, b.text.data, a.text.len) == 0)
        return true;
    if (!has_escapes(a) && !has_escapes(b))
        return false;
    cel_chars_json(&x, a);
    cel_chars_json(&y, b);
    for (;;) {
        bool more = cel_chars_next(&x, &code_x);
        if (more != cel_chars_next(&y, &code_y))
            return false;
        if (!more || code_x != code_y)
            return !more;
    }
}

/* Among 64; most keys of an object differ in it. */
static uint64_t mark_of(struct celery_json key)
{
    size_t len = key.text.len; /* with its quotes */
    size_t first = (unsigned char)key.text.data[1];
    size_t last = (unsigned char)key.text.data[len - 2];

    return UINT64_C(1) << ((len * 5 + first * 3 + last) & 63);
}

bool cel_keys_may_repeat(struct celery_json object)
{
    struct celery_json keys[LOOK_MEMBERS];
    struct celery_json value;
    struct celery_json_iter iter = celery_json_iter(object);
    uint64_t marks = 0;
    bool found = false;
    size_t n = 0;

    for (; n < LOOK_MEMBERS && celery_json_next(&iter, &keys[n], &value); n++) {
        uint64_t mark = mark_of(keys[n]);
        found = found || has_escapes(keys[n]);
        for (size_t i = 0; (marks & mark) != 0 && i < n && !found; i++)
            found = same_key(keys[i], keys[n]);
        marks |= mark;
    }
    return found
        && (n < LOOK_MEMBERS || !celery_json_next(&iter, NULL, &value));
}

bool cel_key_is_repetition(struct celery_json_iter all, struct celery_json key,
                           struct celery_json *value)
{
    struct celery_json other_key;
    struct celery_json other;
    bool self = false;

    while (celery_json_next(&all, &other_key, &other)) {
        if (!same_key(key, other_key))
            continue;
        if (!self && other_key.text.data != key.text.data)
            return true;
        self = true;
        *value = other;
    }
    return false;
}
