/* SPDX-License-Identifier: MIT */
#include "tasks_allowed.h"

#include <string.h>

bool tasks_allowed(const char *allowed, const char *name)
{
    size_t size = strlen(name);
    for (const char *p = allowed; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",");
        bool open = len > 0 && p[len - 1] == '*';
        size_t fixed = open ? len - 1 : len;
        if (len > 0 && strncmp(p, name, fixed) == 0 && (open || size == fixed))
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}
