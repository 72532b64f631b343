/* SPDX-License-Identifier: MIT */
#include "ledger/sqlite/sqlite_hash.h"

#include <string.h>

#include "ledger/chain_kind.h"
#include "ledger/ledger.h"

static void canonical(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    char text[LEDGER_HASH_MAX + 2];
    const char *chain = (const char *)sqlite3_value_text(argv[0]);
    const char *hash = (const char *)sqlite3_value_text(argv[1]);
    (void)argc;
    if (chain == NULL || hash == NULL || strlen(hash) >= LEDGER_HASH_MAX) {
        sqlite3_result_value(context, argv[1]);
        return;
    }
    chain_canonical_hash(chain_kind_of(chain),
                         (struct celery_str){hash, strlen(hash)}, text);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

int sqlite_hash_register(sqlite3 *db)
{
    return sqlite3_create_function(db, "canonical_tx_hash", 2,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                   canonical, NULL, NULL);
}
