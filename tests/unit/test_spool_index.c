/* SPDX-License-Identifier: MIT */
#include "broker/spool/spool_index.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/url.h"
#include "support/unit.h"

START_TEST(tells_the_queue_of_a_name)
{
    static const struct {
        const char *name;
        const char *queue; /* NULL: no message */
    } cases[] = {
        {"1_u.celery.msg", "celery"},
        {"1_u.a.b.msg", "a.b"},
        {"1_u.msg.msg", "msg"},
        {"1_u.q.msg.msg", "q.msg"},
        {"x.q.msg", "q"},
        {"1_u..msg", NULL},
        {"1_u.msg", NULL},
        {".q.msg", NULL},
        {"1_u", NULL},
        {"", NULL},
        {".", NULL},
        {".msg", NULL},
        {"1_u.q.tmp", NULL},
        {"1_u.q.msgs", NULL},
        {"1_u.q.MSG", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *queue = NULL;
        size_t len = 0;
        bool found = spool_queue_of(cases[i].name, &queue, &len);
        ck_assert_msg(found == (cases[i].queue != NULL)
                          && (!found
                              || (strlen(cases[i].queue) == len
                                  && memcmp(queue, cases[i].queue, len) == 0)),
                      "%s", cases[i].name);
    }
}
END_TEST

static void check_take(struct spool_index *index, const char *queue,
                       const char *wanted)
{
    CLEANUP(url_freep) char *name = spool_index_take(index, queue);
    if (wanted == NULL) {
        ck_assert_ptr_null(name);
        return;
    }
    ck_assert_ptr_nonnull(name);
    ck_assert_str_eq(name, wanted);
}

START_TEST(gives_the_oldest_first)
{
    CLEANUP(spool_index_done) struct spool_index index = {0};

    check_take(&index, "q", NULL);
    spool_index_add(&index, "100_b.q.msg");
    spool_index_add(&index, "99_c.q.msg"); /* less digits: before */
    spool_index_add(&index, "100_a.q.msg");
    spool_index_add(&index, "101_a.q.msg");
    spool_index_add(&index, "5_a.other.msg");
    spool_index_add(&index, "no message");
    ck_assert_uint_eq(spool_index_count(&index, "q"), 4);
    ck_assert_uint_eq(spool_index_count(&index, "other"), 1);
    ck_assert_uint_eq(spool_index_count(&index, "oth"), 0);
    check_take(&index, "q", "99_c.q.msg");
    check_take(&index, "q", "100_a.q.msg");
    check_take(&index, "q", "100_b.q.msg");
    check_take(&index, "q", "101_a.q.msg");
    check_take(&index, "q", NULL);
    check_take(&index, "other", "5_a.other.msg");
    spool_index_add(&index, "1_z.q.msg");
    check_take(&index, "q", "1_z.q.msg");
}
END_TEST

START_TEST(knows_a_name_once)
{
    CLEANUP(spool_index_done) struct spool_index index = {0};

    for (size_t round = 0; round < 3; round++) {
        spool_index_add(&index, "2_b.q.msg");
        spool_index_add(&index, "1_a.q.msg");
        spool_index_add(&index, "3_c.q.msg");
    }
    ck_assert_uint_eq(spool_index_count(&index, "q"), 3);
    check_take(&index, "q", "1_a.q.msg");
    /* What was taken can come back: a lease that ran out. */
    spool_index_add(&index, "1_a.q.msg");
    check_take(&index, "q", "1_a.q.msg");
}
END_TEST

START_TEST(leaves_out_names_too_long_for_a_tag)
{
    CLEANUP(spool_index_done) struct spool_index index = {0};
    char name[193];

    memset(name, 'u', sizeof name);
    name[0] = '1';
    memcpy(name + sizeof name - 7, ".q.msg", 7);
    ck_assert_uint_eq(strlen(name), 192);
    spool_index_add(&index, name);
    ck_assert_uint_eq(spool_index_count(&index, "q"), 0);
    spool_index_add(&index, name + 1);
    ck_assert_uint_eq(spool_index_count(&index, "q"), 1);
}
END_TEST

static void name_of(unsigned number, char ret_name[32])
{
    (void)snprintf(ret_name, 32, "%u_u.q.msg", number);
}

/* More than there is room for at first, in and out, so that the room is both
 * grown and used again. */
START_TEST(stays_sorted_while_it_moves)
{
    CLEANUP(spool_index_done) struct spool_index index = {0};
    char name[32];
    unsigned added = 0;
    unsigned taken = 0;

    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 10; i += 2) { /* pairs, the later one first */
            name_of(added + 1, name);
            spool_index_add(&index, name);
            name_of(added, name);
            spool_index_add(&index, name);
            added += 2;
        }
        for (unsigned i = 0; i < 9; i++) {
            name_of(taken++, name);
            check_take(&index, "q", name);
        }
        ck_assert_uint_eq(spool_index_count(&index, "q"), added - taken);
    }
    while (taken < added) {
        name_of(taken++, name);
        check_take(&index, "q", name);
    }
    check_take(&index, "q", NULL);
}
END_TEST

static void expect_name(struct spool_index *index, const char *queue,
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
    expect_name(&index, "q", "1_a.q.msg");
    ck_assert(!spool_index_remove(&index, "1_a.q.msg"));
    ck_assert(!spool_index_remove(&index, "2_z.q.msg"));
    ck_assert(!spool_index_remove(&index, "11_z.q.msg"));
    ck_assert(!spool_index_remove(&index, "no message"));
    ck_assert(spool_index_remove(&index, "3_c.q.msg"));
    ck_assert(spool_index_remove(&index, "10_d.q.msg"));
    expect_name(&index, "q", "2_b.q.msg");
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
    expect_name(&index, "q", "1_a.q.msg");
    expect_name(&index, "q", "2_b.q.msg");
    expect_name(&index, "q", "3_c.q.msg");
    ck_assert_ptr_null(spool_index_take(&index, "q"));
    spool_index_done(&index);
    spool_index_done(&aside);
}
END_TEST

UNIT_MAIN("spool_index", a_queue_moves_in_its_order,
          one_name_is_taken_out_wherever_it_stands, tells_the_queue_of_a_name,
          gives_the_oldest_first, knows_a_name_once,
          leaves_out_names_too_long_for_a_tag, stays_sorted_while_it_moves)
