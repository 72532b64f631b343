/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include <stdio.h>
#include <string.h>

#include "local_caller.h"
#include "support/unit.h"

static const char two[] = "first-token,second-token";
static const char named[] = "reader:read:token-of-reader\n"
                            " ops:read+tasks+users+operate:token-of-ops \r\n\n";

static void load(struct auth *auth, const char *text)
{
    struct celery_error err = {0};
    ck_assert_msg(auth_init(auth, text, &err) == CELERY_OK, "%s", err.msg);
}

static int status_for(const char *tokens, unsigned scope, const char *peer,
                      const char *name, const char *value)
{
    struct auth auth;
    struct http_request request = {.peer = peer};
    struct http_response response = HTTP_RESPONSE_INIT;
    struct http_route route = {.flags = scope};
    load(&auth, tokens);
    if (name != NULL)
        request.headers[request.header_count++] =
            (struct http_header){name, value};
    bool allowed = auth_guard(&auth, &route, &request, &response);
    int status = allowed ? 200 : response.status;
    http_response_done(&response);
    return status;
}

START_TEST(tokens_open_the_guarded_routes)
{
    static const struct {
        const char *tokens;
        unsigned scope;
        const char *peer;
        const char *name;
        const char *value;
        int status;
    } cases[] = {
        {two, SCOPE_READ, "10.0.0.1", "Authorization", "Bearer first-token",
         200},
        {two, SCOPE_OPERATE, "10.0.0.1", "authorization", "bearer second-token",
         200},
        {two, SCOPE_READ, "10.0.0.1", "Authorization", "Bearer third-token",
         401},
        {two, SCOPE_READ, "10.0.0.1", "Authorization",
         "Bearer first-token,second-token", 401},
        {two, SCOPE_READ, "10.0.0.1", "Authorization", "Bearer ", 401},
        {two, SCOPE_READ, "10.0.0.1", "Authorization", "first-token", 401},
        {two, SCOPE_READ, "127.0.0.1", NULL, NULL, 401},
        {named, SCOPE_READ, "10.0.0.1", "Authorization",
         "Bearer token-of-reader", 200},
        {named, SCOPE_TASKS, "10.0.0.1", "Authorization",
         "Bearer token-of-reader", 403},
        {named, SCOPE_TASKS, "10.0.0.1", "Authorization", "Bearer token-of-ops",
         200},
        {named, SCOPE_READ, "10.0.0.1", "Authorization",
         "Bearer reader:read:token-of-reader", 401},
        {NULL, SCOPE_ALL, "127.0.0.1", NULL, NULL, 200},
        {NULL, SCOPE_READ, "127.9.9.9", NULL, NULL, 200},
        {"", SCOPE_READ, "127.0.0.1", NULL, NULL, 200},
        {NULL, SCOPE_READ, "10.0.0.1", NULL, NULL, 403},
        {NULL, SCOPE_READ, "10.0.0.1", "Authorization", "Bearer ", 403},
        {NULL, ROUTE_OPEN, "10.0.0.1", NULL, NULL, 200},
        {two, ROUTE_OPEN, "10.0.0.1", NULL, NULL, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(status_for(cases[i].tokens, cases[i].scope, cases[i].peer,
                                 cases[i].name, cases[i].value)
                          == cases[i].status,
                      "case %zu", i);
}
END_TEST

START_TEST(refusals_say_what_is_missing)
{
    struct auth auth;
    struct http_request request = {.peer = "10.0.0.1"};
    struct http_route route = {.flags = SCOPE_TASKS, .body_limit = 1};
    static const struct {
        const char *authorization;
        const char *header;
        const char *code;
    } cases[] = {
        {NULL, "WWW-Authenticate: Bearer\r\n", "\"unauthorized\""},
        {"Bearer wrong-token",
         "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
         "\"unauthorized\""},
        {"Bearer token-of-reader",
         "WWW-Authenticate: Bearer error=\"insufficient_scope\", "
         "scope=\"tasks\"\r\n",
         "\"scope\""},
    };
    load(&auth, named);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_response response = HTTP_RESPONSE_INIT;
        request.headers[0] =
            (struct http_header){"Authorization", cases[i].authorization};
        request.header_count = cases[i].authorization != NULL;
        ck_assert(!auth_guard(&auth, &route, &request, &response));
        ck_assert_str_eq(response.headers.data, cases[i].header);
        ck_assert_ptr_nonnull(strstr(response.body.data, cases[i].code));
        ck_assert(response.close);
        http_response_done(&response);
    }
}
END_TEST

START_TEST(callers_have_names)
{
    struct auth auth;
    struct http_request request = {.peer = "127.0.0.1"};
    load(&auth, "plain-token, reader:read+users:token-of-reader");
    ck_assert_uint_eq(auth.count, 2);
    ck_assert_str_eq(auth_identify(&auth, &request).name, "");
    ck_assert_uint_eq(auth_identify(&auth, &request).scopes, 0);
    request.headers[request.header_count++] =
        (struct http_header){"Authorization", "Bearer plain-token"};
    ck_assert_str_eq(auth_identify(&auth, &request).name, "token1");
    ck_assert_uint_eq(auth_identify(&auth, &request).scopes, SCOPE_ALL);
    request.headers[0].value = "Bearer token-of-reader";
    ck_assert_str_eq(auth_identify(&auth, &request).name, "reader");
    ck_assert_uint_eq(auth_identify(&auth, &request).scopes,
                      SCOPE_READ | SCOPE_USERS);
    load(&auth, NULL);
    ck_assert_str_eq(auth_identify(&auth, &request).name, "loopback");
}
END_TEST

START_TEST(wrong_lists_are_refused_without_a_word_of_them)
{
    static const char *const lists[] = {
        ",",
        " ",
        "\n",
        " , \n",
        "hidden7",
        "hidden hidden",
        "hidden-token\x01",
        "hidden-t\xc3\xb6ken",
        "hidden-token,short",
        "a:hidden-token",
        "a:read:hidden7",
        "a:raed:hidden-token",
        "a::hidden-token",
        "a:read+:hidden-token",
        "a:+read:hidden-token",
        ":read:hidden-token",
        "a b:read:hidden-token",
        "a:read:hidden:token",
        "hidden-token,hidden-token",
        "a:read:hidden-token,b:read:hidden-token",
        "a:read:hidden-token,a:read:other-token",
        "token2:read:hidden-token,other-token",
        "a2345678901234567890123456789012x:read:hidden-token",
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct auth auth;
        struct celery_error err = {0};
        ck_assert_msg(auth_init(&auth, lists[i], &err) == CELERY_INVALID,
                      "list %zu", i);
        ck_assert_ptr_nonnull(strstr(err.msg, "API_TOKEN"));
        ck_assert_ptr_nonnull(strstr(err.msg, "accepted"));
        ck_assert_msg(strstr(err.msg, "hidden") == NULL, "%s", err.msg);
    }
}
END_TEST

START_TEST(as_many_tokens_as_the_cap)
{
    char list[(AUTH_TOKENS_MAX + 1) * 16] = "";
    char shown[32];
    struct auth auth;
    struct celery_error err = {0};
    struct http_request request = {.peer = "10.0.0.1"};
    for (int i = 0; i < AUTH_TOKENS_MAX; i++)
        (void)snprintf(list + strlen(list), 16, "token-no-%03d\n", i);
    load(&auth, list);
    ck_assert_uint_eq(auth.count, AUTH_TOKENS_MAX);
    for (int i = 0; i < AUTH_TOKENS_MAX; i++) {
        (void)snprintf(shown, sizeof shown, "Bearer token-no-%03d", i);
        request.headers[0] = (struct http_header){"Authorization", shown};
        request.header_count = 1;
        ck_assert_uint_eq(auth_identify(&auth, &request).scopes, SCOPE_ALL);
    }
    (void)snprintf(list + strlen(list), 16, "token-no-%03d", 999);
    ck_assert_int_eq(auth_init(&auth, list, &err), CELERY_INVALID);
    ck_assert_ptr_nonnull(strstr(err.msg, "at most 64"));
}
END_TEST

START_TEST(only_this_machine_itself_is_local)
{
    static const struct {
        const char *peer;
        const char *host;
        const char *name;
        const char *value;
        bool local;
    } cases[] = {
        {"127.0.0.1", NULL, NULL, NULL, true},
        {"127.0.0.1", "127.0.0.1", NULL, NULL, true},
        {"127.0.0.1", "127.0.0.1:8000", NULL, NULL, true},
        {"127.1.2.3", "127.1.2.3:8000", NULL, NULL, true},
        {"127.0.0.1", "localhost", NULL, NULL, true},
        {"127.0.0.1", "LocalHost:80", NULL, NULL, true},
        {"::1", "[::1]:8000", NULL, NULL, true},
        {"::1", "[::1]", NULL, NULL, true},
        {"10.0.0.1", "127.0.0.1", NULL, NULL, false},
        {"127.0.0.1", "evil.example", NULL, NULL, false},
        {"127.0.0.1", "127.0.0.1.evil.example", NULL, NULL, false},
        {"127.0.0.1", "127.evil.example:8000", NULL, NULL, false},
        {"127.0.0.1", "localhost.evil.example", NULL, NULL, false},
        {"127.0.0.1", "localhost:", NULL, NULL, false},
        {"127.0.0.1", "localhost:80x", NULL, NULL, false},
        {"127.0.0.1", "localhost@evil", NULL, NULL, false},
        {"127.0.0.1", "", NULL, NULL, false},
        {"127.0.0.1", "0.0.0.0", NULL, NULL, false},
        {"127.0.0.1", "10.0.0.1", NULL, NULL, false},
        {"127.0.0.1", "[::2]", NULL, NULL, false},
        {"127.0.0.1", "[::1", NULL, NULL, false},
        {"127.0.0.1", "[::1]x", NULL, NULL, false},
        {"127.0.0.1", "localhost", "Host", "evil.example", false},
        {"127.0.0.1", "localhost:8000", "Origin", "http://localhost:8000",
         true},
        {"127.0.0.1", "localhost:8000", "Origin", "http://localhost", false},
        {"127.0.0.1", "localhost:8000", "Origin", "http://localhost:8001",
         false},
        {"127.0.0.1", "localhost:8000", "Origin", "https://localhost:8000",
         false},
        {"127.0.0.1", "localhost", "Origin", "http://evil", false},
        {"127.0.0.1", "localhost", "origin", "null", false},
        {"127.0.0.1", NULL, "Origin", "http://localhost", false},
        {"127.0.0.1", "localhost", "Sec-Fetch-Site", "same-origin", true},
        {"127.0.0.1", "localhost", "Sec-Fetch-Site", "none", true},
        {"127.0.0.1", "localhost", "Sec-Fetch-Site", "same-site", false},
        {"127.0.0.1", "localhost", "Sec-Fetch-Site", "cross-site", false},
        {"127.0.0.1", NULL, "X-Forwarded-For", "127.0.0.1", false},
        {"127.0.0.1", NULL, "x-forwarded-anything", "", false},
        {"127.0.0.1", NULL, "Forwarded", "for=1", false},
        {"127.0.0.1", NULL, "Via", "1.1 x", false},
        {"127.0.0.1", NULL, "X-Real-Ip", "127.0.0.1", false},
        {"127.0.0.1", NULL, "CF-Connecting-IP", "1.1.1.1", false},
        {"127.0.0.1", NULL, "cf-ray", "1", false},
        {"127.0.0.1", NULL, "True-Client-IP", "1.1.1.1", false},
        {"127.0.0.1", NULL, "X-Envoy-External-Address", "1.1.1.1", false},
        {"127.0.0.1", NULL, "X-Client-IP", "1.1.1.1", false},
        {"127.0.0.1", NULL, "Vial", "of something", true},
        {"127.0.0.1", NULL, "X-Forward", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request = {.peer = cases[i].peer};
        if (cases[i].host != NULL)
            request.headers[request.header_count++] =
                (struct http_header){"host", cases[i].host};
        if (cases[i].name != NULL)
            request.headers[request.header_count++] =
                (struct http_header){cases[i].name, cases[i].value};
        ck_assert_msg(is_local_caller(&request) == cases[i].local, "case %zu",
                      i);
    }
}
END_TEST

UNIT_MAIN("auth", tokens_open_the_guarded_routes, refusals_say_what_is_missing,
          callers_have_names, wrong_lists_are_refused_without_a_word_of_them,
          as_many_tokens_as_the_cap, only_this_machine_itself_is_local)
