/* SPDX-License-Identifier: MIT */
#include "ledger/sqlite/sqlite_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

#include "base/ascii.h"

static bool is_hex(const char *text)
{
    if (text[0] == '0' && ascii_lower(text[1]) == 'x')
        text += 2;
    for (const char *p = text; *p != '\0'; p++) {
        if (ascii_hex(*p) < 0)
            return false;
    }
    return *text != '\0';
}

static void may_be_same(sqlite3_context *context, int argc,
                        sqlite3_value **argv)
{
    const char *a = (const char *)sqlite3_value_text(argv[0]);
    const char *b = (const char *)sqlite3_value_text(argv[1]);
    (void)argc;
    bool same = a == NULL || b == NULL || strcasecmp(a, b) == 0
             || is_hex(a) != is_hex(b);
    sqlite3_result_int(context, same);
}

int sqlite_address_register(sqlite3 *db)
{
    return sqlite3_create_function(db, "may_be_same_address", 2,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                   may_be_same, NULL, NULL);
}
