/* SPDX-License-Identifier: MIT */
#include "http/peers.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/xalloc.h"
#include "http/request.h"

enum { ADDRESS_BITS = 128, MAPPED_BITS = 96, PREFIX_DIGITS_MAX = 3 };

static void map_ipv4(struct in_addr in, struct peer_address *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->in6.s6_addr[10] = ret->in6.s6_addr[11] = 0xff;
    memcpy(&ret->in6.s6_addr[12], &in, sizeof in);
}

static bool parse_plain(const char *text, size_t len, struct peer_address *ret,
                        bool *ret_ipv4)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr in;
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    *ret_ipv4 = inet_pton(AF_INET, copy, &in) == 1;
    if (*ret_ipv4)
        map_ipv4(in, ret);
    return *ret_ipv4 || inet_pton(AF_INET6, copy, &ret->in6) == 1;
}

bool peer_address_parse(const char *text, size_t len, struct peer_address *ret)
{
    bool ipv4 = false;
    const char *bracket = len > 0 ? memchr(text, ']', len) : NULL;
    if (len > 0 && text[0] == '[')
        return bracket != NULL
            && parse_plain(text + 1, (size_t)(bracket - text) - 1, ret, &ipv4)
            && !ipv4;
    if (parse_plain(text, len, ret, &ipv4))
        return true;
    const char *colon = len > 0 ? memchr(text, ':', len) : NULL;
    return colon != NULL
        && parse_plain(text, (size_t)(colon - text), ret, &ipv4) && ipv4;
}

void peer_address_of(const struct sockaddr_storage *sockaddr,
                     struct peer_address *ret)
{
    if (sockaddr->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sockaddr, sizeof in);
        map_ipv4(in.sin_addr, ret);
    } else {
        struct sockaddr_in6 in6;
        memcpy(&in6, sockaddr, sizeof in6);
        ret->in6 = in6.sin6_addr;
    }
}

struct peer_address peer_counted_as(const struct peer_address *address)
{
    struct peer_address counted = *address;
    if (!IN6_IS_ADDR_V4MAPPED(&address->in6))
        memset(&counted.in6.s6_addr[8], 0, 8);
    return counted;
}

void peer_address_text(const struct peer_address *address,
                       char ret_text[INET6_ADDRSTRLEN])
{
    if (IN6_IS_ADDR_V4MAPPED(&address->in6))
        (void)inet_ntop(AF_INET, &address->in6.s6_addr[12], ret_text,
                        INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, &address->in6, ret_text, INET6_ADDRSTRLEN);
}

/* --- the set ------------------------------------------------------------ */

/* "/24"; no text: the whole address. */
static bool parse_prefix(const char *text, size_t len, bool ipv4, unsigned *ret)
{
    unsigned most = ipv4 ? ADDRESS_BITS - MAPPED_BITS : ADDRESS_BITS;
    unsigned bits = 0;
    *ret = ADDRESS_BITS;
    if (len == 0)
        return true;
    if (len < 2 || len > 1 + PREFIX_DIGITS_MAX)
        return false;
    for (size_t i = 1; i < len; i++) {
        if (!ascii_is_digit(text[i]))
            return false;
        bits = bits * 10 + (unsigned)(text[i] - '0');
    }
    *ret = bits + (ipv4 ? (unsigned)MAPPED_BITS : 0);
    return bits <= most;
}

static bool parse_network(const char *text, size_t len,
                          struct peer_network *ret)
{
    const char *slash = memchr(text, '/', len);
    size_t address_len = slash != NULL ? (size_t)(slash - text) : len;
    bool ipv4 = false;
    return parse_plain(text, address_len, &ret->address, &ipv4)
        && parse_prefix(text + address_len, len - address_len, ipv4,
                        &ret->prefix);
}

enum celery_status peer_set_init(struct peer_set *set, const char *name,
                                 const char *text, struct celery_error *err)
{
    *set = (struct peer_set){0};
    for (const char *p = text; p != NULL && *p != '\0';) {
        p += strspn(p, " ,");
        size_t len = strcspn(p, " ,");
        if (len == 0)
            break;
        set->networks =
            xrealloc(set->networks, (set->count + 1) * sizeof *set->networks);
        if (!parse_network(p, len, &set->networks[set->count])) {
            peer_set_done(set);
            return celery_fail(err, CELERY_INVALID,
                               "%s='%.*s' is not accepted; accepted: addresses "
                               "and networks like 10.0.0.0/8 and fd00::/8, "
                               "comma-separated",
                               name, (int)(len < 60 ? len : 60), p);
        }
        set->count++;
        p += len;
    }
    return CELERY_OK;
}

void peer_set_done(struct peer_set *set)
{
    free(set->networks);
    *set = (struct peer_set){0};
}

static bool is_within(const struct peer_address *address,
                      const struct peer_network *network)
{
    const uint8_t *a = address->in6.s6_addr;
    const uint8_t *b = network->address.in6.s6_addr;
    size_t bytes = network->prefix / 8;
    unsigned rest = network->prefix % 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

bool peer_set_has(const struct peer_set *set,
                  const struct peer_address *address)
{
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        if (is_within(address, &set->networks[i]))
            return true;
    }
    return false;
}

/* --- the client --------------------------------------------------------- */

/* Walks one field's list from its right end; true: the search is over. */
static bool walk_list(const struct peer_set *trusted, const char *value,
                      struct peer_address *client)
{
    size_t end = strlen(value);
    for (;;) {
        size_t start = end;
        while (start > 0 && value[start - 1] != ',')
            start--;
        const char *entry = value + start;
        size_t len = end - start;
        while (len > 0 && (*entry == ' ' || *entry == '\t')) {
            entry++;
            len--;
        }
        while (len > 0 && (entry[len - 1] == ' ' || entry[len - 1] == '\t'))
            len--;
        if (len > 0) { /* RFC 9110 section 5.6.1: empty elements are ignored */
            if (!peer_address_parse(entry, len, client)
                || !peer_set_has(trusted, client))
                return true;
        }
        if (start == 0)
            return false;
        end = start - 1;
    }
}

void peer_client(const struct peer_set *trusted,
                 const struct peer_address *peer,
                 const struct http_request *request, struct peer_address *ret)
{
    *ret = *peer;
    if (!peer_set_has(trusted, peer))
        return;
    /* Several fields are one list, in their order. */
    for (size_t i = request->header_count; i-- > 0;) {
        if (strcasecmp(request->headers[i].name, "X-Forwarded-For") == 0
            && walk_list(trusted, request->headers[i].value, ret))
            return;
    }
}
