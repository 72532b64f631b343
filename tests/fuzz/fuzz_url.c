/* SPDX-License-Identifier: MIT */
/*
 * A password does not show: not in the masked text, nor in an error. Up to the
 * first newline the input is a URL, behind it Redis' transport options.
 */
#include "base/url.h"
#include "fuzz/fuzz.h"
#include "redis/redis_conn.h"

#define MARK "S3cr3t-w0rd" /* what no input holds by chance */

/* With a NUL behind it, on the heap: a read past the end is seen. */
static char *copy(const char *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    HOLDS(text != NULL);
    if (size != 0)
        memcpy(text, data, size);
    return text;
}

static char *join(const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = calloc(size, 1);
    HOLDS(text != NULL);
    (void)snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

/* Of a text that parses, the masked form is known up to the '@'. */
static void check_mask(const char *text, const struct url *url)
{
    char *masked = url_masked(text);
    if (url->password != NULL) {
        const char *p = strstr(text, "://");
        HOLDS(p != NULL);
        const char *colon = strchr(p + 3, ':');
        HOLDS(colon != NULL);
        size_t head = (size_t)(colon + 1 - text);
        HOLDS(strncmp(masked, text, head) == 0);
        HOLDS(strncmp(masked + head, "********@", 9) == 0);
    }
    char *again = url_masked(masked);
    HOLDS(strcmp(again, masked) == 0);
    free(again);
    free(masked);
}

static void check_url(const char *text)
{
    struct celery_error err = {0};
    struct url url = {0};

    if (url_parse(text, &url, &err) != CELERY_OK) {
        HOLDS(err.status == CELERY_INVALID);
        check_mask(text, &url);
        return;
    }
    HOLDS(url.scheme != NULL && *url.scheme != '\0' && url.path != NULL);
    HOLDS(url.host == NULL || *url.host != '\0');
    HOLDS(url.port >= 0 && url.port <= 65535);
    check_mask(text, &url);
    char *value = url_query(&url, "virtual_host");
    HOLDS(value == NULL || url.query != NULL);
    free(value);
    url_done(&url);
}

static void check_endpoint(const char *text, const char *options)
{
    struct celery_error err = {0};
    struct redis_endpoint ep = {0};

    if (redis_endpoint_parse(text, options, &ep, &err) != CELERY_OK) {
        HOLDS(err.status == CELERY_INVALID || err.status == CELERY_UNSUPPORTED);
        return;
    }
    HOLDS((ep.host != NULL) + (ep.unix_path != NULL) + (ep.sentinel_count != 0)
          == 1);
    HOLDS(ep.host == NULL || (ep.port > 0 && ep.port <= 65535));
    HOLDS(ep.db >= 0);
    for (size_t i = 0; i < ep.sentinel_count; i++)
        HOLDS(ep.sentinels[i].host != NULL && ep.sentinels[i].port > 0);
    redis_endpoint_done(&ep);
}

/* The same password before whatever follows. */
static void check_secret(const char *rest)
{
    struct celery_error err = {0};
    struct url url = {0};
    struct redis_endpoint ep = {0};

    char *text = join("redis://user:" MARK "@", rest, "");
    char *masked = url_masked(text);
    HOLDS(strstr(masked, MARK) == NULL);
    if (url_parse(text, &url, &err) == CELERY_OK)
        url_done(&url);
    else
        HOLDS(strstr(err.msg, MARK) == NULL);
    if (redis_endpoint_parse(text, NULL, &ep, &err) == CELERY_OK)
        redis_endpoint_done(&ep);
    else
        HOLDS(strstr(err.msg, MARK) == NULL);
    free(masked);
    free(text);
}

static void check_masked(const char *head, const char *secret, const char *tail)
{
    char *text = join(head, secret, tail);
    char *wanted = join(head, "********", tail);
    char *masked = url_masked(text);
    HOLDS(strcmp(masked, wanted) == 0);
    free(masked);
    free(wanted);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *begin = (const char *)data;
    const char *line = size == 0 ? NULL : memchr(begin, '\n', size);
    size_t len = line == NULL ? size : (size_t)(line - begin);
    char *text = copy(begin, len);
    char *options = line == NULL ? NULL : copy(line + 1, size - len - 1);

    check_url(text);
    check_endpoint(text, options);
    if (strstr(text, MARK) == NULL)
        check_secret(text);
    /* As the password itself. A ; can begin another URL. */
    if (strchr(text, ';') == NULL) {
        check_masked("redis://user:", text, "@host:6379/0");
        if (strchr(text, '&') == NULL)
            check_masked("postgresql://host/db?sslpassword=", text,
                         "&sslmode=require");
    }
    free(options);
    free(text);
    return 0;
}
