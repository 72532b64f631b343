/* SPDX-License-Identifier: MIT */
#include "base/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/xalloc.h"
#include "celery/buf.h"

static size_t span(const char *p, const char *end)
{
    return end > p ? (size_t)(end - p) : 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* NULL when a NUL byte would come out: it would cut the text short. */
static char *percent_decode(const char *p, size_t len)
{
    char *out = xmalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int high = -1;
        int low = -1;
        if (p[i] == '%' && i + 2 < len) {
            high = hex_digit(p[i + 1]);
            low = hex_digit(p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = p[i];
        }
        if (out[n - 1] == '\0') {
            free(out);
            return NULL;
        }
    }
    out[n] = '\0';
    return out;
}

void url_done(struct url *url)
{
    free(url->scheme);
    free(url->user);
    if (url->password != NULL)
        explicit_bzero(url->password, strlen(url->password));
    free(url->password);
    free(url->host);
    free(url->path);
    free(url->query);
    *url = (struct url){0};
}

static bool parse_port(const char *p, const char *end, int *ret_port)
{
    int port = 0;
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (!isdigit((unsigned char)*p))
            return false;
        port = port * 10 + (*p - '0');
        if (port > 65535)
            return false;
    }
    *ret_port = port;
    return true;
}

static bool parse_host(struct url *url, const char *p, const char *end)
{
    const char *host_end = NULL;
    if (p < end && *p == '[') {
        p++;
        host_end = memchr(p, ']', span(p, end));
        if (host_end == NULL)
            return false;
        const char *rest = host_end + 1;
        if (rest < end
            && (*rest != ':' || !parse_port(rest + 1, end, &url->port)))
            return false;
    } else {
        host_end = memchr(p, ':', span(p, end));
        if (host_end != NULL && !parse_port(host_end + 1, end, &url->port))
            return false;
        if (host_end == NULL)
            host_end = end;
    }
    if (host_end > p)
        url->host = percent_decode(p, span(p, host_end));
    return host_end == p || url->host != NULL;
}

static bool parse_authority(struct url *url, const char *p, const char *end)
{
    const char *at = memrchr(p, '@', span(p, end));
    if (at == NULL)
        return parse_host(url, p, end);

    const char *colon = memchr(p, ':', span(p, at));
    const char *user_end = colon != NULL ? colon : at;
    if (user_end > p) {
        url->user = percent_decode(p, span(p, user_end));
        if (url->user == NULL)
            return false;
    }
    if (colon != NULL) {
        url->password = percent_decode(colon + 1, span(colon + 1, at));
        if (url->password == NULL)
            return false;
    }
    return parse_host(url, at + 1, end);
}

static bool parse_scheme(struct url *url, const char *text, const char *end)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    size_t len = strspn(text, letters);
    if (len == 0 || text + len != end)
        return false;
    url->scheme = xstrndup(text, len);
    for (char *p = url->scheme; *p != '\0'; p++)
        *p = ascii_lower(*p);
    return true;
}

static bool parse(const char *text, struct url *url)
{
    const char *sep = strstr(text, "://");
    if (sep == NULL || !parse_scheme(url, text, sep))
        return false;

    const char *p = sep + 3;
    const char *query = strchr(p, '?');
    const char *end = query != NULL ? query : p + strlen(p);
    const char *slash = memchr(p, '/', span(p, end));
    const char *authority_end = slash != NULL ? slash : end;

    if (!parse_authority(url, p, authority_end))
        return false;
    url->path = percent_decode(authority_end, span(authority_end, end));
    if (url->path == NULL)
        return false;
    if (query != NULL)
        url->query = xstrdup(query + 1);
    return true;
}

enum celery_status url_parse(const char *text, struct url *ret,
                             struct celery_error *err)
{
    struct url url = {0};
    if (!parse(text, &url)) {
        char *masked = url_masked(text);
        enum celery_status st =
            celery_fail(err, CELERY_INVALID,
                        "'%.100s' is no URL of the form "
                        "scheme://[user[:password]@]host[:port]/path",
                        masked);
        free(masked);
        url_done(&url);
        return st;
    }
    *ret = url;
    return CELERY_OK;
}

char *url_query(const struct url *url, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = url->query; p != NULL && *p != '\0';) {
        const char *end = strchr(p, '&');
        size_t size = end != NULL ? span(p, end) : strlen(p);
        if (size > len && strncmp(p, name, len) == 0 && p[len] == '=')
            return percent_decode(p + len + 1, size - len - 1);
        p = end != NULL ? end + 1 : NULL;
    }
    return NULL;
}

static char *mask_password(const char *text)
{
    const char *sep = strstr(text, "://");
    if (sep == NULL)
        return xstrdup(text);
    const char *p = sep + 3;
    /* A password may hold '/' unescaped: the last '@' ends it. */
    const char *at = memrchr(p, '@', strlen(p));
    if (at == NULL)
        return xstrdup(text);
    const char *colon = memchr(p, ':', span(p, at));
    if (colon == NULL)
        return xstrdup(text);

    static const char mask[] = ":********";
    size_t head = span(text, colon);
    char *out = xmalloc(head + sizeof mask + strlen(at));
    memcpy(out, text, head);
    memcpy(out + head, mask, sizeof mask - 1);
    memcpy(out + head + sizeof mask - 1, at, strlen(at) + 1);
    return out;
}

/* The length of a secret's name with its '=' at p, or 0. */
static size_t secret_name(const char *p)
{
    static const char *const names[] = {"password=", "sslpassword=",
                                        "passfile="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(p, names[i], strlen(names[i])) == 0)
            return strlen(names[i]);
    }
    return 0;
}

/* Query parameters that are secrets: appends text with their values masked. */
static void append_masked_query(struct celery_buf *buf, const char *text)
{
    const char *p = text + strcspn(text, "?");
    celery_buf_append(buf, (struct celery_str){text, span(text, p)});
    while (*p != '\0') {
        size_t name = 1 + secret_name(p + 1);
        size_t size = 1 + strcspn(p + 1, "&");
        celery_buf_append(buf, (struct celery_str){p, name > 1 ? name : size});
        if (name > 1)
            celery_buf_append(buf, CELERY_STR("********"));
        p += size;
    }
}

static void append_masked(struct celery_buf *buf, const char *text, size_t len)
{
    char *part = xstrndup(text, len);
    char *masked = mask_password(part);
    append_masked_query(buf, masked);
    free(masked);
    explicit_bzero(part, len);
    free(part);
}

/* The next ; in text that another URL follows, or its end: brokers come in lists.
 * Any other one may be part of a password. */
static size_t url_len(const char *text)
{
    const char *p = text;
    while ((p = strchr(p, ';')) != NULL) {
        size_t scheme =
            strspn(p + 1, "abcdefghijklmnopqrstuvwxyz"
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
        if (scheme > 0 && strncmp(p + 1 + scheme, "://", 3) == 0)
            return (size_t)(p - text);
        p++;
    }
    return strlen(text);
}

char *url_masked(const char *text)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    size_t len = url_len(text);
    append_masked(&buf, text, len);
    while (text[len] == ';') {
        text += len + 1;
        len = url_len(text);
        celery_buf_append(&buf, CELERY_STR(";"));
        append_masked(&buf, text, len);
    }
    char *masked = xstrdup(celery_buf_str(&buf).data);
    celery_buf_done(&buf);
    return masked;
}

void url_freep(char **text)
{
    free(*text);
}

bool url_has_scheme(const char *text, const char *const *schemes)
{
    size_t len = strcspn(text, ":");
    for (; *schemes != NULL; schemes++) {
        if (strlen(*schemes) == len && strncasecmp(*schemes, text, len) == 0)
            return true;
    }
    return false;
}
