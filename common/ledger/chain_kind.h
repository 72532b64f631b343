/* SPDX-License-Identifier: MIT */
/*
 * How a kind of chain writes a transaction hash and an address, so that two
 * spellings of one are compared as one. Pure and thread-safe.
 *
 * Sources: Ethereum JSON-RPC (DATA is 0x and two hex digits a byte), EIP-55
 * (the case of an address is a checksum), BIP 173 (bech32 is one case), Tron's
 * and Bitcoin's RPC (hashes are hex without 0x), Solana (base58: each letter
 * counts).
 */
#ifndef LEDGER_CHAIN_KIND_H
#define LEDGER_CHAIN_KIND_H

#include <stdbool.h>

#include "celery/buf.h"

enum chain_kind {
    CHAIN_EVM,     /* hash and address 0x and lower case */
    CHAIN_BITCOIN, /* hash lower-case hex; bech32 lower case, base58 as it is */
    CHAIN_TRON,    /* hash lower-case hex; address base58 or lower-case hex */
    CHAIN_SOLANA,  /* base58, as it is */
    CHAIN_OTHER,   /* as it is, except hex behind 0x and hex of 32 bytes */
    CHAIN_KIND_COUNT,
};

/* "evm", "bitcoin", … */
const char *chain_kind_name(enum chain_kind kind);
bool chain_kind_parse(struct celery_str name, enum chain_kind *ret);

/* What a chain of this name usually is: "bep20" is EVM, "btc" Bitcoin's; a name
 * that is not known CHAIN_OTHER. */
enum chain_kind chain_kind_of(const char *chain);

/* Are both names of one network, such as "eth" and "erc20"? */
bool chain_same_network(const char *a, const char *b);

/* The one spelling of a hash into ret_text, which has room for text.len + 3
 * bytes. Text of another form than the kind's stays as it is (hex behind 0x in
 * lower case): a webhook is not refused for the form of its hash. */
void chain_canonical_hash(enum chain_kind kind, struct celery_str text,
                          char *ret_text);

/* What all spellings of a hash have in common, whatever the kind: 64 hexadecimal
 * digits in lower case without 0x, others behind 0x in lower case. The key of a
 * deposit; the ledgers make it of each row (tx_hash_key() of the schema). */
void chain_hash_key(struct celery_str text, char *ret_text);

/* chain_canonical_hash() for an address. */
void chain_canonical_address(enum chain_kind kind, struct celery_str text,
                             char *ret_text);

#endif /* LEDGER_CHAIN_KIND_H */
