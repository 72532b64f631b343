/* SPDX-License-Identifier: MIT */
/*
 * Readers of checked documents. They trust the text, skip nested values by
 * counting brackets, and never recurse.
 */
#include <stdlib.h>
#include <string.h>

#include "celery/json_scan.h"
#include "json_text.h"

static const struct celery_json none = {CELERY_JSON_NONE, {"", 0}};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* From the opening quote to behind the closing one: the first quote with an
 * even number of backslashes before it. end only bounds the search. */
static const char *skip_string(const char *p, const char *end)
{
    const char *start = p + 1;

    p = start;
    for (;;) {
        p = memchr(p, '"', (size_t)(end - p));
        if (p == NULL)
            return end; /* not in a checked document */
        const char *slash = p;
        while (slash != start && slash[-1] == '\\')
            slash--;
        p++;
        if ((p - 1 - slash) % 2 == 0)
            return p;
    }
}

static const char *skip_container(const char *p, const char *end)
{
    size_t depth = 0;

    do {
        switch (*p) {
        case '"':
            p = skip_string(p, end) - 1;
            break;
        case '[':
        case '{':
            depth++;
            break;
        case ']':
        case '}':
            depth--;
            break;
        default:
            break;
        }
        p++;
    } while (depth != 0);
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p != end && *p != ',' && *p != ']' && *p != '}' && *p != ':'
           && !is_space(*p))
        p++;
    return p;
}

static struct celery_json value_at(const char *p, const char *end)
{
    struct celery_json value = none;
    const char *stop = NULL;

    switch (*p) {
    case '{':
        value.type = CELERY_JSON_OBJECT;
        stop = skip_container(p, end);
        break;
    case '[':
        value.type = CELERY_JSON_ARRAY;
        stop = skip_container(p, end);
        break;
    case '"':
        value.type = CELERY_JSON_STRING;
        stop = skip_string(p, end);
        break;
    case 'n':
        value.type = CELERY_JSON_NULL;
        break;
    case 't':
        value.type = CELERY_JSON_TRUE;
        break;
    case 'f':
        value.type = CELERY_JSON_FALSE;
        break;
    default:
        value.type = CELERY_JSON_NUMBER;
        break;
    }
    if (stop == NULL)
        stop = skip_word(p, end);
    value.text.data = p;
    value.text.len = (size_t)(stop - p);
    return value;
}

struct celery_json_iter celery_json_iter(struct celery_json parent)
{
    struct celery_json_iter iter = {"", "", false};

    iter.end = iter.p;
    if (parent.type != CELERY_JSON_ARRAY && parent.type != CELERY_JSON_OBJECT)
        return iter;
    iter.p = parent.text.data + 1;
    iter.end = parent.text.data + parent.text.len - 1;
    iter.object = parent.type == CELERY_JSON_OBJECT;
    return iter;
}

static void skip_to_value(struct celery_json_iter *iter)
{
    while (iter->p != iter->end
           && (is_space(*iter->p) || *iter->p == ',' || *iter->p == ':'))
        iter->p++;
}

bool celery_json_next(struct celery_json_iter *iter,
                      struct celery_json *ret_key,
                      struct celery_json *ret_value)
{
    struct celery_json key = none;

    skip_to_value(iter);
    if (iter->p == iter->end)
        return false;
    if (iter->object) {
        key = value_at(iter->p, iter->end);
        iter->p += key.text.len;
        skip_to_value(iter);
    }
    *ret_value = value_at(iter->p, iter->end);
    iter->p += ret_value->text.len;
    if (ret_key != NULL)
        *ret_key = key;
    return true;
}

static struct cel_unescape between_quotes(struct celery_json string)
{
    struct cel_unescape u = {string.text.data + 1,
                             string.text.data + string.text.len - 1};
    return u;
}

static bool is_plain(struct celery_json string)
{
    return memchr(string.text.data, '\\', string.text.len) == NULL;
}

static bool string_is(struct celery_json string, const char *text, size_t len)
{
    struct cel_unescape u = between_quotes(string);
    struct celery_str piece;
    char out[4];

    if (is_plain(string))
        return string.text.len - 2 == len && memcmp(u.p, text, len) == 0;
    while (cel_unescape_next(&u, out, &piece)) {
        if (piece.len > len || memcmp(piece.data, text, piece.len) != 0)
            return false;
        text += piece.len;
        len -= piece.len;
    }
    return len == 0;
}

bool celery_json_is(struct celery_json string, const char *text)
{
    return string.type == CELERY_JSON_STRING
        && string_is(string, text, strlen(text));
}

struct celery_json celery_json_get(struct celery_json object, const char *key)
{
    struct celery_json found = none;

    celery_json_pick(object, &key, 1, &found);
    return found;
}

/* The index of name among n keys, looked for from guess on; n: none. */
static size_t find_key(struct celery_json name, const char *const *keys,
                       size_t n, size_t guess)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = (guess + i) % n;
        if (string_is(name, keys[at], strlen(keys[at])))
            return at;
    }
    return n;
}

void celery_json_pick(struct celery_json object, const char *const *keys,
                      size_t n, struct celery_json *ret_values)
{
    struct celery_json name;
    struct celery_json value;

    for (size_t i = 0; i < n; i++)
        ret_values[i] = none;
    if (object.type != CELERY_JSON_OBJECT)
        return;

    struct celery_json_iter iter = celery_json_iter(object);
    size_t guess = 0; /* members mostly come in the order of the table */
    while (celery_json_next(&iter, &name, &value)) {
        size_t at = find_key(name, keys, n, guess);
        if (at == n)
            continue;
        ret_values[at] = value;
        guess = at + 1;
    }
}

struct celery_json celery_json_at(struct celery_json array, size_t index)
{
    struct celery_json value = none;

    if (array.type != CELERY_JSON_ARRAY)
        return none;
    struct celery_json_iter iter = celery_json_iter(array);
    for (size_t i = 0; i <= index; i++) {
        if (!celery_json_next(&iter, NULL, &value))
            return none;
    }
    return value;
}

size_t celery_json_count(struct celery_json parent)
{
    struct celery_json_iter iter = celery_json_iter(parent);
    struct celery_json value;
    size_t n = 0;

    while (celery_json_next(&iter, NULL, &value))
        n++;
    return n;
}

enum celery_status celery_json_string(struct celery_json value,
                                      struct celery_arena *arena,
                                      struct celery_str *ret_text)
{
    if (value.type != CELERY_JSON_STRING)
        return CELERY_MALFORMED;

    struct cel_unescape u = between_quotes(value);
    if (is_plain(value)) {
        ret_text->data = u.p;
        ret_text->len = (size_t)(u.end - u.p);
        return CELERY_OK;
    }

    /* An escape is never shorter than what it stands for. */
    char *text = celery_arena_alloc(arena, value.text.len);
    if (text == NULL)
        return CELERY_NOMEM;
    struct celery_str piece;
    char out[4];
    size_t len = 0;
    while (cel_unescape_next(&u, out, &piece)) {
        memcpy(text + len, piece.data, piece.len);
        len += piece.len;
    }
    ret_text->data = text;
    ret_text->len = len;
    return CELERY_OK;
}
