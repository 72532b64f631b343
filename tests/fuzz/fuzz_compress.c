/* SPDX-License-Identifier: MIT */
/*
 * The first line names a compression, the rest is what is compressed: it comes
 * back, within a cap that fits and not within a smaller one, and behind what a
 * buffer held before. What was cut or changed on the way is never more than the
 * cap.
 */
#include "celery/compress.h"
#include "fuzz/lines.h"

static const struct celery_str before = {"before", 6};

static enum celery_status inflate(struct celery_str name,
                                  struct celery_str bytes, size_t cap,
                                  struct celery_buf *plain)
{
    celery_buf_clear(plain);
    celery_buf_append(plain, before);
    enum celery_status status =
        celery_decompress(name, bytes, cap, plain, NULL);
    HOLDS(plain->len >= before.len && plain->len - before.len <= cap);
    HOLDS(memcmp(plain->data, before.data, before.len) == 0);
    HOLDS(status == CELERY_OK || plain->len == before.len);
    return status;
}

static void check_pair(struct celery_str name, struct celery_str text)
{
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_buf plain = CELERY_BUF_INIT;

    HOLDS(celery_compress(name, text, &packed, NULL) == CELERY_OK);
    struct celery_str bytes = celery_buf_str(&packed);
    HOLDS(inflate(name, bytes, text.len, &plain) == CELERY_OK);
    HOLDS(plain.len == before.len + text.len);
    HOLDS(text.len == 0
          || memcmp(plain.data + before.len, text.data, text.len) == 0);
    if (text.len != 0)
        HOLDS(inflate(name, bytes, text.len - 1, &plain) == CELERY_TOO_LARGE);
    bytes.len--;
    HOLDS(inflate(name, bytes, text.len, &plain) != CELERY_OK);
    packed.data[packed.len / 2] ^= 1;
    (void)inflate(name, celery_buf_str(&packed), text.len, &plain);
    celery_buf_done(&packed);
    celery_buf_done(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct fuzz_lines lines = {fuzz_str(data, size), &arena};
    struct celery_str name = fuzz_line(&lines);
    struct celery_str text = lines.rest;
    const char *mime = celery_compression_mime(name);

    if (text.len > 512)
        text.len = 512; /* brotli at its best takes long */
    if (mime != NULL) {
        HOLDS(celery_compression_mime(fuzz_whole(mime)) == mime);
        check_pair(name, text);
    } else {
        HOLDS(celery_compress(name, text, &buf, NULL) == CELERY_UNSUPPORTED);
        HOLDS(celery_decompress(name, text, 16, &buf, NULL)
              == CELERY_UNSUPPORTED);
        HOLDS(buf.len == 0);
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
