/* SPDX-License-Identifier: MIT */
/*
 * A name for this process that no other one ever has: host's boot, process
 * namespace, process id and its start. Whoever runs beside it can tell from the
 * name that the process is gone, with certainty and without waiting.
 */
#ifndef BASE_PROCESS_IDENTITY_H
#define BASE_PROCESS_IDENTITY_H

#include <stdbool.h>

enum { PROCESS_IDENTITY_MAX = 128 };

/* "" when /proc does not say. Of the calling process. */
void process_identity(char ret[PROCESS_IDENTITY_MAX]);

/* True only when the process ran in our boot and namespace and is there no more;
 * of all others, and of what is no identity, nothing is known: false. */
bool process_is_gone(const char *identity);

#endif /* BASE_PROCESS_IDENTITY_H */
