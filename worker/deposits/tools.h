/* SPDX-License-Identifier: MIT */
/*
 * The one-shot tools of cricalgo-worker: --migrate, --check-ledger, --explain,
 * --resolve.
 */
#ifndef DEPOSITS_TOOLS_H
#define DEPOSITS_TOOLS_H

#include <stdbool.h>

#include "deposits/settings.h"

/* Runs the tool that was asked for; false when none was. */
bool tools_run(const struct deposit_settings *settings, int *ret_status);

#endif /* DEPOSITS_TOOLS_H */
