/* SPDX-License-Identifier: MIT */
/*
 * What makes a deposit one deposit, and a human's word on conflicts, on every
 * ledger (ledger_world.h).
 */
#include "system/ledger_world.h"

/* --- keys ------------------------------------------------------------------ */

static void another_index_is_a_possible_duplicate(void)
{
    static const int32_t indexes[] = {-1, 3, 7};
    struct ledger_ingested in[3];
    for (size_t i = 0; i < 3; i++) {
        struct ledger_deposit d = at_index("0xa", indexes[i]);
        in[i] = ingest(&d);
        ck_assert_int_eq(in[i].result, LEDGER_INGEST_NEW);
    }
    ck_assert_int_eq(in[0].state, LEDGER_RECEIVED);
    for (size_t i = 1; i < 3; i++) {
        ck_assert_int_eq(in[i].state, LEDGER_CONFLICT);
        ck_assert_str_eq(in[i].detail, "possible_duplicate");
        ck_assert(!in[i].publish);
        ck_assert(!settle(in[i].tx_id).credited_now);
    }
    credit(in[0].tx_id);
    expect_balance(user, "1.5");
    /* The same again is the row that is there. */
    struct ledger_deposit again = at_index("0xa", 7);
    ck_assert_str_eq(ingest(&again).tx_id, in[2].tx_id);
    ck_assert_int_eq(ingest(&again).result, LEDGER_INGEST_DUPLICATE);
}

static void in_one_batch_too(void)
{
    struct ledger_deposit d[3] = {at_index("0xa", 1), at_index("0xa", 2),
                                  at_index("0xb", 2)};
    struct ledger_ingested in[3];
    OK(ledger_ingest(ledger, d, 3, in, err));
    ck_assert_int_eq(in[0].state, LEDGER_RECEIVED);
    ck_assert_int_eq(in[1].state, LEDGER_CONFLICT);
    ck_assert_int_eq(in[2].state, LEDGER_RECEIVED);
}

static void stable_indexes_are_transfers_of_their_own(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.index_stable = true;
    credit(ingest(&d).tx_id);
    d.log_index = 2;
    credit(ingest(&d).tx_id);
    /* Another source's index is not. */
    d.log_index = 3;
    d.index_stable = false;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    expect_balance(user, "3");
}

static void other_amounts_and_recipients_are_other_transfers(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.to_address = "0xAA";
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xa", 2);
    d.to_address = "0xbb";
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xa", 3);
    d.to_address = "0xaa";
    (void)strcpy(d.amount, "1.6");
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    /* Where both addresses are told the user does not matter. */
    d = at_index("0xa", 4);
    d.to_address = "0xaa";
    random_id(d.user_id);
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    d = at_index("0xb", 1);
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d = at_index("0xb", 2);
    random_id(d.user_id);
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    /* The spelling of an address is not another recipient. */
    d = at_index("0xa", 5);
    d.to_address = "0xaa";
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    d.log_index = 6;
    d.to_address = NULL;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
}

#define D32 "0123456789abcdef0123456789abcdef"
#define U32 "0123456789ABCDEF0123456789ABCDEF"

/* What a setting may say today and another tomorrow is not in the key. */
static void the_kind_of_the_chain_does_not_make_the_key(void)
{
    static const char *const spellings[] = {"0x" D32 D32, D32 D32, U32 U32,
                                            "0X" U32 D32};
    struct ledger_deposit d = at_index(spellings[0], 1);
    struct ledger_ingested first = ingest(&d);
    for (size_t i = 0; i < 4; i++) {
        d = at_index(spellings[i], 1);
        ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_DUPLICATE);
        ck_assert_str_eq(ingest(&d).tx_id, first.tx_id);
    }
    /* Shorter texts are one in hexadecimal digits behind 0x alone. */
    static const char *const shorter[] = {"0xAB", "0xab", "AB", "ab"};
    for (size_t i = 0; i < 4; i++) {
        d = at_index(shorter[i], 1);
        ck_assert_int_eq(ingest(&d).result,
                         i == 1 ? LEDGER_INGEST_DUPLICATE : LEDGER_INGEST_NEW);
    }
}

static void without_an_index_each_recipient_has_a_transfer(void)
{
    static const char *const addresses[] = {"0xaa", "0xbb", "0xcc"};
    struct ledger_ingested in[3];
    struct ledger_deposit d = at_index("0xa", -1);
    for (size_t i = 0; i < 3; i++) {
        d.to_address = addresses[i];
        in[i] = ingest(&d);
        ck_assert_int_eq(in[i].result, LEDGER_INGEST_NEW);
        credit(in[i].tx_id);
    }
    /* A kind that is set anew writes them another way. */
    static const char *const spellings[] = {"0xBB", "bb", "BB", "0XbB"};
    for (size_t i = 0; i < 4; i++) {
        d.to_address = spellings[i];
        ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_DUPLICATE);
        ck_assert_str_eq(ingest(&d).tx_id, in[1].tx_id);
    }
    /* One that is not told may be any of them; one that is told in another form
     * as well, but nobody can say so. */
    d.to_address = NULL;
    ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_DUPLICATE);
    d.to_address = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8";
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    expect_balance(user, "4.5");
}

/* One script has several addresses: cashaddr with and without its prefix, base58. */
static void an_address_in_another_form_may_be_the_same(void)
{
    static const char *const forms[] = {
        "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
        "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
        "1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu"};
    struct ledger_deposit d = at_index("0xa", -1);
    for (size_t i = 0; i < 3; i++) {
        d.to_address = forms[i];
        ck_assert_int_eq(ingest(&d).state,
                         i == 0 ? LEDGER_RECEIVED : LEDGER_CONFLICT);
    }
    d.to_address = "1AnotherOne";
    (void)strcpy(d.amount, "2.5");
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
}

/* A chain may have been renamed; a hash of 64 digits is one transfer's. */
static void another_chain_s_hash_is_a_possible_duplicate(void)
{
    struct ledger_deposit d = at_index("0x" D32 D32, 1);
    credit(ingest(&d).tx_id);
    (void)strcpy(d.chain, "bsc");
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    (void)strcpy(d.amount, "2.5");
    (void)strcpy(d.chain, "polygon");
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    /* Short ones are anybody's numbers. */
    d = at_index("17", 1);
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    (void)strcpy(d.chain, "bsc");
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
}

static void what_was_pending_takes_its_index(void)
{
    struct ledger_deposit d = at_index("0xa", -1);
    d.confirmations = 0;
    struct ledger_ingested first = ingest(&d);
    ck_assert_int_eq(settle(first.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    d = at_index("0xa", 5);
    struct ledger_ingested told = ingest(&d);
    ck_assert_int_eq(told.result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(told.tx_id, first.tx_id);
    ck_assert(told.publish);
    ck_assert_int_eq(number("SELECT log_index FROM transactions"), 5);
    credit(first.tx_id);
    d.log_index = 7;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    /* The first webhook again is the row that it made. */
    d = at_index("0xa", -1);
    d.confirmations = 0;
    ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_DUPLICATE);
    ck_assert_str_eq(ingest(&d).tx_id, first.tx_id);
    expect_balance(user, "1.5");
}

static void of_several_pending_each_takes_its_own_index(void)
{
    static const char *const addresses[] = {"0xaa", "0xbb"};
    struct ledger_ingested pending[2];
    struct ledger_deposit d = at_index("0xa", -1);
    d.confirmations = 0;
    for (size_t i = 0; i < 2; i++) {
        d.to_address = addresses[i];
        pending[i] = ingest(&d);
    }
    d.confirmations = 5;
    for (int32_t i = 0; i < 2; i++) {
        d.to_address = addresses[i];
        d.log_index = 4 + i;
        struct ledger_ingested told = ingest(&d);
        ck_assert_str_eq(told.tx_id, pending[i].tx_id);
        credit(told.tx_id);
    }
    expect_balance(user, "3");
}

static void another_currency_does_not_take_an_index(void)
{
    struct ledger_deposit d = at_index("0xa", -1);
    d.confirmations = 0;
    struct ledger_ingested first = ingest(&d);
    d = at_index("0xa", 7);
    (void)strcpy(d.currency, "EUR");
    ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_NEW);
    d = at_index("0xa", 3);
    ck_assert_str_eq(ingest(&d).tx_id, first.tx_id);
}

/* Two rows may be the one that is told: a human decides, and can. */
static void what_a_human_credits_is_not_credited_again(void)
{
    struct ledger_deposit d = at_index("0xa", -1);
    d.confirmations = 0;
    struct ledger_ingested pending = ingest(&d);
    (void)strcpy(d.amount, "2.5");
    d.to_address = "0xaa";
    tamper("UPDATE transactions SET to_address = '0xbb'");
    struct ledger_ingested other = ingest(&d);
    ck_assert_str_ne(other.tx_id, pending.tx_id);
    tamper("UPDATE transactions SET to_address = NULL, amount = '1.5'");
    d = at_index("0xa", 9);
    struct ledger_ingested told = ingest(&d);
    ck_assert_int_eq(told.state, LEDGER_CONFLICT);
    OK(ledger_resolve(ledger, told.tx_id, true, "seen", "ann", err));
    tamper("UPDATE transactions SET confirmations = 5");
    ck_assert_int_eq(settle(pending.tx_id).state, LEDGER_CONFLICT);
    credit(told.tx_id);
    ck_assert_int_eq(settle(other.tx_id).state, LEDGER_CONFLICT);
    expect_balance(user, "1.5");
}

static void what_is_not_credited_yet_can_be_rejected(void)
{
    struct celery_error why = {0};
    struct ledger_deposit d = at_index("0xa", 1);
    d.confirmations = 1;
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    ck_assert_int_eq(ledger_resolve(ledger, in.tx_id, true, "x", "ann", &why),
                     CELERY_INVALID);
    OK(ledger_resolve(ledger, in.tx_id, false, "x", "ann", err));
    d.confirmations = 5;
    ck_assert_int_eq(ingest(&d).state, LEDGER_REJECTED);
    ck_assert(!settle(in.tx_id).credited_now);
}

/* Another amount is another transfer: which of two that is pending is not told. */
static void another_amount_does_not_take_an_index(void)
{
    struct ledger_deposit d = at_index("0xa", -1);
    d.confirmations = 0;
    struct ledger_ingested first = ingest(&d);
    d = at_index("0xa", 5);
    (void)strcpy(d.amount, "2.5");
    ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_NEW);
    d.log_index = -1;
    (void)strcpy(d.amount, "1.5");
    ck_assert_str_eq(ingest(&d).tx_id, first.tx_id);
}

/* A reorganization of the chain gives a transfer another place. */
static void stable_indexes_hold_within_one_block(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.index_stable = true;
    d.block_number = 100;
    credit(ingest(&d).tx_id);
    d.log_index = 2;
    ck_assert_int_eq(ingest(&d).state, LEDGER_RECEIVED);
    d.log_index = 3;
    d.block_number = 101;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    /* One that was pending tells its block later. */
    d = at_index("0xb", 1);
    d.index_stable = true;
    d.confirmations = 0;
    (void)ingest(&d);
    d.confirmations = 5;
    d.block_number = 100;
    credit(ingest(&d).tx_id);
    d.log_index = 2;
    d.block_number = 101;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
}

/* Whatever its state: one that is held may have been taken back all the same. */
static void a_conflict_can_be_taken_back_as_well(void)
{
    struct ledger_deposit d = at_index("0xa", 3);
    d.index_stable = true;
    d.conflict_reason = "amount has more decimals than its chain";
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    d.conflict_reason = "the provider says that it was removed";
    d.takes_back = true;
    ck_assert_int_eq(ingest(&d).result, LEDGER_INGEST_DUPLICATE);
    d = at_index("0xa", 4);
    d.index_stable = true;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
}

static void a_batch_is_taken_in_the_order_given(void)
{
    struct ledger_deposit d[2] = {at_index("0xa", 3), at_index("0xa", -1)};
    struct ledger_ingested in[2];
    OK(ledger_ingest(ledger, d, 2, in, err));
    ck_assert_int_eq(in[0].state, LEDGER_RECEIVED);
    ck_assert_int_eq(in[1].state, LEDGER_CONFLICT);
}

static void a_transfer_taken_back_comes_again_as_a_possible_duplicate(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    d.index_stable = true;
    credit(ingest(&d).tx_id);
    struct ledger_deposit back = d;
    back.conflict_reason = "the provider took it back";
    back.takes_back = true;
    ck_assert_int_eq(ingest(&back).state, LEDGER_CREDITED);
    d.log_index = 2;
    ck_assert_int_eq(ingest(&d).state, LEDGER_CONFLICT);
    expect_balance(user, "1.5");
}

/* Two batches that have not seen each other's rows: made here by hand. */
static void the_settlement_holds_what_the_webhook_did_not_see(void)
{
    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested first = ingest(&d);
    d.log_index = 2;
    struct ledger_ingested second = ingest(&d);
    ck_assert_int_eq(second.state, LEDGER_CONFLICT);
    if (strncmp(url, "sqlite", 6) == 0)
        return; /* one writer: there are no such batches */
    tamper(
        "UPDATE transactions SET state = 'received', conflict_reason = NULL");
    ck_assert_int_eq(settle(second.tx_id).state, LEDGER_CONFLICT);
    credit(first.tx_id);
    tamper("UPDATE transactions SET state = 'received', conflict_reason = NULL"
           " WHERE state = 'conflict'");
    ck_assert_int_eq(settle(second.tx_id).state, LEDGER_CONFLICT);
    expect_balance(user, "1.5");
}

static void an_odd_amount_is_recorded_and_the_first_stands(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    d.confirmations = 1;
    struct ledger_ingested first = ingest(&d);
    ck_assert_int_eq(settle(first.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    struct ledger_deposit odd = d;
    odd.conflict_reason = "amount has more decimals than its chain";
    for (int i = 0; i < 3; i++) {
        struct ledger_ingested in = ingest(&odd);
        ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
        ck_assert_str_eq(in.detail, "amount");
        ck_assert_int_eq(in.state, LEDGER_AWAITING_CONFIRMATIONS);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log"
                            " WHERE action = 'deposit_differs'"),
                     1);
    d.confirmations = 3;
    ck_assert(ingest(&d).publish);
    credit(first.tx_id);
    expect_balance(user, "1");
}

static void a_contradiction_is_recorded_once(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested first = ingest(&d);
    credit(first.tx_id);
    d.conflict_reason = "the provider says that it failed";
    d.takes_back = true;
    for (int i = 0; i < 3; i++) {
        struct ledger_ingested in = ingest(&d);
        ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
        ck_assert_str_eq(in.detail, "status");
        ck_assert_int_eq(in.state, LEDGER_CREDITED);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log"
                            " WHERE action = 'deposit_contradicted'"),
                     1);
    expect_balance(user, "1");
}

static void what_differs_is_named(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    struct ledger_ingested in = ingest(&d);
    (void)strcpy(d.amount, "2");
    (void)strcpy(d.currency, "EUR");
    random_id(d.user_id);
    in = ingest(&d);
    ck_assert_int_eq(in.result, LEDGER_INGEST_DIFFERS);
    ck_assert_str_eq(in.detail, "amount, currency, user_id");
}

/* Pending is told by asking for more confirmations than there are. */
static void what_was_pending_becomes_final(void)
{
    struct ledger_deposit d = deposit("0xa", "1");
    d.confirmations = 0;
    d.confirmations_required = 1;
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_AWAITING_CONFIRMATIONS);
    d.confirmations_required = 0; /* final, by a threshold of zero */
    ck_assert(ingest(&d).publish);
    credit(in.tx_id);
}

/* --- conflicts ---------------------------------------------------------------- */

static void a_conflict_is_resolved(void)
{
    struct celery_error why = {0};
    struct ledger_due due[256];
    struct ledger_deposit d = at_index("0xa", 1);
    struct ledger_ingested first = ingest(&d);
    credit(first.tx_id);
    d.log_index = 2;
    struct ledger_ingested second = ingest(&d);
    d.log_index = 3;
    struct ledger_ingested third = ingest(&d);
    OK(ledger_resolve(ledger, second.tx_id, true, "two payouts", "ann", err));
    ck_assert_uint_eq(sweep(due, 0, 60), 1);
    ck_assert_str_eq(due[0].tx_id, second.tx_id);
    credit(second.tx_id);
    OK(ledger_resolve(ledger, third.tx_id, false, "told twice", "ann", err));
    ck_assert_int_eq(settle(third.tx_id).state, LEDGER_REJECTED);
    ck_assert_int_eq(ingest(&d).state, LEDGER_REJECTED);
    expect_balance(user, "3");
    ck_assert(check().balanced);
    ck_assert_int_eq(check().count[LEDGER_REJECTED], 1);
    ck_assert_int_eq(number("SELECT count(*) FROM audit_log WHERE"
                            " action = 'deposit_resolved'"),
                     2);
    ck_assert_int_eq(ledger_resolve(ledger, second.tx_id, true, "again", "ann",
                                    &why),
                     CELERY_INVALID);
    ck_assert_ptr_nonnull(strstr(why.msg, "is credited"));
    ck_assert_int_eq(ledger_resolve(ledger, "no", true, "x", "ann", &why),
                     CELERY_INVALID);
}

static void an_amount_of_zero_can_only_be_rejected(void)
{
    struct celery_error why = {0};
    struct ledger_deposit d = deposit("0xa", "0");
    d.conflict_reason = "amount has more decimals than its chain";
    struct ledger_ingested in = ingest(&d);
    ck_assert_int_eq(ledger_resolve(ledger, in.tx_id, true, "x", "ann", &why),
                     CELERY_INVALID);
    ck_assert_ptr_nonnull(strstr(why.msg, "rejected"));
    OK(ledger_resolve(ledger, in.tx_id, false, "x", "ann", err));
    ck_assert_int_eq(settle(in.tx_id).state, LEDGER_REJECTED);
}

/* --- table --------------------------------------------------------------------- */

static void (*const scenarios[])(void) = {
    another_index_is_a_possible_duplicate,
    in_one_batch_too,
    stable_indexes_are_transfers_of_their_own,
    other_amounts_and_recipients_are_other_transfers,
    the_kind_of_the_chain_does_not_make_the_key,
    without_an_index_each_recipient_has_a_transfer,
    an_address_in_another_form_may_be_the_same,
    another_chain_s_hash_is_a_possible_duplicate,
    what_was_pending_takes_its_index,
    of_several_pending_each_takes_its_own_index,
    another_amount_does_not_take_an_index,
    another_currency_does_not_take_an_index,
    stable_indexes_hold_within_one_block,
    a_conflict_can_be_taken_back_as_well,
    a_batch_is_taken_in_the_order_given,
    what_a_human_credits_is_not_credited_again,
    what_is_not_credited_yet_can_be_rejected,
    a_transfer_taken_back_comes_again_as_a_possible_duplicate,
    the_settlement_holds_what_the_webhook_did_not_see,
    an_odd_amount_is_recorded_and_the_first_stands,
    a_contradiction_is_recorded_once,
    what_differs_is_named,
    what_was_pending_becomes_final,
    a_conflict_is_resolved,
    an_amount_of_zero_can_only_be_rejected,
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
    TCase *tcase = tcase_create("ledger_identity");
    tcase_add_loop_test(tcase, scenario, 0, SCENARIOS * KINDS);
    return world_run(tcase, "ledger_identity");
}
