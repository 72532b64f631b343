/* SPDX-License-Identifier: MIT */
/*
 * JSON values as Python's celery.utils.saferepr shows them: what argsrepr,
 * kwargsrepr and event strings hold. Source: celery/utils/saferepr.py 5.7.0.
 */
#ifndef CELERY_PYTHON_REPR_H
#define CELERY_PYTHON_REPR_H

#include "celery/buf.h"
#include "celery/json_scan.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CELERY_REPR_MAX = 1024, /* amqp.argsrepr_maxsize, resultrepr_maxsize */
    CELERY_REPR_LEVELS = 3, /* task_repr_maxlevels */
};

/* Appends saferepr(value, maxlen, maxlevels); 0 is no limit. as_tuple shows a top-level array
 * as a tuple, (1, 'a') and (1,), as argsrepr does. kombu's typed values show
 * as the Python objects they stand for. */
CELERY_API void celery_python_repr(struct celery_buf *buf,
                                   struct celery_json value, bool as_tuple,
                                   size_t maxlen, unsigned maxlevels);

/* Appends repr(text): quotes chosen and characters escaped as Python does. */
CELERY_API void celery_python_repr_str(struct celery_buf *buf,
                                       struct celery_str text);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_PYTHON_REPR_H */
