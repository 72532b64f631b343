/* SPDX-License-Identifier: MIT */
/*
 * The table of kombu's compressions, and its two users. The libraries are in
 * compress_*.c behind one shape. Source: kombu/compression.py.
 */
#include "celery/compress.h"

#include <string.h>

#include "compress_codec.h"

static const struct {
    const char *mime;
    const char *aliases[2];
    const struct cel_codec *codec;
} compressions[] = {
    {"application/x-gzip", {"gzip", "zlib"}, &cel_codec_zlib},
    {"application/x-bz2", {"bzip2", "bzip"}, &cel_codec_bzip2},
    {"application/x-lzma", {"lzma", "xz"}, &cel_codec_lzma},
    {"application/zstd", {"zstd", "zstandard"}, &cel_codec_zstd},
    {"application/x-brotli", {"brotli", NULL}, &cel_codec_brotli},
};

enum { COMPRESSIONS = sizeof compressions / sizeof compressions[0] };

static bool equal(struct celery_str a, const char *b)
{
    return b != NULL && a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

/* The row's index, or COMPRESSIONS. */
static size_t find(struct celery_str name)
{
    size_t i = 0;

    if (name.len == 0)
        return COMPRESSIONS;
    while (i < COMPRESSIONS && !equal(name, compressions[i].mime)
           && !equal(name, compressions[i].aliases[0])
           && !equal(name, compressions[i].aliases[1]))
        i++;
    return i;
}

const char *celery_compression_mime(struct celery_str name)
{
    size_t i = find(name);

    return i == COMPRESSIONS ? NULL : compressions[i].mime;
}

static enum celery_status unknown(struct celery_str name,
                                  struct celery_error *err)
{
    int len = name.len < 80 ? (int)name.len : 80;

    return celery_fail(err, CELERY_UNSUPPORTED,
                       "compression \"%.*s\" is not supported", len,
                       name.len == 0 ? "" : name.data);
}

enum celery_status celery_compress(struct celery_str name,
                                   struct celery_str bytes,
                                   struct celery_buf *buf,
                                   struct celery_error *err)
{
    size_t i = find(name);
    if (i == COMPRESSIONS)
        return unknown(name, err);
    if (bytes.len > CEL_CODEC_INPUT_MAX)
        return celery_fail(err, CELERY_TOO_LARGE,
                           "%zu bytes are too many to compress", bytes.len);

    enum celery_status status = compressions[i].codec->compress(bytes, buf);
    if (status != CELERY_OK)
        return celery_fail(err, status, "cannot compress with %s",
                           compressions[i].mime);
    return CELERY_OK;
}

static void rewind_to(struct celery_buf *buf, size_t len)
{
    buf->len = len;
    if (buf->data != NULL)
        buf->data[len] = '\0';
}

enum celery_status celery_decompress(struct celery_str name,
                                     struct celery_str bytes, size_t limit,
                                     struct celery_buf *buf,
                                     struct celery_error *err)
{
    size_t i = find(name);
    if (i == COMPRESSIONS)
        return unknown(name, err);
    if (bytes.len > CEL_CODEC_INPUT_MAX)
        return celery_fail(err, CELERY_TOO_LARGE,
                           "%zu bytes are too many to decompress", bytes.len);

    struct cel_sink sink = {.buf = buf, .left = limit, .next = bytes.len};
    size_t before = buf->len;
    enum celery_status status = compressions[i].codec->decompress(bytes, &sink);
    if (status == CELERY_OK)
        return CELERY_OK;

    /* Nothing is left of what was made so far. */
    rewind_to(buf, before);
    if (sink.window)
        return celery_fail(err, CELERY_TOO_LARGE,
                           "%s: takes more than %d MiB of memory to read",
                           compressions[i].mime, CEL_CODEC_MEMORY_MIB);
    if (status == CELERY_TOO_LARGE)
        return celery_fail(err, status,
                           "%s: past the limit inflated_bytes of %zu at byte "
                           "%zu of the output",
                           compressions[i].mime, limit, limit);
    return celery_fail(err, status, "%s: %s", compressions[i].mime,
                       status == CELERY_NOMEM ? "out of memory"
                                              : "broken or truncated");
}

char *cel_sink_room(struct cel_sink *sink, size_t *ret_size)
{
    enum { SMALLEST = 1024, LARGEST = 1 << 16 };
    size_t size = sink->next * 4;

    if (size < SMALLEST)
        size = SMALLEST;
    if (size > LARGEST)
        size = LARGEST;
    sink->next = size;
    /* One byte past the limit shows that there is more. */
    if (size > sink->left)
        size = sink->left + 1;
    *ret_size = size;
    return celery_buf_reserve(sink->buf, size);
}

enum celery_status cel_sink_made(struct cel_sink *sink, size_t size)
{
    if (size > sink->left)
        return CELERY_TOO_LARGE;
    sink->left -= size;
    celery_buf_commit(sink->buf, size);
    return CELERY_OK;
}

enum celery_status cel_sink_streams(struct cel_sink *sink,
                                    struct celery_str bytes,
                                    cel_stream_fn stream)
{
    bool first = true;

    do {
        size_t before = sink->buf->len;
        bool broken = false;
        enum celery_status status = stream(&bytes, sink, &broken);
        if (status == CELERY_MALFORMED && broken && !first) {
            rewind_to(sink->buf, before);
            return CELERY_OK;
        }
        if (status != CELERY_OK)
            return status;
        first = false;
    } while (bytes.len != 0);
    return CELERY_OK;
}
