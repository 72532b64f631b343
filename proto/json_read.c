/* SPDX-License-Identifier: MIT */
/*
 * Readers of checked documents. They trust the text, skip nested values by
 * counting brackets, and never recurse.
 */
#include <endian.h>
#include <string.h>

#include "celery/json_scan.h"
#include "json_text.h"

static const struct celery_json none = {CELERY_JSON_NONE, {"", 0}};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The first quote or backslash from p on, eight bytes at a time; end when there
 * is none. The lowest bit of the test for a zero byte is exact. */
static const char *find_quote(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t highs = 0x8080808080808080U;
    uint64_t word = 0;

    while (end - p >= (ptrdiff_t)sizeof word) {
        memcpy(&word, p, sizeof word);
        word = le64toh(word);
        uint64_t quote = word ^ ones * '"';
        uint64_t slash = word ^ ones * '\\';
        uint64_t found =
            (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs;
        if (found != 0)
            return p + __builtin_ctzll(found) / 8;
        p += sizeof word;
    }
    while (p != end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* From the opening quote to behind the closing one. end only bounds the search:
 * in a checked document there is a closing quote. */
static const char *skip_string(const char *p, const char *end)
{
    p++;
    for (;;) {
        p = find_quote(p, end);
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
    bool plain = is_plain(name);
    const char *text = name.text.data + 1;
    size_t len = name.text.len - 2;

    for (size_t i = 0; i < n; i++) {
        size_t at = guess + i < n ? guess + i : guess + i - n;
        const char *key = keys[at];
        if (!plain) {
            if (string_is(name, key, strlen(key)))
                return at;
            continue;
        }
        /* The closing quote ends no key, so that this stays inside both. */
        if (text[0] != key[0] && len != 0)
            continue;
        if (strncmp(text, key, len) == 0 && key[len] == '\0')
            return at;
    }
    return n;
}

size_t cel_json_pick(struct celery_json object, const char *const *keys,
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
        size_t at = find_key(name, keys, n, guess);
        if (at == n)
            continue;
        ret_values[at] = value;
        guess = at + 1 < n ? at + 1 : 0;
    }
    return members;
}

void celery_json_pick(struct celery_json object, const char *const *keys,
                      size_t n, struct celery_json *ret_values)
{
    (void)cel_json_pick(object, keys, n, ret_values);
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
