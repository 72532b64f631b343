/* SPDX-License-Identifier: MIT */
/*
 * Claims that wait for their ETA. Where the broker keeps the message with the
 * claim, only the tag stays here and the message is fetched when it is due, in the
 * same step that makes sure that the claim is still ours. thread: consumer.
 */
#ifndef RUNTIME_PARKED_H
#define RUNTIME_PARKED_H

#include "runtime/worker_state.h"

/* Takes the request; it may be gone afterwards. */
void parked_add(struct worker *worker, struct celery_request *request);
/* Stamps the leases of what was added since the last call. */
void parked_flush(struct worker *worker);

/* Hands what is due to dispatch. */
void parked_due(struct worker *worker);

/* Once a second: moves on the leases that run out. */
void parked_renew(struct worker *worker);

/* At a shutdown: all that is kept by its tag goes back to its queue; returns how
 * many. What is held as a request comes from parked_take_held(). */
size_t parked_give_back(struct worker *worker);
/* A held request, taken out, or NULL. Claims kept by their tag stay. */
struct celery_request *parked_take_held(struct worker *worker);

/* For broker_reclaim(): arg is the worker. */
bool parked_knows(void *arg, const char *tag);
/* Frees what parked_knows() built up. */
void parked_knows_done(struct worker *worker);

#endif /* RUNTIME_PARKED_H */
