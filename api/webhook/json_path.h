/* SPDX-License-Identifier: MIT */
/*
 * Where a value stands in a document: a JSON pointer (RFC 6901). One that begins
 * with "^" is read from the root of the body, others from the list's entry.
 * Pure.
 */
#ifndef WEBHOOK_JSON_PATH_H
#define WEBHOOK_JSON_PATH_H

#include <stdbool.h>

#include "celery/json_scan.h"

/* "" or "/…", each "~" followed by 0 or 1, behind an optional "^"; at most 256
 * bytes and 16 steps. */
bool json_path_valid(const char *path);

/* Type CELERY_JSON_NONE when there is nothing. path NULL: nothing. */
struct celery_json json_path_get(const char *path, struct celery_json root,
                                 struct celery_json entry);

#endif /* WEBHOOK_JSON_PATH_H */
