/* SPDX-License-Identifier: MIT */
/*
 * What hostile input may cost. One struct is handed to every decoder; the
 * error of a decoder says which limit was passed.
 */
#ifndef CELERY_LIMITS_H
#define CELERY_LIMITS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct celery_limits {
    size_t message_bytes;  /* one message as it stands in the broker */
    size_t inflated_bytes; /* a body after decompression */
    size_t elements;       /* values in one JSON or msgpack document */
    unsigned depth;        /* nesting of arrays and objects; at most 1024 */
    unsigned headers;      /* members of a message's headers object */
    unsigned stamps;       /* names of stamps, and stamps, of a message */
};

/* 16 MiB, 64 MiB, 1,000,000 elements, depth 128, 1,000 headers and
 * as many stamps. */
#define CELERY_LIMITS_DEFAULT                                   \
    ((struct celery_limits){.message_bytes = (size_t)16 << 20,  \
                            .inflated_bytes = (size_t)64 << 20, \
                            .elements = 1000000,                \
                            .depth = 128,                       \
                            .headers = 1000,                    \
                            .stamps = 1000})

#ifdef __cplusplus
}
#endif

#endif /* CELERY_LIMITS_H */
