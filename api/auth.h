/* SPDX-License-Identifier: MIT */
/*
 * Who may call what: API_TOKEN (bearer, several, compared in constant time)
 * guards the routes marked ROUTE_GUARDED. Without a token they answer peers on
 * this machine only, and not those a proxy speaks for.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>

#include "http/router.h"

enum { ROUTE_OPEN = 0, ROUTE_GUARDED = 1, AUTH_TOKENS_MAX = 16 };

struct auth {
    char *tokens[AUTH_TOKENS_MAX]; /* owned */
    size_t count;
};

/* From "token[,token…]"; NULL gives none. false: too many. */
bool auth_init(struct auth *auth, const char *text);
void auth_done(struct auth *auth);

/* Would a guarded route answer this request? */
bool auth_allows(const struct auth *auth, const struct http_request *request);

/* The same for a route; when not, fills the response with 401 or 403. */
bool auth_guard(const struct auth *auth, const struct http_route *route,
                const struct http_request *request,
                struct http_response *response);

#endif /* API_AUTH_H */
