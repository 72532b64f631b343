/* SPDX-License-Identifier: MIT */
#include "http/peer_count.h"

#include <stdlib.h>
#include <string.h>

#include "base/random_id.h"
#include "base/xalloc.h"

enum { BUCKETS = 4096 }; /* a power of two */

struct peer {
    struct peer *next;
    struct peer_address address;
    int count;
};

struct peer_count {
    struct peer *buckets[BUCKETS];
    uint64_t seed; /* so nobody can choose addresses of one bucket */
};

struct peer_count *peer_count_new(void)
{
    struct peer_count *peers = xcalloc(1, sizeof *peers);
    peers->seed = random_below(UINT64_MAX) | 1;
    return peers;
}

void peer_count_free(struct peer_count *peers)
{
    for (size_t i = 0; peers != NULL && i < BUCKETS; i++) {
        while (peers->buckets[i] != NULL) {
            struct peer *next = peers->buckets[i]->next;
            free(peers->buckets[i]);
            peers->buckets[i] = next;
        }
    }
    free(peers);
}

static struct peer **find(struct peer_count *peers,
                          const struct peer_address *key)
{
    uint64_t halves[2];
    memcpy(halves, key, sizeof halves);
    uint64_t hash = (halves[0] ^ peers->seed) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 32 ^ halves[1]) * (peers->seed | 1);
    struct peer **at = &peers->buckets[hash >> 48 & (BUCKETS - 1)];
    while (*at != NULL && memcmp(&(*at)->address, key, sizeof *key) != 0)
        at = &(*at)->next;
    return at;
}

bool peer_count_add(struct peer_count *peers,
                    const struct peer_address *address, int max)
{
    struct peer_address key = peer_counted_as(address);
    struct peer **at = find(peers, &key);
    if (*at == NULL) {
        *at = xcalloc(1, sizeof **at);
        (*at)->address = key;
    }
    if (max > 0 && (*at)->count >= max)
        return false;
    (*at)->count++;
    return true;
}

void peer_count_remove(struct peer_count *peers,
                       const struct peer_address *address)
{
    struct peer_address key = peer_counted_as(address);
    struct peer **at = find(peers, &key);
    struct peer *peer = *at;
    if (peer == NULL || --peer->count > 0)
        return;
    *at = peer->next;
    free(peer);
}
