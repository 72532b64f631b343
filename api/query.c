/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/xalloc.h"

/* --- UTF-8 -------------------------------------------------------------- */

/* RFC 3629, section 4: by the first byte, how many follow and what the second
 * may be; overlong forms, surrogates and what is above U+10FFFF are in no row. */
static const struct {
    unsigned char first_min;
    unsigned char first_max;
    unsigned char more;
    unsigned char second_min;
    unsigned char second_max;
} sequences[] = {
    {0x01, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 1, 0x80, 0xbf},
    {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
    {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf},
    {0xf4, 0xf4, 3, 0x80, 0x8f},
};

/* The length of the character at p; 0: there is none. */
static size_t character(const unsigned char *p, size_t left)
{
    size_t i = 0;
    while (i < sizeof sequences / sizeof sequences[0]
           && (p[0] < sequences[i].first_min || p[0] > sequences[i].first_max))
        i++;
    if (i == sizeof sequences / sizeof sequences[0]
        || left <= sequences[i].more)
        return 0;
    size_t more = sequences[i].more;
    if (more > 0
        && (p[1] < sequences[i].second_min || p[1] > sequences[i].second_max))
        return 0;
    for (size_t k = 2; k <= more; k++) {
        if ((p[k] & 0xc0U) != 0x80)
            return 0;
    }
    return more + 1;
}

bool query_is_text(struct celery_str text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t at = 0; at < text.len;) {
        size_t len = character(p + at, text.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

/* --- pairs -------------------------------------------------------------- */

/* Decodes len bytes in place and ends them with a NUL, which takes the place of
 * what stood behind them. false: an escape that is none. */
static bool decode(char *text, size_t len, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < len ? ascii_hex(text[i + 1]) : -1;
            int low = i + 2 < len ? ascii_hex(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    *ret_len = n;
    return true;
}

static bool fail(struct query_fault *fault, const char *error,
                 const char *field)
{
    fault->error = error;
    (void)snprintf(fault->field, sizeof fault->field, "%s",
                   strlen(field) < sizeof fault->field ? field : "");
    return false;
}

/* A part of a pair; field is what to blame. */
static bool read_part(char *text, size_t len, const char *field,
                      struct query_fault *fault)
{
    size_t decoded = 0;
    if (!decode(text, len, &decoded))
        return fail(fault, "a '%' that two hexadecimal digits do not follow",
                    field);
    if (!query_is_text((struct celery_str){text, decoded}))
        return fail(fault, "the parameter is not UTF-8 text without NUL",
                    field);
    return true;
}

static bool add_pair(struct query *query, char *pair, size_t len,
                     struct query_fault *fault)
{
    size_t name_len = strcspn(pair, "=");
    bool bare = name_len >= len;
    char *value = bare ? pair + len : pair + name_len + 1;
    size_t value_len = bare ? 0 : len - name_len - 1;
    if (query->count == QUERY_PARAMS_MAX)
        return fail(fault, "too many parameters", "");
    if (!read_part(pair, bare ? len : name_len, "", fault)
        || !read_part(value, value_len, pair, fault))
        return false;
    if (query_get(query, pair) != NULL)
        return fail(fault, "the parameter is there twice", pair);
    query->params[query->count].name = pair;
    query->params[query->count++].value = value;
    return true;
}

bool query_parse(struct query *query, const char *text,
                 struct query_fault *fault)
{
    *query = (struct query){.text = NULL};
    if (text == NULL || *text == '\0')
        return true;
    size_t size = strlen(text);
    query->text = xstrndup(text, size);
    for (char *p = query->text; p < query->text + size;) {
        size_t len = strcspn(p, "&");
        p[len] = '\0';
        if (len > 0 && !add_pair(query, p, len, fault))
            return false;
        p += len + 1;
    }
    return true;
}

void query_done(struct query *query)
{
    free(query->text);
    *query = (struct query){.text = NULL};
}

const char *query_get(const struct query *query, const char *name)
{
    for (size_t i = 0; i < query->count; i++) {
        if (strcmp(query->params[i].name, name) == 0)
            return query->params[i].value;
    }
    return NULL;
}
