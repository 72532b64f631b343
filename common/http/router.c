/* SPDX-License-Identifier: MIT */
#include "http/router.h"

#include <stdio.h>
#include <string.h>

static size_t part_length(const char *p)
{
    return strcspn(p, "/");
}

static bool add_param(struct http_request *request, struct celery_str name,
                      struct celery_str value)
{
    if (request->param_count == HTTP_PARAMS_MAX || value.len == 0)
        return false;
    request->params[request->param_count++] = (struct http_param){name, value};
    return true;
}

/* One part of the pattern against one of the path. */
static bool match_part(const char *pattern, size_t pattern_len,
                       const char *path, size_t path_len,
                       struct http_request *request)
{
    if (pattern_len > 2 && pattern[0] == '{')
        return add_param(request,
                         (struct celery_str){pattern + 1, pattern_len - 2},
                         (struct celery_str){path, path_len});
    return pattern_len == path_len && memcmp(pattern, path, path_len) == 0;
}

/* A slash at the path's end does not matter. */
static bool match(const char *pattern, struct http_request *request)
{
    const char *path = request->path;
    request->param_count = 0;
    for (;;) {
        size_t pattern_len = part_length(pattern);
        size_t path_len = part_length(path);
        if (!match_part(pattern, pattern_len, path, path_len, request))
            return false;
        pattern += pattern_len;
        path += path_len;
        if (*pattern == '\0')
            return *path == '\0' || strcmp(path, "/") == 0;
        if (*path == '\0')
            return false;
        pattern++;
        path++;
    }
}

static bool method_is(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0
        || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void allow(char *list, const char *method)
{
    size_t len = strlen(list);
    if (strstr(list, method) == NULL)
        (void)snprintf(list + len, HTTP_ALLOW_MAX - len, "%s%s",
                       len > 0 ? ", " : "", method);
}

const struct http_route *http_route_find(const struct http_route *routes,
                                         size_t count,
                                         struct http_request *request,
                                         char ret_allow[HTTP_ALLOW_MAX])
{
    ret_allow[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!match(routes[i].pattern, request))
            continue;
        if (method_is(&routes[i], request->method))
            return &routes[i];
        allow(ret_allow, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0)
            allow(ret_allow, "HEAD");
    }
    request->param_count = 0;
    return NULL;
}
