/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets, each operation with a deadline (monotonic microseconds, see
 * base/clock.h). Sockets are non-blocking and close-on-exec.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/error.h"

/* Tries every address of host in turn. TCP_NODELAY, keepalive and
 * TCP_USER_TIMEOUT (10 s) are set. Name resolution is the resolver's own time. */
enum celery_status net_connect_tcp(const char *host, int port,
                                   int64_t deadline_us, int *ret_fd,
                                   struct celery_error *err) CELERY_MUST_CHECK;

enum celery_status net_connect_unix(const char *path, int *ret_fd,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* Waits until fd has one of events (POLLIN, POLLOUT) or an error; false when
 * the deadline passed. */
bool net_wait(int fd, short events, int64_t deadline_us, short *ret_revents);

#endif /* NET_SOCKET_H */
