/* SPDX-License-Identifier: MIT */
/*
 * Ids that must not run: at most 50,000, for three hours, as Celery keeps them
 * (celery/worker/state.py). thread: consumer.
 */
#ifndef RUNTIME_REVOKE_H
#define RUNTIME_REVOKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/json_write.h"

struct revoked_id {
    char *id;
    int64_t until_us; /* monotonic */
};

struct revoked {
    struct revoked_id *ids; /* oldest first */
    size_t count;
    size_t cap;
};

void revoked_done(struct revoked *revoked);
void revoked_add(struct revoked *revoked, struct celery_str id);
bool revoked_has(const struct revoked *revoked, const char *id);

/* Forgets what is too old. */
void revoked_purge(struct revoked *revoked);

/* Writes the ids as an array, oldest first. */
void revoked_write(const struct revoked *revoked, struct celery_json_writer *w);

#endif /* RUNTIME_REVOKE_H */
