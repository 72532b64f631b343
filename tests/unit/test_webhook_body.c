/* SPDX-License-Identifier: MIT */
#include "webhook/body.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "support/unit.h"

static struct chains chains;
static struct webhook_source source;
static const struct webhook_rules rules = {.currency = "USDT",
                                           .confirmations_required = 3};

static struct celery_str slice(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

static void set_chains(void)
{
    ck_assert_int_eq(chains_init(&chains, "bep20,tron,final", "{\"tron\":6}",
                                 "tron,Final", NULL),
                     CELERY_OK);
}

/* The path of a chain. */
static void use_chain(const char *name)
{
    const struct chain *chain = chains_find(&chains, name);
    ck_assert_ptr_nonnull(chain);
    if (source.name[0] != '\0')
        webhook_source_done(&source);
    source = (struct webhook_source){.refused_status = 422};
    webhook_source_native(&source, chain);
}

/* One deposit, or the fault that stands in its way. */
static bool read_one(const char *body, struct celery_arena *arena,
                     struct ledger_deposit *ret, struct webhook_fault *fault)
{
    struct webhook_read read;
    if (!webhook_body_read(slice(body), &source, &rules, arena, &read, fault))
        return false;
    ck_assert_uint_eq(read.item_count, 1);
    *fault = read.items[0].fault;
    if (read.items[0].result != ITEM_DEPOSIT)
        return false;
    ck_assert_uint_eq(read.deposit_count, 1);
    *ret = read.deposits[0];
    return true;
}

#define ONE_HUNDRED                                      \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define XX28 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* What is refused, line by line. */
START_TEST(bad_bodies_are_refused)
{
    static const struct {
        const char *body;
        int status;
        const char *field; /* NULL: none */
    } cases[] = {
        {"", 400, NULL},
        {"{", 400, NULL},
        {"{}x", 400, NULL},
        {"not json", 400, NULL},
        {"\xff\xfe", 400, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",}", 400, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":NaN}", 400, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"metadata\":{\"x\":Infinity}}",
         400, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"metadata\":{\"x\":-Infinity}}",
         400, NULL},
        {"[]", 400, NULL},
        {"null", 400, NULL},
        {"\"text\"", 400, NULL},
        {"1", 400, NULL},
        {"{}", 400, "tx_hash"},
        {"{\"amount\":\"1\"}", 400, "tx_hash"},
        {"{\"tx_hash\":null,\"amount\":\"1\"}", 400, "tx_hash"},
        {"{\"tx_hash\":\"\",\"amount\":\"1\"}", 400, "tx_hash"},
        {"{\"tx_hash\":\"a\"}", 400, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":null}", 400, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"\"}", 400, "amount"},
        {"{\"tx_hash\":1,\"amount\":\"1\"}", 422, "tx_hash"},
        {"{\"tx_hash\":\"a b\",\"amount\":\"1\"}", 422, "tx_hash"},
        {"{\"tx_hash\":\"a\\n\",\"amount\":\"1\"}", 422, "tx_hash"},
        {"{\"tx_hash\":\"a\\u0000\",\"amount\":\"1\"}", 422, "tx_hash"},
        {"{\"tx_hash\":\"\xc3\xa9\",\"amount\":\"1\"}", 422, "tx_hash"},
        {"{\"tx_hash\":\"" ONE_HUNDRED XX28 "x\",\"amount\":\"1\"}", 422,
         "tx_hash"},
        {"{\"tx_hash\":\"a\",\"amount\":\"0\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":0}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"-1\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":-1}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"+1\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"abc\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\" 1\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1.\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":true}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":[]}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":{}}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"100000000000000000000\"}", 422,
         "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"user_id\":\"bob\"}", 422,
         "user_id"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"user_id\":7}", 422, "user_id"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"confirmations\":-1}", 422,
         "confirmations"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"confirmations\":1.5}", 422,
         "confirmations"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"confirmations\":true}", 422,
         "confirmations"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\","
         "\"confirmations\":9223372036854775808}",
         422, "confirmations"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"chain\":\"eth\"}", 422,
         "chain"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"chain\":1}", 422, "chain"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"log_index\":-1}", 422,
         "log_index"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"log_index\":2147483648}", 422,
         "log_index"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\","
         "\"currency\":\"ABCDEFGHIJKLMNOPQ\"}",
         422, "currency"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"currency\":1}", 422,
         "currency"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"status\":\"\\ud800\"}", 422,
         "status"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"to_address\":\"a b\"}", 422,
         "to_address"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"block_number\":-1}", 422,
         "block_number"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"metadata\":[]}", 422,
         "metadata"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"metadata\":\"x\"}", 422,
         "metadata"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1e\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1e96\"}", 422, "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"123456789012345678901\"}", 422,
         "amount"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"amount\":\"2\"}", 422, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"\\u0061mount\":\"2\"}", 422,
         NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"metadata\":{\"a\":1,"
         "\"a\":1}}",
         422, NULL},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"removed\":\"yes\"}", 422,
         "removed"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"status\":[]}", 422, "status"},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"confirmations\":\"0x\"}", 422,
         "confirmations"},
    };
    set_chains();
    use_chain("bep20");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct ledger_deposit d;
        struct webhook_fault fault = {0};
        ck_assert_msg(!read_one(cases[i].body, &arena, &d, &fault),
                      "accepted: %s", cases[i].body);
        ck_assert_msg(fault.status == cases[i].status, "%d for %s",
                      fault.status, cases[i].body);
        ck_assert_ptr_nonnull(fault.error);
        if (cases[i].field == NULL)
            ck_assert_msg(fault.field == NULL, "%s", cases[i].body);
        else
            ck_assert_msg(fault.field != NULL
                              && strcmp(fault.field, cases[i].field) == 0,
                          "%s: %s", cases[i].body, fault.field);
    }
}
END_TEST

static struct ledger_deposit read(const char *body, const char *chain,
                                  struct celery_arena *arena)
{
    struct ledger_deposit d;
    struct webhook_fault fault = {0};
    use_chain(chain);
    ck_assert_msg(read_one(body, arena, &d, &fault), "%s: %s", body,
                  fault.error);
    return d;
}

START_TEST(the_smallest_body_has_defaults)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    set_chains();
    static const char body[] =
        " {\"tx_hash\":\"smoke-1\",\"amount\":\"0.0010\","
        "\"metadata\":{\"note\":\"NaN Infinity \\\" NaN\"},\"extra\":[1]} ";
    struct ledger_deposit d = read(body, "bep20", &arena);
    ck_assert_str_eq(d.chain, "bep20");
    ck_assert_str_eq(d.tx_hash, "smoke-1");
    ck_assert_str_eq(d.amount, "0.001");
    ck_assert_str_eq(d.currency, "USDT");
    ck_assert_str_eq(d.user_id, "");
    ck_assert_int_eq(d.confirmations, 0);
    ck_assert_int_eq(d.confirmations_required, 3);
    ck_assert_int_eq(d.log_index, -1);
    ck_assert_int_eq(d.block_number, -1);
    ck_assert_ptr_null(d.conflict_reason);
    ck_assert(d.metadata.data[0] == '{');
}
END_TEST

START_TEST(every_field_is_read)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    set_chains();
    struct ledger_deposit d = read(
        "{\"tx_hash\":\"\\u0061\",\"amount\":12.50,\"chain\":\"BEP20\","
        "\"user_id\":\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\","
        "\"to_address\":\"0xto\",\"confirmations\":12,\"log_index\":2147483647,"
        "\"currency\":\"usdc\",\"status\":\"confirmed\",\"block_number\":5,"
        "\"metadata\":null}",
        "bep20", &arena);
    ck_assert_str_eq(d.tx_hash, "a");
    ck_assert_str_eq(d.amount, "12.5");
    ck_assert_str_eq(d.user_id, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    ck_assert_str_eq(d.to_address, "0xto");
    ck_assert_int_eq(d.confirmations, 12);
    ck_assert_int_eq(d.log_index, INT32_MAX);
    ck_assert_str_eq(d.currency, "USDC");
    ck_assert_str_eq(d.provider_status, "confirmed");
    ck_assert_int_eq(d.block_number, 5);
    ck_assert_uint_eq(d.metadata.len, 0);
    ck_assert_ptr_null(d.conflict_reason);
}
END_TEST

START_TEST(money_we_cannot_take_as_it_is_becomes_a_conflict)
{
    static const struct {
        const char *body;
        const char *chain;
        const char *amount;
        bool conflict;
    } cases[] = {
        {"{\"tx_hash\":\"a\",\"amount\":\"1.1234567\"}", "tron", "1.1234567",
         true},
        {"{\"tx_hash\":\"a\",\"amount\":\"1.1234560\"}", "tron", "1.123456",
         false},
        {"{\"tx_hash\":\"a\",\"amount\":\"1.0000000000000000001\"}", "bep20",
         "1", true},
        {"{\"tx_hash\":\"a\",\"amount\":\"0.0000000000000000001\"}", "bep20",
         "0", true},
        {"{\"tx_hash\":\"a\",\"amount\":\"1\",\"status\":\"Failed\"}", "bep20",
         "1", true},
    };
    set_chains();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct ledger_deposit d = read(cases[i].body, cases[i].chain, &arena);
        ck_assert_str_eq(d.amount, cases[i].amount);
        ck_assert_msg((d.conflict_reason != NULL) == cases[i].conflict, "%s",
                      cases[i].body);
    }
}
END_TEST

START_TEST(a_final_chain_needs_no_confirmations)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    set_chains();
    struct ledger_deposit d =
        read("{\"tx_hash\":\"a\",\"amount\":\"1\"}", "final", &arena);
    ck_assert_int_eq(d.confirmations, 3);
    d = read("{\"tx_hash\":\"a\",\"amount\":\"1\",\"confirmations\":1}",
             "final", &arena);
    ck_assert_int_eq(d.confirmations, 1);
}
END_TEST

START_TEST(chains_and_their_settings_are_judged)
{
    static const char *const names[] = {
        "",    "-a",       "a/b",
        "a b", "\xc3\xa9", "abcdefghijklmnopqrstuvwxyz0123456"};
    static const char *const decimals[] = {"",
                                           "[]",
                                           "{\"a\":19}",
                                           "{\"a\":-1}",
                                           "{\"a\":\"6\"}",
                                           "{\"a b\":6}",
                                           "{\"b\":6}"};
    static const char *const lists[] = {"",    ",",      "a,",   "a,,b",
                                        "a,A", "a:evmx", "file", "x-file",
                                        "a b", "a:"};
    struct chains some;
    char name[LEDGER_CHAIN_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert(!chain_name(slice(names[i]), name));
    ck_assert(chain_name(slice("Erc20_x-1"), name));
    ck_assert_str_eq(name, "erc20_x-1");
    for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++)
        ck_assert_int_eq(chains_init(&some, "a", decimals[i], NULL, NULL),
                         CELERY_INVALID);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        ck_assert_msg(chains_init(&some, lists[i], NULL, NULL, NULL)
                          == CELERY_INVALID,
                      "%s", lists[i]);
    ck_assert_int_eq(chains_init(&some, "a", NULL, "a b", NULL),
                     CELERY_INVALID);
    ck_assert_int_eq(chains_init(&some, "a", NULL, "b", NULL), CELERY_INVALID);
    ck_assert_int_eq(chains_init(&some, "A:Tron, btc", NULL, NULL, NULL),
                     CELERY_OK);
    ck_assert_int_eq(chains_find(&some, "a")->kind, CHAIN_TRON);
    ck_assert_int_eq(chains_find(&some, "a")->decimals, 18);
    ck_assert_int_eq(chains_find(&some, "btc")->kind, CHAIN_BITCOIN);
    ck_assert_ptr_null(chains_find(&some, "other"));
}
END_TEST

START_TEST(harmless_spellings_are_understood)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    set_chains();
    struct ledger_deposit d =
        read("\xef\xbb\xbf{\"tx_hash\":\"0xAB\",\"amount\":1e-7,"
             "\"confirmations\":\"12\",\"block_number\":\"0x10\","
             "\"log_index\":\"0x9c\",\"to_address\":\"\",\"user_id\":\"\","
             "\"currency\":\"\",\"status\":\"\",\"chain\":\"\"}",
             "bep20", &arena);
    ck_assert_str_eq(d.tx_hash, "0xab");
    ck_assert_str_eq(d.amount, "0.0000001");
    ck_assert_int_eq(d.confirmations, 12);
    ck_assert_int_eq(d.block_number, 16);
    ck_assert_int_eq(d.log_index, 156);
    ck_assert_ptr_null(d.to_address);
    ck_assert_str_eq(d.user_id, "");
    ck_assert_str_eq(d.currency, "USDT");
    ck_assert_ptr_null(d.conflict_reason);
}
END_TEST

/* What becomes of twelve confirmations under a word. */
START_TEST(only_listed_words_are_final)
{
    static const struct {
        const char *status; /* JSON */
        int confirmations;
        bool conflict;
    } cases[] = {
        {"\"confirmed\"", 12, false},
        {"\" Confirmed \"", 12, false},
        {"true", 12, false},
        {"1", 12, false},
        {"\"0x1\"", 12, false},
        {"\"pending\"", 0, false},
        {"\"UNCONFIRMED\"", 0, false},
        {"\"refunded\"", 12, true},
        {"\"orphaned\"", 12, true},
        {"\"removed\"", 12, true},
        {"\"chargeback\"", 12, true},
        {"\"double_spend\"", 12, true},
        {"\"invalid\"", 12, true},
        {"\" failed \"", 12, true},
        {"0", 12, true},
        {"false", 12, true},
        {"\"whatever\"", 12, true},
        {"\"confirmed!\"", 12, true},
    };
    set_chains();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        char body[200];
        (void)snprintf(body, sizeof body,
                       "{\"tx_hash\":\"a\",\"amount\":\"1\","
                       "\"confirmations\":12,\"status\":%s}",
                       cases[i].status);
        struct ledger_deposit d = read(body, "bep20", &arena);
        ck_assert_msg(d.confirmations == cases[i].confirmations, "%s", body);
        ck_assert_msg((d.conflict_reason != NULL) == cases[i].conflict, "%s",
                      body);
        ck_assert_int_eq(d.takes_back, cases[i].conflict);
    }
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct ledger_deposit d = read("{\"tx_hash\":\"a\",\"amount\":\"1\","
                                   "\"removed\":true}",
                                   "bep20", &arena);
    ck_assert(d.takes_back);
}
END_TEST

START_TEST(a_secret_for_several_chains_needs_the_chain_in_the_body)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct ledger_deposit d;
    struct webhook_fault fault = {0};
    set_chains();
    use_chain("bep20");
    source.must_name_chain = true;
    ck_assert(
        !read_one("{\"tx_hash\":\"a\",\"amount\":\"1\"}", &arena, &d, &fault));
    ck_assert_str_eq(fault.field, "chain");
    ck_assert_int_eq(fault.status, 422);
    ck_assert(!read_one("{\"tx_hash\":\"a\",\"amount\":\"1\",\"chain\":"
                        "\"tron\"}",
                        &arena, &d, &fault));
    ck_assert(read_one("{\"tx_hash\":\"a\",\"amount\":\"1\",\"chain\":"
                       "\"BEP20\"}",
                       &arena, &d, &fault));
}
END_TEST

UNIT_MAIN("webhook_body", bad_bodies_are_refused,
          the_smallest_body_has_defaults, every_field_is_read,
          money_we_cannot_take_as_it_is_becomes_a_conflict,
          a_final_chain_needs_no_confirmations,
          chains_and_their_settings_are_judged,
          harmless_spellings_are_understood, only_listed_words_are_final,
          a_secret_for_several_chains_needs_the_chain_in_the_body)
