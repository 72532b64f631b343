/* SPDX-License-Identifier: MIT */
/*
 * kombu's compressions: zlib ("gzip" in kombu's sense), bzip2, lzma (xz),
 * zstd, brotli; each by its own library, each with an output limit.
 * Source: kombu/compression.py. Thread-safe.
 */
#ifndef CELERY_COMPRESS_H
#define CELERY_COMPRESS_H

#include "celery/buf.h"
#include "celery/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The MIME name for an alias ("gzip", "zlib", "xz", "zstd", …) or a MIME
 * name; NULL when kombu knows no such compression. Static text. */
CELERY_API const char *celery_compression_mime(struct celery_str name);

/* Appends the compressed bytes. CELERY_UNSUPPORTED for an unknown name. */
CELERY_API enum celery_status celery_compress(struct celery_str name,
                                              struct celery_str bytes,
                                              struct celery_buf *buf,
                                              struct celery_error *err)
    CELERY_MUST_CHECK;

/* Appends at most limit bytes; CELERY_TOO_LARGE when there would be more,
 * CELERY_MALFORMED for broken or truncated input. */
CELERY_API enum celery_status celery_decompress(
    struct celery_str name, struct celery_str bytes, size_t limit,
    struct celery_buf *buf, struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_COMPRESS_H */
