/* SPDX-License-Identifier: MIT */
#include "celery/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

START_TEST(hands_out_aligned_pieces_that_do_not_overlap)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    unsigned char *pieces[200];

    for (size_t i = 0; i < 200; i++) {
        pieces[i] = celery_arena_alloc(&arena, i * 7);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j < i * 7; j++)
            ck_assert_uint_eq(pieces[i][j], i);
    }
}
END_TEST

START_TEST(refuses_past_the_limit)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    arena.limit = 100;

    ck_assert_ptr_nonnull(celery_arena_alloc(&arena, 64));
    ck_assert_ptr_null(celery_arena_alloc(&arena, 64));
    ck_assert_ptr_nonnull(celery_arena_alloc(&arena, 16));
    ck_assert_ptr_null(celery_arena_alloc(&arena, SIZE_MAX));
    ck_assert_uint_le(arena.used, arena.limit);
}
END_TEST

START_TEST(clear_keeps_the_first_block)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;

    void *first = celery_arena_alloc(&arena, 16);
    ck_assert_ptr_nonnull(celery_arena_alloc(&arena, 100000));
    celery_arena_clear(&arena);
    ck_assert_uint_eq(arena.used, 0);

    oom_after(0);
    void *again = celery_arena_alloc(&arena, 16);
    oom_after(-1);
    ck_assert_ptr_eq(first, again);
}
END_TEST

START_TEST(copies_are_terminated)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;

    struct celery_str copy = celery_arena_copy(&arena, text("abc"));
    ck_assert_str_eq(copy.data, "abc");
    copy = celery_arena_copy(&arena, (struct celery_str){NULL, 0});
    ck_assert_str_eq(copy.data, "");
}
END_TEST

START_TEST(survives_out_of_memory)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;

    oom_after(0);
    void *none = celery_arena_alloc(&arena, 1);
    struct celery_str copy = celery_arena_copy(&arena, text("x"));
    oom_after(-1);
    ck_assert_ptr_null(none);
    ck_assert_ptr_null(copy.data);
    ck_assert_ptr_nonnull(celery_arena_alloc(&arena, 1));
}
END_TEST

UNIT_MAIN("arena", hands_out_aligned_pieces_that_do_not_overlap,
          refuses_past_the_limit, clear_keeps_the_first_block,
          copies_are_terminated, survives_out_of_memory)
