/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/unit.h"

static const struct conf_setting table[] = {
    {.env = "T_URL",
     .alias = "T_ALIAS",
     .option = "url",
     .letter = 'u',
     .type = CONF_TEXT,
     .file = true,
     .fallback = "redis://h/0",
     .help = "a URL"},
    {.env = "T_COUNT",
     .option = "count",
     .letter = 'c',
     .type = CONF_INT,
     .fallback = "4",
     .min = 1,
     .max = 10,
     .help = "a count"},
    {.env = "T_WAIT",
     .type = CONF_SECONDS,
     .fallback = "1.5",
     .max = 60,
     .help = "a time"},
    {.env = "T_ON", .type = CONF_BOOL, .fallback = "0", .help = "a switch"},
    {.env = "T_KIND",
     .type = CONF_CHOICE,
     .choices = "one|two",
     .fallback = "one",
     .help = "a kind"},
    {.env = "T_SECRET", .type = CONF_TEXT, .secret = true, .help = "a secret"},
    {.option = "interval",
     .type = CONF_SECONDS,
     .fallback = "2",
     .min = 0.1,
     .max = 60,
     .help = "only an option"},
    {.option = "flag", .letter = 'f', .type = CONF_FLAG, .help = "a flag"},
};

enum { COUNT = sizeof table / sizeof table[0], WORDS_MAX = 8 };

static struct conf *load(struct celery_error *err, int argc, char **argv)
{
    struct conf *conf = NULL;
    enum celery_status st = conf_load(table, COUNT, argc, argv, &conf, err);
    ck_assert_int_eq(st == CELERY_OK, conf != NULL);
    return conf;
}

static void clear(void)
{
    static const char *const names[] = {
        "T_URL",      "T_ALIAS",      "T_COUNT",     "T_WAIT",
        "T_ON",       "T_KIND",       "T_SECRET",    "T_SECRET_FILE",
        "T_URL_FILE", "T_ALIAS_FILE", "T_COUNT_FILE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
}

START_TEST(defaults_also_of_options_without_a_variable)
{
    struct celery_error err = {0};
    char *argv[] = {(char[]){"prog"}, NULL};
    clear();
    struct conf *conf = load(&err, 1, argv);
    ck_assert_str_eq(conf_text(conf, "T_URL"), "redis://h/0");
    ck_assert_int_eq(conf_int(conf, "T_COUNT"), 4);
    ck_assert(conf_seconds(conf, "T_WAIT") > 1.4);
    ck_assert(!conf_bool(conf, "T_ON"));
    ck_assert(conf_seconds(conf, "interval") > 1.9);
    ck_assert(!conf_bool(conf, "flag"));
    ck_assert_ptr_null(conf_text(conf, "T_SECRET"));
    conf_free(conf);
}
END_TEST

START_TEST(the_command_line_wins_over_the_environment)
{
    struct celery_error err = {0};
    char *argv[] = {(char[]){"prog"},
                    (char[]){"-c3"},
                    (char[]){"--url=amqp://x/1"},
                    (char[]){"-f"},
                    (char[]){"--interval"},
                    (char[]){"9"},
                    (char[]){"word"},
                    NULL};
    size_t rest = 0;
    clear();
    (void)setenv("T_COUNT", "7", 1);
    (void)setenv("T_ALIAS", "redis://alias/0", 1);
    (void)setenv("T_ON", "yes", 1);
    struct conf *conf = load(&err, 7, argv);
    ck_assert_int_eq(conf_int(conf, "T_COUNT"), 3);
    ck_assert_str_eq(conf_text(conf, "T_URL"), "amqp://x/1");
    ck_assert(conf_bool(conf, "T_ON") && conf_bool(conf, "flag"));
    ck_assert(conf_seconds(conf, "interval") > 8.9);
    ck_assert_str_eq(conf_rest(conf, &rest)[0], "word");
    ck_assert_uint_eq(rest, 1);
    conf_free(conf);
}
END_TEST

static const struct {
    const char *name;
    const char *value;
    const char *accepted;
} wrong[] = {
    {"T_COUNT", "11", "an integer from 1 to 10"},
    {"T_COUNT", "two", "an integer from 1 to 10"},
    {"T_COUNT", "1.5", "an integer from 1 to 10"},
    {"T_WAIT", "-1", "a number of seconds from 0 to 60"},
    {"T_WAIT", "nan", "a number of seconds from 0 to 60"},
    {"T_ON", "maybe", "1, 0, true, false, yes, no, on, off"},
    {"T_KIND", "three", "one|two"},
};

START_TEST(errors_name_the_variable_the_value_and_what_is_accepted)
{
    char *argv[] = {(char[]){"prog"}, NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct celery_error err = {0};
        clear();
        (void)setenv(wrong[i].name, wrong[i].value, 1);
        ck_assert_ptr_null(load(&err, 1, argv));
        ck_assert_int_eq(err.status, CELERY_INVALID);
        ck_assert_msg(strstr(err.msg, wrong[i].name) != NULL
                          && strstr(err.msg, wrong[i].value) != NULL
                          && strstr(err.msg, wrong[i].accepted) != NULL,
                      "%s", err.msg);
    }
}
END_TEST

START_TEST(refuses_unknown_options_and_missing_values)
{
    struct celery_error err = {0};
    char *unknown[] = {(char[]){"prog"}, (char[]){"--nothing"}, NULL};
    char *missing[] = {(char[]){"prog"}, (char[]){"--count"}, NULL};
    char *flag[] = {(char[]){"prog"}, (char[]){"--flag=1"}, NULL};
    clear();
    ck_assert_ptr_null(load(&err, 2, unknown));
    ck_assert_ptr_nonnull(strstr(err.msg, "--nothing"));
    ck_assert_ptr_null(load(&err, 2, missing));
    ck_assert_ptr_nonnull(strstr(err.msg, "needs a value"));
    ck_assert_ptr_null(load(&err, 2, flag));
    ck_assert_ptr_nonnull(strstr(err.msg, "takes no value"));
}
END_TEST

START_TEST(passwords_leave_the_command_line_and_are_never_shown)
{
    struct celery_error err = {0};
    char word[] = "redis://:hidden@h/0";
    char *argv[] = {(char[]){"prog"}, (char[]){"-u"}, word, NULL};
    char *text = NULL;
    size_t size = 0;
    clear();
    (void)setenv("T_SECRET", "hidden2", 1);
    struct conf *conf = load(&err, 3, argv);
    ck_assert_ptr_null(strstr(word, "hidden"));
    ck_assert_str_eq(conf_text(conf, "T_URL"), "redis://:hidden@h/0");
    FILE *out = open_memstream(&text, &size);
    conf_print(conf, out);
    (void)fclose(out);
    ck_assert_ptr_null(strstr(text, "hidden"));
    ck_assert_ptr_nonnull(strstr(text, "T_URL=redis://:********@h/0"));
    ck_assert_ptr_nonnull(strstr(text, "T_SECRET=********"));
    free(text);
    conf_free(conf);
}
END_TEST

/* Writes text to the file, which is there. */
static void put(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_secret_comes_from_a_file_without_its_newline)
{
    static const char *const files[] = {"T_SECRET_FILE", "T_URL_FILE",
                                        "T_ALIAS_FILE"};
    static const char *const names[] = {"T_SECRET", "T_URL", "T_URL"};
    char path[] = "/tmp/test_conf_XXXXXX";
    char *argv[] = {(char[]){"prog"}, NULL};
    (void)close(mkstemp(path));
    put(path, "from-file\r\n\n", 12);
    for (size_t i = 0; i < 3; i++) {
        struct celery_error err = {0};
        clear();
        (void)setenv(files[i], path, 1);
        struct conf *conf = load(&err, 1, argv);
        ck_assert_ptr_nonnull(conf);
        ck_assert_str_eq(conf_text(conf, names[i]), "from-file");
        conf_free(conf);
        (void)setenv(files[i], "/nowhere", 1);
        ck_assert_ptr_null(load(&err, 1, argv));
        ck_assert_ptr_nonnull(strstr(err.msg, files[i]));
    }
    (void)unlink(path);
}
END_TEST

START_TEST(a_variable_and_its_file_are_not_both_accepted)
{
    struct celery_error err = {0};
    char *argv[] = {(char[]){"prog"}, NULL};
    clear();
    (void)setenv("T_SECRET", "hidden", 1);
    (void)setenv("T_SECRET_FILE", "/dev/null", 1);
    ck_assert_ptr_null(load(&err, 1, argv));
    ck_assert_str_eq(err.msg, "T_SECRET and T_SECRET_FILE are both set; "
                              "accepted: one of them");
    clear();
    (void)setenv("T_COUNT_FILE", "/dev/null", 1);
    ck_assert_ptr_null(load(&err, 1, argv));
    ck_assert_ptr_nonnull(strstr(err.msg, "T_COUNT_FILE is not accepted"));
    (void)setenv("T_COUNT_FILE", "", 1);
    struct conf *conf = load(&err, 1, argv);
    ck_assert_ptr_nonnull(conf);
    conf_free(conf);
}
END_TEST

START_TEST(what_came_from_files_is_read_again)
{
    struct celery_error err = {0};
    char path[] = "/tmp/test_conf_XXXXXX";
    char *argv[] = {(char[]){"prog"}, (char[]){"--count=7"}, NULL};
    struct conf *fresh = NULL;
    (void)close(mkstemp(path));
    put(path, "old", 3);
    clear();
    (void)setenv("T_SECRET_FILE", path, 1);
    (void)setenv("T_URL", "redis://a/1", 1);
    struct conf *conf = load(&err, 2, argv);
    put(path, "new", 3);
    (void)setenv("T_URL", "redis://b/2", 1);
    ck_assert_int_eq(conf_reload(conf, &fresh, &err), CELERY_OK);
    ck_assert_str_eq(conf_text(fresh, "T_SECRET"), "new");
    ck_assert_str_eq(conf_text(conf, "T_SECRET"), "old");
    ck_assert_str_eq(conf_text(fresh, "T_URL"), "redis://a/1");
    ck_assert_int_eq(conf_int(fresh, "T_COUNT"), 7);
    conf_free(fresh);
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {"\n", 1}, {"a\0b", 3}};
    for (size_t i = 0; i < 3; i++) {
        put(path, bad[i].text, bad[i].len);
        ck_assert_int_eq(conf_reload(conf, &fresh, &err), CELERY_INVALID);
        ck_assert_ptr_nonnull(strstr(err.msg, "T_SECRET_FILE="));
    }
    (void)unlink(path);
    ck_assert_int_eq(conf_reload(conf, &fresh, &err), CELERY_INVALID);
    conf_free(conf);
}
END_TEST

START_TEST(a_wrong_option_shows_no_value)
{
    static const char *const words[] = {"--nothing=hidden", "-zhidden",
                                        "--flag=hidden", "-fhidden"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct celery_error err = {0};
        char word[32];
        char *argv[] = {(char[]){"prog"}, word, NULL};
        clear();
        (void)snprintf(word, sizeof word, "%s", words[i]);
        ck_assert_ptr_null(load(&err, 2, argv));
        ck_assert_msg(strstr(err.msg, "hidden") == NULL, "%s", err.msg);
        ck_assert_msg(strstr(err.msg, i % 2 == 0 ? "--" : "'-") != NULL, "%s",
                      err.msg);
    }
}
END_TEST

START_TEST(a_secret_file_is_read_whole_or_refused)
{
    struct celery_error err = {0};
    char path[] = "/tmp/test_conf_XXXXXX";
    char *argv[] = {(char[]){"prog"}, NULL};
    static char much[65537];
    clear();
    (void)setenv("T_SECRET_FILE", "/tmp", 1);
    ck_assert_ptr_null(load(&err, 1, argv));
    ck_assert_ptr_nonnull(
        strstr(err.msg, "T_SECRET_FILE='/tmp' cannot be read"));

    int fd = mkstemp(path);
    memset(much, 'x', sizeof much);
    ck_assert_int_eq(write(fd, much, 65536), 65536);
    (void)setenv("T_SECRET_FILE", path, 1);
    struct conf *conf = load(&err, 1, argv);
    ck_assert_uint_eq(strlen(conf_text(conf, "T_SECRET")), 65536);
    conf_free(conf);
    ck_assert_int_eq(write(fd, much, 1), 1);
    ck_assert_ptr_null(load(&err, 1, argv));
    ck_assert_ptr_nonnull(strstr(err.msg, "a file of 1 to 65536 bytes"));
    (void)close(fd);
    (void)unlink(path);
}
END_TEST

START_TEST(help_shows_every_form)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    conf_help(table, COUNT, out);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_str_eq(text, "  -u, --url TEXT  [T_URL] (or T_URL_FILE)\n"
                           "        a URL (default redis://h/0)\n"
                           "  -c, --count N  [T_COUNT]\n"
                           "        a count (default 4)\n"
                           "  T_WAIT\n"
                           "        a time (default 1.5)\n"
                           "  T_ON\n"
                           "        a switch (default 0)\n"
                           "  T_KIND one|two\n"
                           "        a kind (default one)\n"
                           "  T_SECRET (or T_SECRET_FILE)\n"
                           "        a secret\n"
                           "  --interval SECONDS\n"
                           "        only an option (default 2)\n"
                           "  -f, --flag\n"
                           "        a flag\n");
    free(text);
}
END_TEST

UNIT_MAIN("conf", help_shows_every_form, a_wrong_option_shows_no_value,
          a_secret_file_is_read_whole_or_refused,
          defaults_also_of_options_without_a_variable,
          the_command_line_wins_over_the_environment,
          errors_name_the_variable_the_value_and_what_is_accepted,
          refuses_unknown_options_and_missing_values,
          passwords_leave_the_command_line_and_are_never_shown,
          a_secret_comes_from_a_file_without_its_newline,
          a_variable_and_its_file_are_not_both_accepted,
          what_came_from_files_is_read_again)
