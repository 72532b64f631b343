/* SPDX-License-Identifier: MIT */
/*
 * The deposit task: settles all claimed deposits with one statement and times
 * each of them.
 */
#ifndef DEPOSITS_PROCESS_DEPOSIT_H
#define DEPOSITS_PROCESS_DEPOSIT_H

#include "celery/worker.h"
#include "ledger/ledger.h"

/* Registers the task under both of its names. *ledger is read when the task
 * runs: it may be set later. */
enum celery_status process_deposit_register(struct celery_app *app,
                                            struct ledger **ledger,
                                            struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* DEPOSITS_PROCESS_DEPOSIT_H */
