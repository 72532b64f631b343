/* SPDX-License-Identifier: MIT */
#include "ledger/chain_kind.h"

#include <string.h>

#include "support/unit.h"

#define D32   "0123456789abcdef0123456789abcdef"
#define U32   "0123456789ABCDEF0123456789ABCDEF"
#define HASH  D32 D32
#define UPPER U32 U32

static struct celery_str slice(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

struct spelling {
    enum chain_kind kind;
    const char *text;
    const char *canonical;
};

static void check(const struct spelling *cases, size_t count,
                  void (*canonical)(enum chain_kind kind,
                                    struct celery_str text, char *ret_text))
{
    for (size_t i = 0; i < count; i++) {
        char text[140];
        char again[140];
        canonical(cases[i].kind, slice(cases[i].text), text);
        ck_assert_str_eq(text, cases[i].canonical);
        canonical(cases[i].kind, slice(text), again);
        ck_assert_str_eq(again, text);
    }
}

START_TEST(a_hash_has_one_spelling)
{
    static const struct spelling cases[] = {
        {CHAIN_EVM, "0x" HASH, "0x" HASH},
        {CHAIN_EVM, "0X" UPPER, "0x" HASH},
        {CHAIN_EVM, UPPER, "0x" HASH},
        {CHAIN_EVM, "0xAbC1", "0xabc1"},
        {CHAIN_EVM, "0xGood", "0xGood"},
        {CHAIN_EVM, "0x", "0x"},
        {CHAIN_EVM, "ABC", "ABC"},
        {CHAIN_BITCOIN, HASH, HASH},
        {CHAIN_BITCOIN, UPPER, HASH},
        {CHAIN_BITCOIN, "0x" UPPER, HASH},
        {CHAIN_TRON, UPPER, HASH},
        {CHAIN_SOLANA, UPPER, UPPER},
        {CHAIN_SOLANA, "5VERv8NMvzbJMEkV8xnrLkEaWRt",
         "5VERv8NMvzbJMEkV8xnrLkEaWRt"},
        {CHAIN_OTHER, UPPER, HASH},
        {CHAIN_OTHER, "0x" UPPER, HASH},
        {CHAIN_OTHER, "0xABC", "0xabc"},
        {CHAIN_OTHER, "Base58Text", "Base58Text"},
    };
    check(cases, sizeof cases / sizeof cases[0], chain_canonical_hash);
}
END_TEST

START_TEST(an_address_has_one_spelling)
{
    static const struct spelling cases[] = {
        {CHAIN_EVM, "0xABCDEF", "0xabcdef"},
        {CHAIN_EVM, "ABCDEF0123ABCDEF0123ABCDEF0123ABCDEF0123",
         "0xabcdef0123abcdef0123abcdef0123abcdef0123"},
        {CHAIN_BITCOIN, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
         "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
        {CHAIN_BITCOIN, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
         "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"},
        {CHAIN_TRON, "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8",
         "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"},
        {CHAIN_TRON, "41ABCDEF0123ABCDEF0123ABCDEF0123ABCDEF0123",
         "41abcdef0123abcdef0123abcdef0123abcdef0123"},
        {CHAIN_SOLANA, "ABCDEF", "ABCDEF"},
    };
    check(cases, sizeof cases / sizeof cases[0], chain_canonical_address);
}
END_TEST

START_TEST(a_chain_name_says_its_kind)
{
    enum chain_kind kind = CHAIN_OTHER;
    ck_assert_int_eq(chain_kind_of("bep20"), CHAIN_EVM);
    ck_assert_int_eq(chain_kind_of("BTC"), CHAIN_BITCOIN);
    ck_assert_int_eq(chain_kind_of("trc20"), CHAIN_TRON);
    ck_assert_int_eq(chain_kind_of("solana"), CHAIN_SOLANA);
    ck_assert_int_eq(chain_kind_of("monero"), CHAIN_OTHER);
    for (int i = 0; i < CHAIN_KIND_COUNT; i++) {
        const char *name = chain_kind_name((enum chain_kind)i);
        ck_assert(chain_kind_parse(slice(name), &kind));
        ck_assert_int_eq(kind, i);
    }
    ck_assert(!chain_kind_parse(slice("evms"), &kind));
    ck_assert(!chain_kind_parse(slice(""), &kind));
}
END_TEST

static void key_of(enum chain_kind kind, struct celery_str text, char *ret_text)
{
    (void)kind;
    chain_hash_key(text, ret_text);
}

START_TEST(the_key_of_a_hash_is_one_for_every_kind)
{
    static const struct spelling cases[] = {
        {CHAIN_OTHER, "0x" HASH, HASH},  {CHAIN_OTHER, UPPER, HASH},
        {CHAIN_OTHER, "0X" UPPER, HASH}, {CHAIN_OTHER, "0xABC", "0xabc"},
        {CHAIN_OTHER, "ABC", "ABC"},     {CHAIN_OTHER, "0x", "0x"},
        {CHAIN_OTHER, "0xG", "0xG"},
    };
    check(cases, sizeof cases / sizeof cases[0], key_of);
    for (int kind = 0; kind < CHAIN_KIND_COUNT; kind++) {
        char spelt[128];
        char key[128];
        chain_canonical_hash((enum chain_kind)kind, slice("0x" HASH), spelt);
        chain_hash_key(slice(spelt), key);
        ck_assert_str_eq(key, HASH);
    }
}
END_TEST

START_TEST(names_of_one_network_are_known)
{
    ck_assert(chain_same_network("eth", "ERC20"));
    ck_assert(chain_same_network("bsc", "bep20"));
    ck_assert(chain_same_network("trc20", "tron"));
    ck_assert(!chain_same_network("eth", "bsc"));
    ck_assert(!chain_same_network("bitcoin", "litecoin"));
    ck_assert(!chain_same_network("monero", "monero2"));
}
END_TEST

UNIT_MAIN("chain_kind", a_hash_has_one_spelling, an_address_has_one_spelling,
          the_key_of_a_hash_is_one_for_every_kind,
          names_of_one_network_are_known, a_chain_name_says_its_kind)
