/* SPDX-License-Identifier: MIT */
#include "webhook/json_path.h"

#include <string.h>

#include "base/ascii.h"

enum { PATH_MAX_BYTES = 256, STEPS_MAX = 16, INDEX_DIGITS_MAX = 6 };

bool json_path_valid(const char *path)
{
    size_t steps = 0;
    if (*path == '^')
        path++;
    if (strlen(path) > PATH_MAX_BYTES || (*path != '\0' && *path != '/'))
        return false;
    for (const char *p = path; *p != '\0'; p++) {
        steps += *p == '/';
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    }
    return steps <= STEPS_MAX;
}

/* One step of the pointer, unescaped (RFC 6901, section 4). */
static void read_step(const char *p, size_t len, char *ret)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '~' && i + 1 < len)
            *ret++ = p[++i] == '1' ? '/' : '~';
        else
            *ret++ = p[i];
    }
    *ret = '\0';
}

static struct celery_json at_index(struct celery_json array, const char *step)
{
    size_t index = 0;
    size_t len = strlen(step);
    bool leading_zero = len > 1 && *step == '0';
    if (len == 0 || len > INDEX_DIGITS_MAX || leading_zero)
        return (struct celery_json){0};
    for (const char *p = step; *p != '\0'; p++) {
        if (!ascii_is_digit(*p))
            return (struct celery_json){0};
        index = index * 10 + (size_t)(*p - '0');
    }
    return celery_json_at(array, index);
}

struct celery_json json_path_get(const char *path, struct celery_json root,
                                 struct celery_json entry)
{
    char step[PATH_MAX_BYTES + 1];
    if (path == NULL)
        return (struct celery_json){0};
    struct celery_json value = *path == '^' ? root : entry;
    path += *path == '^';
    while (*path == '/' && value.type != CELERY_JSON_NONE) {
        size_t len = strcspn(path + 1, "/");
        read_step(path + 1, len, step);
        value = value.type == CELERY_JSON_ARRAY ? at_index(value, step)
                                                : celery_json_get(value, step);
        path += len + 1;
    }
    return value;
}
