/* SPDX-License-Identifier: MIT */
/*
 * An input as lines, for targets that fill in a struct: a seed can be read and
 * written by hand, and a mutation of one field leaves the others alone.
 */
#ifndef FUZZ_LINES_H
#define FUZZ_LINES_H

#include <math.h>

#include "celery/arena.h"
#include "celery/json_scan.h"
#include "celery/json_write.h"
#include "fuzz/fuzz.h"

struct fuzz_lines {
    struct celery_str rest;
    struct celery_arena *arena;
};

/* The next line without its newline; empty at the end. */
static inline struct celery_str fuzz_line(struct fuzz_lines *lines)
{
    struct celery_str line = lines->rest;
    const char *end = line.len == 0 ? NULL : memchr(line.data, '\n', line.len);

    if (end == NULL) {
        lines->rest.len = 0;
        return line;
    }
    line.len = (size_t)(end - line.data);
    lines->rest.data += line.len + 1;
    lines->rest.len -= line.len + 1;
    return line;
}

/* The next line as a C string; what stands behind a NUL is lost. */
static inline const char *fuzz_text(struct fuzz_lines *lines)
{
    struct celery_str line = fuzz_line(lines);
    char *copy = celery_arena_alloc(lines->arena, line.len + 1);

    HOLDS(copy != NULL);
    if (line.len != 0)
        memcpy(copy, line.data, line.len);
    copy[line.len] = '\0';
    return copy;
}

static inline int64_t fuzz_int(struct fuzz_lines *lines)
{
    return strtoll(fuzz_text(lines), NULL, 10);
}

static inline double fuzz_double(struct fuzz_lines *lines)
{
    return strtod(fuzz_text(lines), NULL);
}

static inline struct celery_str fuzz_whole(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

/* text as JSON gives it back: what is no UTF-8 is replaced. */
static inline struct celery_str fuzz_through_json(struct celery_str text,
                                                  struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    struct celery_json value;
    struct celery_str back = {"", 0};

    celery_json_put_str(&w, text);
    struct celery_str copy = celery_arena_copy(arena, celery_buf_str(&buf));
    HOLDS(celery_json_parse(copy, NULL, &value, NULL) == CELERY_OK);
    HOLDS(celery_json_string(value, arena, &back) == CELERY_OK);
    celery_buf_done(&buf);
    return back;
}

/* Is value a string that says text? */
static inline bool fuzz_says(struct celery_json value, struct celery_str text,
                             struct celery_arena *arena)
{
    struct celery_str got = {"", 0};

    return celery_json_string(value, arena, &got) == CELERY_OK
        && fuzz_same(got, fuzz_through_json(text, arena));
}

/* Is value the number d? */
static inline bool fuzz_counts(struct celery_json value, double d)
{
    double got = 0;

    return celery_json_double(value, &got) && !(got < d) && !(got > d);
}

static inline bool fuzz_is_int(struct celery_json value, int64_t n)
{
    int64_t got = 0;

    return celery_json_int64(value, &got) && got == n;
}

#endif /* FUZZ_LINES_H */
