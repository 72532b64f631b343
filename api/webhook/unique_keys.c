/* SPDX-License-Identifier: MIT */
#include "webhook/unique_keys.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    const struct celery_str *left = a;
    const struct celery_str *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int c = len > 0 ? memcmp(left->data, right->data, len) : 0;
    return c != 0 ? c : (left->len > right->len) - (left->len < right->len);
}

static bool object_is_unique(struct celery_json object, size_t count,
                             struct celery_arena *arena)
{
    struct celery_json_iter iter = celery_json_iter(object);
    struct celery_json key = {0};
    struct celery_json value = {0};
    size_t n = 0;
    struct celery_str *keys = celery_arena_alloc(arena, count * sizeof *keys);
    if (keys == NULL)
        return false;
    while (n < count && celery_json_next(&iter, &key, &value)) {
        if (celery_json_string(key, arena, &keys[n++]) != CELERY_OK)
            return false;
    }
    qsort(keys, n, sizeof *keys, by_bytes);
    for (size_t i = 1; i < n; i++) {
        if (by_bytes(&keys[i - 1], &keys[i]) == 0)
            return false;
    }
    return true;
}

/* The parser has bounded the depth. NOLINTNEXTLINE(misc-no-recursion) */
bool unique_keys(struct celery_json root, struct celery_arena *arena)
{
    struct celery_json_iter iter = celery_json_iter(root);
    struct celery_json value = {0};
    size_t count = 0;
    if (root.type != CELERY_JSON_OBJECT && root.type != CELERY_JSON_ARRAY)
        return true;
    while (celery_json_next(&iter, NULL, &value)) {
        count++;
        if (!unique_keys(value, arena))
            return false;
    }
    return root.type != CELERY_JSON_OBJECT || count < 2
        || object_is_unique(root, count, arena);
}
