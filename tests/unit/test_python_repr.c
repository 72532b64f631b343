/* SPDX-License-Identifier: MIT */
#include "celery/python_repr.h"

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

/* What celery.utils.saferepr of 5.7.0 returns. */
static const struct {
    const char *json;
    size_t maxlen;
    unsigned levels;
    bool as_tuple;
    const char *repr;
} cases[] = {
    {"[]", 1024, 3, true, "()"},
    {"[1]", 1024, 3, true, "(1,)"},
    {"[1, \"a\"]", 1024, 3, true, "(1, 'a')"},
    {"[1, \"a\"]", 1024, 3, false, "[1, 'a']"},
    {"{}", 1024, 3, false, "{}"},
    {"{\"k\": [true, false, null]}", 1024, 3, false,
     "{'k': [True, False, None]}"},
    {"[-0, -0.0, 1.50, 1e16, 12345678901234567890, NaN, -Infinity]", 1024, 3,
     false, "[0, -0.0, 1.5, 1e+16, 12345678901234567890, nan, -inf]"},
    {"\"it's \\\"x\\\"\\n\"", 1024, 3, false, "'it\\'s \"x\"\n'"},
    {"[[[[1]]]]", 1024, 3, true, "([[[...]]],)"},
    {"[[[{}]]]", 1024, 3, false, "[[[{...}]]]"},
    {"[[[[1]]]]", 1024, 0, false, "[[[[1]]]]"},
    {"\"abcdef\"", 5, 3, false, "'abcde...'"},
    {"\"ab cdef\"", 5, 3, false, "'ab...'"},
    {"[1, 2, 3]", 2, 3, false, "[1..., ...]"},
    {"[\"abc\", \"def\"]", 3, 3, false, "['ab...', ...]"},
    {"[[\"abc\", 1], 2]", 4, 3, true, "(['ab...', ...])"},
    {"[\"\\u20b9\\ud83d\\ude00\"]", 1024, 3, false,
     "['\xe2\x82\xb9\xf0\x9f\x98\x80']"},
    {"123456", 3, 3, false, "123..."},
    {"{\"__type__\": \"decimal\", \"__value__\": \"1.10\"}", 1024, 3, false,
     "Decimal('1.10')"},
    {"{\"__type__\": \"uuid\", \"__value__\": {\"hex\": "
     "\"00000000000000000000000000000007\"}}",
     1024, 3, false, "UUID('00000000-0000-0000-0000-000000000007')"},
    {"{\"__type__\": \"datetime\", \"__value__\": "
     "\"2026-11-23T21:36:48.274203+00:00\"}",
     1024, 3, false,
     "datetime.datetime(2026, 11, 23, 21, 36, 48, 274203, "
     "tzinfo=datetime.timezone.utc)"},
    {"{\"__type__\": \"datetime\", \"__value__\": "
     "\"2026-11-23T21:00:00-03:30\"}",
     1024, 3, false,
     "datetime.datetime(2026, 11, 23, 21, 0, tzinfo=datetime.timezone("
     "datetime.timedelta(days=-1, seconds=73800)))"},
    {"{\"__type__\": \"date\", \"__value__\": \"2026-01-02\"}", 1024, 3, false,
     "datetime.date(2026, 1, 2)"},
    {"{\"__type__\": \"time\", \"__value__\": \"21:36:48\"}", 1024, 3, false,
     "datetime.time(21, 36, 48)"},
    {"{\"__type__\": \"bytes\", \"__value__\": \"a'b\"}", 1024, 3, false,
     "b'a'b'"},
    {"{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}", 1024, 3, false,
     "b'ff00'"},
    {"{\"__type__\": 1, \"__value__\": \"2026-01-02\", \"\\u005f_type__\": "
     "\"date\"}",
     1024, 3, false, "datetime.date(2026, 1, 2)"},
    {"{\"a\": 1, \"b\": 2, \"\\u0061\": 3}", 1024, 3, false,
     "{'a': 3, 'b': 2}"},
    {"[{\"a\": 1, \"a\": {\"x\": 1, \"x\": 2}}]", 1024, 3, false,
     "[{'a': {'x': 2}}]"},
    {"{\"a\": 1, \"a\": 2}", 4, 3, false, "{'a', ...}"},
    {"{\"__type__\": \"time\", \"__value__\": "
     "\"21:36:48-00:00:01.000005\"}",
     1024, 3, false,
     "datetime.time(21, 36, 48, tzinfo=datetime.timezone("
     "datetime.timedelta(days=-1, seconds=86398, microseconds=999995)))"},
    {"{\"__type__\": \"other\", \"__value__\": 1}", 1024, 3, false,
     "{'__type__': 'other', '__value__': 1}"},
    {"{\"__type__\": \"date\", \"__value__\": \"2026-01-02\", \"x\": 1}", 1024,
     3, false, "{'__type__': 'date', '__value__': '2026-01-02', 'x': 1}"},
};

START_TEST(shows_what_saferepr_shows)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        celery_python_repr(&buf, json(cases[i].json), cases[i].as_tuple,
                           cases[i].maxlen, cases[i].levels);
        ASSERT_BUF(&buf, cases[i].repr);
    }
}
END_TEST

/* str(decimal.Decimal(text)); NULL: it is none. */
static const struct {
    const char *text;
    const char *shown;
} decimals[] = {
    {"1.10", "1.10"},
    {"1e5", "1E+5"},
    {"+12.5E-3", "0.0125"},
    {"0.000001", "0.000001"},
    {"0.0000001", "1E-7"},
    {"00123.", "123"},
    {".5", "0.5"},
    {"-0", "-0"},
    {"0e-8", "0E-8"},
    {"000.00", "0.00"},
    {"1234e-2", "12.34"},
    {"1.5e300", "1.5E+300"},
    {"nan", "NaN"},
    {"-sNaN007", "-sNaN7"},
    {"inf", "Infinity"},
    {"-infinity", "-Infinity"},
    {"111111111111111111111111111111111111111111111111111111111111111111111",
     "111111111111111111111111111111111111111111111111111111111111111111111"},
    {"1e000000000000000000000000000000000000000000000000000000000000000000002",
     "1E+2"},
    {"", NULL},
    {"-", NULL},
    {".", NULL},
    {"e5", NULL},
    {"1e", NULL},
    {"1e9999999999999999999", NULL},
    {"1.2.3", NULL},
    {"infi", NULL},
    {"nanx", NULL},
    {"0x10", NULL},
};

START_TEST(shows_decimals_as_str)
{
    for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf in = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf want = CELERY_BUF_INIT;

        celery_buf_printf(
            &in, "{\"__type__\": \"decimal\", \"__value__\": \"%s\"}%c",
            decimals[i].text, '\0');
        if (decimals[i].shown != NULL)
            celery_buf_printf(&want, "Decimal('%s')%c", decimals[i].shown,
                              '\0');
        else
            celery_buf_printf(&want,
                              "{'__type__': 'decimal', '__value__': '%s'}%c",
                              decimals[i].text, '\0');
        celery_python_repr(&buf, json(in.data), false, 1024, 3);
        ASSERT_BUF(&buf, want.data);
    }
}
END_TEST

static const struct {
    const char *text;
    size_t len;
    const char *repr;
} strings[] = {
    {"", 0, "''"},
    {"a", 1, "'a'"},
    {"it's", 4, "\"it's\""},
    {"'\"", 2, "'\\'\"'"},
    {"\\\n\r\t", 4, "'\\\\\\n\\r\\t'"},
    {"\0\x1f\x7f", 3, "'\\x00\\x1f\\x7f'"},
    {"\xc2\x80\xc2\x9f\xc2\xa0\xc2\xad", 8, "'\\x80\\x9f\\xa0\\xad'"},
    {"\xc3\xa9\xe2\x82\xb9", 5, "'\xc3\xa9\xe2\x82\xb9'"},
    {"\xe2\x80\xa8\xe2\x80\xa9", 6, "'\\u2028\\u2029'"},
    {"\xee\x80\x80", 3, "'\\ue000'"},         /* private use */
    {"\xed\xa0\x80", 3, "'\\ud800'"},         /* a surrogate */
    {"\xf3\xa0\x80\x81", 4, "'\\U000e0001'"}, /* format */
    {"\xf0\x9f\x98\x80", 4, "'\xf0\x9f\x98\x80'"},
    {"\xff", 1, "'\\udcff'"}, /* surrogateescape */
};

START_TEST(quotes_strings_as_repr)
{
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        celery_python_repr_str(&buf, (struct celery_str){strings[i].text,
                                                         strings[i].len});
        ASSERT_BUF(&buf, strings[i].repr);
    }
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;
    struct celery_json value =
        json("[\"\\u0041\", {\"__type__\": \"base64\", \"__value__\": "
             "\"/wA=\"}, {\"__type__\": \"decimal\", \"__value__\": \"1\"}]");

    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_python_repr(&buf, value, true, 1024, 3);
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

UNIT_MAIN("python_repr", shows_what_saferepr_shows, shows_decimals_as_str,
          quotes_strings_as_repr, survives_out_of_memory)
