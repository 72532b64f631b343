/* SPDX-License-Identifier: MIT */
#include "ledger/sqlite/sqlite_decimal.h"

#include <stdbool.h>
#include <string.h>

#include "ledger/amount.h"

/* SQLite aligns an aggregate's memory to 8 bytes, a 128-bit integer wants 16:
 * the total lives there as bytes. All zero is the sum of nothing. */
struct sum {
    unsigned char total[sizeof(struct amount)];
    bool failed;
};

static bool read_amount(sqlite3_value *value, struct amount *ret)
{
    const unsigned char *text = sqlite3_value_text(value);
    if (text == NULL)
        return false;
    struct celery_str slice = {(const char *)text,
                               (size_t)sqlite3_value_bytes(value)};
    return amount_parse_signed(slice, ret) == CELERY_OK;
}

/* The text first: the code alone would replace it. */
static void refuse(sqlite3_context *context, const char *why)
{
    sqlite3_result_error(context, why, -1);
    sqlite3_result_error_code(context, SQLITE_CONSTRAINT);
}

static void answer(sqlite3_context *context, struct amount amount)
{
    char text[AMOUNT_TEXT_MAX];
    amount_format(amount, text);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static void dec_add(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct amount a = {0};
    struct amount b = {0};
    (void)argc;
    if (!read_amount(argv[0], &a) || !read_amount(argv[1], &b))
        refuse(context, "dec_add: not an amount");
    else if (!amount_add(a, b, &a))
        refuse(context, "dec_add: the sum is out of range");
    else
        answer(context, a);
}

static void dec_cmp(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct amount a = {0};
    struct amount b = {0};
    (void)argc;
    if (!read_amount(argv[0], &a) || !read_amount(argv[1], &b))
        refuse(context, "dec_cmp: not an amount");
    else
        sqlite3_result_int(context, amount_compare(a, b));
}

static void sum_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct sum *sum = sqlite3_aggregate_context(context, sizeof *sum);
    struct amount total = {0};
    struct amount a = {0};
    (void)argc;
    if (sum == NULL || sqlite3_value_type(argv[0]) == SQLITE_NULL)
        return;
    memcpy(&total, sum->total, sizeof total);
    if (!read_amount(argv[0], &a) || !amount_add(total, a, &total))
        sum->failed = true;
    memcpy(sum->total, &total, sizeof total);
}

static void sum_final(sqlite3_context *context)
{
    /* Size 0: NULL when there was no row. */
    const struct sum *sum = sqlite3_aggregate_context(context, 0);
    struct amount total = {0};
    if (sum != NULL && sum->failed) {
        refuse(context, "dec_sum: not an amount, or out of range");
        return;
    }
    if (sum != NULL)
        memcpy(&total, sum->total, sizeof total);
    answer(context, total);
}

int sqlite_decimal_register(sqlite3 *db)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    int rc = sqlite3_create_function(db, "dec_add", 2, flags, NULL, dec_add,
                                     NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "dec_cmp", 2, flags, NULL, dec_cmp,
                                     NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "dec_sum", 1, flags, NULL, NULL,
                                     sum_step, sum_final);
    return rc;
}
