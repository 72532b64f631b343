/* SPDX-License-Identifier: MIT */
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { USER_TIMEOUT_MS = 10000, KEEPALIVE_IDLE_S = 30, KEEPALIVE_PROBE_S = 10 };

bool net_wait(int fd, short events, int64_t deadline_us, short *ret_revents)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&pfd, 1, clock_poll_ms(deadline_us));
        if (n > 0) {
            if (ret_revents != NULL)
                *ret_revents = pfd.revents;
            return true;
        }
        if (n == 0 || errno != EINTR) {
            if (n == 0 && clock_monotonic_us() < deadline_us)
                continue; /* poll's milliseconds were cut */
            return false;
        }
    }
}

static void tune(int fd)
{
    const int on = 1;
    const int idle = KEEPALIVE_IDLE_S;
    const int probe = KEEPALIVE_PROBE_S;
    const unsigned user_timeout = USER_TIMEOUT_MS;
    /* Without any of these the connection works all the same. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof probe);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout,
                     sizeof user_timeout);
}

/* 0, or the errno of the failure. */
static int connect_one(const struct addrinfo *ai, int64_t deadline_us,
                       int *ret_fd)
{
    int fd =
        socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    tune(fd);
    int error = 0;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            socklen_t len = sizeof error;
            if (!net_wait(fd, POLLOUT, deadline_us, NULL))
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
                error = errno;
        }
    }
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

enum celery_status net_connect_tcp(const char *host, int port,
                                   int64_t deadline_us, int *ret_fd,
                                   struct celery_error *err)
{
    char service[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;

    (void)snprintf(service, sizeof service, "%d", port);
    int gai = getaddrinfo(host, service, &hints, &list);
    if (gai != 0)
        return celery_fail(err, CELERY_IO, "cannot resolve '%.80s': %s", host,
                           gai_strerror(gai));
    int error = ECONNREFUSED;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        error = connect_one(ai, deadline_us, ret_fd);
        if (error == 0)
            break;
    }
    freeaddrinfo(list);
    if (error == 0)
        return CELERY_OK;
    return celery_fail(err, error == ETIMEDOUT ? CELERY_TIMEOUT : CELERY_IO,
                       "cannot connect to %.80s:%d: %s", host, port,
                       strerrordesc_np(error));
}

enum celery_status net_connect_unix(const char *path, int *ret_fd,
                                    struct celery_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path)
        return celery_fail(err, CELERY_INVALID,
                           "socket path '%.80s' is longer than %zu bytes", path,
                           sizeof addr.sun_path - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return celery_fail(err, CELERY_IO, "cannot connect to %.80s: %s", path,
                           strerrordesc_np(error));
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    *ret_fd = fd;
    return CELERY_OK;
}
