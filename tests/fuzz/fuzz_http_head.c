/* SPDX-License-Identifier: MIT */
/*
 * The front's reading of a request. The same bytes give the same result however
 * they are cut; what is accepted holds no byte that another reader could take
 * for the end of something; a body's end is known in one way only.
 */
#include "fuzz/fuzz.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/target.h"

static void check_text(struct celery_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        HOLDS(s.data[i] != '\r' && s.data[i] != '\n' && s.data[i] != '\0');
    }
}

static void check_target(struct celery_str text)
{
    struct http_target target;
    struct http_refusal refusal = {0};
    if (!http_target_parse(text, &target, &refusal)) {
        HOLDS(refusal.status == 400 && refusal.text != NULL);
        return;
    }
    char *path = malloc(target.path.len + 1);
    HOLDS(path != NULL);
    http_target_decode(target.path, path);
    HOLDS(path[0] == '/' || strcmp(path, "*") == 0);
    HOLDS(strlen(path) <= target.path.len);
    HOLDS(strstr(path, "//") == NULL && strstr(path, "/../") == NULL);
    HOLDS(strpbrk(path, "\r\n\\") == NULL);
    free(path);
}

static void check_head(const struct http_head *head)
{
    HOLDS(head->field_count <= HTTP_FIELDS_MAX);
    HOLDS(!head->chunked || head->content_length < 0);
    HOLDS(!head->chunked || head->minor == 1);
    check_text(head->method);
    check_text(head->target);
    for (size_t i = 0; i < head->field_count; i++) {
        HOLDS(head->fields[i].name.len > 0);
        check_text(head->fields[i].name);
        check_text(head->fields[i].value);
    }
    check_target(head->target);
}

static void check_body(const char *data, size_t size)
{
    struct http_chunked whole = {0};
    struct http_chunked single = {0};
    struct celery_buf a = CELERY_BUF_INIT;
    struct celery_buf b = CELERY_BUF_INIT;
    size_t used = 0;
    size_t total = 0;
    enum http_chunk_state at_once =
        http_chunked_feed(&whole, data, size, &used, &a);
    enum http_chunk_state by_one = HTTP_CHUNK_MORE;
    while (by_one == HTTP_CHUNK_MORE && total < size) {
        size_t one = 0;
        by_one = http_chunked_feed(&single, data + total, 1, &one, &b);
        HOLDS(one == 1);
        total++;
    }
    HOLDS(at_once == by_one && used == total);
    HOLDS(fuzz_same(celery_buf_str(&a), celery_buf_str(&b)));
    celery_buf_done(&a);
    celery_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct http_head head;
    struct http_refusal refusal = {0};
    struct http_refusal again = {0};
    size_t scanned = 0;
    size_t len = 0;
    enum http_head_state state =
        http_head_find_end(bytes, size, &scanned, &len, &refusal);
    enum http_head_state slow = HTTP_HEAD_MORE;
    size_t slow_len = 0;
    scanned = 0;
    for (size_t n = 0; n <= size && slow == HTTP_HEAD_MORE; n++)
        slow = http_head_find_end(bytes, n, &scanned, &slow_len, &again);
    HOLDS(state == slow);
    HOLDS(state != HTTP_HEAD_REFUSED || refusal.status == again.status);
    check_body(bytes, size);
    if (state != HTTP_HEAD_DONE)
        return 0;
    HOLDS(len == slow_len && len <= size);
    if (http_head_parse(bytes, len, &head, &refusal)) {
        check_head(&head);
        check_body(bytes + len, size - len);
    } else {
        HOLDS(refusal.status >= 400 && refusal.reason != NULL);
    }
    return 0;
}
