/* SPDX-License-Identifier: MIT */
/*
 * One event, one line on stderr, as JSON or logfmt. Thread-safe; a line is one
 * write(2), so lines of several threads and processes do not mix.
 *
 *     LOG_EVENT(LOG_LEVEL_INFO, "deposit_enqueued", LOG_STR("tx_id", id),
 *               LOG_DOUBLE("enqueued_at", now));
 *
 * Every line starts with ts (seconds since 1970, UTC), level and event. Values
 * must not hold secrets: URLs go through url_masked().
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
};

enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT };

enum log_type { LOG_TYPE_STR, LOG_TYPE_INT, LOG_TYPE_DOUBLE, LOG_TYPE_BOOL };

struct log_field {
    const char *name;
    enum log_type type;
    struct celery_str str; /* data NULL: the field is left out */
    int64_t integer;
    double number;
};

/* Before any thread starts. Lines below level are not written; they go to fd
 * (2 by default). */
void log_configure(enum log_level level, enum log_format format, int fd);

/* "debug", "info", "warning", "error", "critical" in any case; false for
 * others. */
bool log_level_parse(const char *name, enum log_level *ret);

/* "json" or "logfmt" in any case; false for others. */
bool log_format_parse(const char *name, enum log_format *ret);

bool log_enabled(enum log_level level);

void log_emit(enum log_level level, const char *event,
              const struct log_field *fields, size_t count);

static inline struct log_field log_field_text(const char *name,
                                              const char *text)
{
    struct log_field field = {.name = name, .type = LOG_TYPE_STR};
    field.str.data = text;
    for (const char *p = text; p != NULL && *p != '\0'; p++)
        field.str.len++;
    return field;
}

#define LOG_STR(n, text) log_field_text((n), (text))
#define LOG_SLICE(n, s) \
    ((struct log_field){.name = (n), .type = LOG_TYPE_STR, .str = (s)})
#define LOG_INT(n, v)    \
    ((struct log_field){ \
        .name = (n), .type = LOG_TYPE_INT, .integer = (int64_t)(v)})
#define LOG_DOUBLE(n, v) \
    ((struct log_field){.name = (n), .type = LOG_TYPE_DOUBLE, .number = (v)})
#define LOG_BOOL(n, v) \
    ((struct log_field){.name = (n), .type = LOG_TYPE_BOOL, .integer = (v)})

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__})
#define LOG_EVENT(level, event, ...)                                           \
    (log_enabled(level)                                                        \
         ? log_emit((level), (event), LOG_FIELDS(__VA_ARGS__),                 \
                    sizeof LOG_FIELDS(__VA_ARGS__) / sizeof(struct log_field)) \
         : (void)0)

#endif /* LOG_LOG_H */
