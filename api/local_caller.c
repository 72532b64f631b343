/* SPDX-License-Identifier: MIT */
#include "local_caller.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 64 };

/* What proxies add: behind one the peer is the proxy, not the caller. With '-'
 * at its end a row stands for every field that begins so. */
static const char *const forwarding[] = {
    "Forwarded", /* RFC 7239 */
    "Via",       /* RFC 9110, section 7.6.3 */
    "X-Forwarded-",
    "X-Original-",
    "X-Envoy-",
    "CF-",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
};

static bool is_forwarding(const char *name)
{
    for (size_t i = 0; i < sizeof forwarding / sizeof forwarding[0]; i++) {
        size_t len = strlen(forwarding[i]);
        bool prefix = forwarding[i][len - 1] == '-';
        if (strncasecmp(name, forwarding[i], len) == 0
            && (prefix || name[len] == '\0'))
            return true;
    }
    return false;
}

static bool is_port(const char *text)
{
    return *text == '\0'
        || (text[0] == ':' && strspn(text + 1, "0123456789") > 0
            && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* The whole text has to be an address: 127.0.0.1.example.org is a name that its
 * owner may let point anywhere. */
static bool is_loopback_v4(const char *text)
{
    struct in_addr address;
    return inet_pton(AF_INET, text, &address) == 1
        && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_loopback_v6(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET6, text, &address) == 1
        && IN6_IS_ADDR_LOOPBACK(&address);
}

/* host[:port], as in Host (RFC 9110, section 7.2). A page whose name its owner
 * lets point at this machine (DNS rebinding) has that name there. */
static bool is_local_host(const char *value)
{
    char host[HOST_MAX];
    bool bracket = value[0] == '[';
    const char *begin = value + bracket;
    size_t len = strcspn(begin, bracket ? "]" : ":");
    if (len >= sizeof host || (bracket && begin[len] != ']')
        || !is_port(begin + len + bracket))
        return false;
    memcpy(host, begin, len);
    host[len] = '\0';
    if (bracket)
        return is_loopback_v6(host);
    return strcasecmp(host, "localhost") == 0 || is_loopback_v4(host);
}

/* A page's requests name the site that it is from: only our own may ask. */
static bool is_own_origin(const char *origin, const char *host)
{
    static const char scheme[] = "http://";
    return host != NULL && strncasecmp(origin, scheme, strlen(scheme)) == 0
        && strcasecmp(origin + strlen(scheme), host) == 0;
}

/* Browsers say so even where they send no Origin. */
static bool is_other_site(const char *value)
{
    return strcasecmp(value, "same-origin") != 0
        && strcasecmp(value, "none") != 0;
}

bool is_local_caller(const struct http_request *request)
{
    const char *host = http_header(request, "Host");
    if (!http_from_loopback(request))
        return false;
    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;
        const char *value = request->headers[i].value;
        if (is_forwarding(name)
            || (strcasecmp(name, "Host") == 0 && !is_local_host(value))
            || (strcasecmp(name, "Origin") == 0 && !is_own_origin(value, host))
            || (strcasecmp(name, "Sec-Fetch-Site") == 0
                && is_other_site(value)))
            return false;
    }
    return true;
}
