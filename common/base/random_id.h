/* SPDX-License-Identifier: MIT */
/*
 * Fresh UUIDs from getrandom(2). Thread-safe.
 */
#ifndef BASE_RANDOM_ID_H
#define BASE_RANDOM_ID_H

#include <stdint.h>

#include "celery/task_id.h"

/* Version 4: 36 characters and a NUL. Aborts when the kernel has no
 * randomness. */
void random_id(char ret_text[CELERY_TASK_ID_LEN + 1]);

/* Version 7 (RFC 9562, section 5.7): begins with the time, so that new rows stand
 * together in an index. 74 of its bits are random. */
void ordered_id(char ret_text[CELERY_TASK_ID_LEN + 1]);

/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(uint64_t bound);

#endif /* BASE_RANDOM_ID_H */
