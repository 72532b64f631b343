/* SPDX-License-Identifier: MIT */
/*
 * How many connections each peer has. IPv6 peers are counted by their /64: one
 * customer has a whole one.
 */
#ifndef HTTP_PEER_COUNT_H
#define HTTP_PEER_COUNT_H

#include "http/peers.h"

struct peer_count;

struct peer_count *peer_count_new(void);
void peer_count_free(struct peer_count *peers); /* NULL is fine */

/* One more, unless there are max already (0: no limit). */
bool peer_count_add(struct peer_count *peers,
                    const struct peer_address *address, int max);
void peer_count_remove(struct peer_count *peers,
                       const struct peer_address *address);

#endif /* HTTP_PEER_COUNT_H */
