/* SPDX-License-Identifier: MIT */
/*
 * Reads what six releases of Python Celery wrote, one file an argument. Every
 * line is of a kind that is known here, and every kind was recorded.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vector.h"

static int failures;

void vector_complain(const struct vector *v, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(stderr, "%s:%ld: %.*s: ", v->file, v->line, (int)v->name.len,
                  v->name.data);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    failures++;
}

bool vector_same(struct celery_str a, struct celery_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool vector_starts(struct celery_str text, const char *with)
{
    size_t len = strlen(with);

    return text.len >= len && memcmp(text.data, with, len) == 0;
}

struct celery_str vector_text(struct celery_arena *arena,
                              struct celery_json value)
{
    struct celery_str text = {"", 0};

    if (value.type == CELERY_JSON_STRING
        && celery_json_string(value, arena, &text) != CELERY_OK)
        abort();
    return text;
}

/* latin-1 text to the bytes it stands for. */
static struct celery_str to_bytes(struct celery_arena *arena,
                                  struct celery_str text)
{
    struct celery_str copy = celery_arena_copy(arena, text);
    char *out = celery_arena_alloc(arena, text.len + 1);
    size_t n = 0;

    if (copy.data == NULL || out == NULL)
        abort();
    for (size_t i = 0; i < text.len; i++) {
        unsigned c = (unsigned char)text.data[i];
        if (c >= 0x80)
            c = (c & 0x1f) << 6 | ((unsigned char)text.data[++i] & 0x3f);
        out[n++] = (char)c;
    }
    return (struct celery_str){out, n};
}

static struct {
    const char *kind;
    vector_fn check; /* NULL: no message, for the reader or other tests */
    int seen;
} kinds[] = {
    {"task", vector_task, 0},
    {"amqp-task", vector_amqp_task, 0},
    {"event", vector_event, 0},
    {"control", vector_control, 0},
    {"reply", vector_reply, 0},
    {"result", vector_result, 0},
    {"result-publish", vector_result_publish, 0},
    {"inspect", vector_inspect, 0},
    {"spool", vector_spool, 0},
    {"redis-keys", NULL, 0},
    {"log", NULL, 0},
    {"skipped", NULL, 0},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void check_line(struct vector *v, struct celery_str line)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root;
    size_t i = 0;

    v->name = CELERY_STR("?");
    if (celery_json_parse(line, NULL, &root, NULL) != CELERY_OK) {
        vector_complain(v, "the line is no JSON");
        return;
    }
    v->name = vector_text(&arena, celery_json_get(root, "name"));
    v->meta = celery_json_get(root, "meta");
    struct celery_str release =
        celery_arena_copy(&arena,
                          vector_text(&arena, celery_json_get(root, "celery")));
    v->as_ours = release.data != NULL && vector_writes_as_we_do(release.data);
    v->raw =
        to_bytes(&arena, vector_text(&arena, celery_json_get(root, "raw")));
    struct celery_json kind = celery_json_get(root, "kind");
    while (i < KINDS && !celery_json_is(kind, kinds[i].kind))
        i++;
    if (i == KINDS) {
        vector_complain(v, "nobody reads the kind %.*s", (int)kind.text.len,
                        kind.text.data);
        return;
    }
    kinds[i].seen++;
    if (kinds[i].check != NULL)
        kinds[i].check(v, &arena);
}

/* The recording was made without a RabbitMQ. */
static bool without_amqp;

static void check_file(const char *path)
{
    struct vector v = {.file = path};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;

    FILE *f = fopen(path, "re");
    if (f == NULL) {
        perror(path);
        failures++;
        return;
    }
    for (size_t i = 0; i < KINDS; i++)
        kinds[i].seen = 0;
    while ((len = getline(&line, &cap, f)) > 0) {
        v.line++;
        check_line(&v, (struct celery_str){line, (size_t)len});
    }
    free(line);
    (void)fclose(f);
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].check == NULL)
            continue;
        printf("%s: %d %s\n", path, kinds[i].seen, kinds[i].kind);
        if (kinds[i].seen == 0
            && !(without_amqp && strcmp(kinds[i].kind, "amqp-task") == 0)) {
            (void)fprintf(stderr, "%s: no %s\n", path, kinds[i].kind);
            failures++;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--without-amqp") == 0) {
        without_amqp = true;
        argv++;
        argc--;
    }
    for (int i = 1; i < argc; i++)
        check_file(argv[i]);
    if (vector_signatures_seen() == 0) {
        failures++;
        (void)fputs("no signature was seen\n", stderr);
    }
    return failures == 0 && argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
