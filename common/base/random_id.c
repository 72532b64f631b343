/* SPDX-License-Identifier: MIT */
#include "base/random_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"

enum { POOL_BYTES = 256 };

/* One system call for sixteen ids; a thread keeps what it has not used. The
 * owner's pid is remembered: a forked child must not repeat its parent's ids. */
static _Thread_local struct {
    uint8_t bytes[POOL_BYTES];
    size_t left;
    pid_t pid;
} pool;

static void refill(void)
{
    size_t have = 0;
    while (have < sizeof pool.bytes) {
        ssize_t n = getrandom(pool.bytes + have, sizeof pool.bytes - have, 0);
        if (n <= 0) {
            (void)fprintf(stderr, "level=fatal msg=\"getrandom failed\"\n");
            abort();
        }
        have += (size_t)n;
    }
    pool.left = sizeof pool.bytes;
    pool.pid = getpid();
}

static void take(void *out, size_t size)
{
    if (pool.left < size || pool.pid != getpid())
        refill();
    pool.left -= size;
    memcpy(out, pool.bytes + pool.left, size);
}

void random_id(char ret_text[CELERY_TASK_ID_LEN + 1])
{
    uint8_t bytes[16];
    take(bytes, sizeof bytes);
    celery_task_id_format(bytes, ret_text);
}

void ordered_id(char ret_text[CELERY_TASK_ID_LEN + 1])
{
    uint8_t bytes[16];
    uint64_t ms = (uint64_t)clock_wall_us() / 1000;
    take(bytes, sizeof bytes);
    for (int i = 5; i >= 0; i--) {
        bytes[i] = (uint8_t)ms;
        ms >>= 8U;
    }
    celery_task_id_format(bytes, ret_text);
    ret_text[14] = '7'; /* the version's digit */
}

uint64_t random_below(uint64_t bound)
{
    uint64_t value = 0;
    take(&value, sizeof value);
    return value % bound; /* the bias is below 2^-32 for what we draw */
}
