/* SPDX-License-Identifier: MIT */
/*
 * Addresses in SQL, as the functions of the same names in PostgreSQL:
 *
 *     same_address(a, b): equal, hexadecimal digits but for case and 0x; NULL
 *     where one is not told
 *     may_be_same_recipient(a_address, a_user, b_address, b_user): addresses
 *     decide where both are told (of different forms, or in another case, they
 *     may be one), else the users; what is not told may be the same
 */
#ifndef SQLITE_SQLITE_ADDRESS_H
#define SQLITE_SQLITE_ADDRESS_H

#include <sqlite3.h>

/* Returns SQLite's status. */
int sqlite_address_register(sqlite3 *db);

#endif /* SQLITE_SQLITE_ADDRESS_H */
