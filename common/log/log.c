/* SPDX-License-Identifier: MIT */
#include "log/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "celery/json_write.h"

static const char *const level_names[] = {"debug", "info", "warning", "error",
                                          "critical"};

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
} config = {LOG_LEVEL_INFO, LOG_FORMAT_JSON, STDERR_FILENO};

void log_configure(enum log_level level, enum log_format format, int fd)
{
    config.level = level;
    config.format = format;
    config.fd = fd;
}

bool log_level_parse(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    if (strcasecmp(name, "fatal") == 0) { /* Celery's synonym */
        *ret = LOG_LEVEL_CRITICAL;
        return true;
    }
    return false;
}

bool log_format_parse(const char *name, enum log_format *ret)
{
    if (strcasecmp(name, "json") == 0)
        *ret = LOG_FORMAT_JSON;
    else if (strcasecmp(name, "logfmt") == 0)
        *ret = LOG_FORMAT_LOGFMT;
    else
        return false;
    return true;
}

bool log_enabled(enum log_level level)
{
    return level >= config.level;
}

static void put_json(struct celery_buf *line, const struct log_field *field)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(line);
    w.comma = true;
    celery_json_key(&w, field->name);
    switch (field->type) {
    case LOG_TYPE_STR:
        celery_json_put_str(&w, field->str);
        break;
    case LOG_TYPE_INT:
        celery_json_put_int(&w, field->integer);
        break;
    case LOG_TYPE_DOUBLE:
        if (isfinite(field->number))
            celery_buf_printf(line, "%.6f", field->number);
        else
            celery_json_put_null(&w);
        break;
    case LOG_TYPE_BOOL:
        celery_json_put_bool(&w, field->integer != 0);
        break;
    }
}

static bool is_plain(struct celery_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 127 || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return text.len != 0;
}

/* logfmt quotes only what needs it; inside quotes the JSON escapes serve. */
static void put_logfmt(struct celery_buf *line, const struct log_field *field)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(line);
    celery_buf_printf(line, " %s=", field->name);
    switch (field->type) {
    case LOG_TYPE_STR:
        if (is_plain(field->str))
            celery_buf_append(line, field->str);
        else
            celery_json_put_str(&w, field->str);
        break;
    case LOG_TYPE_INT:
        celery_buf_printf(line, "%" PRId64, field->integer);
        break;
    case LOG_TYPE_DOUBLE:
        celery_buf_printf(line, "%.6f", field->number);
        break;
    case LOG_TYPE_BOOL:
        celery_buf_printf(line, "%s", field->integer != 0 ? "true" : "false");
        break;
    }
}

void log_emit(enum log_level level, const char *event,
              const struct log_field *fields, size_t count)
{
    if (!log_enabled(level))
        return;
    struct celery_buf line = CELERY_BUF_INIT;
    bool json = config.format == LOG_FORMAT_JSON;
    double now = (double)clock_wall_us() / USEC_PER_SEC;
    celery_buf_printf(
        &line,
        json ? "{\"ts\": %.6f, \"level\": \"%s\", \"event\": \"%s\""
             : "ts=%.6f level=%s event=%s",
        now, level_names[level], event);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].name == NULL
            || (fields[i].type == LOG_TYPE_STR && fields[i].str.data == NULL))
            continue;
        if (json)
            put_json(&line, &fields[i]);
        else
            put_logfmt(&line, &fields[i]);
    }
    celery_buf_append(&line, json ? CELERY_STR("}\n") : CELERY_STR("\n"));
    if (celery_buf_status(&line) == CELERY_OK) {
        ssize_t n = write(config.fd, line.data, line.len);
        (void)n; /* nowhere left to complain */
    }
    celery_buf_done(&line);
}
