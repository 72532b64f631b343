/* SPDX-License-Identifier: MIT */
/*
 * Is a request meant for a node? Patterns come from the network: the glob is
 * matched in at most length × length steps, and of regular expressions only
 * what cannot grow (no counts, no back references, few '+', each of which may
 * double what stands before it) is handed to regcomp().
 * Source: kombu/pidbox.py Node.handle_message, kombu/matcher.py,
 * Lib/fnmatch.py.
 */
#include <regex.h>
#include <string.h>

#include "celery/control.h"

enum { REGEX_MAX = 256, PLUS_MAX = 8 };

/* At '[' in a glob. Behind the set, or NULL when it has no end. */
static const char *match_set(const char *p, const char *end, char c,
                             bool *ret_matched)
{
    bool negated = false;
    bool matched = false;

    p++;
    if (p != end && *p == '!') {
        negated = true;
        p++;
    }
    for (bool first = true; p != end && (first || *p != ']'); first = false) {
        unsigned char low = (unsigned char)*p;
        unsigned char high = low;
        if (end - p >= 3 && p[1] == '-' && p[2] != ']') {
            high = (unsigned char)p[2];
            p += 2;
        }
        p++;
        if ((unsigned char)c >= low && (unsigned char)c <= high)
            matched = true;
    }
    if (p == end)
        return NULL;
    *ret_matched = matched != negated;
    return p + 1;
}

/* One pattern element that is no star, against one character. */
static const char *match_one(const char *p, const char *end, char c,
                             bool *ret_matched)
{
    if (*p == '[') {
        const char *after = match_set(p, end, c, ret_matched);
        if (after != NULL)
            return after;
    }
    *ret_matched = *p == '?' || *p == c;
    return p + 1;
}

static bool glob_matches(struct celery_str pattern, const char *text)
{
    const char *p = pattern.data;
    const char *end = p + pattern.len;
    const char *star = NULL;    /* behind the last star */
    const char *star_at = NULL; /* what it has swallowed up to */

    while (*text != '\0') {
        bool matched = false;
        if (p != end && *p == '*') {
            star = ++p;
            star_at = text;
            continue;
        }
        const char *after = p == end ? p : match_one(p, end, *text, &matched);
        if (matched) {
            p = after;
            text++;
        } else if (star != NULL) {
            p = star;
            text = ++star_at;
        } else {
            return false;
        }
    }
    while (p != end && *p == '*')
        p++;
    return p == end;
}

/* Python's syntax as far as POSIX has it: "\d" and "(?:" are spelled out. */
static bool translate(struct celery_str pattern, struct celery_buf *buf)
{
    unsigned plus = 0;

    celery_buf_append(buf, CELERY_STR("^("));
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.data[i];
        char next = '\0';
        if (i + 1 < pattern.len)
            next = pattern.data[i + 1];
        if (c == '\0' || c == '{' || (c == '\\' && next >= '0' && next <= '9'))
            return false;
        plus += c == '+';
        if (plus > PLUS_MAX)
            return false;
        if (c == '\\' && next == 'd') {
            celery_buf_append(buf, CELERY_STR("[0-9]"));
            i++;
        } else if (c == '\\' && i + 1 < pattern.len) {
            celery_buf_append(buf, (struct celery_str){pattern.data + i, 2});
            i++;
        } else if (c == '(' && next == '?' && i + 2 < pattern.len
                   && pattern.data[i + 2] == ':') {
            celery_buf_append(buf, CELERY_STR("("));
            i += 2;
        } else {
            celery_buf_append(buf, (struct celery_str){&c, 1});
        }
    }
    celery_buf_append(buf, CELERY_STR(")"));
    return celery_buf_status(buf) == CELERY_OK;
}

static bool regex_matches(struct celery_str pattern, const char *text)
{
    struct celery_buf posix = CELERY_BUF_INIT;
    regex_t regex;
    bool matched = false;

    if (pattern.len > REGEX_MAX)
        return false;
    if (translate(pattern, &posix)
        && regcomp(&regex, posix.data, REG_EXTENDED | REG_NOSUB) == 0) {
        matched = regexec(&regex, text, 0, NULL, 0) == 0;
        regfree(&regex);
    }
    celery_buf_done(&posix);
    return matched;
}

static bool equal(struct celery_str a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

/* A destination that is text is searched for the name, as Python's "in". */
static bool is_within(struct celery_json text, const char *name)
{
    size_t len = strlen(name);
    struct celery_str t = {text.text.data + 1, text.text.len - 2};

    return len == 0 || memmem(t.data, t.len, name, len) != NULL;
}

bool celery_control_is_for(const struct celery_control_request *request,
                           const char *nodename)
{
    struct celery_json destination = request->destination;
    struct celery_json value;

    if (celery_json_truthy(destination)) {
        if (destination.type == CELERY_JSON_STRING)
            return is_within(destination, nodename);
        struct celery_json_iter iter = celery_json_iter(destination);
        while (celery_json_next(&iter, NULL, &value)) {
            if (celery_json_is(value, nodename))
                return true;
        }
        return false;
    }
    if (request->pattern.len == 0 || request->matcher.len == 0)
        return true;
    if (equal(request->matcher, "glob"))
        return glob_matches(request->pattern, nodename);
    return equal(request->matcher, "pcre")
        && regex_matches(request->pattern, nodename);
}
