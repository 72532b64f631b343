/* SPDX-License-Identifier: MIT */
/*
 * The memory of one message: a bump allocator. Everything a decoder builds
 * lives in the caller's arena until celery_arena_done or _clear; nothing in
 * it is freed alone. Not thread-safe; one arena belongs to one message.
 */
#ifndef CELERY_ARENA_H
#define CELERY_ARENA_H

#include <stddef.h>

#include "celery/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_arena_block;

struct celery_arena {
    struct celery_arena_block *blocks; /* newest first */
    size_t used;                       /* bytes handed out */
    size_t limit;                      /* 0: no limit */
};

#define CELERY_ARENA_INIT ((struct celery_arena){0})

/* Frees all memory; the arena is empty and usable again. */
CELERY_API void celery_arena_done(struct celery_arena *arena);

/* Forgets the contents, keeps the first block: no allocation after warm-up. */
CELERY_API void celery_arena_clear(struct celery_arena *arena);

/* size bytes, aligned for any type, not zeroed; NULL without memory or past
 * the limit. */
CELERY_API void *celery_arena_alloc(struct celery_arena *arena, size_t size)
    CELERY_MUST_CHECK;

/* A NUL-terminated copy of s; data is NULL without memory. */
CELERY_API struct celery_str celery_arena_copy(struct celery_arena *arena,
                                               struct celery_str s)
    CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_ARENA_H */
