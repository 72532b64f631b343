/* SPDX-License-Identifier: MIT */
#include "ledger/amount.h"

#include <string.h>

#include "support/unit.h"

static struct celery_str slice(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

START_TEST(reads_and_writes_canonical_text)
{
    static const struct {
        const char *text;
        enum celery_status status;
        const char *canonical;
    } cases[] = {
        {"1", CELERY_OK, "1"},
        {"100.50", CELERY_OK, "100.5"},
        {"0.001", CELERY_OK, "0.001"},
        {"007.500", CELERY_OK, "7.5"},
        {"1.000", CELERY_OK, "1"},
        {"0.000000000000000001", CELERY_OK, "0.000000000000000001"},
        {"0.0000000000000000010", CELERY_OK, "0.000000000000000001"},
        {"99999999999999999999.999999999999999999", CELERY_OK,
         "99999999999999999999.999999999999999999"},
        {"00000000000000000000000099999999999999999999", CELERY_OK,
         "99999999999999999999"},
        {"100000000000000000000", CELERY_TOO_LARGE, NULL},
        {"0.0000000000000000001", CELERY_UNSUPPORTED, NULL},
        {"1.0000000000000000001", CELERY_UNSUPPORTED, NULL},
        {"0", CELERY_INVALID, NULL},
        {"0.0", CELERY_INVALID, NULL},
        {"000", CELERY_INVALID, NULL},
        {"", CELERY_MALFORMED, NULL},
        {".", CELERY_MALFORMED, NULL},
        {"1.", CELERY_MALFORMED, NULL},
        {".5", CELERY_MALFORMED, NULL},
        {"-1", CELERY_MALFORMED, NULL},
        {"+1", CELERY_MALFORMED, NULL},
        {"1e5", CELERY_MALFORMED, NULL},
        {"1E5", CELERY_MALFORMED, NULL},
        {"1.5e1", CELERY_MALFORMED, NULL},
        {"0x10", CELERY_MALFORMED, NULL},
        {" 1", CELERY_MALFORMED, NULL},
        {"1 ", CELERY_MALFORMED, NULL},
        {"1\n", CELERY_MALFORMED, NULL},
        {"1,5", CELERY_MALFORMED, NULL},
        {"1_000", CELERY_MALFORMED, NULL},
        {"1..5", CELERY_MALFORMED, NULL},
        {"1.5.5", CELERY_MALFORMED, NULL},
        {"NaN", CELERY_MALFORMED, NULL},
        {"Infinity", CELERY_MALFORMED, NULL},
        {"inf", CELERY_MALFORMED, NULL},
        {"\xd9\xa1", CELERY_MALFORMED, NULL}, /* an Arabic digit one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct amount amount = {.units = 42};
        enum celery_status st = amount_parse(slice(cases[i].text), &amount);
        ck_assert_msg(st == cases[i].status, "'%s': %s", cases[i].text,
                      celery_status_text(st));
        if (st != CELERY_OK) {
            ck_assert(amount.units == 42);
            continue;
        }
        char text[AMOUNT_TEXT_MAX];
        amount_format(amount, text);
        ck_assert_str_eq(text, cases[i].canonical);
    }
}
END_TEST

START_TEST(a_long_text_or_a_nul_is_no_amount)
{
    char text[AMOUNT_INPUT_MAX + 2];
    struct amount amount = {0};
    memset(text, '0', sizeof text);
    text[AMOUNT_INPUT_MAX - 1] = '1';
    ck_assert_int_eq(amount_parse((struct celery_str){text, AMOUNT_INPUT_MAX},
                                  &amount),
                     CELERY_OK);
    ck_assert_int_eq(
        amount_parse((struct celery_str){text, AMOUNT_INPUT_MAX + 1}, &amount),
        CELERY_MALFORMED);
    ck_assert_int_eq(amount_parse((struct celery_str){"1\0", 2}, &amount),
                     CELERY_MALFORMED);
}
END_TEST

START_TEST(cutting_tells_how_many_decimals_matter)
{
    struct amount amount = {0};
    int decimals = 0;
    char text[AMOUNT_TEXT_MAX];
    ck_assert_int_eq(amount_parse_cut(slice("1.2345678901234567899"), &amount,
                                      &decimals),
                     CELERY_OK);
    ck_assert_int_eq(decimals, 19);
    amount_format(amount, text);
    ck_assert_str_eq(text, "1.234567890123456789");
    ck_assert_int_eq(amount_parse_cut(slice("5.1200"), &amount, &decimals),
                     CELERY_OK);
    ck_assert_int_eq(decimals, 2);
}
END_TEST

START_TEST(adds_within_the_range_only)
{
    struct amount most = {0};
    struct amount unit = {1};
    struct amount sum = {7};
    char text[AMOUNT_TEXT_MAX];
    ck_assert_int_eq(
        amount_parse(slice("99999999999999999999.999999999999999999"), &most),
        CELERY_OK);
    ck_assert(!amount_add(most, unit, &sum));
    ck_assert(!amount_add(most, most, &sum));
    ck_assert(sum.units == 7);
    ck_assert(amount_add(most, (struct amount){-1}, &sum));
    amount_format(sum, text);
    ck_assert_str_eq(text, "99999999999999999999.999999999999999998");
    ck_assert(amount_add((struct amount){-most.units}, most, &sum));
    amount_format(sum, text);
    ck_assert_str_eq(text, "0");
}
END_TEST

START_TEST(a_signed_amount_reads_back)
{
    static const char *const texts[] = {
        "0", "-1", "-0.5", "-99999999999999999999.999999999999999999", "3.25"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct amount amount = {0};
        char text[AMOUNT_TEXT_MAX];
        ck_assert_int_eq(amount_parse_signed(slice(texts[i]), &amount),
                         CELERY_OK);
        amount_format(amount, text);
        ck_assert_str_eq(text, texts[i]);
    }
    struct amount amount = {0};
    ck_assert_int_eq(amount_parse_signed(slice("--1"), &amount),
                     CELERY_MALFORMED);
    ck_assert_int_eq(amount_parse_signed(slice("-"), &amount),
                     CELERY_MALFORMED);
}
END_TEST

START_TEST(compares)
{
    ck_assert_int_lt(amount_compare((struct amount){-1}, (struct amount){1}),
                     0);
    ck_assert_int_eq(amount_compare((struct amount){5}, (struct amount){5}), 0);
    ck_assert_int_gt(amount_compare((struct amount){6}, (struct amount){5}), 0);
}
END_TEST

UNIT_MAIN("amount", reads_and_writes_canonical_text,
          a_long_text_or_a_nul_is_no_amount,
          cutting_tells_how_many_decimals_matter, adds_within_the_range_only,
          a_signed_amount_reads_back, compares)
