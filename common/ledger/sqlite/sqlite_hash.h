/* SPDX-License-Identifier: MIT */
/*
 * canonical_tx_hash(chain, hash) for SQLite: the one spelling of a hash, by what
 * chains of that name usually are. The migration of old rows needs it.
 */
#ifndef LEDGER_SQLITE_SQLITE_HASH_H
#define LEDGER_SQLITE_SQLITE_HASH_H

#include <sqlite3.h>

/* Returns SQLite's result code. */
int sqlite_hash_register(sqlite3 *db);

#endif /* LEDGER_SQLITE_SQLITE_HASH_H */
