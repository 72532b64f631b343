/* SPDX-License-Identifier: MIT */
/*
 * Python's regular expressions as far as a match needs no going back: they come
 * from the network, so all ways are followed at once, in at most pattern ×
 * text steps (Thompson's construction).
 *
 * Not known, and so matching nothing: back references, octal escapes, \N,
 * assertions "(?=", conditions, comments, possessive quantifiers, atomic
 * groups, flags but a global i, s, a, u; classes, \b and i where text is not
 * ASCII. Source: Lib/re/_parser.py, Modules/_sre/sre.c.
 */
#include "control_regex.h"

#include <string.h>

#include "json_text.h"

enum {
    PATTERN_MAX = 256,
    PROGRAM_MAX = 1024, /* counts write what they repeat so many times */
    COUNT_MAX = 1000,
    DEPTH_MAX = 32,
};

enum op { CHAR, ANY, CLASS, SET, SPLIT, JUMP, ASSERT, MATCH };

struct step {
    enum op op;
    int to;        /* SPLIT: the other way; JUMP: relative to the step */
    uint32_t code; /* a character, a class's letter, a set's place */
};

struct group {
    size_t start;  /* of the group's steps */
    size_t branch; /* of the alternative that is being read */
    size_t jumps;  /* the last JUMP to the group's end, plus one; 0: none */
};

struct regex {
    const char *p;
    const char *begin;
    const char *end;
    struct step program[PROGRAM_MAX];
    size_t len;
    struct group groups[DEPTH_MAX];
    size_t depth;
    size_t atom;   /* where the last atom's steps begin */
    bool has_atom; /* a quantifier may follow */
    bool repeated; /* the last atom has one already */
    bool any_newline;
    bool ignore_case;
    bool ascii_only; /* what is used is known for ASCII texts only */
    bool ascii;      /* the pattern is */
};

uint32_t cel_take_char(const char **p, const char *end)
{
    const unsigned char *c = (const unsigned char *)*p;
    size_t len = cel_utf8_len(c, (const unsigned char *)end, true);

    *p += len == 0 ? 1 : len;
    return len == 0 ? 0xdc00U + c[0] : cel_utf8_get(c, len);
}

static bool accept(struct regex *re, char c)
{
    if (re->p == re->end || *re->p != c)
        return false;
    re->p++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static uint32_t to_lower(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static uint32_t to_upper(uint32_t c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

static bool is_word(uint32_t c)
{
    return (to_lower(c) >= 'a' && to_lower(c) <= 'z') || c == '_'
        || (c >= '0' && c <= '9');
}

/* str.isspace() has the four separators too. */
static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static bool in_class(uint32_t letter, uint32_t c)
{
    switch (letter) {
    case 'd':
        return c >= '0' && c <= '9';
    case 'D':
        return c < '0' || c > '9';
    case 's':
        return is_space(c);
    case 'S':
        return !is_space(c);
    case 'w':
        return is_word(c);
    default:
        return !is_word(c);
    }
}

/* A character or a class, within a set or not. */
struct item {
    bool is_class;
    uint32_t code;
};

static bool take_hex(struct regex *re, int digits, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < digits; i++) {
        char c = re->p == re->end ? '\0' : *re->p++;
        if (is_digit(c))
            *ret = *ret * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *ret = *ret * 16 + (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            *ret = *ret * 16 + (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    return *ret <= 0x10ffff;
}

/* Behind a backslash. */
static bool take_escape(struct regex *re, bool in_set, struct item *ret)
{
    static const char controls[] = "a\ab\bf\fn\nr\rt\tv\v";

    if (re->p == re->end || is_digit(*re->p))
        return false;
    uint32_t c = cel_take_char(&re->p, re->end);
    ret->code = c;
    ret->is_class = c != 0 && c < 0x80 && strchr("dDsSwW", (int)c) != NULL;
    if (ret->is_class) {
        re->ascii_only = true;
        return true;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        int digits = c == 'u' ? 4 : 8;
        return take_hex(re, c == 'x' ? 2 : digits, &ret->code);
    }
    for (size_t i = 0; i + 1 < sizeof controls; i += 2) {
        if ((unsigned char)controls[i] == c && (c != 'b' || in_set)) {
            ret->code = (unsigned char)controls[i + 1];
            return true;
        }
    }
    return !(to_lower(c) >= 'a' && to_lower(c) <= 'z'); /* a bad escape */
}

static bool take_item(struct regex *re, struct item *ret)
{
    if (re->p == re->end)
        return false;
    ret->is_class = false;
    ret->code = cel_take_char(&re->p, re->end);
    if (ret->code == '\\' && !take_escape(re, true, ret))
        return false;
    re->ascii = re->ascii && ret->code < 0x80;
    return true;
}

static bool in_range(const struct regex *re, uint32_t low, uint32_t high,
                     uint32_t c)
{
    if (!re->ignore_case)
        return c >= low && c <= high;
    return (to_lower(c) >= low && to_lower(c) <= high)
        || (to_upper(c) >= low && to_upper(c) <= high);
}

/* Behind '['; re->p comes behind ']'. false: a broken set. */
static bool take_set(struct regex *re, uint32_t c, bool *ret_matched)
{
    bool negated = accept(re, '^');
    bool matched = false;
    struct item low;
    struct item high;

    for (bool first = true; first || !accept(re, ']'); first = false) {
        if (!take_item(re, &low))
            return false;
        high = low;
        if (re->end - re->p >= 2 && re->p[0] == '-' && re->p[1] != ']') {
            re->p++;
            if (!take_item(re, &high) || low.is_class || high.is_class
                || low.code > high.code)
                return false;
        }
        if (low.is_class ? in_class(low.code, c)
                         : in_range(re, low.code, high.code, c))
            matched = true;
    }
    *ret_matched = matched != negated;
    return true;
}

static bool put(struct regex *re, enum op op, uint32_t code)
{
    if (re->len == PROGRAM_MAX)
        return false;
    re->program[re->len++] = (struct step){.op = op, .code = code};
    return true;
}

/* Steps jump within what is moved, or are not linked yet. */
static bool insert_split(struct regex *re, size_t at, int to)
{
    if (re->len == PROGRAM_MAX)
        return false;
    memmove(re->program + at + 1, re->program + at,
            (re->len - at) * sizeof *re->program);
    re->program[at] = (struct step){.op = SPLIT, .to = to};
    re->len++;
    return true;
}

static bool put_atom(struct regex *re, enum op op, uint32_t code)
{
    re->atom = re->len;
    re->has_atom = op != ASSERT;
    re->repeated = false;
    re->ascii = re->ascii && (op != CHAR || code < 0x80);
    return put(re, op, code);
}

static bool put_star(struct regex *re, size_t at)
{
    int len = (int)(re->len - at);

    if (!insert_split(re, at, len + 2) || !put(re, JUMP, 0))
        return false;
    re->program[re->len - 1].to = -len - 1;
    return true;
}

/* most < 0: no end. */
static bool repeat(struct regex *re, int least, int most)
{
    struct step atom[PROGRAM_MAX];
    size_t at = re->atom;
    size_t len = re->len - at;

    memcpy(atom, re->program + at, len * sizeof *atom);
    re->len = at;
    for (int i = 0; i < (most < 0 ? least + 1 : most); i++) {
        size_t from = re->len;
        if (len > PROGRAM_MAX - re->len)
            return false;
        memcpy(re->program + from, atom, len * sizeof *atom);
        re->len += len;
        if (i < least)
            continue;
        if (most < 0 ? !put_star(re, from)
                     : !insert_split(re, from, (int)len + 1))
            return false;
    }
    return true;
}

static bool take_count(struct regex *re, int *ret)
{
    int n = 0;

    if (re->p == re->end || !is_digit(*re->p))
        return false;
    while (re->p != re->end && is_digit(*re->p)) {
        if (n <= COUNT_MAX)
            n = n * 10 + (*re->p - '0');
        re->p++;
    }
    *ret = n;
    return true;
}

/* Behind '{'. false, with re->p where it was: it is a character. */
static bool take_counts(struct regex *re, int *ret_least, int *ret_most)
{
    const char *before = re->p;

    *ret_least = 0;
    *ret_most = -1;
    if (re->p != re->end && *re->p == '}')
        return false;
    bool some = take_count(re, ret_least);
    if (!accept(re, ','))
        *ret_most = some ? *ret_least : -1;
    else
        (void)take_count(re, ret_most);
    if (accept(re, '}'))
        return true;
    re->p = before;
    return false;
}

static bool take_quantifier(struct regex *re, int least, int most)
{
    if (!re->has_atom || re->repeated || least > COUNT_MAX || most > COUNT_MAX
        || (most >= 0 && most < least))
        return false;
    (void)accept(re, '?'); /* the shortest match is a match as well */
    if (re->p != re->end && *re->p == '+')
        return false;
    re->repeated = true;
    return repeat(re, least, most);
}

static bool take_brace(struct regex *re)
{
    int least = 0;
    int most = 0;

    if (!take_counts(re, &least, &most))
        return put_atom(re, CHAR, '{');
    return take_quantifier(re, least, most);
}

static bool take_backslash(struct regex *re)
{
    struct item item;

    if (re->p != re->end && *re->p != '\0' && strchr("AZbB", *re->p) != NULL) {
        re->ascii_only = re->ascii_only || *re->p == 'b' || *re->p == 'B';
        return put_atom(re, ASSERT, (unsigned char)*re->p++);
    }
    if (!take_escape(re, false, &item))
        return false;
    return put_atom(re, item.is_class ? CLASS : CHAR, item.code);
}

static bool take_bracket(struct regex *re)
{
    uint32_t place = (uint32_t)(re->p - re->begin);
    bool matched = false;

    return take_set(re, 0, &matched) && put_atom(re, SET, place);
}

/* Behind "(?": global flags, which stand first. */
static bool take_flags(struct regex *re)
{
    bool some = false;

    if (re->len != 0 || re->depth != 1 || re->has_atom)
        return false;
    while (re->p != re->end && *re->p != ')') {
        char c = *re->p++;
        if (c == 'i')
            re->ignore_case = re->ascii_only = true;
        else if (c == 's')
            re->any_newline = true;
        else if (c != 'a' && c != 'u')
            return false;
        some = true;
    }
    return some && accept(re, ')');
}

/* Behind "(?P<". */
static bool take_name(struct regex *re)
{
    const char *before = re->p;

    while (re->p != re->end && is_word((unsigned char)*re->p))
        re->p++;
    return re->p != before && !is_digit(*before) && accept(re, '>');
}

static bool open_group(struct regex *re)
{
    if (re->depth == DEPTH_MAX)
        return false;
    re->groups[re->depth++] =
        (struct group){.start = re->len, .branch = re->len};
    re->has_atom = false;
    return true;
}

static bool take_open(struct regex *re)
{
    if (!accept(re, '?') || accept(re, ':'))
        return open_group(re);
    if (re->end - re->p >= 2 && memcmp(re->p, "P<", 2) == 0) {
        re->p += 2;
        return take_name(re) && open_group(re);
    }
    return take_flags(re);
}

static bool take_bar(struct regex *re)
{
    struct group *group = &re->groups[re->depth - 1];
    int len = (int)(re->len - group->branch);

    /* The alternative, or what is behind its JUMP. */
    if (!insert_split(re, group->branch, len + 2) || !put(re, JUMP, 0))
        return false;
    re->program[re->len - 1].code = (uint32_t)group->jumps;
    group->jumps = re->len;
    group->branch = re->len;
    re->has_atom = false;
    return true;
}

static void link_jumps(struct regex *re)
{
    const struct group *group = &re->groups[--re->depth];
    size_t next = 0;

    for (size_t i = group->jumps; i != 0; i = next) {
        struct step *jump = &re->program[i - 1];
        next = jump->code;
        jump->code = 0;
        jump->to = (int)(re->len - (i - 1));
    }
    re->atom = group->start;
    re->has_atom = true;
    re->repeated = false;
}

static bool take_close(struct regex *re)
{
    if (re->depth == 1)
        return false;
    link_jumps(re);
    return true;
}

static bool take_one(struct regex *re)
{
    uint32_t c = cel_take_char(&re->p, re->end);

    switch (c) {
    case '\\':
        return take_backslash(re);
    case '[':
        return take_bracket(re);
    case '(':
        return take_open(re);
    case ')':
        return take_close(re);
    case '|':
        return take_bar(re);
    case '.':
        return put_atom(re, ANY, 0);
    case '^':
        return put_atom(re, ASSERT, 'A');
    case '$':
        return put_atom(re, ASSERT, '$');
    case '*':
        return take_quantifier(re, 0, -1);
    case '+':
        return take_quantifier(re, 1, -1);
    case '?':
        return take_quantifier(re, 0, 1);
    case '{':
        return take_brace(re);
    default:
        return put_atom(re, CHAR, c);
    }
}

static bool compile(struct regex *re, struct celery_str pattern)
{
    re->p = re->begin = pattern.data;
    re->end = pattern.data + pattern.len;
    re->ascii = true;
    if (pattern.len > PATTERN_MAX || !open_group(re))
        return false;
    while (re->p != re->end) {
        if (!take_one(re))
            return false;
    }
    if (re->depth != 1)
        return false;
    link_jumps(re);
    return put(re, MATCH, 0);
}

/* A place in the text. */
struct place {
    const char *begin;
    const char *p;
    const char *end;
    uint32_t before; /* 0 at the start */
};

static bool holds(const struct place *place, uint32_t what)
{
    const char *p = place->p;
    size_t left = (size_t)(place->end - p);
    uint32_t after = left == 0 ? 0 : cel_take_char(&p, place->end);
    bool edge = is_word(place->before) != is_word(after);

    switch (what) {
    case 'A':
        return place->p == place->begin;
    case 'Z':
        return left == 0;
    case '$':
        return left == 0 || (left == 1 && *place->p == '\n');
    case 'b':
        return edge;
    default: /* 'B', which nothing holds in an empty text */
        return !edge && place->begin != place->end;
    }
}

struct threads {
    size_t at[PROGRAM_MAX];
    size_t count;
    bool known[PROGRAM_MAX];
};

/* All steps that are reached from start without a character; true: a match. */
static bool follow(const struct regex *re, struct threads *threads,
                   size_t start, const struct place *place)
{
    size_t stack[PROGRAM_MAX + 1];
    size_t depth = 0;

    stack[depth++] = start;
    while (depth != 0) {
        size_t at = stack[--depth];
        const struct step *step = &re->program[at];
        if (threads->known[at])
            continue;
        threads->known[at] = true;
        if (step->op == MATCH)
            return true;
        if (step->op == SPLIT || step->op == JUMP)
            stack[depth++] = (size_t)((int)at + step->to);
        if (step->op == SPLIT
            || (step->op == ASSERT && holds(place, step->code)))
            stack[depth++] = at + 1;
        if (step->op < SPLIT)
            threads->at[threads->count++] = at;
    }
    return false;
}

static bool takes(struct regex *re, const struct step *step, uint32_t c)
{
    bool matched = false;

    switch (step->op) {
    case CHAR:
        return in_range(re, step->code, step->code, c);
    case ANY:
        return c != '\n' || re->any_newline;
    case CLASS:
        return in_class(step->code, c);
    case SET:
        re->p = re->begin + step->code;
        return take_set(re, c, &matched) && matched;
    case SPLIT:
    case JUMP:
    case ASSERT:
    case MATCH:
        break;
    }
    return false;
}

static bool run(struct regex *re, struct celery_str text)
{
    struct threads threads[2] = {{.count = 0}, {.count = 0}};
    struct place place = {text.data, text.data, text.data + text.len, 0};
    size_t now = 0;

    if (follow(re, &threads[now], 0, &place))
        return true;
    while (place.p != place.end && threads[now].count != 0) {
        struct threads *next = &threads[1 - now];
        uint32_t c = cel_take_char(&place.p, place.end);
        place.before = c;
        *next = (struct threads){.count = 0};
        for (size_t i = 0; i < threads[now].count; i++) {
            size_t at = threads[now].at[i];
            if (takes(re, &re->program[at], c)
                && follow(re, next, at + 1, &place))
                return true;
        }
        now = 1 - now;
    }
    return false;
}

static bool is_ascii(struct celery_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    }
    return true;
}

bool cel_regex_match(struct celery_str pattern, struct celery_str text)
{
    struct regex re = {.len = 0};

    if (!compile(&re, pattern) || (re.ascii_only && !is_ascii(text))
        || (re.ignore_case && !re.ascii))
        return false;
    return run(&re, text);
}
