/* SPDX-License-Identifier: MIT */
/*
 * How often a message came back from a worker that died with it. The count is in
 * the message (header x-deliveries), so it outlives every worker; other clients
 * pass the header on as they do with any that they do not know.
 *
 * A message that came back once may have been innocent: whatever a dead worker
 * had claimed comes back. From then on it is counted only when its claim was
 * marked as started (broker_fence()), so that one task which kills its worker
 * does not take its neighbours with it.
 */
#ifndef BROKER_DELIVERIES_H
#define BROKER_DELIVERIES_H

#include <stdbool.h>

#include "celery/buf.h"
#include "celery/json_scan.h"

#define BROKER_DELIVERIES_HEADER "x-deliveries"

enum { BROKER_DELIVERIES_MOST = 1000000 };

/* What headers say; 0 when they say nothing that is a count. */
unsigned broker_deliveries(struct celery_json headers);

/* The count of a message that came back with count, started: it was marked. */
static inline unsigned broker_deliveries_next(unsigned count, bool started)
{
    return count == 0 || started ? count + 1 : count;
}

/* Appends the envelope (a checked JSON object) to buf with its count set; all
 * other bytes stay as they are. */
void broker_deliveries_put(struct celery_buf *buf, struct celery_json envelope,
                           unsigned count);

#endif /* BROKER_DELIVERIES_H */
