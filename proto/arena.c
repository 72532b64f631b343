/* SPDX-License-Identifier: MIT */
/*
 * Blocks are linked newest first and double in size, so that the number of
 * calls to malloc grows with the logarithm of a message. Under the address
 * sanitizer what is not handed out is poisoned.
 */
#include "celery/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
    ALIGN = alignof(max_align_t),
    FIRST_BLOCK = 4096,
    LARGEST_BLOCK = 1 << 20, /* larger only for one larger allocation */
};

struct celery_arena_block {
    struct celery_arena_block *older;
    size_t size; /* of data */
    size_t used;
    max_align_t data[];
};

static char *block_data(struct celery_arena_block *block)
{
    return (char *)block->data;
}

static struct celery_arena_block *block_new(size_t size)
{
    struct celery_arena_block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->older = NULL;
    block->size = size;
    block->used = 0;
    ASAN_POISON_MEMORY_REGION(block->data, size);
    return block;
}

static void block_free(struct celery_arena_block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(block->data, block->size);
    free(block);
}

void celery_arena_done(struct celery_arena *arena)
{
    struct celery_arena_block *block = arena->blocks;

    while (block != NULL) {
        struct celery_arena_block *older = block->older;
        block_free(block);
        block = older;
    }
    arena->blocks = NULL;
    arena->used = 0;
}

void celery_arena_clear(struct celery_arena *arena)
{
    struct celery_arena_block *block = arena->blocks;

    while (block != NULL && block->older != NULL) {
        struct celery_arena_block *older = block->older;
        block_free(block);
        block = older;
    }
    if (block != NULL) {
        block->used = 0;
        ASAN_POISON_MEMORY_REGION(block->data, block->size);
    }
    arena->blocks = block;
    arena->used = 0;
}

/* Puts a block with room for size bytes in front. */
static bool add_block(struct celery_arena *arena, size_t size)
{
    size_t want = FIRST_BLOCK - sizeof(struct celery_arena_block);

    if (arena->blocks != NULL)
        want = arena->blocks->size * 2;
    if (want > LARGEST_BLOCK)
        want = LARGEST_BLOCK;
    if (want < size)
        want = size;

    struct celery_arena_block *block = block_new(want);
    if (block == NULL)
        return false;
    block->older = arena->blocks;
    arena->blocks = block;
    return true;
}

void *celery_arena_alloc(struct celery_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;

    /* Even nothing gets an address of its own. */
    size_t need = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
    if (arena->limit != 0
        && (arena->used > arena->limit || need > arena->limit - arena->used))
        return NULL;

    struct celery_arena_block *block = arena->blocks;
    if (block == NULL || need > block->size - block->used) {
        if (!add_block(arena, need))
            return NULL;
        block = arena->blocks;
    }

    char *p = block_data(block) + block->used;
    block->used += need;
    arena->used += need;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return p;
}

struct celery_str celery_arena_copy(struct celery_arena *arena,
                                    struct celery_str s)
{
    struct celery_str copy = {NULL, 0};

    if (s.len == SIZE_MAX)
        return copy;
    char *p = celery_arena_alloc(arena, s.len + 1);
    if (p == NULL)
        return copy;
    if (s.len != 0)
        memcpy(p, s.data, s.len);
    p[s.len] = '\0';
    copy.data = p;
    copy.len = s.len;
    return copy;
}
