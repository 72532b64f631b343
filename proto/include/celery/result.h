/* SPDX-License-Identifier: MIT */
/*
 * Result documents: what a backend stores under celery-task-meta-<id>.
 * Source: celery/backends/base.py (_get_result_meta, prepare_exception).
 */
#ifndef CELERY_RESULT_H
#define CELERY_RESULT_H

#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/error.h"
#include "celery/json_scan.h"
#include "celery/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A Python exception as data. */
struct celery_exception {
    struct celery_str type;    /* "ValueError" */
    struct celery_str module;  /* "builtins"; empty: null */
    struct celery_str message; /* JSON array text: its args; empty: [] */
};

struct celery_result_out {
    const char *status;       /* SUCCESS, FAILURE, RETRY, REVOKED, … */
    struct celery_str result; /* JSON text; empty: null */
    const struct celery_exception *exception; /* instead of result */
    struct celery_str traceback;              /* empty: null */
    struct celery_str children;               /* JSON text; empty: [] */
    int64_t date_done_us;                     /* 0: null */
    struct celery_str task_id;
    struct celery_str group_id;  /* empty: left out */
    struct celery_str parent_id; /* empty: left out */
    /* result_extended; left out when name is empty */
    struct celery_str name;
    struct celery_str args;   /* JSON text */
    struct celery_str kwargs; /* JSON text */
    struct celery_str worker;
    int64_t retries;
    struct celery_str queue;
    /* Written when stamps has members: the list, and each stamp that it names,
     * unless it is called like another member. */
    struct celery_json stamped_headers; /* array or NONE */
    struct celery_json stamps;          /* object or NONE */
};

/* Appends the document, keys in Python's order. */
CELERY_API void celery_result_encode(struct celery_buf *buf,
                                     const struct celery_result_out *out);

/* Appends document as result_compression stores it: behind a mark and the name
 * of the compression. CELERY_UNSUPPORTED for a name that kombu does not know.
 * On failure what was appended is not to be used. Source:
 * celery/backends/base.py compress_payload. */
CELERY_API enum celery_status celery_result_compress(struct celery_str document,
                                                     const char *compression,
                                                     struct celery_buf *buf,
                                                     struct celery_error *err)
    CELERY_MUST_CHECK;

struct celery_result {
    struct celery_str status;
    struct celery_json result;
    struct celery_str traceback;
    struct celery_str task_id;
    struct celery_str date_done;
    struct celery_json children;
    struct celery_exception exception; /* type empty: none */
    struct celery_str group_id;        /* empty where absent, as all below */
    struct celery_str parent_id;
    /* result_extended */
    struct celery_str name;
    struct celery_json args; /* NONE where absent */
    struct celery_json kwargs;
    struct celery_str worker;
    int64_t retries; /* 0 where absent */
    struct celery_str queue;
    struct celery_json stamped_headers;
    struct celery_json document; /* all of it: a stamp is a member of it */
};

/* Also reads in-band compressed documents (5.7.0's result_compression). */
CELERY_API enum celery_status celery_result_decode(
    struct celery_str document, const struct celery_limits *limits,
    struct celery_arena *arena, struct celery_result *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

/* Appends "Type(args)" as Python's repr of the exception. */
CELERY_API void celery_exception_repr(struct celery_buf *buf,
                                      const struct celery_exception *exception);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_RESULT_H */
