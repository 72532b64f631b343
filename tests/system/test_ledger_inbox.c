/* SPDX-License-Identifier: MIT */
/*
 * The inbox of webhooks, on every ledger (ledger_world.h).
 */
#include "base/clock.h"
#include "system/ledger_world.h"

struct told {
    struct ledger_webhook webhook;
    struct ledger_webhook_answer answer;
    struct ledger_ingested deposits[4];
};

static void tell(struct told *told)
{
    random_id(told->webhook.inbox_id);
    told->webhook.source = "bep20";
    told->answer.deposits = told->deposits;
    OK(ledger_ingest_webhooks(ledger, &told->webhook, 1, &told->answer, err));
}

static void a_webhook_is_kept_with_what_became_of_it(void)
{
    struct ledger_deposit d[2] = {at_index("0xa", 1), at_index("0xb", 1)};
    struct told told = {.webhook = {.body = CELERY_STR("{\"a\":\"\\u0000\"}"),
                                    .headers = CELERY_STR("{\"x\":\"1\"}"),
                                    .request_id = "r-1",
                                    .deposits = d,
                                    .deposit_count = 2}};
    struct ledger_inbox_row row = {.body = CELERY_BUF_INIT};
    bool found = false;
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_NEW);
    ck_assert_str_eq(told.answer.inbox_id, told.webhook.inbox_id);
    OK(ledger_inbox_get(ledger, told.answer.inbox_id, &row, &found, err));
    ck_assert(found);
    ck_assert_str_eq(row.source, "bep20");
    ck_assert_str_eq(row.request_id, "r-1");
    ck_assert_int_eq(row.outcome, LEDGER_STORED);
    ck_assert_uint_eq(row.body.len, told.webhook.body.len);
    ck_assert_mem_eq(row.body.data, told.webhook.body.data, row.body.len);
    celery_buf_done(&row.body);
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox WHERE CAST(tx_ids AS text) LIKE"
                   " '%%%s%%%s%%' AND headers = '{\"x\":\"1\"}'",
                   told.deposits[0].tx_id, told.deposits[1].tx_id);
    ck_assert_int_eq(number(sql), 1);
    /* One that tells of a known deposit names that. */
    struct told other = {.webhook = {.body = CELERY_STR("{}"),
                                     .deposits = d,
                                     .deposit_count = 1}};
    tell(&other);
    ck_assert_int_eq(other.deposits[0].result, LEDGER_INGEST_DUPLICATE);
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox WHERE CAST(tx_ids AS text) LIKE"
                   " '%%%s%%'",
                   told.deposits[0].tx_id);
    ck_assert_int_eq(number(sql), 2);
}

static void the_same_body_raises_a_count(void)
{
    struct told told = {.webhook = {.body = CELERY_STR("[]"),
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no object"}};
    tell(&told);
    char first[LEDGER_ID_MAX];
    memcpy(first, told.answer.inbox_id, sizeof first);
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_str_eq(told.answer.inbox_id, first);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 1);
    ck_assert_int_eq(number("SELECT seen FROM inbox"), 2);
}

static void what_comes_again_may_be_understood(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct told told = {.webhook = {.body = CELERY_STR("{}"),
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no mapping",
                                    .field = "chain"}};
    tell(&told);
    char first[LEDGER_ID_MAX];
    memcpy(first, told.answer.inbox_id, sizeof first);
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("{}"),
                                           .deposits = &d,
                                           .deposit_count = 1};
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_NEW);
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox b JOIN transactions t ON"
                   " t.inbox_id = b.id WHERE b.id = '%s' AND b.seen = 2 AND"
                   " b.outcome = 'stored' AND b.error IS NULL AND b.field IS"
                   " NULL AND CAST(b.tx_ids AS text) LIKE '%%%s%%'",
                   first, told.deposits[0].tx_id);
    ck_assert_int_eq(number(sql), 1);
    /* It does not go back. */
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("{}"),
                                           .outcome = LEDGER_REFUSED,
                                           .error = "no mapping"};
    tell(&told);
    ck_assert_int_eq(
        number("SELECT count(*) FROM inbox WHERE outcome = 'stored'"), 1);
}

static void an_event_id_stands_for_one_body(void)
{
    struct ledger_deposit a = at_index("0xa", 1);
    struct ledger_deposit b = at_index("0xb", 1);
    struct told told = {.webhook = {.body = CELERY_STR("{\"a\":1}"),
                                    .event_id = "evt_1",
                                    .deposits = &a,
                                    .deposit_count = 1}};
    tell(&told);
    char tx_id[LEDGER_ID_MAX];
    memcpy(tx_id, told.deposits[0].tx_id, sizeof tx_id);
    credit(tx_id);
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(told.deposits[0].tx_id, tx_id);
    ck_assert_int_eq(told.deposits[0].state, LEDGER_CREDITED);
    told.webhook.body = CELERY_STR("{\"a\":2}");
    told.webhook.deposits = &b;
    for (int i = 0; i < 2; i++) {
        tell(&told);
        ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REUSED);
        ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_FAILED);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 2);
    ck_assert_int_eq(number("SELECT seen FROM inbox WHERE outcome = 'refused'"),
                     2);
}

/* A draft, then the event: what nothing was taken of does not hold the id. */
static void an_event_id_whose_body_was_not_taken_is_free(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct told told = {.webhook = {.body = CELERY_STR("{\"a\":1}"),
                                    .event_id = "evt_1",
                                    .outcome = LEDGER_IGNORED}};
    struct ledger_webhook ignored = told.webhook;
    tell(&told);
    told.webhook.body = CELERY_STR("{\"a\":2}");
    told.webhook.outcome = LEDGER_STORED;
    told.webhook.deposits = &d;
    told.webhook.deposit_count = 1;
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_NEW);
    ck_assert_int_eq(told.deposits[0].result, LEDGER_INGEST_NEW);
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REPEATED);
    told.webhook = ignored;
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REUSED);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox WHERE event_id ="
                            " 'evt_1'"),
                     3);
}

/* As long as nothing is taken of an event both are kept, once. */
static void two_bodies_of_an_event_are_refused_in_turn(void)
{
    struct told told = {.webhook = {.event_id = "evt_1",
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no"}};
    for (int i = 0; i < 6; i++) {
        told.webhook.body = i % 2 == 0 ? CELERY_STR("1") : CELERY_STR("2");
        tell(&told);
        ck_assert_int_eq(told.answer.result,
                         i < 2 ? LEDGER_INBOX_NEW : LEDGER_INBOX_REPEATED);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM inbox WHERE seen = 3"), 2);
}

/* A body that another one has replaced is no work to be done. */
static void a_replaced_body_is_not_open(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    char ids[4][LEDGER_ID_MAX];
    size_t count = 0;
    struct told told = {.webhook = {.body = CELERY_STR("1"),
                                    .event_id = "evt_1",
                                    .outcome = LEDGER_REFUSED,
                                    .error = "no"}};
    tell(&told);
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("2"),
                                           .event_id = "evt_1",
                                           .deposits = &d,
                                           .deposit_count = 1};
    tell(&told);
    OK(ledger_inbox_open(ledger, 0, NULL, 4, ids, &count, err));
    ck_assert_uint_eq(count, 0);
}

/* The source's mapping changed: what was taken stays told. */
static void what_was_taken_stays_so(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct told told = {.webhook = {.body = CELERY_STR("1"),
                                    .outcome = LEDGER_PARTIAL,
                                    .deposits = &d,
                                    .deposit_count = 1}};
    char tx_id[LEDGER_ID_MAX];
    char sql[256];
    tell(&told);
    memcpy(tx_id, told.deposits[0].tx_id, sizeof tx_id);
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("1"),
                                           .outcome = LEDGER_IGNORED};
    tell(&told);
    struct ledger_deposit other = at_index("0xb", 1);
    told.webhook = (struct ledger_webhook){.body = CELERY_STR("1"),
                                           .outcome = LEDGER_PARTIAL,
                                           .deposits = &other,
                                           .deposit_count = 1};
    tell(&told);
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM inbox WHERE outcome = 'partial' AND"
                   " seen = 3 AND CAST(tx_ids AS text) LIKE '%%%s%%' AND"
                   " CAST(tx_ids AS text) LIKE '%%%s%%'",
                   tx_id, told.deposits[0].tx_id);
    ck_assert_int_eq(number(sql), 1);
}

static void refuse_amounts_of_42(void)
{
    tamper(strncmp(url, "sqlite", 6) == 0
               ? "CREATE TRIGGER no BEFORE INSERT ON transactions WHEN"
                 " NEW.amount = '42' BEGIN SELECT RAISE(ABORT, 'no'); END"
               : "ALTER TABLE transactions ADD CONSTRAINT no CHECK (amount <>"
                 " 42)");
}

/* The other webhooks of its batch are stored; of it nothing is. */
static void what_the_ledger_cannot_hold_fails_alone(void)
{
    struct ledger_deposit bad[2] = {at_index("0xa", 1), at_index("0xb", 1)};
    struct ledger_deposit good = at_index("0xc", 1);
    struct ledger_ingested deposits[3];
    struct ledger_webhook webhooks[2] = {{.source = "bep20",
                                          .body = CELERY_STR("1"),
                                          .deposits = bad,
                                          .deposit_count = 2},
                                         {.source = "bep20",
                                          .body = CELERY_STR("2"),
                                          .deposits = &good,
                                          .deposit_count = 1}};
    struct ledger_webhook_answer answers[2] = {{.deposits = deposits},
                                               {.deposits = deposits + 2}};
    refuse_amounts_of_42();
    (void)strcpy(bad[1].amount, "42");
    random_id(webhooks[0].inbox_id);
    random_id(webhooks[1].inbox_id);
    OK(ledger_ingest_webhooks(ledger, webhooks, 2, answers, err));
    ck_assert_int_eq(answers[0].result, LEDGER_INBOX_FAILED);
    ck_assert_int_eq(deposits[0].result, LEDGER_INGEST_FAILED);
    ck_assert_int_eq(answers[1].result, LEDGER_INBOX_NEW);
    ck_assert_int_eq(deposits[2].result, LEDGER_INGEST_NEW);
    ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 1);
}

/* Not those that used another's event id: there is nothing to map in them. */
static void what_was_partly_taken_is_open(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    char ids[4][LEDGER_ID_MAX];
    size_t count = 0;
    struct told told = {.webhook = {.body = CELERY_STR("1"),
                                    .event_id = "evt_1",
                                    .outcome = LEDGER_PARTIAL,
                                    .deposits = &d,
                                    .deposit_count = 1}};
    tell(&told);
    char first[LEDGER_ID_MAX];
    memcpy(first, told.answer.inbox_id, sizeof first);
    told.webhook.body = CELERY_STR("2");
    tell(&told);
    ck_assert_int_eq(told.answer.result, LEDGER_INBOX_REUSED);
    OK(ledger_inbox_open(ledger, 0, NULL, 4, ids, &count, err));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(ids[0], first);
}

static void the_open_ones_are_listed_and_replayed(void)
{
    static const char *const bodies[] = {"1", "2", "3"};
    char ids[2][LEDGER_ID_MAX];
    char inbox[3][LEDGER_ID_MAX];
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        struct told told = {
            .webhook = {.body = {bodies[i], 1},
                        .outcome = i == 1 ? LEDGER_IGNORED : LEDGER_REFUSED,
                        .error = "no"}};
        tell(&told);
        memcpy(inbox[i], told.answer.inbox_id, LEDGER_ID_MAX);
    }
    OK(ledger_inbox_open(ledger, 0, NULL, 2, ids, &count, err));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(ids[0], inbox[0]);
    OK(ledger_inbox_open(ledger, 0, ids[1], 2, ids, &count, err));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(ids[0], inbox[2]);

    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested in = ingest(&d);
    struct ledger_webhook replayed = {.outcome = LEDGER_STORED,
                                      .deposits = &d,
                                      .deposit_count = 1};
    memcpy(replayed.inbox_id, inbox[0], LEDGER_ID_MAX);
    OK(ledger_inbox_replayed(ledger, &replayed, &in, err));
    OK(ledger_inbox_open(ledger, 0, NULL, 2, ids, &count, err));
    ck_assert_str_eq(ids[0], inbox[1]);
    OK(ledger_inbox_open(ledger, clock_wall_us() + USEC_PER_SEC, NULL, 2, ids,
                         &count, err));
    ck_assert_uint_eq(count, 0);
}

static void old_ones_expire(void)
{
    struct told told = {.webhook = {.body = CELERY_STR("1")}};
    int64_t gone = -1;
    tell(&told);
    OK(ledger_inbox_expire(ledger, clock_wall_us() - 60 * USEC_PER_SEC, 10,
                           &gone, err));
    ck_assert_int_eq(gone, 0);
    OK(ledger_inbox_expire(ledger, clock_wall_us() + USEC_PER_SEC, 10, &gone,
                           err));
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(number("SELECT count(*) FROM inbox"), 0);
}

/* --- table --------------------------------------------------------------------- */

static void (*const scenarios[])(void) = {
    a_webhook_is_kept_with_what_became_of_it,
    the_same_body_raises_a_count,
    what_comes_again_may_be_understood,
    an_event_id_stands_for_one_body,
    an_event_id_whose_body_was_not_taken_is_free,
    two_bodies_of_an_event_are_refused_in_turn,
    a_replaced_body_is_not_open,
    what_was_taken_stays_so,
    what_the_ledger_cannot_hold_fails_alone,
    what_was_partly_taken_is_open,
    the_open_ones_are_listed_and_replayed,
    old_ones_expire,
};

enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

START_TEST(scenario)
{
    if (!begin(_i / SCENARIOS))
        return;
    scenarios[_i % SCENARIOS]();
    end();
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("ledger_inbox");
    tcase_add_loop_test(tcase, scenario, 0, SCENARIOS * KINDS);
    return world_run(tcase, "ledger_inbox");
}
