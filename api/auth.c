/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

bool auth_init(struct auth *auth, const char *text)
{
    *auth = (struct auth){0};
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (len > 0 && auth->count == AUTH_TOKENS_MAX) {
            auth_done(auth);
            return false;
        }
        if (len > 0)
            auth->tokens[auth->count++] = xstrndup(p, len);
        p += len + (p[len] == ',');
    }
    return true;
}

void auth_done(struct auth *auth)
{
    for (size_t i = 0; i < auth->count; i++) {
        explicit_bzero(auth->tokens[i], strlen(auth->tokens[i]));
        free(auth->tokens[i]);
    }
    *auth = (struct auth){0};
}

/* Every token is compared, so the time does not tell which one fits. */
static bool has_token(const struct auth *auth, const char *given)
{
    size_t len = strlen(given);
    bool found = false;
    for (size_t i = 0; i < auth->count; i++) {
        if (strlen(auth->tokens[i]) == len
            && CRYPTO_memcmp(auth->tokens[i], given, len) == 0)
            found = true;
    }
    return found;
}

/* A proxy's peer is the proxy: who it speaks for is not on this machine. */
static bool is_local(const struct http_request *request)
{
    return http_from_loopback(request)
        && http_header(request, "X-Forwarded-For") == NULL
        && http_header(request, "X-Real-IP") == NULL
        && http_header(request, "Forwarded") == NULL;
}

bool auth_allows(const struct auth *auth, const struct http_request *request)
{
    static const char scheme[] = "Bearer ";
    if (auth->count == 0)
        return is_local(request);
    const char *value = http_header(request, "Authorization");
    return value != NULL && strncasecmp(value, scheme, strlen(scheme)) == 0
        && has_token(auth, value + strlen(scheme));
}

bool auth_guard(const struct auth *auth, const struct http_route *route,
                const struct http_request *request,
                struct http_response *response)
{
    if ((route->flags & ROUTE_GUARDED) == 0 || auth_allows(auth, request))
        return true;
    if (auth->count == 0) {
        http_problem(response, request, 403,
                     "without API_TOKEN this route answers on loopback only",
                     NULL);
    } else {
        http_problem(response, request, 401, "a valid API token is needed",
                     NULL);
        http_response_header(response, "WWW-Authenticate", "Bearer");
    }
    /* The body was not read. */
    response->close = route->body_limit > 0;
    return false;
}
