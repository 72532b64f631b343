/* SPDX-License-Identifier: MIT */
/*
 * A request's query (application/x-www-form-urlencoded), read strictly: what one
 * reader would understand otherwise than another is refused, since a parameter
 * that is not seen asks for more than was meant. Pure.
 */
#ifndef API_QUERY_H
#define API_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/buf.h"

enum { QUERY_PARAMS_MAX = 32, QUERY_NAME_MAX = 65 };

/* Names and values are decoded; those without '=' have the value "". */
struct query {
    char *text; /* owned; what follows lies in it */
    struct {
        const char *name;
        const char *value;
    } params[QUERY_PARAMS_MAX];
    size_t count;
};

/* What was wrong, for a human, and the parameter's name, "" when it cannot be
 * told. */
struct query_fault {
    const char *error;
    char field[QUERY_NAME_MAX];
};

/* Reads a query as it was sent; NULL is none. false: an escape that is none, a
 * NUL, text that is not UTF-8, a parameter twice or too many of them. The caller
 * calls query_done() in any case. */
bool query_parse(struct query *query, const char *text,
                 struct query_fault *fault);
void query_done(struct query *query);

/* The parameter's value, or NULL. Unknown parameters are nobody's business. */
const char *query_get(const struct query *query, const char *name);

/* Is it UTF-8 (RFC 3629) without a NUL? */
bool query_is_text(struct celery_str text);

#endif /* API_QUERY_H */
