/* SPDX-License-Identifier: MIT */
/*
 * What a service tells the systemd that started it (Type=notify), without
 * libsystemd: datagrams of NAME=value lines to $NOTIFY_SOCKET. Without that
 * variable nothing happens; what cannot be sent is not missed.
 */
#ifndef BASE_SUPERVISOR_H
#define BASE_SUPERVISOR_H

#include <stdbool.h>

/* Ready to serve. status is one line for `systemctl status`. */
bool supervisor_ready(const char *status);

/* Reading its settings again; supervisor_ready() ends that. */
bool supervisor_reloading(const char *status);

/* Stopping; call it when the signal is seen, before anything is waited for. */
bool supervisor_stopping(const char *status);

bool supervisor_status(const char *status);

#endif /* BASE_SUPERVISOR_H */
