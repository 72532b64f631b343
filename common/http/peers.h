/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end: addresses, the networks whose word we take
 * (TRUSTED_PROXIES), and the client that they speak for. Pure but for memory.
 */
#ifndef HTTP_PEERS_H
#define HTTP_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "celery/error.h"

/* IPv4 as ::ffff:a.b.c.d, so there is one kind of address. */
struct peer_address {
    struct in6_addr in6;
};

struct peer_network {
    struct peer_address address;
    unsigned prefix; /* bits, 0 to 128 */
};

struct peer_set {
    struct peer_network *networks; /* owned */
    size_t count;
};

struct http_request;

/* From "10.0.0.0/8,fd00::/8,192.0.2.1"; NULL is the empty set. name is the
 * setting's, for the error: CELERY_INVALID. */
enum celery_status peer_set_init(struct peer_set *set, const char *name,
                                 const char *text, struct celery_error *err)
    CELERY_MUST_CHECK;
void peer_set_done(struct peer_set *set);

bool peer_set_has(const struct peer_set *set,
                  const struct peer_address *address);

/* An address as text, of either family; also "[address]:port" and, for IPv4,
 * "address:port", as proxies write them. false: it is none. */
bool peer_address_parse(const char *text, size_t len, struct peer_address *ret);

void peer_address_of(const struct sockaddr_storage *sockaddr,
                     struct peer_address *ret);

/* Whom limits count: an IPv4 address, or the /64 of an IPv6 one, of which one
 * client has them all. */
struct peer_address peer_counted_as(const struct peer_address *address);

void peer_address_text(const struct peer_address *address,
                       char ret_text[INET6_ADDRSTRLEN]);

/* Whom the request is from: the peer, unless it is in trusted; then the
 * rightmost entry of X-Forwarded-For that is not in trusted. An entry that is
 * no address ends the search: what stands left of it is anybody's word. */
void peer_client(const struct peer_set *trusted,
                 const struct peer_address *peer,
                 const struct http_request *request, struct peer_address *ret);

#endif /* HTTP_PEERS_H */
