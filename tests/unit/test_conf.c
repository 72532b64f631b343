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
    static const char *const names[] = {"T_URL",    "T_ALIAS",      "T_COUNT",
                                        "T_WAIT",   "T_ON",         "T_KIND",
                                        "T_SECRET", "T_SECRET_FILE"};
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

START_TEST(a_secret_file_wins_and_loses_its_newline)
{
    struct celery_error err = {0};
    char path[] = "/tmp/test_conf_XXXXXX";
    char *argv[] = {(char[]){"prog"}, NULL};
    int fd = mkstemp(path);
    clear();
    ck_assert_int_eq(write(fd, "from-file\n", 10), 10);
    (void)close(fd);
    (void)setenv("T_SECRET", "from-variable", 1);
    (void)setenv("T_SECRET_FILE", path, 1);
    struct conf *conf = load(&err, 1, argv);
    ck_assert_str_eq(conf_text(conf, "T_SECRET"), "from-file");
    conf_free(conf);
    (void)unlink(path);
    ck_assert_ptr_null(load(&err, 1, argv));
    ck_assert_ptr_nonnull(strstr(err.msg, "T_SECRET_FILE"));
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
    ck_assert_ptr_nonnull(strstr(err.msg, "at most 65536 bytes"));
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
    ck_assert_str_eq(text, "  -u, --url TEXT  [T_URL]\n"
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
          a_secret_file_wins_and_loses_its_newline)
