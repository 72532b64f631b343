/* SPDX-License-Identifier: MIT */
/*
 * The running API: the order in which its parts start and stop.
 */
#ifndef API_APP_H
#define API_APP_H

#include "conf/conf.h"
#include "ledger/ledger.h"

/* Exit codes: 0 stopped as asked, 1 failed, 2 wrong settings. */
enum { APP_OK = 0, APP_FAILED = 1, APP_MISCONFIGURED = 2 };

/* Serves until SIGTERM or SIGINT; a second one ends the grace at once. */
int app_run(const struct conf *conf);

/* Applies the schema's steps. */
int app_migrate(const struct conf *conf);

/* The ledger as the settings say. */
enum celery_status app_open_ledger(const struct conf *conf, struct ledger **ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;

#endif /* API_APP_H */
