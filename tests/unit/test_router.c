/* SPDX-License-Identifier: MIT */
#include "http/router.h"

#include <string.h>

#include "base/cleanup.h"
#include "routes.h"
#include "support/unit.h"

static void nothing(void *arg, struct http_request *request,
                    struct http_response *response)
{
    (void)arg;
    (void)request;
    (void)response;
}

static const struct http_route routes[] = {
    {"GET", "/", nothing, 0, 0},
    {"GET", "/a/health", nothing, 0, 0},
    {"POST", "/a/{x}", nothing, 10, 0},
    {"DELETE", "/a/{x}", nothing, 0, 0},
    {"GET", "/a/{x}/b/{y}", nothing, 0, 0},
};

START_TEST(finds_by_method_and_pattern)
{
    static const struct {
        const char *method;
        const char *path;
        int route; /* -1: none */
        const char *allow;
    } cases[] = {
        {"GET", "/", 0, ""},
        {"HEAD", "/", 0, ""},
        {"POST", "/", -1, "GET, HEAD"},
        {"GET", "/a/health", 1, ""},
        {"GET", "/a/health/", 1, ""},
        {"POST", "/a/health", 2, ""},
        {"POST", "/a/x", 2, ""},
        {"DELETE", "/a/x", 3, ""},
        {"GET", "/a/x", -1, "POST, DELETE"},
        {"GET", "/a/1/b/2", 4, ""},
        {"GET", "/a//b/2", -1, ""},
        {"GET", "/a/1/b", -1, ""},
        {"GET", "/a/1/b/", -1, ""},
        {"GET", "/a/1/b/2/c", -1, ""},
        {"POST", "/a", -1, ""},
        {"POST", "/a/", -1, ""},
        {"GET", "", -1, ""},
        {"GET", "a/health", -1, ""},
        {"GET", "/A/health", -1, ""},
        {"get", "/", -1, "GET, HEAD"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request = {.method = cases[i].method,
                                       .path = cases[i].path};
        char allowed[HTTP_ALLOW_MAX];
        const struct http_route *route =
            http_route_find(routes, sizeof routes / sizeof routes[0], &request,
                            allowed);
        ck_assert_msg(
            route == (cases[i].route < 0 ? NULL : &routes[cases[i].route]),
            "%s %s", cases[i].method, cases[i].path);
        if (route == NULL)
            ck_assert_str_eq(allowed, cases[i].allow);
    }
}
END_TEST

START_TEST(params_are_the_parts_of_the_path)
{
    struct http_request request = {.method = "GET", .path = "/a/one/b/two"};
    char allowed[HTTP_ALLOW_MAX];
    ck_assert_ptr_nonnull(http_route_find(
        routes, sizeof routes / sizeof routes[0], &request, allowed));
    struct celery_str x = http_param(&request, "x");
    struct celery_str y = http_param(&request, "y");
    ck_assert_uint_eq(x.len, 3);
    ck_assert_int_eq(memcmp(x.data, "one", 3), 0);
    ck_assert_int_eq(memcmp(y.data, "two", 3), 0);
    ck_assert_uint_eq(http_param(&request, "z").len, 0);
}
END_TEST

START_TEST(only_sane_request_ids_are_taken_over)
{
    static const struct {
        const char *given;
        bool kept;
    } cases[] = {{"abc-123_x.y", true},
                 {"", false},
                 {"a b", false},
                 {"a\r\nb", false},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaa",
                  false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request = {0};
        request.headers[0] =
            (struct http_header){"x-request-id", cases[i].given};
        request.header_count = 1;
        http_request_identify(&request);
        ck_assert_int_eq(strcmp(request.id, cases[i].given) == 0,
                         cases[i].kept);
        ck_assert_uint_gt(strlen(request.id), 0);
    }
}
END_TEST

START_TEST(an_answer_cannot_be_split)
{
    CLEANUP(celery_buf_done) struct celery_buf wire = CELERY_BUF_INIT;
    struct http_request request = {.id = "id"};
    struct http_response response = HTTP_RESPONSE_INIT;
    http_response_header(&response, "X-A", "b\r\nX-Evil: 1");
    http_problem(&response, &request, 422, "bad \"text\"", "field");
    http_response_write(&response, &request, false, &wire);
    ck_assert_ptr_null(strstr(wire.data, "\r\nX-Evil"));
    ck_assert_ptr_nonnull(strstr(wire.data, "HTTP/1.1 422 "));
    ck_assert_ptr_nonnull(strstr(wire.data, "bad \\\"text\\\""));
    http_response_done(&response);
}
END_TEST

START_TEST(an_error_has_one_shape)
{
    struct http_request request = {.id = "id"};
    struct http_response response = HTTP_RESPONSE_INIT;
    http_problem(&response, &request, 404, "no such path", NULL);
    ck_assert_str_eq(
        response.body.data,
        "{\"ok\": false, \"error\": \"no such path\", \"field\": null,"
        " \"request_id\": \"id\","
        " \"type\": \"urn:cricalgo:error:not_found\","
        " \"title\": \"Not Found\", \"status\": 404,"
        " \"detail\": \"no such path\", \"code\": \"not_found\"}");
    http_problem_code(&response, &request, 403, "scope", "no", "user_id");
    ck_assert_ptr_nonnull(
        strstr(response.body.data, "\"type\": \"urn:cricalgo:error:scope\""));
    ck_assert_ptr_nonnull(strstr(response.body.data,
                                 "\"title\": \"Forbidden\", \"status\": 403"));
    ck_assert_str_eq(http_problem_status_code(418), "error");
    ck_assert_str_eq(http_problem_status_code(200), "error");
    http_response_done(&response);
}
END_TEST

START_TEST(only_files_may_be_kept)
{
    struct http_request request = {.id = "id"};
    for (int cacheable = 0; cacheable < 2; cacheable++) {
        CLEANUP(celery_buf_done) struct celery_buf wire = CELERY_BUF_INIT;
        struct http_response response = HTTP_RESPONSE_INIT;
        response.cacheable = cacheable != 0;
        http_response_write(&response, &request, false, &wire);
        const char *found =
            strstr(wire.data, "\r\nCache-Control: no-store\r\n");
        ck_assert_int_eq(found != NULL, cacheable == 0);
        http_response_done(&response);
    }
}
END_TEST

START_TEST(the_api_has_no_route_twice)
{
    size_t count = 0;
    const struct http_route *api = api_routes(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert(strcmp(api[i].method, api[j].method) != 0
                      || strcmp(api[i].pattern, api[j].pattern) != 0);
    }
}
END_TEST

UNIT_MAIN("router", finds_by_method_and_pattern,
          params_are_the_parts_of_the_path,
          only_sane_request_ids_are_taken_over, an_answer_cannot_be_split,
          an_error_has_one_shape, only_files_may_be_kept,
          the_api_has_no_route_twice)
