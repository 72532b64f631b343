/* SPDX-License-Identifier: MIT */
#ifndef CELERY_CONTROL_REGEX_H
#define CELERY_CONTROL_REGEX_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"

/* The next character from *p on; bytes that are no UTF-8 come one by one, as
 * with Python's "surrogateescape". *p is not at end. */
uint32_t cel_take_char(const char **p, const char *end);

/* Python's re.match(pattern, text) is not None. false as well for a pattern
 * that is too long, broken, or uses what is not known here: see the file. */
bool cel_regex_match(struct celery_str pattern, struct celery_str text);

#endif /* CELERY_CONTROL_REGEX_H */
