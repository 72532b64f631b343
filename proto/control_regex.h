/* SPDX-License-Identifier: MIT */
/*
 * Python's re.match() for patterns from the network. control_regex_chars.c reads
 * characters, classes and sets, control_regex.c makes steps of a pattern,
 * control_regex_run.c follows them.
 */
#ifndef CELERY_CONTROL_REGEX_H
#define CELERY_CONTROL_REGEX_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"

/* Python's re.match(pattern, text) is not None. false as well for a pattern
 * that is too long, broken, or uses what is not known here: see
 * control_regex.c. */
bool cel_regex_match(struct celery_str pattern, struct celery_str text);

enum {
    CEL_REGEX_PATTERN = 256,
    CEL_REGEX_STEPS = 1024, /* counts write what they repeat so many times */
    CEL_REGEX_DEPTH = 32,
};

enum cel_regex_op {
    CEL_REGEX_CHAR,
    CEL_REGEX_ANY,
    CEL_REGEX_CLASS,
    CEL_REGEX_SET,
    CEL_REGEX_SPLIT,
    CEL_REGEX_JUMP,
    CEL_REGEX_ASSERT,
    CEL_REGEX_MATCH,
};

struct cel_regex_step {
    enum cel_regex_op op;
    int to;        /* of SPLIT the other way, of JUMP the only one; relative */
    uint32_t code; /* a character, a class's letter, a set's place */
};

struct cel_regex_group {
    size_t start;  /* of the group's steps */
    size_t branch; /* of the alternative that is being read */
    size_t jumps;  /* the last JUMP to the group's end, plus one; 0: none */
};

struct cel_regex {
    const char *p;
    const char *begin;
    const char *end;
    struct cel_regex_step program[CEL_REGEX_STEPS];
    size_t len;
    struct cel_regex_group groups[CEL_REGEX_DEPTH];
    size_t depth;
    size_t atom;   /* where the last atom's steps begin */
    bool has_atom; /* a quantifier may follow */
    bool repeated; /* the last atom has one already */
    /* What each set, by its place, says of the character at hand: 0 is not yet
     * known. Counts write many steps for one set. */
    uint8_t verdicts[CEL_REGEX_PATTERN];
    bool any_newline;
    bool ignore_case;
    bool ascii_only; /* what is used is known for ASCII texts only */
    bool ascii;      /* the pattern is */
};

/* A character or a class, within a set or not. */
struct cel_regex_item {
    bool is_class;
    uint32_t code;
};

/* The next character from *p on; bytes that are no UTF-8 come one by one, as
 * with Python's "surrogateescape". *p is not at end. */
uint32_t cel_take_char(const char **p, const char *end);

/* c is next in the pattern, and read. */
bool cel_regex_accept(struct cel_regex *re, char c);

bool cel_regex_is_word(uint32_t c);

/* letter: one of dDsSwW. */
bool cel_regex_in_class(uint32_t letter, uint32_t c);

bool cel_regex_in_range(const struct cel_regex *re, uint32_t low, uint32_t high,
                        uint32_t c);

/* Behind a backslash. false: not known. */
bool cel_regex_escape(struct cel_regex *re, bool in_set,
                      struct cel_regex_item *ret);

/* Behind '['; re->p comes behind ']'. false: a broken set. */
bool cel_regex_set(struct cel_regex *re, uint32_t c, bool *ret_matched);

/* Does a prefix of text match? */
bool cel_regex_run(struct cel_regex *re, struct celery_str text);

#endif /* CELERY_CONTROL_REGEX_H */
