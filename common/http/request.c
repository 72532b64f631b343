/* SPDX-License-Identifier: MIT */
#include "http/request.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/random_id.h"

const char *http_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    }
    return NULL;
}

struct celery_str http_param(const struct http_request *request,
                             const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < request->param_count; i++) {
        const struct http_param *param = &request->params[i];
        if (param->name.len == len && memcmp(param->name.data, name, len) == 0)
            return param->value;
    }
    return CELERY_STR("");
}

bool http_content_type_is(const struct http_request *request, const char *type)
{
    const char *value = http_header(request, "Content-Type");
    size_t len = strlen(type);
    if (value == NULL || strncasecmp(value, type, len) != 0)
        return false;
    return value[len] == '\0' || value[len] == ';' || value[len] == ' ';
}

bool http_from_loopback(const struct http_request *request)
{
    return strncmp(request->peer, "127.", 4) == 0
        || strcmp(request->peer, "::1") == 0;
}

static bool is_sane(const char *id)
{
    size_t len = strlen(id);
    if (len == 0 || len >= HTTP_REQUEST_ID_MAX)
        return false;
    for (const char *p = id; *p != '\0'; p++) {
        if (!ascii_is_alnum(*p) && strchr("._-", *p) == NULL)
            return false;
    }
    return true;
}

void http_request_identify(struct http_request *request)
{
    const char *given = http_header(request, "X-Request-Id");
    if (given != NULL && is_sane(given))
        memcpy(request->id, given, strlen(given) + 1);
    else
        random_id(request->id);
}

void http_request_done(struct http_request *request)
{
    celery_buf_done(&request->body);
}
