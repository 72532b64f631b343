/* SPDX-License-Identifier: MIT */
#include "webhook/source_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "webhook/json_path.h"

bool source_refuse(struct source_reader *r, const char *accepted)
{
    (void)celery_fail(r->err, CELERY_INVALID,
                      "WEBHOOK_SOURCES_FILE='%.60s': %s is not accepted; "
                      "accepted: %s",
                      r->file, r->place[0] != '\0' ? r->place : "the document",
                      accepted);
    return false;
}

/* --- walking ----------------------------------------------------------------- */

/* Steps into a member for the time of its reading. */
size_t source_step(struct source_reader *r, struct celery_str name)
{
    size_t len = strlen(r->place);
    (void)snprintf(r->place + len, sizeof r->place - len, "/%.*s",
                   (int)(name.len < 40 ? name.len : 40), name.data);
    return len;
}

static bool read_member(struct source_reader *r, const struct source_key *keys,
                        size_t count, struct celery_json key,
                        struct celery_json value)
{
    struct celery_str name = {0};
    if (celery_json_string(key, &r->arena, &name) != CELERY_OK)
        return source_refuse(r, "keys that are texts");
    size_t back = source_step(r, name);
    for (size_t i = 0; i < count; i++) {
        if (celery_json_is(key, keys[i].name)) {
            bool good = keys[i].read(r, value);
            if (good)
                r->place[back] = '\0';
            return good;
        }
    }
    return source_refuse(r, "keys that docs/sources/README.md lists");
}

bool source_read_object(struct source_reader *r, struct celery_json object,
                        const struct source_key *keys, size_t count)
{
    struct celery_json_iter iter = celery_json_iter(object);
    struct celery_json key = {0};
    struct celery_json value = {0};
    if (object.type != CELERY_JSON_OBJECT)
        return source_refuse(r, "an object");
    while (celery_json_next(&iter, &key, &value)) {
        if (!read_member(r, keys, count, key, value))
            return false;
    }
    return true;
}

bool source_read_array(struct source_reader *r, struct celery_json array,
                       bool (*read)(struct source_reader *r,
                                    struct celery_json value))
{
    struct celery_json_iter iter = celery_json_iter(array);
    struct celery_json value = {0};
    if (array.type != CELERY_JSON_ARRAY)
        return source_refuse(r, "a list");
    for (unsigned i = 0; celery_json_next(&iter, NULL, &value); i++) {
        char number[16];
        int len = snprintf(number, sizeof number, "%u", i);
        size_t back = source_step(r, (struct celery_str){number, (size_t)len});
        if (!read(r, value))
            return false;
        r->place[back] = '\0';
    }
    return true;
}

/* --- plain values -------------------------------------------------------------- */

/* A text of 1 to max bytes, visible ASCII but for blanks; NULL: it is none.
 * Borrowed from the arena. */
const char *source_text(struct source_reader *r, struct celery_json value,
                        size_t max)
{
    struct celery_str text = {0};
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || text.len > max)
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~')
            return NULL;
    }
    return celery_arena_copy(&r->arena, text).data;
}

bool source_read_bool(struct source_reader *r, struct celery_json value,
                      bool *ret)
{
    *ret = value.type == CELERY_JSON_TRUE;
    return *ret || value.type == CELERY_JSON_FALSE
        || source_refuse(r, "true or false");
}

bool source_read_path(struct source_reader *r, struct celery_json value,
                      char **ret)
{
    const char *text = source_text(r, value, 256);
    if (text == NULL || !json_path_valid(text))
        return source_refuse(
            r, "a JSON pointer, with '^' before it when it begins at "
               "the body instead of the list's entry");
    free(*ret);
    *ret = xstrdup(text);
    return true;
}

bool source_read_texts(struct source_reader *r, struct celery_json value,
                       struct text_list *ret)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json entry = {0};
    if (value.type != CELERY_JSON_ARRAY)
        return source_refuse(r, "a list of texts");
    while (celery_json_next(&iter, NULL, &entry)) {
        const char *text = source_text(r, entry, 256);
        if (text == NULL || ret->count == 10000)
            return source_refuse(r, "a list of texts");
        text_list_add(ret, text, strlen(text));
    }
    return true;
}

bool source_read_test(struct source_reader *r, struct celery_json value,
                      struct source_test *ret)
{
    struct celery_json path = celery_json_get(value, "pointer");
    struct celery_json values = celery_json_get(value, "values");
    if (value.type != CELERY_JSON_OBJECT || celery_json_count(value) != 2
        || values.type != CELERY_JSON_ARRAY)
        return source_refuse(r, "{\"pointer\": …, \"values\": […]}");
    return source_read_path(r, path, &ret->path)
        && source_read_texts(r, values, &ret->values);
}
