/* SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <string.h>

#include "base/ascii.h"
#include "http/head_fields.h"

/* One line after the other, without their CRLF. */
struct lines {
    const char *at;
    const char *end;
};

static bool refuse(struct http_refusal *refusal, int status, const char *reason,
                   const char *text)
{
    *refusal = (struct http_refusal){status, reason, text};
    return false;
}

bool http_is_token_char(char c)
{
    return ascii_is_alnum(c)
        || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct celery_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!http_is_token_char(s.data[i]))
            return false;
    }
    return s.len > 0;
}

/* RFC 9112 section 2.2: an empty line before the request line is ignored, for
 * old clients that end a body with one. */
static size_t leading_empty_line(const char *data, size_t len)
{
    return len >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
}

enum http_head_state http_head_find_end(const char *data, size_t len,
                                        size_t *scanned, size_t *ret_len,
                                        struct http_refusal *ret_refusal)
{
    size_t start = leading_empty_line(data, len);
    size_t at = *scanned > start ? *scanned : start;
    const char *lf = NULL;
    while (at < len && (lf = memchr(data + at, '\n', len - at)) != NULL) {
        at = (size_t)(lf - data);
        /* RFC 9112 section 2.2 lets a recipient take a lone LF for a line's
         * end; a proxy that does not would see other lines than we do. */
        if (at == 0 || lf[-1] != '\r') {
            (void)refuse(ret_refusal, 400, "line_end",
                         "a line ends without CR");
            return HTTP_HEAD_REFUSED;
        }
        at++;
        if (at - start == 2) {
            (void)refuse(ret_refusal, 400, "request_line",
                         "the request line is empty");
            return HTTP_HEAD_REFUSED;
        }
        if (at - start >= 4 && memcmp(data + at - 4, "\r\n\r\n", 4) == 0) {
            *ret_len = at;
            return HTTP_HEAD_DONE;
        }
    }
    *scanned = len;
    return HTTP_HEAD_MORE;
}

/* false: what is left holds no CRLF. */
static bool next_line(struct lines *lines, struct celery_str *ret)
{
    size_t left = (size_t)(lines->end - lines->at);
    const char *lf = left > 0 ? memchr(lines->at, '\n', left) : NULL;
    if (lf == NULL || lf == lines->at || lf[-1] != '\r')
        return false;
    *ret = (struct celery_str){lines->at, (size_t)(lf - lines->at) - 1};
    lines->at = lf + 1;
    return true;
}

/* --- the request line --------------------------------------------------- */

static bool parse_version(struct celery_str s, struct http_head *head,
                          struct http_refusal *refusal)
{
    if (s.len != 8 || memcmp(s.data, "HTTP/", 5) != 0
        || !ascii_is_digit(s.data[5]) || s.data[6] != '.'
        || !ascii_is_digit(s.data[7]))
        return refuse(refusal, 400, "request_line",
                      "the request line is malformed");
    if (s.data[5] != '1')
        return refuse(refusal, 505, "version", "only HTTP/1.0 and 1.1");
    /* RFC 9110 section 2.5: a higher minor version is read as the highest one
     * that we know. */
    head->minor = s.data[7] == '0' ? 0 : 1;
    return true;
}

/* RFC 9110 section 9.1: a method that nobody here knows is 501; one that is
 * known and not for this path is 405, which the routes say. CONNECT is for
 * proxies. */
static bool is_known_method(struct celery_str method)
{
    static const char *const known[] = {"GET",    "HEAD",  "POST",    "PUT",
                                        "DELETE", "PATCH", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i]) == method.len
            && memcmp(known[i], method.data, method.len) == 0)
            return true;
    }
    return false;
}

static bool has_visible_only(struct celery_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '!' || s.data[i] > '~')
            return false;
    }
    return s.len > 0;
}

/* RFC 9112 section 3: method SP target SP version, one blank each. */
static bool parse_request_line(struct celery_str line, struct http_head *head,
                               struct http_refusal *refusal)
{
    const char *end = line.data + line.len;
    const char *first = memchr(line.data, ' ', line.len);
    const char *second = first != NULL
                           ? memchr(first + 1, ' ', (size_t)(end - first) - 1)
                           : NULL;
    if (second == NULL)
        return refuse(refusal, 400, "request_line",
                      "the request line is malformed");
    head->method = (struct celery_str){line.data, (size_t)(first - line.data)};
    head->target = (struct celery_str){first + 1, (size_t)(second - first) - 1};
    if (!is_token(head->method) || !has_visible_only(head->target))
        return refuse(refusal, 400, "request_line",
                      "the request line is malformed");
    if (!parse_version((struct celery_str){second + 1,
                                           (size_t)(end - second) - 1},
                       head, refusal))
        return false;
    if (!is_known_method(head->method))
        return refuse(refusal, 501, "method", "the method is not known");
    return true;
}

/* --- fields ------------------------------------------------------------- */

static struct celery_str trimmed(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct celery_str){p, (size_t)(end - p)};
}

/* RFC 9110 section 5.5: a tab is as good as a blank within a value; bytes above
 * 127 are opaque; other control characters are none of a field's. */
static bool is_value(struct celery_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* RFC 9112 section 5.1: no blank before the colon; section 5.2: no line that
 * continues the one before. Both are no token, and refused as such. */
static bool parse_field(struct celery_str line, struct http_field *ret,
                        struct http_refusal *refusal)
{
    const char *colon = memchr(line.data, ':', line.len);
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return refuse(refusal, 400, "obs_fold",
                      "a header line begins with a blank");
    if (colon == NULL)
        return refuse(refusal, 400, "field", "a header line has no colon");
    ret->name = (struct celery_str){line.data, (size_t)(colon - line.data)};
    ret->value = trimmed(colon + 1, line.data + line.len);
    if (!is_token(ret->name))
        return refuse(refusal, 400, "field",
                      "a header field's name is malformed");
    if (!is_value(ret->value))
        return refuse(refusal, 400, "field",
                      "a header field's value holds a control character");
    return true;
}

static bool parse_fields(struct lines *lines, struct http_head *head,
                         struct http_refusal *refusal)
{
    struct celery_str line;
    while (next_line(lines, &line) && line.len > 0) {
        if (head->field_count == HTTP_FIELDS_MAX)
            return refuse(refusal, 431, "fields", "more than 63 header fields");
        if (!parse_field(line, &head->fields[head->field_count], refusal))
            return false;
        head->field_count++;
    }
    return true;
}

bool http_head_parse(const char *data, size_t len, struct http_head *ret_head,
                     struct http_refusal *ret_refusal)
{
    struct lines lines = {data + leading_empty_line(data, len), data + len};
    struct celery_str line = {0};
    ret_head->field_count = 0;
    ret_head->content_length = -1;
    ret_head->chunked = false;
    ret_head->expect_continue = false;
    ret_head->keep_alive = false;
    if (!next_line(&lines, &line))
        return refuse(ret_refusal, 400, "request_line",
                      "the request line is malformed");
    return parse_request_line(line, ret_head, ret_refusal)
        && parse_fields(&lines, ret_head, ret_refusal)
        && http_head_read_fields(ret_head, ret_refusal);
}
