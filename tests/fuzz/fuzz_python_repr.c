/* SPDX-License-Identifier: MIT */
/*
 * The first byte chooses the limit. A cut repr is not much longer than its
 * limit: each open level may add a bracket, a string its quotes, escapes and
 * dots. Brackets outside of strings balance.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json root;
    struct celery_error err;

    if (size == 0)
        return 0;
    size_t maxlen = (size_t)data[0] + 1;
    if (celery_json_parse(fuzz_str(data + 1, size - 1), &limits, &root, &err)
        == CELERY_OK) {
        celery_python_repr(&buf, root, data[0] % 2 == 0, maxlen, 3);
        HOLDS(celery_buf_status(&buf) == CELERY_OK);
        HOLDS(buf.len != 0);
        HOLDS(characters(&buf) <= maxlen * 3 + 32);
        celery_buf_clear(&buf);
        celery_python_repr(&buf, root, false, 0, 0);
        HOLDS(celery_buf_status(&buf) == CELERY_OK);
    }
    celery_buf_clear(&buf);
    celery_python_repr_str(&buf, fuzz_str(data, size));
    HOLDS(buf.len >= 2);
    HOLDS(buf.data[0] == '\'' || buf.data[0] == '"');
    HOLDS(buf.data[0] == buf.data[buf.len - 1]);
    celery_buf_done(&buf);
    return 0;
}
