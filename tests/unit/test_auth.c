/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include <string.h>

#include "support/unit.h"

static int status_for(const char *tokens, const char *peer, const char *name,
                      const char *value)
{
    struct auth auth;
    struct http_request request = {.peer = peer};
    struct http_response response = HTTP_RESPONSE_INIT;
    struct http_route route = {.flags = ROUTE_GUARDED};
    ck_assert(auth_init(&auth, tokens));
    if (name != NULL)
        request.headers[request.header_count++] =
            (struct http_header){name, value};
    bool allowed = auth_guard(&auth, &route, &request, &response);
    int status = allowed ? 200 : response.status;
    http_response_done(&response);
    auth_done(&auth);
    return status;
}

START_TEST(tokens_open_the_guarded_routes)
{
    static const struct {
        const char *tokens;
        const char *peer;
        const char *name;
        const char *value;
        int status;
    } cases[] = {
        {"one,two", "10.0.0.1", "Authorization", "Bearer one", 200},
        {"one,two", "10.0.0.1", "authorization", "bearer two", 200},
        {"one,two", "10.0.0.1", "Authorization", "Bearer three", 401},
        {"one,two", "10.0.0.1", "Authorization", "Bearer one,two", 401},
        {"one,two", "10.0.0.1", "Authorization", "Bearer ", 401},
        {"one,two", "10.0.0.1", "Authorization", "one", 401},
        {"one,two", "127.0.0.1", NULL, NULL, 401},
        {NULL, "127.0.0.1", NULL, NULL, 200},
        {NULL, "127.9.9.9", NULL, NULL, 200},
        {"", "127.0.0.1", NULL, NULL, 200},
        {NULL, "10.0.0.1", NULL, NULL, 403},
        {NULL, "10.0.0.1", "Authorization", "Bearer ", 403},
        {NULL, "127.0.0.1", "X-Forwarded-For", "10.0.0.1", 403},
        {NULL, "127.0.0.1", "X-Real-IP", "127.0.0.1", 403},
        {NULL, "127.0.0.1", "Forwarded", "for=1", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(status_for(cases[i].tokens, cases[i].peer, cases[i].name,
                                 cases[i].value)
                          == cases[i].status,
                      "case %zu", i);
}
END_TEST

START_TEST(open_routes_ask_nothing)
{
    struct auth auth;
    struct http_request request = {.peer = "10.0.0.1"};
    struct http_response response = HTTP_RESPONSE_INIT;
    struct http_route route = {.flags = ROUTE_OPEN};
    ck_assert(auth_init(&auth, "one"));
    ck_assert(auth_guard(&auth, &route, &request, &response));
    auth_done(&auth);
}
END_TEST

UNIT_MAIN("auth", tokens_open_the_guarded_routes, open_routes_ask_nothing)
