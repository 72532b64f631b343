/* SPDX-License-Identifier: MIT */
/*
 * Where the fields of a deposit stand in a source's body.
 */
#include <string.h>

#include "webhook/source_reader.h"

/* A pointer, or {"pointer": …, "when": {…}, "after_last": "/", "position":
 * true}. */
static bool read_rule(struct source_reader *r, struct celery_json value,
                      struct source_rules *rules)
{
    if (rules->count == SOURCE_RULES_MAX)
        return source_refuse(r, "at most 4 places for a field");
    struct source_rule *rule = &rules->list[rules->count++];
    if (value.type == CELERY_JSON_STRING)
        return source_read_path(r, value, &rule->path);
    struct celery_json when = celery_json_get(value, "when");
    struct celery_json after = celery_json_get(value, "after_last");
    struct celery_json position = celery_json_get(value, "position");
    size_t known = 1 + (size_t)(when.type != CELERY_JSON_NONE)
                 + (size_t)(after.type != CELERY_JSON_NONE)
                 + (size_t)(position.type != CELERY_JSON_NONE);
    if (value.type != CELERY_JSON_OBJECT || celery_json_count(value) != known)
        return source_refuse(
            r, "a pointer, or an object of \"pointer\" and, where "
               "needed, \"when\", \"after_last\", \"position\"");
    if (after.type != CELERY_JSON_NONE) {
        const char *text = source_text(r, after, 1);
        if (text == NULL || *text == '\0')
            return source_refuse(r, "one character in \"after_last\"");
        rule->after_last = *text;
    }
    return source_read_path(r, celery_json_get(value, "pointer"), &rule->path)
        && (position.type == CELERY_JSON_NONE
            || source_read_bool(r, position, &rule->as_position))
        && (when.type == CELERY_JSON_NONE
            || source_read_test(r, when, &rule->when));
}

static bool read_rules(struct source_reader *r, struct celery_json value,
                       struct source_rules *rules)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json entry = {0};
    if (value.type != CELERY_JSON_ARRAY)
        return read_rule(r, value, rules);
    while (celery_json_next(&iter, NULL, &entry)) {
        if (!read_rule(r, entry, rules))
            return false;
    }
    return true;
}

bool source_read_fields(struct source_reader *r, struct celery_json value)
{
    if (value.type != CELERY_JSON_OBJECT)
        return source_refuse(r, "an object");
    size_t known = 0;
    for (int f = 0; f < FIELD_COUNT; f++) {
        const char *name = source_field_name((enum source_field)f);
        struct celery_json rule = celery_json_get(value, name);
        if (rule.type == CELERY_JSON_NONE)
            continue;
        size_t back = source_step(r, (struct celery_str){name, strlen(name)});
        if (!read_rules(r, rule, &r->source->fields[f]))
            return false;
        r->place[back] = '\0';
        known++;
    }
    return known == celery_json_count(value)
        || source_refuse(r, "fields that docs/sources/README.md lists");
}
