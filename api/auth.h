/* SPDX-License-Identifier: MIT */
/*
 * Who may call what. A route asks for scopes (its flags); a caller has those of
 * the bearer token that it shows (RFC 6750). Where API_TOKEN is not set a caller
 * on this machine has all of them, as long as no proxy and no other site's page
 * speaks through it.
 *
 * Built once, then only read: thread-safe.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>

#include "celery/error.h"
#include "http/router.h"

/* What a token may be good for, and the flags of a route that needs it. */
enum {
    ROUTE_OPEN = 0,
    SCOPE_READ = 1 << 0,    /* transactions, wallets */
    SCOPE_TASKS = 1 << 1,   /* send tasks, see their results */
    SCOPE_USERS = 1 << 2,   /* choose a user_id, see another's */
    SCOPE_OPERATE = 1 << 3, /* for the operator's routes */
    SCOPE_ALL = SCOPE_READ | SCOPE_TASKS | SCOPE_USERS | SCOPE_OPERATE,
};

enum {
    AUTH_TOKENS_MAX = 64,
    AUTH_TOKEN_LEN_MIN = 8,
    AUTH_TOKEN_LEN_MAX = 512,
    AUTH_NAME_MAX = 33, /* with the NUL */
    AUTH_DIGEST_LEN = 32,
};

struct auth_token {
    char name[AUTH_NAME_MAX];
    unsigned scopes;
    unsigned char digest[AUTH_DIGEST_LEN]; /* SHA-256; the token is not kept */
};

struct auth {
    struct auth_token tokens[AUTH_TOKENS_MAX];
    size_t count;
};

/* Who sends a request: the token's name, "loopback", or "" for a stranger, who
 * has no scope. */
struct auth_caller {
    char name[AUTH_NAME_MAX];
    unsigned scopes;
};

/* From a list, separated by commas or line breaks, of TOKEN (named token1, token2,
 * … by its place, with every scope) or NAME:SCOPE+SCOPE:TOKEN; a token has no ':'
 * (RFC 6750, section 2.1). NULL gives none. CELERY_INVALID names API_TOKEN and
 * what is accepted; no token stands in the text. */
enum celery_status auth_init(struct auth *auth, const char *text,
                             struct celery_error *err) CELERY_MUST_CHECK;

struct auth_caller auth_identify(const struct auth *auth,
                                 const struct http_request *request);

/* May this request have the route's answer? When not, fills the response with
 * 401 or 403. */
bool auth_guard(const struct auth *auth, const struct http_route *route,
                const struct http_request *request,
                struct http_response *response);

#endif /* API_AUTH_H */
