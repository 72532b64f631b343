/* SPDX-License-Identifier: MIT */
/*
 * The answers of the inspect commands: what the worker holds and is, as JSON.
 * Shapes: celery/worker/control.py, celery/worker/request.py info(),
 * kombu/entity.py as_dict().
 */
#ifndef RUNTIME_INSPECT_H
#define RUNTIME_INSPECT_H

#include "celery/json_write.h"
#include "runtime/worker_state.h"

/* The request as Request.info() shows it. */
void inspect_put_info(const struct celery_request *request, bool safe,
                      struct celery_json_writer *w);

void inspect_active(struct worker *worker, struct celery_json arguments,
                    struct celery_json_writer *w);
void inspect_reserved(struct worker *worker, struct celery_json arguments,
                      struct celery_json_writer *w);
void inspect_scheduled(struct worker *worker, struct celery_json arguments,
                       struct celery_json_writer *w);
void inspect_query_task(struct worker *worker, struct celery_json arguments,
                        struct celery_json_writer *w);
void inspect_registered(struct worker *worker, struct celery_json arguments,
                        struct celery_json_writer *w);
void inspect_active_queues(struct worker *worker, struct celery_json arguments,
                           struct celery_json_writer *w);
void inspect_conf(struct worker *worker, struct celery_json arguments,
                  struct celery_json_writer *w);
void inspect_stats(struct worker *worker, struct celery_json arguments,
                   struct celery_json_writer *w);
void inspect_report(struct worker *worker, struct celery_json arguments,
                    struct celery_json_writer *w);

#endif /* RUNTIME_INSPECT_H */
