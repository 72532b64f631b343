/* SPDX-License-Identifier: MIT */
/*
 * Every inspect and control command: one table. Answers are what
 * celery/worker/control.py answers, texts included, since scripts match them.
 */
#ifndef RUNTIME_COMMANDS_H
#define RUNTIME_COMMANDS_H

#include <stdbool.h>

#include "celery/control.h"
#include "runtime/worker_state.h"

/* Runs the request and appends its answer as JSON. false: no reply is owed
 * (shutdown). */
bool commands_run(struct worker *worker,
                  const struct celery_control_request *request,
                  struct celery_buf *answer);

#endif /* RUNTIME_COMMANDS_H */
