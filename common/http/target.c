/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "http/head_fields.h"

static bool refuse(struct http_refusal *refusal, const char *text)
{
    *refusal = (struct http_refusal){400, "target", text};
    return false;
}

/* The character at s.data[at] with its %xx decoded; -1: it encodes nothing.
 * *ret_len is what it takes. */
static int char_at(struct celery_str s, size_t at, size_t *ret_len)
{
    *ret_len = 1;
    if (s.data[at] != '%')
        return (unsigned char)s.data[at];
    if (at + 2 >= s.len)
        return -1;
    int high = ascii_hex(s.data[at + 1]);
    int low = ascii_hex(s.data[at + 2]);
    *ret_len = 3;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool check_char(int c, bool encoded, struct http_refusal *refusal)
{
    if (c < 0)
        return refuse(refusal, "a '%' in the path encodes nothing");
    if (c < ' ' || c == 0x7f)
        return refuse(refusal, "the path holds a control character");
    if (c == '\\')
        return refuse(refusal, "the path holds a backslash");
    if (c == '/' && encoded)
        return refuse(refusal, "the path holds an encoded slash");
    if (c == '#' && !encoded)
        return refuse(refusal, "the target holds a fragment");
    return true;
}

/* A segment is what stands between slashes; only the last one may be empty. */
static bool check_segment(size_t length, size_t dots, bool last,
                          struct http_refusal *refusal)
{
    if (length == 0 && !last)
        return refuse(refusal, "the path holds an empty segment");
    if (length > 0 && length <= 2 && dots == length)
        return refuse(refusal, "the path holds a dot segment");
    return true;
}

static bool check_path(struct celery_str path, struct http_refusal *refusal)
{
    size_t length = 0;
    size_t dots = 0;
    size_t step = 1;
    for (size_t i = 1; i < path.len; i += step) {
        int c = char_at(path, i, &step);
        if (!check_char(c, step == 3, refusal))
            return false;
        if (c == '/') {
            if (!check_segment(length, dots, false, refusal))
                return false;
            length = dots = 0;
            continue;
        }
        length++;
        dots += c == '.';
    }
    return check_segment(length, dots, true, refusal);
}

/* RFC 9112 section 3.2.2: servers must accept absolute-form; the host in it
 * counts as Host, which no route looks at. */
static bool skip_authority(struct celery_str *text,
                           struct http_refusal *refusal)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);
        if (text->len <= len || strncasecmp(text->data, schemes[i], len) != 0)
            continue;
        const char *end = text->data + text->len;
        const char *start = text->data + len;
        const char *p = start;
        while (p < end && *p != '/' && *p != '?')
            p++;
        *text = (struct celery_str){p, (size_t)(end - p)};
        return http_is_host((struct celery_str){start, (size_t)(p - start)})
                 ? true
                 : refuse(refusal, "the target's host is malformed");
    }
    return refuse(refusal, "the target is no path");
}

bool http_target_parse(struct celery_str text, struct http_target *ret,
                       struct http_refusal *ret_refusal)
{
    *ret = (struct http_target){0};
    if (text.len == 1 && text.data[0] == '*') {
        ret->path = text;
        return true;
    }
    if (text.len == 0
        || (text.data[0] != '/' && !skip_authority(&text, ret_refusal)))
        return text.len > 0 ? false : refuse(ret_refusal, "no target");
    const char *mark = text.len > 0 ? memchr(text.data, '?', text.len) : NULL;
    ret->path = text;
    if (mark != NULL) {
        ret->path.len = (size_t)(mark - text.data);
        ret->query =
            (struct celery_str){mark + 1, text.len - ret->path.len - 1};
    }
    if (ret->path.len == 0)
        ret->path = CELERY_STR("/");
    return check_path(ret->path, ret_refusal);
}

void http_target_decode(struct celery_str path, char *ret_path)
{
    size_t step = 1;
    size_t n = 0;
    for (size_t i = 0; i < path.len; i += step)
        ret_path[n++] = (char)(unsigned char)char_at(path, i, &step);
    ret_path[n] = '\0';
}
