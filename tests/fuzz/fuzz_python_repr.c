/* SPDX-License-Identifier: MIT */
/*
 * The first byte chooses the limit. A cut repr is not much longer than its
 * limit: each open level may add a bracket, a string its quotes, escapes and
 * dots. Brackets outside of strings balance; that can be told where no string
 * holds a quote or a backslash, which saferepr() does not escape.
 */
#include "celery/json_scan.h"
#include "celery/python_repr.h"
#include "fuzz/fuzz.h"

static size_t characters(const struct celery_buf *buf)
{
    size_t n = 0;

    for (size_t i = 0; i < buf->len; i++)
        n += ((unsigned char)buf->data[i] & 0xc0) != 0x80;
    return n;
}

static bool has_plain_strings(struct celery_str document)
{
    return document.len != 0
        && memchr(document.data, '\'', document.len) == NULL
        && memchr(document.data, '\\', document.len) == NULL
        && memmem(document.data, document.len, "__type__", 8) == NULL;
}

static bool balances(const struct celery_buf *buf)
{
    char open[FUZZ_LIMITS_DEPTH + 1];
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < buf->len; i++) {
        char c = buf->data[i];
        if (c == '\'')
            quoted = !quoted;
        if (quoted)
            continue;
        if (c == '[' || c == '{' || c == '(') {
            HOLDS(depth < sizeof open);
            open[depth++] = c;
        } else if (c == ']' || c == '}' || c == ')') {
            char want = '{';
            if (c != '}')
                want = c == ']' ? '[' : '(';
            if (depth == 0 || open[--depth] != want)
                return false;
        }
    }
    return depth == 0 && !quoted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json root;
    struct celery_error err;

    if (size == 0)
        return 0;
    size_t maxlen = (size_t)data[0] + 1;
    const struct celery_str text = fuzz_str(data + 1, size - 1);
    if (celery_json_parse(text, &limits, &root, &err) == CELERY_OK) {
        bool plain = has_plain_strings(text);
        celery_python_repr(&buf, root, data[0] % 2 == 0, maxlen, 3);
        HOLDS(celery_buf_status(&buf) == CELERY_OK);
        HOLDS(buf.len != 0);
        HOLDS(characters(&buf) <= maxlen * 3 + 32);
        HOLDS(!plain || balances(&buf));
        celery_buf_clear(&buf);
        celery_python_repr(&buf, root, false, 0, 0);
        HOLDS(celery_buf_status(&buf) == CELERY_OK);
        HOLDS(!plain || balances(&buf));
    }
    celery_buf_clear(&buf);
    celery_python_repr_str(&buf, fuzz_str(data, size));
    HOLDS(buf.len >= 2);
    HOLDS(buf.data[0] == '\'' || buf.data[0] == '"');
    HOLDS(buf.data[0] == buf.data[buf.len - 1]);
    celery_buf_done(&buf);
    return 0;
}
