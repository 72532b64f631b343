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

enum { COUNT_MAX = 1000 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool put(struct cel_regex *re, enum cel_regex_op op, uint32_t code)
{
    if (re->len == CEL_REGEX_STEPS)
        return false;
    re->program[re->len++] = (struct cel_regex_step){.op = op, .code = code};
    return true;
}

/* Steps jump within what is moved, or are not linked yet. */
static bool insert_split(struct cel_regex *re, size_t at, int to)
{
    if (re->len == CEL_REGEX_STEPS)
        return false;
    memmove(re->program + at + 1, re->program + at,
            (re->len - at) * sizeof *re->program);
    re->program[at] = (struct cel_regex_step){.op = CEL_REGEX_SPLIT, .to = to};
    re->len++;
    return true;
}

static bool put_atom(struct cel_regex *re, enum cel_regex_op op, uint32_t code)
{
    re->atom = re->len;
    re->has_atom = op != CEL_REGEX_ASSERT;
    re->repeated = false;
    re->ascii = re->ascii && (op != CEL_REGEX_CHAR || code < 0x80);
    return put(re, op, code);
}

static bool put_star(struct cel_regex *re, size_t at)
{
    int len = (int)(re->len - at);

    if (!insert_split(re, at, len + 2) || !put(re, CEL_REGEX_JUMP, 0))
        return false;
    re->program[re->len - 1].to = -len - 1;
    return true;
}

/* most < 0: no end. */
static bool repeat(struct cel_regex *re, int least, int most)
{
    struct cel_regex_step atom[CEL_REGEX_STEPS];
    size_t at = re->atom;
    size_t len = re->len - at;

    memcpy(atom, re->program + at, len * sizeof *atom);
    re->len = at;
    for (int i = 0; i < (most < 0 ? least + 1 : most); i++) {
        size_t from = re->len;
        if (len > CEL_REGEX_STEPS - re->len)
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

static bool take_count(struct cel_regex *re, int *ret)
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
static bool take_counts(struct cel_regex *re, int *ret_least, int *ret_most)
{
    const char *before = re->p;

    *ret_least = 0;
    *ret_most = -1;
    if (re->p != re->end && *re->p == '}')
        return false;
    bool some = take_count(re, ret_least);
    if (!cel_regex_accept(re, ','))
        *ret_most = some ? *ret_least : -1;
    else
        (void)take_count(re, ret_most);
    if (cel_regex_accept(re, '}'))
        return true;
    re->p = before;
    return false;
}

static bool take_quantifier(struct cel_regex *re, int least, int most)
{
    if (!re->has_atom || re->repeated || least > COUNT_MAX || most > COUNT_MAX
        || (most >= 0 && most < least))
        return false;
    (void)cel_regex_accept(re, '?'); /* the shortest match is a match as well */
    if (re->p != re->end && *re->p == '+')
        return false;
    re->repeated = true;
    return repeat(re, least, most);
}

static bool take_brace(struct cel_regex *re)
{
    int least = 0;
    int most = 0;

    if (!take_counts(re, &least, &most))
        return put_atom(re, CEL_REGEX_CHAR, '{');
    return take_quantifier(re, least, most);
}

static bool take_backslash(struct cel_regex *re)
{
    struct cel_regex_item item;

    if (re->p != re->end && *re->p != '\0' && strchr("AZbB", *re->p) != NULL) {
        re->ascii_only = re->ascii_only || *re->p == 'b' || *re->p == 'B';
        return put_atom(re, CEL_REGEX_ASSERT, (unsigned char)*re->p++);
    }
    if (!cel_regex_escape(re, false, &item))
        return false;
    return put_atom(re, item.is_class ? CEL_REGEX_CLASS : CEL_REGEX_CHAR,
                    item.code);
}

static bool take_bracket(struct cel_regex *re)
{
    uint32_t place = (uint32_t)(re->p - re->begin);
    bool matched = false;

    return cel_regex_set(re, 0, &matched) && put_atom(re, CEL_REGEX_SET, place);
}

/* Behind "(?": global flags, which stand first. */
static bool take_flags(struct cel_regex *re)
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
    return some && cel_regex_accept(re, ')');
}

/* Behind "(?P<". */
static bool take_name(struct cel_regex *re)
{
    const char *before = re->p;

    while (re->p != re->end && cel_regex_is_word((unsigned char)*re->p))
        re->p++;
    return re->p != before && !is_digit(*before) && cel_regex_accept(re, '>');
}

static bool open_group(struct cel_regex *re)
{
    if (re->depth == CEL_REGEX_DEPTH)
        return false;
    re->groups[re->depth++] =
        (struct cel_regex_group){.start = re->len, .branch = re->len};
    re->has_atom = false;
    return true;
}

static bool take_open(struct cel_regex *re)
{
    if (!cel_regex_accept(re, '?') || cel_regex_accept(re, ':'))
        return open_group(re);
    if (re->end - re->p >= 2 && memcmp(re->p, "P<", 2) == 0) {
        re->p += 2;
        return take_name(re) && open_group(re);
    }
    return take_flags(re);
}

static bool take_bar(struct cel_regex *re)
{
    struct cel_regex_group *group = &re->groups[re->depth - 1];
    int len = (int)(re->len - group->branch);

    /* The alternative, or what is behind its JUMP. */
    if (!insert_split(re, group->branch, len + 2)
        || !put(re, CEL_REGEX_JUMP, 0))
        return false;
    re->program[re->len - 1].code = (uint32_t)group->jumps;
    group->jumps = re->len;
    group->branch = re->len;
    re->has_atom = false;
    return true;
}

static void link_jumps(struct cel_regex *re)
{
    const struct cel_regex_group *group = &re->groups[--re->depth];
    size_t next = 0;

    for (size_t i = group->jumps; i != 0; i = next) {
        struct cel_regex_step *jump = &re->program[i - 1];
        next = jump->code;
        jump->code = 0;
        jump->to = (int)(re->len - (i - 1));
    }
    re->atom = group->start;
    re->has_atom = true;
    re->repeated = false;
}

static bool take_close(struct cel_regex *re)
{
    if (re->depth == 1)
        return false;
    link_jumps(re);
    return true;
}

static bool take_one(struct cel_regex *re)
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
        return put_atom(re, CEL_REGEX_ANY, 0);
    case '^':
        return put_atom(re, CEL_REGEX_ASSERT, 'A');
    case '$':
        return put_atom(re, CEL_REGEX_ASSERT, '$');
    case '*':
        return take_quantifier(re, 0, -1);
    case '+':
        return take_quantifier(re, 1, -1);
    case '?':
        return take_quantifier(re, 0, 1);
    case '{':
        return take_brace(re);
    default:
        return put_atom(re, CEL_REGEX_CHAR, c);
    }
}

static bool compile(struct cel_regex *re, struct celery_str pattern)
{
    re->p = re->begin = pattern.data;
    re->end = pattern.data + pattern.len;
    re->ascii = true;
    if (pattern.len > CEL_REGEX_PATTERN || !open_group(re))
        return false;
    while (re->p != re->end) {
        if (!take_one(re))
            return false;
    }
    if (re->depth != 1)
        return false;
    link_jumps(re);
    return put(re, CEL_REGEX_MATCH, 0);
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
    struct cel_regex re = {.len = 0};

    if (!compile(&re, pattern) || (re.ascii_only && !is_ascii(text))
        || (re.ignore_case && !re.ascii))
        return false;
    return cel_regex_run(&re, text);
}
