/* SPDX-License-Identifier: MIT */
#include "ledger/chain_kind.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"

enum { HASH_DIGITS = 64 /* 32 bytes */, EVM_ADDRESS_DIGITS = 40 };

static const char *const kind_names[CHAIN_KIND_COUNT] = {
    [CHAIN_EVM] = "evm",     [CHAIN_BITCOIN] = "bitcoin",
    [CHAIN_TRON] = "tron",   [CHAIN_SOLANA] = "solana",
    [CHAIN_OTHER] = "other",
};

const char *chain_kind_name(enum chain_kind kind)
{
    return (unsigned)kind < CHAIN_KIND_COUNT ? kind_names[kind] : "other";
}

bool chain_kind_parse(struct celery_str name, enum chain_kind *ret)
{
    for (unsigned i = 0; i < CHAIN_KIND_COUNT; i++) {
        if (strlen(kind_names[i]) == name.len
            && strncasecmp(kind_names[i], name.data, name.len) == 0) {
            *ret = (enum chain_kind)i;
            return true;
        }
    }
    return false;
}

/* Names in use for chains; those of one network stand in one row. */
static const struct {
    enum chain_kind kind;
    const char *names[4];
} networks[] = {
    {CHAIN_EVM, {"erc20", "eth", "ethereum"}},
    {CHAIN_EVM, {"bep20", "bnb", "bsc"}},
    {CHAIN_EVM, {"matic", "polygon"}},
    {CHAIN_EVM, {"arbitrum"}},
    {CHAIN_EVM, {"avalanche"}},
    {CHAIN_EVM, {"base"}},
    {CHAIN_EVM, {"optimism"}},
    {CHAIN_BITCOIN, {"bitcoin", "btc"}},
    {CHAIN_BITCOIN, {"bch"}},
    {CHAIN_BITCOIN, {"doge", "dogecoin"}},
    {CHAIN_BITCOIN, {"litecoin", "ltc"}},
    {CHAIN_TRON, {"trc20", "tron", "trx"}},
    {CHAIN_SOLANA, {"sol", "solana", "spl"}},
};

/* The row that has the name, or -1. */
static int network_of(const char *chain)
{
    for (int row = 0; row < (int)(sizeof networks / sizeof networks[0]);
         row++) {
        for (int i = 0; i < 4 && networks[row].names[i] != NULL; i++) {
            if (strcasecmp(networks[row].names[i], chain) == 0)
                return row;
        }
    }
    return -1;
}

enum chain_kind chain_kind_of(const char *chain)
{
    int row = network_of(chain);
    return row >= 0 ? networks[row].kind : CHAIN_OTHER;
}

bool chain_same_network(const char *a, const char *b)
{
    return network_of(a) >= 0 && network_of(a) == network_of(b);
}

static void copy(struct celery_str text, char *ret_text)
{
    memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
}

static void copy_lower(struct celery_str text, char *ret_text)
{
    for (size_t i = 0; i < text.len; i++)
        ret_text[i] = ascii_lower(text.data[i]);
    ret_text[text.len] = '\0';
}

static bool has_prefix(struct celery_str text)
{
    return text.len > 2 && text.data[0] == '0'
        && ascii_lower(text.data[1]) == 'x';
}

/* The hex digits, without 0x; false when there is anything else. */
static bool hex_digits(struct celery_str text, struct celery_str *ret)
{
    if (has_prefix(text)) {
        text.data += 2;
        text.len -= 2;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_hex(text.data[i]) < 0)
            return false;
    }
    *ret = text;
    return text.len > 0;
}

static void copy_prefixed(struct celery_str digits, char *ret_text)
{
    ret_text[0] = '0';
    ret_text[1] = 'x';
    copy_lower(digits, ret_text + 2);
}

void chain_canonical_hash(enum chain_kind kind, struct celery_str text,
                          char *ret_text)
{
    struct celery_str digits = {0};
    if (kind == CHAIN_SOLANA || !hex_digits(text, &digits)
        || (digits.len != HASH_DIGITS && !has_prefix(text)))
        copy(text, ret_text);
    else if (digits.len == HASH_DIGITS && kind != CHAIN_EVM)
        copy_lower(digits, ret_text);
    else
        copy_prefixed(digits, ret_text);
}

void chain_hash_key(struct celery_str text, char *ret_text)
{
    struct celery_str digits = {0};
    if (!hex_digits(text, &digits))
        copy(text, ret_text);
    else if (digits.len == HASH_DIGITS)
        copy_lower(digits, ret_text);
    else if (has_prefix(text))
        copy_prefixed(digits, ret_text);
    else
        copy(text, ret_text);
}

/* BIP 173: one case, "1" between the readable part and the data. */
static bool is_bech32(struct celery_str text)
{
    static const char *const parts[] = {"bc1", "tb1", "bcrt1", "ltc1"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t len = strlen(parts[i]);
        if (text.len > len && strncasecmp(text.data, parts[i], len) == 0)
            return true;
    }
    return false;
}

void chain_canonical_address(enum chain_kind kind, struct celery_str text,
                             char *ret_text)
{
    struct celery_str digits = {0};
    bool is_hex = kind != CHAIN_SOLANA && hex_digits(text, &digits);
    if (kind == CHAIN_BITCOIN && is_bech32(text))
        copy_lower(text, ret_text);
    else if (kind == CHAIN_TRON && is_hex && digits.len > EVM_ADDRESS_DIGITS)
        copy_lower(digits, ret_text);
    else if (is_hex
             && (has_prefix(text)
                 || (kind == CHAIN_EVM && digits.len == EVM_ADDRESS_DIGITS)))
        copy_prefixed(digits, ret_text);
    else
        copy(text, ret_text);
}
