/* SPDX-License-Identifier: MIT */
/*
 * The check of a whole document: one pass, a state machine over an explicit
 * stack of one bit a level. It notes members on its way, so that what every
 * message has needs no second walk over the text. The readers of checked
 * documents are in json_read.c. Source: Lib/json/scanner.py, decoder.py; RFC
 * 8259.
 */
#include "celery/json_scan.h"

#include <string.h>

#include "byte_scan.h"
#include "json_text.h"

enum {
    MAX_DEPTH = 1024,
    PICK_DEPTH = 4, /* levels of which members are noted */
};

/* A container that is open, as the value it is of the one around it. */
struct level {
    struct cel_pick *pick; /* of the one around it */
    size_t slot;
    const char *begin;
};

struct scanner {
    const char *start;
    const char *end;
    size_t elements_left;
    size_t max_elements;
    unsigned depth;
    unsigned max_depth;
    bool object;           /* the innermost container is one */
    bool escaped;          /* a backslash was met since this was cleared */
    struct cel_pick *pick; /* of the innermost container; NULL: notes nothing */
    size_t slot;           /* in it, of the value at hand; its n: of none */
    struct cel_pick *picks;
    size_t n_picks;
    struct level levels[PICK_DEPTH];
    uint8_t stack[MAX_DEPTH / 8]; /* bit set: that level is an object */
    const char *problem_at;
    const char *problem; /* or the name of the limit that was passed */
    size_t limit;
    enum celery_status status;
};

/* The scanning functions take the place they are at and return the one behind
 * what they have read, so that it stays in a register; NULL: a problem. */

static const char *malformed(struct scanner *s, const char *p, const char *text)
{
    s->status = CELERY_MALFORMED;
    s->problem = text;
    s->problem_at = p;
    return NULL;
}

static const char *over_limit(struct scanner *s, const char *p,
                              const char *name, size_t limit)
{
    s->status = CELERY_TOO_LARGE;
    s->problem = name;
    s->problem_at = p;
    s->limit = limit;
    return NULL;
}

static enum celery_status fail(const struct scanner *s,
                               struct celery_error *err)
{
    size_t at = (size_t)(s->problem_at - s->start);

    if (s->status == CELERY_TOO_LARGE)
        return celery_fail(err, s->status,
                           "JSON: past the limit %s of %zu at byte %zu",
                           s->problem, s->limit, at);
    return celery_fail(err, s->status, "JSON: %s at byte %zu", s->problem, at);
}

static const char *skip_space(const char *p, const char *end)
{
    /* No white space is above ' ': mostly one comparison tells. */
    while (p != end && (unsigned char)*p <= ' '
           && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a backslash. */
static const char *scan_escape(struct scanner *s, const char *p)
{
    s->escaped = true;
    if (s->end - p < 2)
        return malformed(s, p, "unterminated string");
    char kind = p[1];
    if (kind != 'u') {
        if (kind == '\0' || strchr("\"\\/bfnrt", kind) == NULL)
            return malformed(s, p, "invalid escape");
        return p + 2;
    }
    if (s->end - p < 6)
        return malformed(s, p, "invalid \\u escape");
    for (int i = 2; i < 6; i++) {
        if (!is_hex(p[i]))
            return malformed(s, p, "invalid \\u escape");
    }
    return p + 6;
}

/* At a byte of a string that is not plain and no quote. */
static const char *scan_special(struct scanner *s, const char *p)
{
    if (*p == '\\')
        return scan_escape(s, p);
    if ((unsigned char)*p < ' ')
        return malformed(s, p, "control character in a string");
    size_t len = cel_utf8_len((const unsigned char *)p,
                              (const unsigned char *)s->end, false);
    if (len == 0)
        return malformed(s, p, "invalid UTF-8");
    return p + len;
}

/* At the opening quote. */
static inline const char *scan_string(struct scanner *s, const char *p)
{
    p++;
    while (p != NULL) {
        p = cel_find_special(p, s->end);
        if (p == s->end)
            return malformed(s, p, "unterminated string");
        if (*p == '"')
            return p + 1;
        p = scan_special(s, p);
    }
    return NULL;
}

static const char *scan_word(struct scanner *s, const char *p, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - p) < len || memcmp(p, word, len) != 0)
        return malformed(s, p, "no JSON value");
    return p + len;
}

static const char *scan_digits(struct scanner *s, const char *p,
                               const char *missing)
{
    if (p == s->end || !is_digit(*p))
        return malformed(s, p, missing);
    while (p != s->end && is_digit(*p))
        p++;
    return p;
}

static const char *scan_exponent(struct scanner *s, const char *p)
{
    if (p == s->end || (*p != 'e' && *p != 'E'))
        return p;
    p++;
    if (p != s->end && (*p == '+' || *p == '-'))
        p++;
    return scan_digits(s, p, "digit expected");
}

static const char *scan_number(struct scanner *s, const char *p)
{
    if (*p == '-') {
        p++;
        if (p != s->end && *p == 'I')
            return scan_word(s, p, "Infinity");
    }
    if (p != s->end && *p == '0')
        p++;
    else
        p = scan_digits(s, p, "no JSON value");
    if (p != NULL && p != s->end && *p == '.')
        p = scan_digits(s, p + 1, "digit expected");
    return p == NULL ? NULL : scan_exponent(s, p);
}

/* By the first character; that of a number is none of these. */
static enum celery_json_type type_of(char c)
{
    static const uint8_t types[256] = {
        ['{'] = CELERY_JSON_OBJECT, ['['] = CELERY_JSON_ARRAY,
        ['"'] = CELERY_JSON_STRING, ['n'] = CELERY_JSON_NULL,
        ['t'] = CELERY_JSON_TRUE,   ['f'] = CELERY_JSON_FALSE,
    };
    uint8_t type = types[(unsigned char)c];

    return type == 0 ? CELERY_JSON_NUMBER : (enum celery_json_type)type;
}

/* The value is complete. */
static void note_value(struct scanner *s, const char *begin, const char *end)
{
    if (s->pick == NULL || s->slot >= s->pick->n)
        return;
    struct celery_json *value = &s->pick->values[s->slot];
    value->type = type_of(*begin);
    value->text.data = begin;
    value->text.len = (size_t)(end - begin);
}

/* A member's value comes next. name is what is between the quotes. */
static void note_key(struct scanner *s, struct celery_str name)
{
    struct cel_pick *pick = s->pick;
    size_t guess = pick->guess;

    pick->members++;
    if (guess < pick->n && !s->escaped && pick->keys[guess].len == name.len
        && memcmp(pick->keys[guess].data, name.data, name.len) == 0)
        s->slot = guess;
    else
        s->slot = cel_find_key(name, !s->escaped, pick->keys, pick->n, guess);
    if (s->slot < pick->n)
        pick->guess = s->slot + 1;
}

static void pick_reset(struct cel_pick *pick)
{
    for (size_t i = 0; i < pick->n; i++)
        pick->values[i] = (struct celery_json){CELERY_JSON_NONE, {"", 0}};
    pick->members = 0;
    pick->guess = 0;
}

/* What is to be noted of the container that opens as the value at hand. */
static struct cel_pick *find_pick(struct scanner *s, bool object)
{
    for (size_t i = 0; i < s->n_picks; i++) {
        struct cel_pick *pick = &s->picks[i];
        if (pick->parent == s->pick && (i == 0 || pick->slot == s->slot))
            return (pick->keys != NULL) == object ? pick : NULL;
    }
    return NULL;
}

static void open_level(struct scanner *s, const char *begin, bool object)
{
    struct level *level = &s->levels[s->depth];
    bool noted = s->depth == 0 || s->pick != NULL;

    *level = (struct level){s->pick, s->slot, begin};
    s->pick = noted ? find_pick(s, object) : NULL;
    s->slot = 0;
    if (s->pick != NULL)
        pick_reset(s->pick);
}

/* At a bracket; the container is complete. Returns what follows. */
static const char *close_level(struct scanner *s, const char *p)
{
    s->depth--;
    p++;
    if (s->depth != 0) {
        unsigned outer = s->depth - 1;
        s->object = (s->stack[outer / 8] >> (outer % 8) & 1) != 0;
    }
    if (s->depth < PICK_DEPTH) {
        const struct level *level = &s->levels[s->depth];
        s->pick = level->pick;
        s->slot = level->slot;
        note_value(s, level->begin, p);
    }
    return p;
}

/* At an opening bracket. */
static const char *push(struct scanner *s, const char *p, bool object)
{
    if (s->depth == s->max_depth)
        return over_limit(s, p, "depth", s->max_depth);
    if (s->depth < PICK_DEPTH)
        open_level(s, p, object);
    else
        s->pick = NULL;
    unsigned bit = 1U << (s->depth % 8);
    uint8_t *byte = &s->stack[s->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    s->object = object;
    s->depth++;
    return p + 1;
}

/* Before a key; returns the place of the value. */
static const char *scan_key(struct scanner *s, const char *p)
{
    p = skip_space(p, s->end);
    if (p == s->end || *p != '"')
        return malformed(s, p, "member name expected");
    const char *name = p + 1;
    s->escaped = false;
    p = scan_string(s, p);
    if (p == NULL)
        return NULL;
    if (s->pick != NULL)
        note_key(s, (struct celery_str){name, (size_t)(p - 1 - name)});
    p = skip_space(p, s->end);
    if (p == s->end || *p != ':')
        return malformed(s, p, "':' expected");
    return p + 1;
}

static const char *scan_scalar(struct scanner *s, const char *p)
{
    switch (*p) {
    case '"':
        return scan_string(s, p);
    case 'n':
        return scan_word(s, p, "null");
    case 't':
        return scan_word(s, p, "true");
    case 'f':
        return scan_word(s, p, "false");
    case 'N':
        return scan_word(s, p, "NaN");
    case 'I':
        return scan_word(s, p, "Infinity");
    default:
        return scan_number(s, p);
    }
}

/* At a bracket. ret_done: the container was empty. */
static const char *scan_open(struct scanner *s, const char *p, bool *ret_done)
{
    bool object = *p == '{';

    p = push(s, p, object);
    if (p == NULL)
        return NULL;
    p = skip_space(p, s->end);
    if (p != s->end && *p == (object ? '}' : ']')) {
        *ret_done = true;
        return close_level(s, p);
    }
    *ret_done = false;
    if (!object && s->pick != NULL)
        s->pick->members++;
    return p;
}

/* Behind a comma: the next member or element. */
static void note_next(struct scanner *s)
{
    if (s->object || s->pick == NULL)
        return;
    s->pick->members++;
    s->slot++;
}

/* Behind a value: closes what ends here. Returns the place of the next member
 * or element, or with depth 0 the end of the document. */
static const char *scan_after(struct scanner *s, const char *p)
{
    while (s->depth != 0) {
        p = skip_space(p, s->end);
        if (p == s->end)
            return malformed(s, p, "unterminated array or object");
        if (*p == ',') {
            note_next(s);
            return p + 1;
        }
        if (*p != (s->object ? '}' : ']'))
            return malformed(s, p, "',' expected");
        p = close_level(s, p);
    }
    return p;
}

/* Before a value. ret_done: it is complete, else an opened container. */
static const char *scan_value(struct scanner *s, const char *p, bool *ret_done)
{
    p = skip_space(p, s->end);
    if (p == s->end)
        return malformed(s, p, "value expected");
    if (s->elements_left-- == 0)
        return over_limit(s, p, "elements", s->max_elements);
    if (*p == '{' || *p == '[')
        return scan_open(s, p, ret_done);
    const char *begin = p;
    *ret_done = true;
    p = scan_scalar(s, p);
    if (p != NULL)
        note_value(s, begin, p);
    return p;
}

static const char *scan_document(struct scanner *s, const char *p)
{
    bool done = false;

    do {
        if (s->object)
            p = scan_key(s, p);
        if (p != NULL)
            p = scan_value(s, p, &done);
        if (p != NULL && done)
            p = scan_after(s, p);
    } while (p != NULL && s->depth != 0);
    return p;
}

/* What was noted of a value that did not stay: a later member of the same name
 * was of another type. Parents come first. */
static void drop_stale(struct cel_pick *picks, size_t n,
                       struct celery_json root)
{
    for (size_t i = 0; i < n; i++) {
        enum celery_json_type type =
            i == 0 ? root.type : picks[i].parent->values[picks[i].slot].type;
        if (type
            != (picks[i].keys != NULL ? CELERY_JSON_OBJECT : CELERY_JSON_ARRAY))
            pick_reset(&picks[i]);
    }
}

enum celery_status cel_json_parse_picks(struct celery_str text,
                                        const struct celery_limits *limits,
                                        struct cel_pick *picks, size_t n_picks,
                                        struct celery_json *ret_root,
                                        struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct scanner s = {.picks = picks, .n_picks = n_picks, .problem = ""};

    if (limits == NULL)
        limits = &defaults;
    s.start = text.len == 0 ? "" : text.data;
    s.end = s.start + text.len;
    s.elements_left = limits->elements;
    s.max_elements = limits->elements;
    s.max_depth = limits->depth < MAX_DEPTH ? limits->depth : MAX_DEPTH;

    const char *root = skip_space(s.start, s.end);
    const char *root_end = scan_document(&s, root);
    if (root_end == NULL)
        return fail(&s, err);
    const char *rest = skip_space(root_end, s.end);
    if (rest != s.end)
        return celery_fail(err, CELERY_MALFORMED,
                           "JSON: text after the document at byte %zu",
                           (size_t)(rest - s.start));

    ret_root->type = type_of(*root);
    ret_root->text.data = root;
    ret_root->text.len = (size_t)(root_end - root);
    drop_stale(picks, n_picks, *ret_root);
    return CELERY_OK;
}

enum celery_status celery_json_parse(struct celery_str text,
                                     const struct celery_limits *limits,
                                     struct celery_json *ret_root,
                                     struct celery_error *err)
{
    return cel_json_parse_picks(text, limits, NULL, 0, ret_root, err);
}
