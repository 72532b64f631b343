/* SPDX-License-Identifier: MIT */
/* All ways through the steps at once. Source: Modules/_sre/sre.c. */
#include <string.h>

#include "control_regex.h"

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
    bool edge = cel_regex_is_word(place->before) != cel_regex_is_word(after);

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
    size_t at[CEL_REGEX_STEPS];
    size_t count;
    bool known[CEL_REGEX_STEPS];
};

/* All steps that are reached from start without a character; true: a match. */
static bool follow(const struct cel_regex *re, struct threads *threads,
                   size_t start, const struct place *place)
{
    size_t stack[CEL_REGEX_STEPS + 1];
    size_t depth = 0;

    stack[depth++] = start;
    while (depth != 0) {
        size_t at = stack[--depth];
        const struct cel_regex_step *step = &re->program[at];
        if (threads->known[at])
            continue;
        threads->known[at] = true;
        if (step->op == CEL_REGEX_MATCH)
            return true;
        if (step->op == CEL_REGEX_SPLIT || step->op == CEL_REGEX_JUMP)
            stack[depth++] = at + (size_t)step->to; /* may go back */
        if (step->op == CEL_REGEX_SPLIT
            || (step->op == CEL_REGEX_ASSERT && holds(place, step->code)))
            stack[depth++] = at + 1;
        if (step->op < CEL_REGEX_SPLIT)
            threads->at[threads->count++] = at;
    }
    return false;
}

static bool set_takes(struct cel_regex *re, uint32_t place, uint32_t c)
{
    enum { NO = 1, YES = 2 };
    bool matched = false;

    if (re->verdicts[place] == 0) {
        re->p = re->begin + place;
        matched = cel_regex_set(re, c, &matched) && matched;
        re->verdicts[place] = matched ? YES : NO;
    }
    return re->verdicts[place] == YES;
}

static bool takes(struct cel_regex *re, const struct cel_regex_step *step,
                  uint32_t c)
{
    switch (step->op) {
    case CEL_REGEX_CHAR:
        return cel_regex_in_range(re, step->code, step->code, c);
    case CEL_REGEX_ANY:
        return c != '\n' || re->any_newline;
    case CEL_REGEX_CLASS:
        return cel_regex_in_class(step->code, c);
    case CEL_REGEX_SET:
        return set_takes(re, step->code, c);
    case CEL_REGEX_SPLIT:
    case CEL_REGEX_JUMP:
    case CEL_REGEX_ASSERT:
    case CEL_REGEX_MATCH:
        break;
    }
    return false;
}

bool cel_regex_run(struct cel_regex *re, struct celery_str text)
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
        memset(re->verdicts, 0, sizeof re->verdicts);
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
