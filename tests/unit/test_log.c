/* SPDX-License-Identifier: MIT */
#include "log/log.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "celery/json_scan.h"
#include "support/text.h"
#include "support/unit.h"

/* What one call wrote, of which the time in front is cut. */
struct written {
    char text[2048];
    size_t len;
};

static int ends[2];

static void configure(enum log_level level, enum log_format format)
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_configure(level, format, ends[1]);
}

static struct written read_line(void)
{
    struct written w = {.len = 0};
    ssize_t n = read(ends[0], w.text, sizeof w.text - 1);
    w.len = n > 0 ? (size_t)n : 0;
    w.text[w.len] = '\0';
    return w;
}

static void finish(void)
{
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON, STDERR_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

START_TEST(names_of_levels_and_formats)
{
    static const struct {
        const char *name;
        bool known;
        enum log_level level;
    } levels[] = {
        {"debug", true, LOG_LEVEL_DEBUG},
        {"INFO", true, LOG_LEVEL_INFO},
        {"Warning", true, LOG_LEVEL_WARNING},
        {"error", true, LOG_LEVEL_ERROR},
        {"critical", true, LOG_LEVEL_CRITICAL},
        {"FATAL", true, LOG_LEVEL_CRITICAL},
        {"", false, LOG_LEVEL_INFO},
        {"warn", false, LOG_LEVEL_INFO},
        {"infos", false, LOG_LEVEL_INFO},
    };
    static const struct {
        const char *name;
        bool known;
        enum log_format format;
    } formats[] = {
        {"json", true, LOG_FORMAT_JSON},
        {"JSON", true, LOG_FORMAT_JSON},
        {"logfmt", true, LOG_FORMAT_LOGFMT},
        {"LogFmt", true, LOG_FORMAT_LOGFMT},
        {"", false, LOG_FORMAT_JSON},
        {"text", false, LOG_FORMAT_JSON},
    };

    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        enum log_level level = LOG_LEVEL_INFO;
        ck_assert_msg(log_level_parse(levels[i].name, &level) == levels[i].known
                          && level == levels[i].level,
                      "%s", levels[i].name);
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        enum log_format format = LOG_FORMAT_JSON;
        ck_assert_msg(log_format_parse(formats[i].name, &format)
                              == formats[i].known
                          && format == formats[i].format,
                      "%s", formats[i].name);
    }
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
    configure(LOG_LEVEL_WARNING, LOG_FORMAT_JSON);
    ck_assert(!log_enabled(LOG_LEVEL_INFO));
    ck_assert(log_enabled(LOG_LEVEL_WARNING));
    LOG_EVENT(LOG_LEVEL_INFO, "quiet", LOG_INT("n", 1));
    log_emit(LOG_LEVEL_DEBUG, "quiet", NULL, 0);
    ck_assert_uint_eq(read_line().len, 0);
    log_emit(LOG_LEVEL_CRITICAL, "loud", NULL, 0);
    ck_assert_uint_ne(read_line().len, 0);
    finish();
}
END_TEST

/* The line behind its time. */
static void check_line(enum log_format format, const struct log_field *fields,
                       size_t count, const char *wanted)
{
    configure(LOG_LEVEL_INFO, format);
    log_emit(LOG_LEVEL_ERROR, "event_name", fields, count);
    struct written w = read_line();
    finish();
    ck_assert_uint_ne(w.len, 0);
    ck_assert_ptr_eq(strchr(w.text, '\n'), w.text + w.len - 1);
    const char *level =
        strstr(w.text, format == LOG_FORMAT_JSON ? "\"level\": " : "level=");
    ck_assert_ptr_nonnull(level);
    ck_assert_str_eq(level, wanted);
    if (format == LOG_FORMAT_JSON) {
        struct celery_json root;
        double ts = 0;
        ck_assert_int_eq(celery_json_parse((struct celery_str){w.text, w.len},
                                           NULL, &root, NULL),
                         CELERY_OK);
        ck_assert(celery_json_double(celery_json_get(root, "ts"), &ts));
        ck_assert(ts > 1.6e9);
    }
}

static const struct log_field plain[] = {
    {.name = "text", .type = LOG_TYPE_STR, .str = {"word", 4}},
    {.name = "absent", .type = LOG_TYPE_STR},
    {.type = LOG_TYPE_INT, .integer = 7},
    {.name = "least", .type = LOG_TYPE_INT, .integer = INT64_MIN},
    {.name = "half", .type = LOG_TYPE_DOUBLE, .number = 0.5},
    {.name = "yes", .type = LOG_TYPE_BOOL, .integer = 1},
    {.name = "no", .type = LOG_TYPE_BOOL},
};

static const struct log_field odd[] = {
    {.name = "quoted", .type = LOG_TYPE_STR, .str = {"a \"b\"=\\\n\x7f", 9}},
    {.name = "empty", .type = LOG_TYPE_STR, .str = {"", 0}},
    {.name = "accent", .type = LOG_TYPE_STR, .str = {"\xc3\xa9\xff", 3}},
    {.name = "nul", .type = LOG_TYPE_STR, .str = {"a\0b", 3}},
    {.name = "nan", .type = LOG_TYPE_DOUBLE, .number = (double)NAN},
    {.name = "inf", .type = LOG_TYPE_DOUBLE, .number = -(double)INFINITY},
};

enum {
    PLAIN = sizeof plain / sizeof plain[0],
    ODD = sizeof odd / sizeof odd[0],
};

START_TEST(writes_json)
{
    check_line(LOG_FORMAT_JSON, plain, 0,
               "\"level\": \"error\", \"event\": \"event_name\"}\n");
    check_line(LOG_FORMAT_JSON, plain, PLAIN,
               "\"level\": \"error\", \"event\": \"event_name\", \"text\": "
               "\"word\", \"least\": -9223372036854775808, \"half\": 0.500000, "
               "\"yes\": true, \"no\": false}\n");
    check_line(LOG_FORMAT_JSON, odd, ODD,
               "\"level\": \"error\", \"event\": \"event_name\", \"quoted\": "
               "\"a \\\"b\\\"=\\\\\\n\\u007f\", \"empty\": \"\", \"accent\": "
               "\"\\u00e9\\ufffd\", \"nul\": \"a\\u0000b\", \"nan\": null, "
               "\"inf\": null}\n");
}
END_TEST

START_TEST(writes_logfmt)
{
    check_line(LOG_FORMAT_LOGFMT, plain, 0, "level=error event=event_name\n");
    check_line(LOG_FORMAT_LOGFMT, plain, PLAIN,
               "level=error event=event_name text=word "
               "least=-9223372036854775808 half=0.500000 yes=true no=false\n");
    check_line(
        LOG_FORMAT_LOGFMT, odd, ODD,
        "level=error event=event_name quoted=\"a "
        "\\\"b\\\"=\\\\\\n\\u007f\" empty=\"\" accent=\"\\u00e9\\ufffd\" "
        "nul=\"a\\u0000b\" nan=nan inf=-inf\n");
}
END_TEST

START_TEST(the_macros_fill_fields)
{
    const struct log_field fields[] = {
        LOG_STR("s", "text"),
        LOG_STR("none", NULL),
        LOG_SLICE("slice", ((struct celery_str){"slices", 5})),
        LOG_INT("i", -3),
        LOG_DOUBLE("d", 2),
        LOG_BOOL("b", true),
    };
    check_line(LOG_FORMAT_LOGFMT, fields, sizeof fields / sizeof fields[0],
               "level=error event=event_name s=text slice=slice i=-3 "
               "d=2.000000 b=true\n");
}
END_TEST

UNIT_MAIN("log", names_of_levels_and_formats,
          lines_below_the_level_are_not_written, writes_json, writes_logfmt,
          the_macros_fill_fields)
