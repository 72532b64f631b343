/* SPDX-License-Identifier: MIT */
/*
 * xz and the older .lzma, zstd, brotli. Source: Lib/lzma.py (FORMAT_AUTO,
 * FORMAT_XZ), backports.zstd, brotli's python module.
 */
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <lzma.h>
#include <stdbool.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "compress_codec.h"

static enum celery_status lzma_failure(lzma_ret rc, struct cel_sink *sink)
{
    sink->window = rc == LZMA_MEMLIMIT_ERROR;
    if (rc == LZMA_MEM_ERROR)
        return CELERY_NOMEM;
    return sink->window ? CELERY_TOO_LARGE : CELERY_MALFORMED;
}

static enum celery_status compress_lzma(struct celery_str bytes,
                                        struct celery_buf *buf)
{
    size_t size = lzma_stream_buffer_bound(bytes.len);
    size_t made = 0;
    char *out = celery_buf_reserve(buf, size);
    if (out == NULL)
        return celery_buf_status(buf);

    lzma_ret rc = lzma_easy_buffer_encode(
        LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64, NULL,
        (const uint8_t *)(bytes.len == 0 ? "" : bytes.data), bytes.len,
        (uint8_t *)out, &made, size);
    if (rc != LZMA_OK)
        return CELERY_NOMEM;
    celery_buf_commit(buf, made);
    return CELERY_OK;
}

static enum celery_status unlzma_all(lzma_stream *lz, struct cel_sink *sink,
                                     bool *ret_broken)
{
    for (;;) {
        size_t size = 0;
        char *out = cel_sink_room(sink, &size);
        if (out == NULL)
            return celery_buf_status(sink->buf);
        lz->next_out = (uint8_t *)out;
        lz->avail_out = size;
        lzma_ret rc = lzma_code(lz, LZMA_RUN);
        enum celery_status status = cel_sink_made(sink, size - lz->avail_out);
        if (status != CELERY_OK || rc == LZMA_STREAM_END)
            return status;
        /* LZMA_BUF_ERROR is no progress: an early end, not broken bytes. */
        *ret_broken = rc != LZMA_OK && rc != LZMA_BUF_ERROR;
        if (rc != LZMA_OK)
            return lzma_failure(rc, sink);
        if (lz->avail_in == 0 && lz->avail_out != 0)
            return CELERY_MALFORMED;
    }
}

static enum celery_status unlzma_stream(struct celery_str *bytes,
                                        struct cel_sink *sink, bool *ret_broken)
{
    lzma_stream lz = LZMA_STREAM_INIT;

    if (lzma_auto_decoder(&lz, (uint64_t)CEL_CODEC_MEMORY_MIB << 20, 0)
        != LZMA_OK)
        return CELERY_NOMEM;
    lz.next_in = (const uint8_t *)bytes->data;
    lz.avail_in = bytes->len;
    enum celery_status status = unlzma_all(&lz, sink, ret_broken);
    bytes->data += bytes->len - lz.avail_in;
    bytes->len = lz.avail_in;
    lzma_end(&lz);
    return status;
}

static enum celery_status decompress_lzma(struct celery_str bytes,
                                          struct cel_sink *sink)
{
    return cel_sink_streams(sink, bytes, unlzma_stream);
}

const struct cel_codec cel_codec_lzma = {compress_lzma, decompress_lzma};

static enum celery_status compress_zstd(struct celery_str bytes,
                                        struct celery_buf *buf)
{
    size_t size = ZSTD_compressBound(bytes.len);
    char *out = celery_buf_reserve(buf, size);
    if (out == NULL)
        return celery_buf_status(buf);

    size_t made = ZSTD_compress(out, size, bytes.len == 0 ? "" : bytes.data,
                                bytes.len, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(made))
        return CELERY_NOMEM;
    celery_buf_commit(buf, made);
    return CELERY_OK;
}

static enum celery_status zstd_failure(size_t rc, struct cel_sink *sink)
{
    ZSTD_ErrorCode code = ZSTD_getErrorCode(rc);

    if (code == ZSTD_error_memory_allocation)
        return CELERY_NOMEM;
    sink->window = code == ZSTD_error_frameParameter_windowTooLarge;
    return sink->window ? CELERY_TOO_LARGE : CELERY_MALFORMED;
}

static enum celery_status unzstd_all(ZSTD_DStream *zs, ZSTD_inBuffer *in,
                                     struct cel_sink *sink)
{
    for (;;) {
        ZSTD_outBuffer out = {NULL, 0, 0};
        out.dst = cel_sink_room(sink, &out.size);
        if (out.dst == NULL)
            return celery_buf_status(sink->buf);
        size_t rc = ZSTD_decompressStream(zs, &out, in);
        if (ZSTD_isError(rc))
            return zstd_failure(rc, sink);
        enum celery_status status = cel_sink_made(sink, out.pos);
        if (status != CELERY_OK)
            return status;
        if (rc == 0 && in->pos == in->size)
            return CELERY_OK; /* a frame ended, and so does the input */
        if (in->pos == in->size && out.pos < out.size)
            return CELERY_MALFORMED;
    }
}

static enum celery_status decompress_zstd(struct celery_str bytes,
                                          struct cel_sink *sink)
{
    ZSTD_inBuffer in = {bytes.data, bytes.len, 0};
    ZSTD_DStream *zs = ZSTD_createDStream();
    if (zs == NULL)
        return CELERY_NOMEM;
    enum celery_status status = unzstd_all(zs, &in, sink);
    (void)ZSTD_freeDStream(zs);
    return status;
}

const struct cel_codec cel_codec_zstd = {compress_zstd, decompress_zstd};

static enum celery_status compress_brotli(struct celery_str bytes,
                                          struct celery_buf *buf)
{
    size_t size = BrotliEncoderMaxCompressedSize(bytes.len);
    char *out = celery_buf_reserve(buf, size);
    if (out == NULL)
        return celery_buf_status(buf);

    if (!BrotliEncoderCompress(
            BROTLI_DEFAULT_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC,
            bytes.len, (const uint8_t *)(bytes.len == 0 ? "" : bytes.data),
            &size, (uint8_t *)out))
        return CELERY_NOMEM;
    celery_buf_commit(buf, size);
    return CELERY_OK;
}

static enum celery_status brotli_failure(const BrotliDecoderState *br)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(br);

    if (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES
        && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES)
        return CELERY_NOMEM;
    return CELERY_MALFORMED;
}

static enum celery_status unbrotli_all(BrotliDecoderState *br,
                                       struct celery_str bytes,
                                       struct cel_sink *sink)
{
    const uint8_t *in = (const uint8_t *)bytes.data;
    size_t left = bytes.len;

    for (;;) {
        size_t size = 0;
        char *room = cel_sink_room(sink, &size);
        uint8_t *out = (uint8_t *)room;
        if (out == NULL)
            return celery_buf_status(sink->buf);
        size_t space = size;
        BrotliDecoderResult rc =
            BrotliDecoderDecompressStream(br, &left, &in, &space, &out, NULL);
        enum celery_status status = cel_sink_made(sink, size - space);
        if (status != CELERY_OK)
            return status;
        if (rc == BROTLI_DECODER_RESULT_SUCCESS)
            return left == 0 ? CELERY_OK : CELERY_MALFORMED;
        if (rc == BROTLI_DECODER_RESULT_ERROR)
            return brotli_failure(br);
        if (rc == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
            return CELERY_MALFORMED;
    }
}

static enum celery_status decompress_brotli(struct celery_str bytes,
                                            struct cel_sink *sink)
{
    BrotliDecoderState *br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if (br == NULL)
        return CELERY_NOMEM;
    enum celery_status status = unbrotli_all(br, bytes, sink);
    BrotliDecoderDestroyInstance(br);
    return status;
}

const struct cel_codec cel_codec_brotli = {compress_brotli, decompress_brotli};
