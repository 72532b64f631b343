/* SPDX-License-Identifier: MIT */
/*
 * zlib streams (RFC 1950), which kombu calls gzip, and bzip2: two libraries
 * of the same shape. Source: Modules/zlibmodule.c, Lib/bz2.py.
 */
#define ZLIB_CONST 1 /* next_in is a const pointer */

#include <bzlib.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "compress_codec.h"

static enum celery_status compress_zlib(struct celery_str bytes,
                                        struct celery_buf *buf)
{
    uLongf size = compressBound((uLong)bytes.len);
    char *out = celery_buf_reserve(buf, size);
    if (out == NULL)
        return celery_buf_status(buf);

    int rc = compress2((Bytef *)out, &size,
                       (const Bytef *)(bytes.len == 0 ? "" : bytes.data),
                       (uLong)bytes.len, Z_DEFAULT_COMPRESSION);
    if (rc != Z_OK)
        return CELERY_NOMEM;
    celery_buf_commit(buf, size);
    return CELERY_OK;
}

static enum celery_status inflate_all(z_stream *z, struct cel_sink *sink)
{
    for (;;) {
        size_t size = 0;
        char *out = cel_sink_room(sink, &size);
        if (out == NULL)
            return celery_buf_status(sink->buf);
        z->next_out = (Bytef *)out;
        z->avail_out = (uInt)size;
        int rc = inflate(z, Z_NO_FLUSH);
        size_t made = size - z->avail_out;
        enum celery_status status = cel_sink_made(sink, made);
        if (status != CELERY_OK || rc == Z_STREAM_END)
            return status;
        if (rc == Z_MEM_ERROR)
            return CELERY_NOMEM;
        /* No output though there was room: the input is at its end. */
        if (rc != Z_OK || (made == 0 && z->avail_in == 0))
            return CELERY_MALFORMED;
    }
}

static enum celery_status decompress_zlib(struct celery_str bytes,
                                          struct cel_sink *sink)
{
    z_stream z;

    memset(&z, 0, sizeof z);
    z.next_in = (const Bytef *)bytes.data;
    z.avail_in = (uInt)bytes.len;
    if (inflateInit(&z) != Z_OK)
        return CELERY_NOMEM;
    enum celery_status status = inflate_all(&z, sink);
    (void)inflateEnd(&z);
    return status;
}

const struct cel_codec cel_codec_zlib = {compress_zlib, decompress_zlib};

/* bzip2's interface takes char * but writes to its input nowhere. */
static char *unconst(const char *p)
{
    union {
        const char *in;
        char *out;
    } u = {p};
    return u.out;
}

static enum celery_status compress_bzip2(struct celery_str bytes,
                                         struct celery_buf *buf)
{
    /* The bound that the manual gives. */
    unsigned size = (unsigned)(bytes.len + bytes.len / 100 + 600);
    char *out = celery_buf_reserve(buf, size);
    if (out == NULL)
        return celery_buf_status(buf);

    const char *in = bytes.len == 0 ? "" : bytes.data;
    int rc = BZ2_bzBuffToBuffCompress(out, &size, unconst(in),
                                      (unsigned)bytes.len, 9, 0, 0);
    if (rc != BZ_OK)
        return CELERY_NOMEM;
    celery_buf_commit(buf, size);
    return CELERY_OK;
}

static enum celery_status bunzip_all(bz_stream *bz, struct cel_sink *sink,
                                     bool *ret_broken)
{
    for (;;) {
        size_t size = 0;
        char *out = cel_sink_room(sink, &size);
        if (out == NULL)
            return celery_buf_status(sink->buf);
        bz->next_out = out;
        bz->avail_out = (unsigned)size;
        int rc = BZ2_bzDecompress(bz);
        size_t made = size - bz->avail_out;
        enum celery_status status = cel_sink_made(sink, made);
        if (status != CELERY_OK || rc == BZ_STREAM_END)
            return status;
        if (rc == BZ_MEM_ERROR)
            return CELERY_NOMEM;
        *ret_broken = rc != BZ_OK;
        if (rc != BZ_OK || (made == 0 && bz->avail_in == 0))
            return CELERY_MALFORMED;
    }
}

static enum celery_status bunzip_stream(struct celery_str *bytes,
                                        struct cel_sink *sink, bool *ret_broken)
{
    bz_stream bz;

    memset(&bz, 0, sizeof bz);
    if (BZ2_bzDecompressInit(&bz, 0, 0) != BZ_OK)
        return CELERY_NOMEM;
    bz.next_in = unconst(bytes->data);
    bz.avail_in = (unsigned)bytes->len;
    enum celery_status status = bunzip_all(&bz, sink, ret_broken);
    bytes->data = bz.next_in;
    bytes->len = bz.avail_in;
    (void)BZ2_bzDecompressEnd(&bz);
    return status;
}

static enum celery_status decompress_bzip2(struct celery_str bytes,
                                           struct cel_sink *sink)
{
    if (bytes.len == 0)
        return CELERY_OK; /* as bz2.decompress(b"") */
    return cel_sink_streams(sink, bytes, bunzip_stream);
}

const struct cel_codec cel_codec_bzip2 = {compress_bzip2, decompress_bzip2};
