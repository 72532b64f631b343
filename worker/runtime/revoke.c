/* SPDX-License-Identifier: MIT */
#include "runtime/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

enum { REVOKES_MAX = 50000, REVOKE_EXPIRES_S = 10800 };

void revoked_done(struct revoked *revoked)
{
    for (size_t i = 0; i < revoked->count; i++)
        free(revoked->ids[i].id);
    free(revoked->ids);
    *revoked = (struct revoked){0};
}

static void drop_oldest(struct revoked *revoked, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(revoked->ids[i].id);
    memmove(revoked->ids, revoked->ids + count,
            (revoked->count - count) * sizeof revoked->ids[0]);
    revoked->count -= count;
}

void revoked_purge(struct revoked *revoked)
{
    int64_t now = clock_monotonic_us();
    size_t old = 0;
    while (old < revoked->count && revoked->ids[old].until_us <= now)
        old++;
    if (old > 0)
        drop_oldest(revoked, old);
}

/* A linear look: the list is empty in a healthy system, and a look costs a few
 * microseconds per thousand ids. */
bool revoked_has(const struct revoked *revoked, const char *id)
{
    for (size_t i = 0; i < revoked->count; i++) {
        if (strcmp(revoked->ids[i].id, id) == 0)
            return true;
    }
    return false;
}

void revoked_add(struct revoked *revoked, struct celery_str id)
{
    char *text = xstrndup(id.data, id.len);
    if (revoked_has(revoked, text)) {
        free(text);
        return;
    }
    if (revoked->count == REVOKES_MAX)
        drop_oldest(revoked, REVOKES_MAX / 10);
    if (revoked->count == revoked->cap) {
        revoked->cap = revoked->cap == 0 ? 64 : revoked->cap * 2;
        revoked->ids =
            xrealloc(revoked->ids, revoked->cap * sizeof revoked->ids[0]);
    }
    revoked->ids[revoked->count++] = (struct revoked_id){
        text, clock_monotonic_us() + (int64_t)REVOKE_EXPIRES_S * USEC_PER_SEC};
}

void revoked_write(const struct revoked *revoked, struct celery_json_writer *w)
{
    celery_json_begin_array(w);
    for (size_t i = 0; i < revoked->count; i++)
        celery_json_put_text(w, revoked->ids[i].id);
    celery_json_end_array(w);
}
