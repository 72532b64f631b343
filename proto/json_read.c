/* SPDX-License-Identifier: MIT */
/*
 * Readers of checked documents. They trust the text, skip nested values by
 * counting brackets, and never recurse.
 */
#include <string.h>

#include "byte_scan.h"
#include "celery/json_scan.h"
#include "json_text.h"

static const struct celery_json none = {CELERY_JSON_NONE, {"", 0}};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* From the opening quote to behind the closing one. end only bounds the search:
 * in a checked document there is a closing quote. */
static const char *skip_string(const char *p, const char *end)
{
    p++;
    for (;;) {
        p = cel_find_quote(p, end);
        if (end - p < 2)
            return end;
        if (*p == '"')
            return p + 1;
        p += 2;
    }
}

static const char *skip_container(const char *p, const char *end)
{
    size_t depth = 0;

    do {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        /* '[' and '{' differ in one bit, as do ']' and '}'. */
        char folded = (char)(*p++ | 0x20);
        depth += folded == '{';
        depth -= folded == '}';
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

/* The value at p into ret; returns what follows it. */
static const char *read_value(const char *p, const char *end,
                              struct celery_json *ret)
{
    enum celery_json_type type = CELERY_JSON_NUMBER;
    const char *stop = NULL;

    switch (*p) {
    case '{':
        type = CELERY_JSON_OBJECT;
        stop = skip_container(p, end);
        break;
    case '[':
        type = CELERY_JSON_ARRAY;
        stop = skip_container(p, end);
        break;
    case '"':
        type = CELERY_JSON_STRING;
        stop = skip_string(p, end);
        break;
    case 'n':
        type = CELERY_JSON_NULL;
        stop = p + 4;
        break;
    case 't':
        type = CELERY_JSON_TRUE;
        stop = p + 4;
        break;
    case 'f':
        type = CELERY_JSON_FALSE;
        stop = p + 5;
        break;
    default:
        stop = skip_word(p, end);
        break;
    }
    ret->type = type;
    ret->text.data = p;
    ret->text.len = (size_t)(stop - p);
    return stop;
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

static const char *skip_to_value(const char *p, const char *end)
{
    while (p != end && (*p == ',' || *p == ':' || is_space(*p)))
        p++;
    return p;
}

bool celery_json_next(struct celery_json_iter *iter,
                      struct celery_json *ret_key,
                      struct celery_json *ret_value)
{
    const char *p = skip_to_value(iter->p, iter->end);
    const char *key = p;

    if (p == iter->end)
        return false;
    if (iter->object) {
        p = skip_string(p, iter->end);
        if (ret_key != NULL) {
            ret_key->type = CELERY_JSON_STRING;
            ret_key->text.data = key;
            ret_key->text.len = (size_t)(p - key);
        }
        p = skip_to_value(p, iter->end);
    } else if (ret_key != NULL) {
        *ret_key = none;
    }
    iter->p = read_value(p, iter->end, ret_value);
    return true;
}

static struct celery_str between_quotes(struct celery_json string)
{
    return (struct celery_str){string.text.data + 1, string.text.len - 2};
}

static bool is_plain(struct celery_str inner)
{
    return memchr(inner.data, '\\', inner.len) == NULL;
}

static bool escaped_is(struct celery_str inner, const char *text, size_t len)
{
    struct cel_unescape u = {inner.data, inner.data + inner.len};
    struct celery_str piece;
    char out[4];

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
    if (string.type != CELERY_JSON_STRING)
        return false;
    struct celery_str inner = between_quotes(string);
    size_t len = strlen(text);
    /* An escape is longer than what it stands for. */
    if (inner.len == len && memcmp(inner.data, text, len) == 0)
        return is_plain(inner);
    return inner.len > len && !is_plain(inner) && escaped_is(inner, text, len);
}

struct celery_json celery_json_get(struct celery_json object, const char *key)
{
    struct celery_json found = none;

    celery_json_pick(object, &key, 1, &found);
    return found;
}

size_t cel_find_key(struct celery_str name, bool plain,
                    const struct celery_str *keys, size_t n, size_t guess)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = guess + i < n ? guess + i : guess + i - n;
        const struct celery_str *key = &keys[at];
        if (plain ? key->len == name.len
                        && memcmp(key->data, name.data, name.len) == 0
                  : escaped_is(name, key->data, key->len))
            return at;
    }
    return n;
}

size_t cel_json_find_key(struct celery_json key, const struct celery_str *keys,
                         size_t n, size_t guess)
{
    struct celery_str name = between_quotes(key);

    return cel_find_key(name, is_plain(name), keys, n, guess);
}

size_t cel_json_pick(struct celery_json object, const struct celery_str *keys,
                     size_t n, struct celery_json *ret_values)
{
    struct celery_json name;
    struct celery_json value;
    size_t members = 0;

    for (size_t i = 0; i < n; i++)
        ret_values[i] = none;
    if (object.type != CELERY_JSON_OBJECT)
        return 0;

    struct celery_json_iter iter = celery_json_iter(object);
    size_t guess = 0; /* members mostly come in the order of the table */
    while (celery_json_next(&iter, &name, &value)) {
        members++;
        size_t at = cel_json_find_key(name, keys, n, guess);
        if (at == n)
            continue;
        ret_values[at] = value;
        guess = at + 1;
    }
    return members;
}

void celery_json_pick(struct celery_json object, const char *const *keys,
                      size_t n, struct celery_json *ret_values)
{
    enum { BATCH = 16 };
    struct celery_str names[BATCH];

    for (size_t begin = 0; begin < n; begin += BATCH) {
        size_t count = n - begin < BATCH ? n - begin : BATCH;
        for (size_t i = 0; i < count; i++)
            names[i] =
                (struct celery_str){keys[begin + i], strlen(keys[begin + i])};
        (void)cel_json_pick(object, names, count, ret_values + begin);
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

    struct celery_str inner = between_quotes(value);
    if (is_plain(inner)) {
        *ret_text = inner;
        return CELERY_OK;
    }

    /* An escape is never shorter than what it stands for. */
    char *text = celery_arena_alloc(arena, value.text.len);
    if (text == NULL)
        return CELERY_NOMEM;
    struct cel_unescape u = {inner.data, inner.data + inner.len};
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
