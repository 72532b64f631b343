/* SPDX-License-Identifier: MIT */
/*
 * An accepted amount is above zero, in range, and its canonical text reads back
 * as itself; what is cut says so.
 */
#include "fuzz/fuzz.h"
#include "ledger/amount.h"

static void check_accepted(struct amount amount)
{
    struct amount again = {0};
    struct amount sum = {0};
    char text[AMOUNT_TEXT_MAX];
    amount_format(amount, text);
    size_t len = strlen(text);
    HOLDS(amount.units > 0);
    HOLDS(len <= AMOUNT_INTEGER_DIGITS + AMOUNT_DECIMALS + 1);
    HOLDS(text[0] != '0' || text[1] == '.');
    HOLDS(strchr(text, '.') == NULL || text[len - 1] != '0');
    HOLDS(amount_parse((struct celery_str){text, len}, &again) == CELERY_OK);
    HOLDS(amount_compare(amount, again) == 0);
    HOLDS(amount_parse_signed((struct celery_str){text, len}, &again)
          == CELERY_OK);
    HOLDS(amount_add(amount, (struct amount){-amount.units}, &sum));
    HOLDS(sum.units == 0);
    if (amount_add(amount, amount, &sum))
        HOLDS(amount_compare(sum, amount) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_str text = fuzz_str(data, size);
    struct amount amount = {0};
    struct amount cut = {0};
    int decimals = 0;
    enum celery_status strict = amount_parse(text, &amount);
    enum celery_status loose = amount_parse_cut(text, &cut, &decimals);
    if (strict == CELERY_OK) {
        HOLDS(loose == CELERY_OK && decimals <= AMOUNT_DECIMALS);
        HOLDS(amount_compare(amount, cut) == 0);
        check_accepted(amount);
    }
    HOLDS((strict == CELERY_UNSUPPORTED)
          == (loose == CELERY_OK && decimals > AMOUNT_DECIMALS));
    (void)!amount_parse_signed(text, &amount);
    return 0;
}
