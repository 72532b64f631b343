/* SPDX-License-Identifier: MIT */
/*
 * may_be_same_address(a, b) for SQLite: equal but for case, or one in hexadecimal
 * digits and one in another form, or one is not told.
 */
#ifndef LEDGER_SQLITE_SQLITE_ADDRESS_H
#define LEDGER_SQLITE_SQLITE_ADDRESS_H

#include <sqlite3.h>

/* Returns SQLite's result code. */
int sqlite_address_register(sqlite3 *db);

#endif /* LEDGER_SQLITE_SQLITE_ADDRESS_H */
