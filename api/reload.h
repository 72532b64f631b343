/* SPDX-License-Identifier: MIT */
/*
 * SIGHUP: what comes from files is read again, and what came of it is told to the
 * log, to systemd and to /metrics. Used by the main thread alone.
 */
#ifndef API_RELOAD_H
#define API_RELOAD_H

#include "secrets.h"

/* Once, after the first reading has succeeded: it counts as a reload. */
void reload_register_metrics(void);

/* Reads the files of conf's settings again and puts what they hold in force in
 * the store. A wrong one leaves all the old ones in force, and the metric says so
 * until a reload succeeds. */
void reload_secrets(struct secret_store *store, const struct conf *conf);

#endif /* API_RELOAD_H */
