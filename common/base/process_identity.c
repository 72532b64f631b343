/* SPDX-License-Identifier: MIT */
#include "base/process_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_FIELD = 22 /* proc(5), /proc/pid/stat */, PLACE_MAX = 96 };

static bool read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, ret, size - 1);
    int saved = errno;
    (void)close(fd);
    errno = saved;
    if (len <= 0)
        return false;
    ret[len] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return true;
}

/* <boot id>/<process namespace> */
static bool place(char ret[PLACE_MAX])
{
    char boot[48];
    char ns[40];
    ssize_t len = readlink("/proc/self/ns/pid", ns, sizeof ns - 1);
    if (len <= 0
        || !read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        return false;
    ns[len] = '\0';
    (void)snprintf(ret, PLACE_MAX, "%s/%s", boot, ns);
    return true;
}

/* In ticks since the boot; 0: no such process, or it cannot be read. */
static unsigned long long start_of(long pid)
{
    char path[40];
    char text[1024];
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    if (!read_text(path, text, sizeof text))
        return 0;
    /* The second field is a name in brackets that may hold anything. */
    const char *p = strrchr(text, ')');
    for (int field = 2; p != NULL && field < START_FIELD; field++)
        p = strchr(p + 1, ' ');
    return p != NULL ? strtoull(p + 1, NULL, 10) : 0;
}

void process_identity(char ret[PROCESS_IDENTITY_MAX])
{
    char where[PLACE_MAX];
    unsigned long long start = start_of(getpid());
    ret[0] = '\0';
    if (start != 0 && place(where))
        (void)snprintf(ret, PROCESS_IDENTITY_MAX, "%.80s/%ld/%llu", where,
                       (long)getpid(), start);
}

bool process_is_gone(const char *identity)
{
    char where[PLACE_MAX];
    char *end = NULL;
    if (!place(where))
        return false;
    size_t len = strlen(where);
    if (strncmp(identity, where, len) != 0 || identity[len] != '/')
        return false;
    long pid = strtol(identity + len + 1, &end, 10);
    if (pid <= 0 || *end != '/')
        return false;
    unsigned long long start = strtoull(end + 1, &end, 10);
    if (start == 0 || *end != '\0')
        return false;
    unsigned long long now = start_of(pid);
    return now != start && (now != 0 || errno == ENOENT || errno == ESRCH);
}
