/* SPDX-License-Identifier: MIT */
#include "http/health_check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/socket.h"

enum { ANSWER_MAX = 64 };

static const int64_t patience_us = 3 * USEC_PER_SEC;

static enum celery_status ask(int fd, int64_t deadline_us,
                              struct celery_error *err)
{
    static const char request[] =
        "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n";
    static const char good[] = "HTTP/1.1 200 ";
    char answer[ANSWER_MAX] = "";
    size_t len = 0;
    ssize_t n = 1;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL)
        != (ssize_t)(sizeof request - 1))
        return celery_fail(err, CELERY_IO, "cannot send: %s",
                           strerrordesc_np(errno));
    while (n > 0 && len < sizeof good - 1) {
        if (!net_wait(fd, POLLIN, deadline_us, NULL))
            return celery_fail(err, CELERY_TIMEOUT, "no answer in 3 s");
        n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        len += n > 0 ? (size_t)n : 0;
    }
    if (strncmp(answer, good, sizeof good - 1) == 0)
        return CELERY_OK;
    answer[strcspn(answer, "\r\n")] = '\0';
    return celery_fail(err, CELERY_IO, "answered '%s'", answer);
}

int health_check(const char *program, const char *host, int port)
{
    struct celery_error err = {0};
    int fd = -1;
    int64_t deadline_us = clock_monotonic_us() + patience_us;
    const char *at = strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1"
                   : strcmp(host, "::") == 0      ? "::1"
                                                  : host;
    enum celery_status st = net_connect_tcp(at, port, deadline_us, &fd, &err);
    if (st == CELERY_OK)
        st = ask(fd, deadline_us, &err);
    if (fd >= 0)
        (void)close(fd);
    if (st == CELERY_OK)
        return 0;
    (void)fprintf(stderr, "%s: %s:%d: %s\n", program, at, port, err.msg);
    return 1;
}
