/* SPDX-License-Identifier: MIT */
#include "http/head_fields.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"

enum { CONTENT_LENGTH_DIGITS = 18 }; /* what an int64_t holds for certain */

/* What the fields said so far. */
struct seen {
    size_t hosts;
    size_t lengths;
    size_t codings;
    bool close;
    bool keep_alive;
};

static bool refuse(struct http_refusal *refusal, int status, const char *reason,
                   const char *text)
{
    *refusal = (struct http_refusal){status, reason, text};
    return false;
}

static bool is(struct celery_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

/* RFC 9110 section 8.6: digits, nothing else. Two of them are refused even when
 * they are equal, and so is a list. A tab behind the digits is a blank to us
 * and none to nginx: refused, too. The line's CR ends the search for one. */
static bool read_length(struct http_head *head, struct celery_str value,
                        struct seen *seen, struct http_refusal *refusal)
{
    int64_t length = 0;
    if (++seen->lengths > 1)
        return refuse(refusal, 400, "content_length",
                      "more than one Content-Length");
    for (size_t i = 0; i < value.len && i < CONTENT_LENGTH_DIGITS; i++) {
        if (!ascii_is_digit(value.data[i]))
            return refuse(refusal, 400, "content_length",
                          "Content-Length is malformed");
        length = length * 10 + (value.data[i] - '0');
    }
    const char *behind = value.data + value.len;
    while (*behind == ' ')
        behind++;
    if (value.len == 0 || value.len > CONTENT_LENGTH_DIGITS || *behind == '\t')
        return refuse(refusal, 400, "content_length",
                      "Content-Length is malformed");
    head->content_length = length;
    return true;
}

/* RFC 9112 section 6.1: chunked is the only coding that we decode; another one
 * is 501. */
static bool read_coding(struct http_head *head, struct celery_str value,
                        struct seen *seen, struct http_refusal *refusal)
{
    if (++seen->codings > 1)
        return refuse(refusal, 400, "transfer_encoding",
                      "more than one Transfer-Encoding");
    if (!is(value, "chunked"))
        return refuse(refusal, 501, "transfer_encoding",
                      "Transfer-Encoding is not chunked");
    head->chunked = true;
    return true;
}

/* RFC 9110 section 7.6.1: a list of options. */
static void read_connection(struct celery_str value, struct seen *seen)
{
    const char *p = value.data;
    const char *end = value.data + value.len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        struct celery_str word = {p, (size_t)(stop - p)};
        while (word.len > 0 && (word.data[0] == ' ' || word.data[0] == '\t'))
            word = (struct celery_str){word.data + 1, word.len - 1};
        while (word.len > 0
               && (word.data[word.len - 1] == ' '
                   || word.data[word.len - 1] == '\t'))
            word.len--;
        seen->close = seen->close || is(word, "close");
        seen->keep_alive = seen->keep_alive || is(word, "keep-alive");
        p = stop + 1;
    }
}

bool http_is_host(struct celery_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!ascii_is_alnum(c)
            && (c == '\0' || strchr("-._~!$&'()*+;=%:[]", c) == NULL))
            return false;
    }
    return s.len > 0;
}

/* An empty one is allowed only where the URI has no authority, and http always
 * has one. */
static bool read_host(struct celery_str value, struct seen *seen,
                      struct http_refusal *refusal)
{
    if (++seen->hosts > 1)
        return refuse(refusal, 400, "host", "more than one Host");
    return http_is_host(value)
             ? true
             : refuse(refusal, 400, "host", "Host is empty or malformed");
}

/* RFC 9110 section 10.1.1: an expectation that is not known is 417; HTTP/1.0
 * knows none. */
static bool read_expect(struct http_head *head, struct celery_str value,
                        struct http_refusal *refusal)
{
    if (head->minor == 0)
        return true;
    if (!is(value, "100-continue"))
        return refuse(refusal, 417, "expect",
                      "only 100-continue can be expected");
    head->expect_continue = true;
    return true;
}

static bool read_field(struct http_head *head, const struct http_field *field,
                       struct seen *seen, struct http_refusal *refusal)
{
    if (is(field->name, "Content-Length"))
        return read_length(head, field->value, seen, refusal);
    if (is(field->name, "Transfer-Encoding"))
        return read_coding(head, field->value, seen, refusal);
    if (is(field->name, "Host"))
        return read_host(field->value, seen, refusal);
    if (is(field->name, "Expect"))
        return read_expect(head, field->value, refusal);
    if (is(field->name, "Connection"))
        read_connection(field->value, seen);
    return true;
}

bool http_head_read_fields(struct http_head *head,
                           struct http_refusal *ret_refusal)
{
    struct seen seen = {0};
    for (size_t i = 0; i < head->field_count; i++) {
        if (!read_field(head, &head->fields[i], &seen, ret_refusal))
            return false;
    }
    /* RFC 9112 section 3.2 */
    if (head->minor == 1 && seen.hosts == 0)
        return refuse(ret_refusal, 400, "host", "HTTP/1.1 needs Host");
    /* RFC 9112 section 6.1: the marks of request smuggling. */
    if (head->chunked && head->minor == 0)
        return refuse(ret_refusal, 400, "transfer_encoding",
                      "Transfer-Encoding in HTTP/1.0");
    if (head->chunked && seen.lengths > 0)
        return refuse(ret_refusal, 400, "transfer_encoding",
                      "Content-Length beside Transfer-Encoding");
    /* RFC 9110 section 9.3.1: such a body means nothing, and what reads HTTP/1.0
     * may not expect it. HAProxy refuses it as well. */
    if (head->minor == 0 && head->content_length > 0
        && (is(head->method, "GET") || is(head->method, "HEAD")
            || is(head->method, "DELETE")))
        return refuse(ret_refusal, 400, "content_length",
                      "a body that this method has not in HTTP/1.0");
    /* RFC 9112 section 9.3 */
    head->keep_alive = !seen.close && (head->minor == 1 || seen.keep_alive);
    return true;
}
