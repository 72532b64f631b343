/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/buf.h"
#include "celery/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. */
#define HOLDS(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
                    #condition);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)

enum { FUZZ_LIMITS_DEPTH = 64 };

/* Small enough that an input cannot make a run slow. */
#define FUZZ_LIMITS_INIT                                                     \
    {                                                                        \
        .message_bytes = (size_t)1 << 16, .inflated_bytes = (size_t)1 << 18, \
        .elements = 10000, .depth = FUZZ_LIMITS_DEPTH, .headers = 100,       \
        .stamps = 100                                                        \
    }
#define FUZZ_LIMITS ((struct celery_limits)FUZZ_LIMITS_INIT)

static inline struct celery_str fuzz_str(const uint8_t *data, size_t size)
{
    return (struct celery_str){(const char *)data, size};
}

static inline int fuzz_same(struct celery_str a, struct celery_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif /* FUZZ_H */
