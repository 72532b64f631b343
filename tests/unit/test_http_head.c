/* SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

#define GET     "GET / HTTP/1.1\r\n"
#define HOST    "Host: a\r\n"
#define POST    "POST / HTTP/1.1\r\n" HOST
#define CL(v)   "Content-Length: " v "\r\n"
#define TE(v)   "Transfer-Encoding: " v "\r\n"
#define CASE(s) (s), sizeof(s) - 1

/* The status that the bytes are refused with; 0: accepted, 1: not whole. */
static int status_of(const char *bytes, size_t size, struct http_head *ret_head,
                     struct http_refusal *ret_refusal)
{
    /* On the heap and without a NUL: a read past the end is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    size_t scanned = 0;
    size_t len = 0;
    int status = 0;
    memcpy(copy, bytes, size);
    enum http_head_state state =
        http_head_find_end(copy, size, &scanned, &len, ret_refusal);
    if (state == HTTP_HEAD_MORE)
        status = 1;
    else if (state == HTTP_HEAD_REFUSED
             || !http_head_parse(copy, len, ret_head, ret_refusal))
        status = ret_refusal->status;
    free(copy);
    return status;
}

static const struct {
    const char *bytes;
    size_t size;
    int status;
    const char *reason;
} refused[] = {
    /* E14: where a body ends, said twice or badly */
    {CASE(POST CL("73") CL("74") "\r\n"), 400, "content_length"},
    {CASE(POST CL("73") CL("73") "\r\n"), 400, "content_length"},
    {CASE(POST CL("73, 73") "\r\n"), 400, "content_length"},
    {CASE(POST CL("+73") "\r\n"), 400, "content_length"},
    {CASE(POST CL("-1") "\r\n"), 400, "content_length"},
    {CASE(POST CL("0x10") "\r\n"), 400, "content_length"},
    {CASE(POST CL("7 3") "\r\n"), 400, "content_length"},
    {CASE(POST CL("") "\r\n"), 400, "content_length"},
    {CASE(POST CL("73\t") "\r\n"), 400, "content_length"},
    {CASE(POST CL("73 \t") "\r\n"), 400, "content_length"},
    {CASE("GET / HTTP/1.0\r\n" CL("1") "\r\n"), 400, "content_length"},
    {CASE(POST CL("1111111111111111111") "\r\n"), 400, "content_length"},
    {CASE(POST "Content-Length : 73\r\n\r\n"), 400, "field"},
    {CASE(POST "Content-Length\t: 73\r\n\r\n"), 400, "field"},
    {CASE(POST CL("73") TE("chunked") "\r\n"), 400, "transfer_encoding"},
    {CASE(POST TE("chunked") CL("73") "\r\n"), 400, "transfer_encoding"},
    {CASE(POST TE("chunked") TE("chunked") "\r\n"), 400, "transfer_encoding"},
    {CASE(POST TE("gzip, chunked") "\r\n"), 501, "transfer_encoding"},
    {CASE(POST TE("chunked, identity") "\r\n"), 501, "transfer_encoding"},
    {CASE(POST TE("xchunked") "\r\n"), 501, "transfer_encoding"},
    {CASE(POST TE("identity") "\r\n"), 501, "transfer_encoding"},
    {CASE(POST TE("chunked;q=1") "\r\n"), 501, "transfer_encoding"},
    {CASE(POST TE("\x0b"
                  "chunked") "\r\n"),
     400, "field"},
    {CASE("POST / HTTP/1.0\r\n" TE("chunked") "\r\n"), 400,
     "transfer_encoding"},
    /* E14: lines */
    {CASE(GET HOST "A: b\r\n c\r\n\r\n"), 400, "obs_fold"},
    {CASE(GET HOST "A: b\r\n\tc\r\n\r\n"), 400, "obs_fold"},
    {CASE(GET " Host: a\r\n\r\n"), 400, "obs_fold"},
    {CASE("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400, "line_end"},
    {CASE(GET "Host: a\n\r\n"), 400, "line_end"},
    {CASE(GET "Host: a\n\n"), 400, "line_end"},
    {CASE("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "line_end"},
    {CASE(GET HOST "A: b\rc\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A: b\r\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A: b\0c\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A: b\x7f\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A\0: b\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A b: c\r\n\r\n"), 400, "field"},
    {CASE(GET HOST ": c\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "no colon\r\n\r\n"), 400, "field"},
    {CASE(GET HOST "A\xe9: c\r\n\r\n"), 400, "field"},
    /* E14: Host */
    {CASE(GET "\r\n"), 400, "host"},
    {CASE(GET HOST HOST "\r\n"), 400, "host"},
    {CASE("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), 400, "host"},
    {CASE(GET "Host:\r\n\r\n"), 400, "host"},
    {CASE(GET "Host: a b\r\n\r\n"), 400, "host"},
    {CASE(GET "Host: a/b\r\n\r\n"), 400, "host"},
    {CASE(GET "Host: a, b\r\n\r\n"), 400, "host"},
    {CASE(GET "Host: u@a\r\n\r\n"), 400, "host"},
    /* The request line */
    {CASE("GET /\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400, "request_line"},
    {CASE(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET / http/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET / HTTP/1.10\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET / HTTP/+1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET / a HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("G(T / HTTP/1.1\r\n" HOST "\r\n"), 400, "request_line"},
    {CASE("\r\n\r\n" GET HOST "\r\n"), 400, "request_line"},
    /* E18 */
    {CASE("GET / HTTP/9.9\r\n" HOST "\r\n"), 505, "version"},
    {CASE("GET / HTTP/2.0\r\n" HOST "\r\n"), 505, "version"},
    {CASE("GET / HTTP/0.9\r\n" HOST "\r\n"), 505, "version"},
    {CASE("BREW / HTTP/1.1\r\n" HOST "\r\n"), 501, "method"},
    {CASE("get / HTTP/1.1\r\n" HOST "\r\n"), 501, "method"},
    {CASE("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), 501, "method"},
    {CASE(GET HOST "Expect: banana\r\n\r\n"), 417, "expect"},
};

START_TEST(refuses_what_can_be_read_in_two_ways)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct http_head head = {0};
        struct http_refusal refusal = {0};
        int status =
            status_of(refused[i].bytes, refused[i].size, &head, &refusal);
        ck_assert_msg(status == refused[i].status
                          && strcmp(refusal.reason, refused[i].reason) == 0,
                      "case %zu: %d %s for %s", i, status,
                      refusal.reason != NULL ? refusal.reason : "-",
                      refused[i].bytes);
        ck_assert_ptr_nonnull(refusal.text);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    int minor;
    int64_t content_length;
    bool chunked;
    bool keep_alive;
    bool expect_continue;
} accepted[] = {
    {CASE(GET HOST "\r\n"), 1, -1, false, true, false},
    {CASE("\r\n" GET HOST "\r\n"), 1, -1, false, true, false},
    {CASE("GET / HTTP/1.0\r\n\r\n"), 0, -1, false, false, false},
    {CASE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0, -1, false,
     true, false},
    {CASE("GET / HTTP/1.0\r\nExpect: banana\r\n\r\n"), 0, -1, false, false,
     false},
    {CASE("GET / HTTP/1.9\r\n" HOST "\r\n"), 1, -1, false, true, false},
    {CASE(GET HOST "Connection: x,\t CLOSE ,y\r\n\r\n"), 1, -1, false, false,
     false},
    {CASE(GET HOST "Connection: x\r\nConnection: close\r\n\r\n"), 1, -1, false,
     false, false},
    {CASE(GET HOST "Connection: closed\r\n\r\n"), 1, -1, false, true, false},
    {CASE(POST CL("0") "\r\n"), 1, 0, false, true, false},
    {CASE(POST CL("073  ") "\r\n"), 1, 73, false, true, false},
    {CASE(POST CL("999999999999999999") "\r\n"), 1, 999999999999999999, false,
     true, false},
    {CASE(POST "content-length:73\r\n\r\n"), 1, 73, false, true, false},
    {CASE(POST TE("Chunked ") "\r\n"), 1, -1, true, true, false},
    {CASE(POST CL("1") "Expect: 100-Continue\r\n\r\n"), 1, 1, false, true,
     true},
    {CASE(GET "Host: [::1]:8000\r\n\r\n"), 1, -1, false, true, false},
    {CASE("GET http://a/b HTTP/1.1\r\n" HOST "\r\n"), 1, -1, false, true,
     false},
    {CASE(GET HOST "A: \xc3\xa4\r\n\r\n"), 1, -1, false, true, false},
};

START_TEST(accepts_what_is_valid)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct http_head head = {0};
        struct http_refusal refusal = {0};
        int status =
            status_of(accepted[i].bytes, accepted[i].size, &head, &refusal);
        ck_assert_msg(status == 0, "case %zu: %d %s", i, status,
                      refusal.text != NULL ? refusal.text : "-");
        ck_assert_int_eq(head.minor, accepted[i].minor);
        ck_assert_msg(head.content_length == accepted[i].content_length,
                      "case %zu", i);
        ck_assert_int_eq(head.chunked, accepted[i].chunked);
        ck_assert_msg(head.keep_alive == accepted[i].keep_alive, "case %zu", i);
        ck_assert_int_eq(head.expect_continue, accepted[i].expect_continue);
    }
}
END_TEST

/* E17: tabs within a value stay, blanks around it go. */
START_TEST(slices_are_what_was_sent)
{
    static const char bytes[] = "POST /p?q=1 HTTP/1.1\r\nHost: a\r\nX-A:  b\tc "
                                "\t\r\nX-B:\r\n\r\nrest";
    struct http_head head = {0};
    struct http_refusal refusal = {0};
    size_t scanned = 0;
    size_t len = 0;
    ck_assert_int_eq(http_head_find_end(bytes, sizeof bytes - 1, &scanned, &len,
                                        &refusal),
                     HTTP_HEAD_DONE);
    ck_assert_uint_eq(len, sizeof bytes - 1 - 4);
    ck_assert(http_head_parse(bytes, len, &head, &refusal));
    ck_assert_uint_eq(head.field_count, 3);
    ck_assert_int_eq(strncmp(head.method.data, "POST", head.method.len), 0);
    ck_assert_uint_eq(head.target.len, 6);
    ck_assert_uint_eq(head.fields[1].value.len, 3);
    ck_assert_int_eq(memcmp(head.fields[1].value.data, "b\tc", 3), 0);
    ck_assert_uint_eq(head.fields[1].name.len, 3);
    ck_assert_uint_eq(head.fields[2].value.len, 0);
}
END_TEST

/* E12, E13: what cannot be seen is not taken. */
START_TEST(counts_fields)
{
    for (int count = HTTP_FIELDS_MAX - 1; count <= HTTP_FIELDS_MAX + 1;
         count++) {
        struct celery_buf bytes = CELERY_BUF_INIT;
        struct http_head head = {0};
        struct http_refusal refusal = {0};
        celery_buf_printf(&bytes, "POST / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < count - 2; i++)
            celery_buf_printf(&bytes, "X-%d: y\r\n", i);
        celery_buf_printf(&bytes, "Content-Length: 5\r\n\r\n");
        int status = status_of(bytes.data, bytes.len, &head, &refusal);
        if (count <= HTTP_FIELDS_MAX) {
            ck_assert_int_eq(status, 0);
            ck_assert_int_eq(head.content_length, 5);
        } else {
            ck_assert_int_eq(status, 431);
            ck_assert_ptr_nonnull(strstr(refusal.text, "63"));
        }
        celery_buf_done(&bytes);
    }
}
END_TEST

/* However the bytes are cut, the end is found at the same place. */
START_TEST(finds_the_end_byte_by_byte)
{
    static const char bytes[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t scanned = 0;
    size_t len = 0;
    struct http_refusal refusal;
    for (size_t i = 0; i < sizeof bytes - 1; i++)
        ck_assert_int_eq(http_head_find_end(bytes, i, &scanned, &len, &refusal),
                         HTTP_HEAD_MORE);
    ck_assert_int_eq(http_head_find_end(bytes, sizeof bytes - 1, &scanned, &len,
                                        &refusal),
                     HTTP_HEAD_DONE);
    ck_assert_uint_eq(len, sizeof bytes - 1);
}
END_TEST

UNIT_MAIN("http_head", refuses_what_can_be_read_in_two_ways,
          accepts_what_is_valid, slices_are_what_was_sent, counts_fields,
          finds_the_end_byte_by_byte)
