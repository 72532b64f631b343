/* SPDX-License-Identifier: MIT */
/*
 * Settings from a command line, one word a line of the input: what is accepted
 * is in range, what is refused says the setting's name and no secret.
 */
#include "conf/conf.h"
#include "fuzz/fuzz.h"

enum { WORDS_MAX = 8 };

static const struct conf_setting table[] = {
    {.env = "FUZZ_URL", .option = "url", .letter = 'u', .type = CONF_TEXT},
    {.env = "FUZZ_COUNT",
     .option = "count",
     .letter = 'c',
     .type = CONF_INT,
     .min = 1,
     .max = 10},
    {.env = "FUZZ_MANY", .option = "many", .letter = 'm', .type = CONF_INT},
    {.env = "FUZZ_WAIT",
     .option = "wait",
     .letter = 'w',
     .type = CONF_SECONDS,
     .max = 60},
    {.env = "FUZZ_ON", .option = "on", .letter = 'o', .type = CONF_BOOL},
    {.env = "FUZZ_KIND",
     .option = "kind",
     .letter = 'k',
     .type = CONF_CHOICE,
     .choices = "one|two"},
    {.env = "FUZZ_SECRET",
     .option = "secret",
     .letter = 's',
     .type = CONF_INT,
     .min = 1,
     .max = 10,
     .secret = true},
    {.option = "flag", .letter = 'f', .type = CONF_FLAG},
};

enum { COUNT = sizeof table / sizeof table[0] };

/* Values have no newlines, so that a line is a setting. */
static void check_printed(const char *text)
{
    static const char name[] = "FUZZ_SECRET=";
    static const char whole[] = "FUZZ_SECRET=********\n";

    for (const char *p = text; *p != '\0'; p += strcspn(p, "\n") + 1) {
        if (strncmp(p, name, sizeof name - 1) == 0)
            HOLDS(strncmp(p, whole, sizeof whole - 1) == 0);
    }
}

static void check_accepted(const struct conf *conf, int argc)
{
    size_t rest = 0;
    char *text = NULL;
    size_t len = 0;

    int64_t count = conf_int(conf, "FUZZ_COUNT");
    double wait = conf_seconds(conf, "FUZZ_WAIT");
    const char *kind = conf_text(conf, "FUZZ_KIND");
    HOLDS(!conf_is_set(conf, "FUZZ_COUNT") || (count >= 1 && count <= 10));
    HOLDS(wait >= 0 && wait <= 60);
    HOLDS(conf_int(conf, "FUZZ_MANY") >= 0);
    HOLDS(kind == NULL || strlen(kind) == 3);
    (void)conf_bool(conf, "FUZZ_ON");
    (void)conf_bool(conf, "flag");
    (void)conf_rest(conf, &rest);
    HOLDS(rest < (size_t)argc);

    FILE *out = open_memstream(&text, &len);
    HOLDS(out != NULL);
    conf_print(conf, out);
    (void)fclose(out);
    check_printed(text);
    free(text);
}

/* The words on the heap, each with a NUL behind it: their ends are watched, and
 * conf_load may overwrite them. */
static int split(const uint8_t *data, size_t size, char *argv[WORDS_MAX + 2])
{
    int argc = 0;

    argv[argc++] = strdup("prog");
    for (size_t at = 0; at < size && argc <= WORDS_MAX;) {
        const uint8_t *line = memchr(data + at, '\n', size - at);
        size_t len = line == NULL ? size - at : (size_t)(line - data) - at;
        char *word = calloc(len + 1, 1);
        HOLDS(word != NULL);
        memcpy(word, data + at, len);
        argv[argc++] = word;
        at += len + 1;
    }
    argv[argc] = NULL;
    return argc;
}

/* An error about the secret is the same whatever was given for it. */
static void check_refused(const struct celery_error *err)
{
    static const char name[] = "FUZZ_SECRET=";
    static const char whole[] = "FUZZ_SECRET='********' is not accepted; "
                                "accepted: an integer from 1 to 10";

    HOLDS(err->status == CELERY_INVALID);
    HOLDS(err->msg[0] != '\0');
    if (strncmp(err->msg, name, sizeof name - 1) == 0)
        HOLDS(strcmp(err->msg, whole) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_error err = {0};
    struct conf *conf = NULL;
    char *argv[WORDS_MAX + 2];
    char *words[WORDS_MAX + 2]; /* freed whatever conf_load does to argv */

    int argc = split(data, size, argv);
    memcpy(words, argv, sizeof words[0] * (size_t)argc);
    if (conf_load(table, COUNT, argc, argv, &conf, &err) == CELERY_OK)
        check_accepted(conf, argc);
    else
        check_refused(&err);
    conf_free(conf);
    for (int i = 0; i < argc; i++)
        free(words[i]);
    return 0;
}
