/* SPDX-License-Identifier: MIT */
/*
 * Is a request meant for a node? Patterns come from the network: the glob is
 * matched in at most length × length steps, character by character.
 * Source: kombu/pidbox.py Node.handle_message, kombu/matcher.py,
 * Lib/fnmatch.py.
 */
#include <string.h>

#include "celery/control.h"
#include "control_regex.h"

/* At '[' in a glob. Behind the set, or NULL when it has no end. */
static const char *match_set(const char *p, const char *end, uint32_t c,
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
        uint32_t low = cel_take_char(&p, end);
        uint32_t high = low;
        if (end - p >= 2 && p[0] == '-' && p[1] != ']') {
            p++;
            high = cel_take_char(&p, end);
        }
        if (c >= low && c <= high)
            matched = true;
    }
    if (p == end)
        return NULL;
    *ret_matched = matched != negated;
    return p + 1;
}

/* One pattern element that is no star, against one character. */
static const char *match_one(const char *p, const char *end, uint32_t c,
                             bool *ret_matched)
{
    if (*p == '[') {
        const char *after = match_set(p, end, c, ret_matched);
        if (after != NULL)
            return after;
    }
    uint32_t want = cel_take_char(&p, end);
    *ret_matched = want == '?' || want == c;
    return p;
}

static bool glob_matches(struct celery_str pattern, struct celery_str node)
{
    const char *p = pattern.data;
    const char *end = p + pattern.len;
    const char *text = node.data;
    const char *text_end = node.data + node.len;
    const char *star = NULL;    /* behind the last star */
    const char *star_at = NULL; /* what it has swallowed up to */

    while (text != text_end) {
        bool matched = false;
        const char *rest = text;
        if (p != end && *p == '*') {
            star = ++p;
            star_at = text;
            continue;
        }
        uint32_t c = cel_take_char(&rest, text_end);
        const char *after = p == end ? p : match_one(p, end, c, &matched);
        if (matched) {
            p = after;
            text = rest;
        } else if (star != NULL) {
            p = star;
            (void)cel_take_char(&star_at, text_end);
            text = star_at;
        } else {
            return false;
        }
    }
    while (p != end && *p == '*')
        p++;
    return p == end;
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
    struct celery_str node = {nodename, strlen(nodename)};
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
        return glob_matches(request->pattern, node);
    return equal(request->matcher, "pcre")
        && cel_regex_match(request->pattern, node);
}
