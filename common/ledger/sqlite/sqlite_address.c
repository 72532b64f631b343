/* SPDX-License-Identifier: MIT */
#include "ledger/sqlite/sqlite_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"

static const char *without_prefix(const char *text)
{
    return text[0] == '0' && ascii_lower(text[1]) == 'x' ? text + 2 : text;
}

static bool is_hex(const char *text)
{
    text = without_prefix(text);
    for (const char *p = text; *p != '\0'; p++) {
        if (ascii_hex(*p) < 0)
            return false;
    }
    return *text != '\0';
}

static bool are_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0
        || (is_hex(a) && strcasecmp(without_prefix(a), without_prefix(b)) == 0);
}

/* Base58, bech32 and the like tell their form by how they begin. */
static bool are_of_one_form(const char *a, const char *b)
{
    bool hex = is_hex(a);
    return hex == is_hex(b) && (hex || ascii_lower(*a) == ascii_lower(*b));
}

static const char *text_of(sqlite3_value *value)
{
    return (const char *)sqlite3_value_text(value);
}

static void same_address(sqlite3_context *context, int argc,
                         sqlite3_value **argv)
{
    const char *a = text_of(argv[0]);
    const char *b = text_of(argv[1]);
    (void)argc;
    if (a == NULL || b == NULL)
        sqlite3_result_null(context);
    else
        sqlite3_result_int(context, are_same(a, b));
}

static void may_be_same_recipient(sqlite3_context *context, int argc,
                                  sqlite3_value **argv)
{
    const char *address[2] = {text_of(argv[0]), text_of(argv[2])};
    const char *user[2] = {text_of(argv[1]), text_of(argv[3])};
    bool may = true;
    (void)argc;
    if (address[0] != NULL && address[1] != NULL)
        may = are_same(address[0], address[1])
           || strcasecmp(address[0], address[1]) == 0
           || !are_of_one_form(address[0], address[1]);
    else if (user[0] != NULL && user[1] != NULL)
        may = strcasecmp(user[0], user[1]) == 0;
    sqlite3_result_int(context, may);
}

int sqlite_address_register(sqlite3 *db)
{
    int rc = sqlite3_create_function(db, "same_address", 2,
                                     SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                     same_address, NULL, NULL);
    if (rc != SQLITE_OK)
        return rc;
    return sqlite3_create_function(db, "may_be_same_recipient", 4,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                   may_be_same_recipient, NULL, NULL);
}
