/* SPDX-License-Identifier: MIT */
#include "base/failpoint.h"

#ifdef CELERY_C_FAILPOINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void failpoint(const char *name)
{
    static _Atomic long hits;
    /* Set before the program starts. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *wanted = getenv("CELERY_C_FAILPOINT");
    size_t len = strlen(name);
    if (wanted == NULL || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
        return;
    const char *action = wanted + len + 1;
    const char *count = strchr(action, ':');
    long at = count != NULL ? strtol(count + 1, NULL, 10) : 1;
    if (++hits != at)
        return;
    (void)raise(strncmp(action, "hang", 4) == 0 ? SIGSTOP : SIGKILL);
}

#else
/* A file must not be empty. */
typedef int failpoint_unused;
#endif
