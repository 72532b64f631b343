/* SPDX-License-Identifier: MIT */
/*
 * The check of a whole document: one pass, a state machine over an explicit
 * stack of one bit a level. The readers of checked documents are in
 * json_read.c. Source: Lib/json/scanner.py, decoder.py; RFC 8259.
 */
#include "celery/json_scan.h"

#include <string.h>

#include "json_text.h"

enum { MAX_DEPTH = 1024 };

struct scanner {
    const char *start;
    const char *p;
    const char *end;
    size_t elements_left;
    size_t max_elements;
    unsigned depth;
    unsigned max_depth;
    uint8_t stack[MAX_DEPTH / 8]; /* bit set: that level is an object */
    const char *problem;          /* or the name of the limit that was passed */
    size_t limit;
    enum celery_status status;
};

static bool malformed(struct scanner *s, const char *text)
{
    s->status = CELERY_MALFORMED;
    s->problem = text;
    return false;
}

static bool over_limit(struct scanner *s, const char *name, size_t limit)
{
    s->status = CELERY_TOO_LARGE;
    s->problem = name;
    s->limit = limit;
    return false;
}

static enum celery_status fail(const struct scanner *s,
                               struct celery_error *err)
{
    size_t at = (size_t)(s->p - s->start);

    if (s->status == CELERY_TOO_LARGE)
        return celery_fail(err, s->status,
                           "JSON: past the limit %s of %zu at byte %zu",
                           s->problem, s->limit, at);
    return celery_fail(err, s->status, "JSON: %s at byte %zu", s->problem, at);
}

static void skip_space(struct scanner *s)
{
    while (s->p != s->end
           && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static bool is_digit(const struct scanner *s)
{
    return s->p != s->end && *s->p >= '0' && *s->p <= '9';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')
        || (c >= 'A' && c <= 'F');
}

/* At a backslash. */
static bool scan_escape(struct scanner *s)
{
    if (s->end - s->p < 2)
        return malformed(s, "unterminated string");
    char kind = s->p[1];
    if (kind != 'u') {
        if (kind == '\0' || strchr("\"\\/bfnrt", kind) == NULL)
            return malformed(s, "invalid escape");
        s->p += 2;
        return true;
    }
    if (s->end - s->p < 6)
        return malformed(s, "invalid \\u escape");
    for (int i = 2; i < 6; i++) {
        if (!is_hex(s->p[i]))
            return malformed(s, "invalid \\u escape");
    }
    s->p += 6;
    return true;
}

enum { PLAIN, QUOTE, ESCAPE, CONTROL, MULTI };

/* clang-format off */
#define X16(c) c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c
static const uint8_t classes[256] = {
    X16(CONTROL), X16(CONTROL),
    PLAIN, PLAIN, QUOTE, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    X16(PLAIN), X16(PLAIN),
    PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    PLAIN, PLAIN, PLAIN, PLAIN, ESCAPE, PLAIN, PLAIN, PLAIN,
    X16(PLAIN), X16(PLAIN),
    X16(MULTI), X16(MULTI), X16(MULTI), X16(MULTI),
    X16(MULTI), X16(MULTI), X16(MULTI), X16(MULTI),
};
#undef X16
/* clang-format on */

/* At a byte of a string that is not plain and no quote. */
static bool scan_special(struct scanner *s)
{
    const unsigned char *p = (const unsigned char *)s->p;

    if (classes[*p] == ESCAPE)
        return scan_escape(s);
    if (classes[*p] == CONTROL)
        return malformed(s, "control character in a string");
    size_t len = cel_utf8_len(p, (const unsigned char *)s->end, false);
    if (len == 0)
        return malformed(s, "invalid UTF-8");
    s->p += len;
    return true;
}

/* Past the plain bytes, eight at a time. A byte's high bit is set in special
 * when it is below ' ', a quote, a backslash or above 0x7f. A borrow can set
 * it for a plain byte behind a special one as well; the word is then looked
 * at byte by byte all the same. */
static const char *skip_plain(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t highs = 0x8080808080808080U;
    uint64_t word = 0;

    while (end - p >= (ptrdiff_t)sizeof word) {
        memcpy(&word, p, sizeof word);
        uint64_t quote = word ^ ones * '"';
        uint64_t slash = word ^ ones * '\\';
        uint64_t special =
            (word | (word - ones * ' ') | (quote - ones) | (slash - ones))
            & highs;
        if (special != 0)
            break;
        p += sizeof word;
    }
    while (p != end && classes[(unsigned char)*p] == PLAIN)
        p++;
    return p;
}

/* At the opening quote. */
static bool scan_string(struct scanner *s)
{
    s->p++;
    for (;;) {
        s->p = skip_plain(s->p, s->end);
        if (s->p == s->end)
            return malformed(s, "unterminated string");
        if (*s->p == '"') {
            s->p++;
            return true;
        }
        if (!scan_special(s))
            return false;
    }
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return malformed(s, "no JSON value");
    s->p += len;
    return true;
}

/* Is the next character one of the two? Then it is read. */
static bool read_either(struct scanner *s, char a, char b)
{
    if (s->p == s->end || (*s->p != a && *s->p != b))
        return false;
    s->p++;
    return true;
}

static bool scan_digits(struct scanner *s, const char *missing)
{
    if (!is_digit(s))
        return malformed(s, missing);
    while (is_digit(s))
        s->p++;
    return true;
}

static bool scan_number(struct scanner *s)
{
    if (read_either(s, '-', '-') && s->p != s->end && *s->p == 'I')
        return scan_word(s, "Infinity");
    if (!read_either(s, '0', '0') && !scan_digits(s, "no JSON value"))
        return false;
    if (read_either(s, '.', '.') && !scan_digits(s, "digit expected"))
        return false;
    if (read_either(s, 'e', 'E')) {
        (void)read_either(s, '+', '-');
        return scan_digits(s, "digit expected");
    }
    return true;
}

static bool in_object(const struct scanner *s)
{
    unsigned level = s->depth - 1;
    return (s->stack[level / 8] >> (level % 8) & 1) != 0;
}

static bool push(struct scanner *s, bool object)
{
    if (s->depth == s->max_depth)
        return over_limit(s, "depth", s->max_depth);
    unsigned bit = 1U << (s->depth % 8);
    uint8_t *byte = &s->stack[s->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    s->depth++;
    s->p++;
    return true;
}

/* At the quote of a key; leaves the scanner at the value. */
static bool scan_key(struct scanner *s)
{
    skip_space(s);
    if (s->p == s->end || *s->p != '"')
        return malformed(s, "member name expected");
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return malformed(s, "':' expected");
    s->p++;
    return true;
}

static bool scan_scalar(struct scanner *s)
{
    switch (*s->p) {
    case '"':
        return scan_string(s);
    case 'n':
        return scan_word(s, "null");
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'N':
        return scan_word(s, "NaN");
    case 'I':
        return scan_word(s, "Infinity");
    default:
        return scan_number(s);
    }
}

/* At a value. ret_done: the value is complete, not an opened container. */
static bool scan_value(struct scanner *s, bool *ret_done)
{
    skip_space(s);
    if (s->p == s->end)
        return malformed(s, "value expected");
    if (s->elements_left-- == 0)
        return over_limit(s, "elements", s->max_elements);

    char c = *s->p;
    *ret_done = true;
    if (c != '{' && c != '[')
        return scan_scalar(s);
    if (!push(s, c == '{'))
        return false;
    skip_space(s);
    if (s->p != s->end && *s->p == (c == '{' ? '}' : ']')) {
        s->p++;
        s->depth--;
        return true;
    }
    *ret_done = false;
    return c == '[' || scan_key(s);
}

/* Behind a value: closes what ends here. ret_done: the document is complete,
 * else the scanner is at the next value. */
static bool scan_after(struct scanner *s, bool *ret_done)
{
    *ret_done = true;
    while (s->depth != 0) {
        bool object = in_object(s);

        skip_space(s);
        if (s->p == s->end)
            return malformed(s, "unterminated array or object");
        if (*s->p == ',') {
            s->p++;
            *ret_done = false;
            return !object || scan_key(s);
        }
        if (*s->p != (object ? '}' : ']'))
            return malformed(s, "',' expected");
        s->p++;
        s->depth--;
    }
    return true;
}

static bool scan_document(struct scanner *s)
{
    bool complete = false;

    while (!complete) {
        bool done = false;
        if (!scan_value(s, &done))
            return false;
        if (done && !scan_after(s, &complete))
            return false;
    }
    return true;
}

static enum celery_json_type type_of(char c)
{
    switch (c) {
    case '{':
        return CELERY_JSON_OBJECT;
    case '[':
        return CELERY_JSON_ARRAY;
    case '"':
        return CELERY_JSON_STRING;
    case 'n':
        return CELERY_JSON_NULL;
    case 't':
        return CELERY_JSON_TRUE;
    case 'f':
        return CELERY_JSON_FALSE;
    default:
        return CELERY_JSON_NUMBER;
    }
}

enum celery_status celery_json_parse(struct celery_str text,
                                     const struct celery_limits *limits,
                                     struct celery_json *ret_root,
                                     struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct scanner s = {.status = CELERY_OK, .problem = ""};

    if (limits == NULL)
        limits = &defaults;
    s.start = text.len == 0 ? "" : text.data;
    s.p = s.start;
    s.end = s.start + text.len;
    s.elements_left = limits->elements;
    s.max_elements = limits->elements;
    s.max_depth = limits->depth < MAX_DEPTH ? limits->depth : MAX_DEPTH;

    skip_space(&s);
    const char *root = s.p;
    if (!scan_document(&s))
        return fail(&s, err);
    const char *root_end = s.p;
    skip_space(&s);
    if (s.p != s.end)
        return celery_fail(err, CELERY_MALFORMED,
                           "JSON: text after the document at byte %zu",
                           (size_t)(s.p - s.start));

    ret_root->type = type_of(*root);
    ret_root->text.data = root;
    ret_root->text.len = (size_t)(root_end - root);
    return CELERY_OK;
}
