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

/* application/x-www-form-urlencoded; false when it does not fit. */
static bool decode(const char *p, size_t len, char *ret_text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = p[i];
        if (c == '+')
            c = ' ';
        if (c == '%' && i + 2 < len && ascii_hex(p[i + 1]) >= 0
            && ascii_hex(p[i + 2]) >= 0) {
            c = (char)(unsigned char)(ascii_hex(p[i + 1]) * 16
                                      + ascii_hex(p[i + 2]));
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        ret_text[n++] = c;
    }
    ret_text[n] = '\0';
    return true;
}

bool http_query(const struct http_request *request, const char *name,
                char *ret_text, size_t size, bool *ret_fits)
{
    size_t len = strlen(name);
    *ret_fits = true;
    for (const char *p = request->query; p != NULL && *p != '\0';) {
        size_t pair = strcspn(p, "&");
        if (pair > len && strncmp(p, name, len) == 0 && p[len] == '=') {
            *ret_fits = decode(p + len + 1, pair - len - 1, ret_text, size);
            return true;
        }
        p += pair + (p[pair] == '&');
    }
    return false;
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
