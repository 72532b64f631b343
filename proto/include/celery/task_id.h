/* SPDX-License-Identifier: MIT */
/*
 * The text form of ids: UUID version 4, 36 lower-case characters, as Python's
 * str(uuid4()). Pure: the caller brings the random bytes.
 */
#ifndef CELERY_TASK_ID_H
#define CELERY_TASK_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CELERY_TASK_ID_LEN = 36 };

/* Writes 36 characters and a NUL; sets the version and variant bits. */
CELERY_API void celery_task_id_format(const uint8_t random[16],
                                      char ret_text[CELERY_TASK_ID_LEN + 1]);

/* Is text a UUID of any version, with dashes, of either case? */
CELERY_API bool celery_task_id_valid(struct celery_str text);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_TASK_ID_H */
