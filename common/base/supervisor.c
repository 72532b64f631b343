/* SPDX-License-Identifier: MIT */
#include "base/supervisor.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* A path, or with a leading @ a name of Linux's abstract namespace. */
static bool address(const char *name, struct sockaddr_un *ret, socklen_t *len)
{
    size_t length = name != NULL ? strlen(name) : 0;
    if (length < 2 || length >= sizeof ret->sun_path
        || (name[0] != '/' && name[0] != '@'))
        return false;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, name, length);
    if (name[0] == '@')
        ret->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static bool tell(const char *state, const char *status)
{
    struct sockaddr_un to;
    socklen_t len = 0;
    char text[512];
    /* Nobody changes the environment after the start. */
    const char *name =
        getenv("NOTIFY_SOCKET"); /* NOLINT(concurrency-mt-unsafe) */
    if (!address(name, &to, &len))
        return false;
    int written = snprintf(text, sizeof text, "%sSTATUS=%.400s", state, status);
    if (written < 0)
        return false;
    /* A line break would begin another variable. */
    for (char *c = text + strlen(state); *c != '\0'; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    ssize_t sent = sendto(fd, text, (size_t)written, MSG_NOSIGNAL,
                          (const struct sockaddr *)&to, len);
    (void)close(fd);
    return sent == written;
}

bool supervisor_ready(const char *status)
{
    return tell("READY=1\n", status);
}

bool supervisor_reloading(const char *status)
{
    char state[64];
    /* sd_notify(3): Type=notify-reload wants to know since when. */
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                   (long long)clock_monotonic_us());
    return tell(state, status);
}

bool supervisor_stopping(const char *status)
{
    return tell("STOPPING=1\n", status);
}

bool supervisor_status(const char *status)
{
    return tell("", status);
}
