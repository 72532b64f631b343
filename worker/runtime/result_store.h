/* SPDX-License-Identifier: MIT */
/*
 * Stores results in a thread of its own, so that a slow backend does not keep
 * the consumer from answering: ended requests go in, come back when their result
 * is stored, and are acked then. While the backend is away they wait here.
 */
#ifndef RUNTIME_RESULT_STORE_H
#define RUNTIME_RESULT_STORE_H

#include <stdbool.h>

#include "backend/backend.h"
#include "base/op_queue.h"
#include "celery/result.h"
#include "task/request.h"

struct result_store;

/* Takes the backend. stored: where requests come back; borrowed. */
enum celery_status result_store_start(struct backend *backend, bool extended,
                                      const char *nodename,
                                      struct op_queue *stored,
                                      struct result_store **ret,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;

/* thread: consumer. The request comes back through stored. */
void result_store_push(struct result_store *store,
                       struct celery_request *request);

/* A document while the request goes on (STARTED), or without one (NULL): REVOKED
 * by command, only written over nothing, RECEIVED, RETRY or REJECTED. All is
 * copied. */
void result_store_document(struct result_store *store, const char *task_id,
                           const struct celery_request *request,
                           struct celery_str document, bool if_unknown);

/* Adds what result_extended asks for, if it is set. */
void result_store_extend(const struct result_store *store,
                         const struct celery_request *request,
                         struct celery_result_out *out);

/* Stores what is left, for at most until deadline_us, and ends the thread.
 * Requests that could not be stored come back with result_stored false. */
void result_store_stop(struct result_store *store, int64_t deadline_us);

#endif /* RUNTIME_RESULT_STORE_H */
