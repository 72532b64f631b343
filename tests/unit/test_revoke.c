/* SPDX-License-Identifier: MIT */
#include "runtime/revoke.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "support/text.h"
#include "support/unit.h"

enum { MOST = 50000, DROPPED = MOST / 10 };

static void check_text(const struct revoked *revoked, const char *wanted)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);

    revoked_write(revoked, &w);
    ck_assert_str_eq(celery_buf_str(&buf).data, wanted);
}

START_TEST(keeps_ids_once_and_in_order)
{
    CLEANUP(revoked_done) struct revoked revoked = {0};

    check_text(&revoked, "[]");
    ck_assert(!revoked_has(&revoked, "a"));
    revoked_add(&revoked, text("b"));
    revoked_add(&revoked, text("a\"quote"));
    revoked_add(&revoked, text("b"));
    revoked_add(&revoked, (struct celery_str){"cut here", 3});
    revoked_add(&revoked, text(""));
    ck_assert_uint_eq(revoked.count, 4);
    ck_assert(revoked_has(&revoked, "b") && revoked_has(&revoked, "cut")
              && revoked_has(&revoked, ""));
    ck_assert(!revoked_has(&revoked, "cut here"));
    check_text(&revoked, "[\"b\", \"a\\\"quote\", \"cut\", \"\"]");
}
END_TEST

START_TEST(forgets_after_three_hours)
{
    CLEANUP(revoked_done) struct revoked revoked = {0};
    int64_t before = clock_monotonic_us();

    revoked_purge(&revoked);
    revoked_add(&revoked, text("old"));
    revoked_add(&revoked, text("older"));
    revoked_add(&revoked, text("new"));
    int64_t lasts = revoked.ids[0].until_us - before;
    ck_assert_int_ge(lasts, 3 * 3600 * USEC_PER_SEC);
    ck_assert_int_lt(lasts, 3 * 3600 * USEC_PER_SEC + 600 * USEC_PER_SEC);
    revoked_purge(&revoked);
    ck_assert_uint_eq(revoked.count, 3);

    revoked.ids[0].until_us = before;
    revoked.ids[1].until_us = before;
    revoked_purge(&revoked);
    check_text(&revoked, "[\"new\"]");
    revoked.ids[0].until_us = before;
    revoked_purge(&revoked);
    check_text(&revoked, "[]");
    revoked_add(&revoked, text("again"));
    check_text(&revoked, "[\"again\"]");
}
END_TEST

/* Filled by hand: every add looks through all that are there. */
static void fill(struct revoked *revoked)
{
    char id[16];

    revoked->ids = xcalloc(MOST, sizeof revoked->ids[0]);
    revoked->cap = MOST;
    for (size_t i = 0; i < MOST; i++) {
        (void)snprintf(id, sizeof id, "%zu", i);
        revoked->ids[i] = (struct revoked_id){xstrdup(id), INT64_MAX};
    }
    revoked->count = MOST;
}

START_TEST(drops_the_oldest_of_too_many)
{
    CLEANUP(revoked_done) struct revoked revoked = {0};

    fill(&revoked);
    revoked_add(&revoked, text("7")); /* known: nothing is dropped */
    ck_assert_uint_eq(revoked.count, MOST);
    revoked_add(&revoked, text("new"));
    ck_assert_uint_eq(revoked.count, MOST - DROPPED + 1);
    ck_assert(!revoked_has(&revoked, "0") && !revoked_has(&revoked, "4999"));
    ck_assert(revoked_has(&revoked, "5000") && revoked_has(&revoked, "49999"));
    ck_assert_str_eq(revoked.ids[0].id, "5000");
    ck_assert_str_eq(revoked.ids[revoked.count - 1].id, "new");
}
END_TEST

UNIT_MAIN("revoke", keeps_ids_once_and_in_order, forgets_after_three_hours,
          drops_the_oldest_of_too_many)
