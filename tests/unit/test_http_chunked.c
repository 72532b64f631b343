/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include <string.h>

#include "support/unit.h"

#define CASE(s) (s), sizeof(s) - 1

static enum http_chunk_state feed(const char *bytes, size_t size, size_t step,
                                  size_t *ret_used, struct celery_buf *body)
{
    struct http_chunked chunked = {0};
    enum http_chunk_state state = HTTP_CHUNK_MORE;
    *ret_used = 0;
    while (state == HTTP_CHUNK_MORE && *ret_used < size) {
        size_t left = size - *ret_used;
        size_t used = 0;
        state = http_chunked_feed(&chunked, bytes + *ret_used,
                                  left < step ? left : step, &used, body);
        *ret_used += used;
    }
    return state;
}

static const struct {
    const char *bytes;
    size_t size;
    enum http_chunk_state state;
    const char *body;
    size_t rest; /* bytes behind the message */
} cases[] = {
    {CASE("0\r\n\r\n"), HTTP_CHUNK_DONE, "", 0},
    {CASE("000\r\n\r\nGET"), HTTP_CHUNK_DONE, "", 3},
    {CASE("3\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_DONE, "abc", 0},
    {CASE("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), HTTP_CHUNK_DONE,
     "abc0123456789", 0},
    /* E17: extensions and trailers */
    {CASE("3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n"), HTTP_CHUNK_DONE, "abc", 0},
    {CASE("3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\nrest"), HTTP_CHUNK_DONE, "abc",
     4},
    {CASE("3\r\nab"), HTTP_CHUNK_MORE, "ab", 0},
    {CASE("3\r\nabc\r\n"), HTTP_CHUNK_MORE, "abc", 0},
    {CASE("3\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("3\r\nabcd\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "abc", 0},
    {CASE("3\r\nabc\n0\r\n\r\n"), HTTP_CHUNK_BAD, "abc", 0},
    {CASE("3 \r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("3 ;a\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE(" 3\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("+3\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("-3\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0x3\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE(";a\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("3;a\nb\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("3;a\rb\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("3;a\0\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("100000000\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("10000000000000003\r\nabc\r\n0\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\n\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\n X: y\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\nX y: z\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\nX\r\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\nX: y\n\r\n"), HTTP_CHUNK_BAD, "", 0},
    {CASE("0\r\n\rX"), HTTP_CHUNK_BAD, "", 0},
};

START_TEST(decodes_however_the_bytes_are_cut)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= cases[i].size; step++) {
            struct celery_buf body = CELERY_BUF_INIT;
            size_t used = 0;
            enum http_chunk_state state =
                feed(cases[i].bytes, cases[i].size, step, &used, &body);
            ck_assert_msg(state == cases[i].state, "case %zu by %zu: %d", i,
                          step, (int)state);
            ck_assert_uint_eq(body.len, strlen(cases[i].body));
            if (body.len > 0)
                ck_assert_int_eq(memcmp(body.data, cases[i].body, body.len), 0);
            if (state == HTTP_CHUNK_DONE)
                ck_assert_uint_eq(cases[i].size - used, cases[i].rest);
            celery_buf_done(&body);
        }
    }
}
END_TEST

/* What is dropped has a limit, too. */
START_TEST(extensions_and_trailers_end)
{
    static const char *const starts[] = {"1;", "0\r\nX:"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        struct celery_buf bytes = CELERY_BUF_INIT;
        struct celery_buf body = CELERY_BUF_INIT;
        size_t used = 0;
        celery_buf_printf(&bytes, "%s%020000d", starts[i], 1);
        ck_assert_int_eq(feed(bytes.data, bytes.len, 100, &used, &body),
                         HTTP_CHUNK_BAD);
        ck_assert_uint_lt(used, 17000);
        celery_buf_done(&bytes);
        celery_buf_done(&body);
    }
}
END_TEST

UNIT_MAIN("http_chunked", decodes_however_the_bytes_are_cut,
          extensions_and_trailers_end)
