/* SPDX-License-Identifier: MIT */
/*
 * --replay: webhooks of the inbox that were refused or ignored, read again as
 * their sources say now. What was right about their signature and time then is
 * right now; neither is asked again.
 */
#ifndef API_REPLAY_H
#define API_REPLAY_H

#include "conf/conf.h"

/* "INBOX_ID", or with since not NULL all that came at or after it: "2026-11-29",
 * "2026-11-29T06:00:00Z" (UTC where it says nothing else). Prints a line for
 * each. The exit codes are app.h's; APP_FAILED when one stays refused. */
int replay_run(const struct conf *conf, const char *inbox_id,
               const char *since);

#endif /* API_REPLAY_H */
