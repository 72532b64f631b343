/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "local_caller.h"

static const struct {
    const char *name;
    unsigned scope;
} scopes[] = {
    {"read", SCOPE_READ},
    {"tasks", SCOPE_TASKS},
    {"users", SCOPE_USERS},
    {"operate", SCOPE_OPERATE},
};

enum { SCOPE_COUNT = sizeof scopes / sizeof scopes[0] };

static struct celery_str slice(const char *data, size_t len)
{
    return (struct celery_str){data, len};
}

static bool equals(struct celery_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* --- the list ----------------------------------------------------------- */

static enum celery_status refuse(size_t place, const char *accepted,
                                 struct celery_error *err)
{
    return celery_fail(err, CELERY_INVALID,
                       "API_TOKEN: its token %zu is not accepted; accepted: %s",
                       place, accepted);
}

static bool is_token(struct celery_str text)
{
    if (text.len < AUTH_TOKEN_LEN_MIN || text.len > AUTH_TOKEN_LEN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == ':')
            return false;
    }
    return true;
}

static bool is_name(struct celery_str text)
{
    if (text.len == 0 || text.len >= AUTH_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* "read+users"; 0: not a list of scopes. */
static unsigned read_scopes(struct celery_str text)
{
    unsigned found = 0;
    for (size_t at = 0; at <= text.len;) {
        const char *plus =
            at < text.len ? memchr(text.data + at, '+', text.len - at) : NULL;
        size_t end = plus != NULL ? (size_t)(plus - text.data) : text.len;
        unsigned scope = 0;
        for (size_t i = 0; i < SCOPE_COUNT; i++) {
            if (equals(slice(text.data + at, end - at), scopes[i].name))
                scope = scopes[i].scope;
        }
        if (scope == 0)
            return 0;
        found |= scope;
        at = end + 1;
    }
    return found;
}

/* "NAME:SCOPE+SCOPE:TOKEN" */
static bool read_named(struct celery_str entry, struct auth_token *token,
                       struct celery_str *ret_secret)
{
    const char *end = entry.data + entry.len;
    const char *first = memchr(entry.data, ':', entry.len);
    const char *second = first != NULL
                           ? memchr(first + 1, ':', (size_t)(end - first - 1))
                           : NULL;
    if (second == NULL)
        return false;
    struct celery_str name = slice(entry.data, (size_t)(first - entry.data));
    if (!is_name(name))
        return false;
    memcpy(token->name, name.data, name.len);
    token->name[name.len] = '\0';
    token->scopes = read_scopes(slice(first + 1, (size_t)(second - first - 1)));
    *ret_secret = slice(second + 1, (size_t)(end - second - 1));
    return token->scopes != 0;
}

static bool is_known(const struct auth *auth, const struct auth_token *token)
{
    for (size_t i = 0; i < auth->count; i++) {
        if (strcmp(auth->tokens[i].name, token->name) == 0
            || memcmp(auth->tokens[i].digest, token->digest, AUTH_DIGEST_LEN)
                   == 0)
            return true;
    }
    return false;
}

static enum celery_status add_token(struct auth *auth, struct celery_str entry,
                                    struct celery_error *err)
{
    size_t place = auth->count + 1;
    struct auth_token token = {.scopes = SCOPE_ALL};
    struct celery_str secret = entry;
    if (memchr(entry.data, ':', entry.len) == NULL)
        (void)snprintf(token.name, sizeof token.name, "token%zu", place);
    else if (!read_named(entry, &token, &secret))
        return refuse(place,
                      "TOKEN, or NAME:SCOPE+SCOPE:TOKEN with the scopes "
                      "read, tasks, users, operate",
                      err);
    if (!is_token(secret))
        return refuse(place,
                      "8 to 512 visible ASCII characters without ',' and ':'",
                      err);
    (void)SHA256((const unsigned char *)secret.data, secret.len, token.digest);
    if (is_known(auth, &token))
        return refuse(place, "names and tokens that are not there twice", err);
    auth->tokens[auth->count++] = token;
    return CELERY_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct celery_str trim(const char *text, size_t len)
{
    while (len > 0 && is_blank(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    return slice(text, len);
}

enum celery_status auth_init(struct auth *auth, const char *text,
                             struct celery_error *err)
{
    *auth = (struct auth){.count = 0};
    if (text == NULL || *text == '\0')
        return CELERY_OK;
    for (const char *p = text; *p != '\0';) {
        size_t len = strcspn(p, ",\n");
        struct celery_str entry = trim(p, len);
        if (entry.len > 0 && auth->count == AUTH_TOKENS_MAX)
            return celery_fail(err, CELERY_INVALID,
                               "API_TOKEN: at most %d tokens are accepted",
                               (int)AUTH_TOKENS_MAX);
        enum celery_status st =
            entry.len > 0 ? add_token(auth, entry, err) : CELERY_OK;
        if (st != CELERY_OK)
            return st;
        p += len + (p[len] != '\0');
    }
    if (auth->count > 0)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "API_TOKEN holds no token; accepted: tokens of 8 to 512 "
                       "visible ASCII characters, separated by commas or line "
                       "breaks; or not set at all");
}

/* --- callers ------------------------------------------------------------ */

/* The token that a request shows, or NULL. */
static const char *shown_token(const struct http_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *value = http_header(request, "Authorization");
    if (value == NULL || strncasecmp(value, scheme, strlen(scheme)) != 0)
        return NULL;
    return value + strlen(scheme);
}

/* Digests of one length are compared, all of them: the time tells neither a
 * token's length nor which one fits. */
static const struct auth_token *find_token(const struct auth *auth,
                                           const char *given)
{
    unsigned char digest[AUTH_DIGEST_LEN];
    const struct auth_token *found = NULL;
    (void)SHA256((const unsigned char *)given, strlen(given), digest);
    for (size_t i = 0; i < auth->count; i++) {
        if (CRYPTO_memcmp(auth->tokens[i].digest, digest, sizeof digest) == 0)
            found = &auth->tokens[i];
    }
    return found;
}

struct auth_caller auth_identify(const struct auth *auth,
                                 const struct http_request *request)
{
    struct auth_caller caller = {.scopes = 0};
    if (auth->count == 0) {
        if (is_local_caller(request))
            caller = (struct auth_caller){"loopback", SCOPE_ALL};
        return caller;
    }
    const char *given = shown_token(request);
    const struct auth_token *token =
        given != NULL ? find_token(auth, given) : NULL;
    if (token != NULL) {
        memcpy(caller.name, token->name, sizeof caller.name);
        caller.scopes = token->scopes;
    }
    return caller;
}

static const char *scope_name(unsigned scope)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if ((scopes[i].scope & scope) != 0)
            return scopes[i].name;
    }
    return "";
}

/* RFC 6750, section 3.1. */
static void answer_scope(unsigned missing, const struct http_request *request,
                         struct http_response *response)
{
    char text[80];
    const char *name = scope_name(missing);
    (void)snprintf(text, sizeof text, "this token lacks the scope '%s'", name);
    http_problem_code(response, request, 403, "scope", text, NULL);
    (void)snprintf(text, sizeof text,
                   "Bearer error=\"insufficient_scope\", scope=\"%s\"", name);
    http_response_header(response, "WWW-Authenticate", text);
}

bool auth_guard(const struct auth *auth, const struct http_route *route,
                const struct http_request *request,
                struct http_response *response)
{
    /* The flags also say how the server treats the route (router.h). */
    unsigned needed = route->flags & SCOPE_ALL;
    if (needed == ROUTE_OPEN)
        return true;
    struct auth_caller caller = auth_identify(auth, request);
    unsigned missing = needed & ~caller.scopes;
    if (missing == 0)
        return true;
    if (auth->count == 0) {
        http_problem_code(response, request, 403, "local_only",
                          "without API_TOKEN this route answers callers on "
                          "this machine only, and none that a proxy or another "
                          "site's page speaks for",
                          NULL);
    } else if (caller.name[0] == '\0') {
        http_problem(response, request, 401, "a valid API token is needed",
                     NULL);
        http_response_header(response, "WWW-Authenticate",
                             shown_token(request) != NULL
                                 ? "Bearer error=\"invalid_token\""
                                 : "Bearer");
    } else {
        answer_scope(missing, request, response);
    }
    /* The body was not read. */
    response->close = route->body_limit > 0;
    return false;
}
