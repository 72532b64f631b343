/* SPDX-License-Identifier: MIT */
/*
 * API_TASKS_ALLOWED: which task names may be sent through the API. Names,
 * comma-separated; one that ends in '*' stands for all that begin so. Pure.
 */
#ifndef API_TASKS_ALLOWED_H
#define API_TASKS_ALLOWED_H

#include <stdbool.h>

/* allowed NULL: none. */
bool tasks_allowed(const char *allowed, const char *name);

#endif /* API_TASKS_ALLOWED_H */
