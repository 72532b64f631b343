/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "broker/spool/spool_index.h"
#include "support/unit.h"

static void expect(struct spool_index *index, const char *queue,
                   const char *name)
{
    char *taken = spool_index_take(index, queue);
    ck_assert_str_eq(taken, name);
    free(taken);
}

START_TEST(one_name_is_taken_out_wherever_it_stands)
{
    static const char *const names[] = {"1_a.q.msg", "2_b.q.msg", "3_c.q.msg",
                                        "10_d.q.msg", "3_x.other.msg"};
    struct spool_index index = {0};
    ck_assert(!spool_index_remove(&index, "1_a.q.msg"));
    for (size_t i = 5; i-- > 0;)
        spool_index_add(&index, names[i]);
    spool_index_add(&index, "2_b.q.msg");
    ck_assert_uint_eq(spool_index_count(&index, "q"), 4);
    expect(&index, "q", "1_a.q.msg");
    ck_assert(!spool_index_remove(&index, "1_a.q.msg"));
    ck_assert(!spool_index_remove(&index, "2_z.q.msg"));
    ck_assert(!spool_index_remove(&index, "11_z.q.msg"));
    ck_assert(!spool_index_remove(&index, "no message"));
    ck_assert(spool_index_remove(&index, "3_c.q.msg"));
    ck_assert(spool_index_remove(&index, "10_d.q.msg"));
    expect(&index, "q", "2_b.q.msg");
    ck_assert_ptr_null(spool_index_take(&index, "q"));
    ck_assert_uint_eq(spool_index_count(&index, "other"), 1);
    spool_index_done(&index);
}
END_TEST

START_TEST(a_queue_moves_in_its_order)
{
    struct spool_index index = {0};
    struct spool_index aside = {0};
    spool_index_move(&index, &aside, "q");
    spool_index_add(&index, "2_b.q.msg");
    spool_index_add(&aside, "3_c.q.msg");
    spool_index_add(&aside, "1_a.q.msg");
    spool_index_add(&aside, "2_b.q.msg");
    spool_index_add(&aside, "1_a.other.msg");
    spool_index_move(&index, &aside, "q");
    ck_assert_uint_eq(spool_index_count(&aside, "q"), 0);
    ck_assert_uint_eq(spool_index_count(&aside, "other"), 1);
    expect(&index, "q", "1_a.q.msg");
    expect(&index, "q", "2_b.q.msg");
    expect(&index, "q", "3_c.q.msg");
    ck_assert_ptr_null(spool_index_take(&index, "q"));
    spool_index_done(&index);
    spool_index_done(&aside);
}
END_TEST

UNIT_MAIN("spool_index", one_name_is_taken_out_wherever_it_stands,
          a_queue_moves_in_its_order)
