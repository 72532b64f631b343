/* SPDX-License-Identifier: MIT */
/*
 * Money in SQL: dec_add(a, b), dec_cmp(a, b) and the aggregate dec_sum(a), over
 * ledger/amount.h. SQLite's own arithmetic would make doubles of the texts.
 */
#ifndef LEDGER_SQLITE_SQLITE_DECIMAL_H
#define LEDGER_SQLITE_SQLITE_DECIMAL_H

#include <sqlite3.h>

/* An SQLite result code. */
int sqlite_decimal_register(sqlite3 *db);

#endif /* LEDGER_SQLITE_SQLITE_DECIMAL_H */
