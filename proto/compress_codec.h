/* SPDX-License-Identifier: MIT */
/*
 * The shape of one compression. Each decompressor follows what Python's module
 * does with input behind the end of a stream: zlib ignores it, bz2 and lzma
 * read more streams and ignore what is none, zstd and brotli refuse it.
 */
#ifndef CELERY_COMPRESS_CODEC_H
#define CELERY_COMPRESS_CODEC_H

#include <stdbool.h>

#include "celery/buf.h"
#include "celery/error.h"

/* What the libraries' 32-bit counters take. */
enum { CEL_CODEC_INPUT_MAX = 1 << 30 };

/* What a stream's header may ask for. xz of preset 9 asks for 65 MiB; it is
 * also zstd's own default. */
enum { CEL_CODEC_MEMORY_MIB = 128 };

/* Where a decompressor puts its output. */
struct cel_sink {
    struct celery_buf *buf;
    size_t left; /* bytes that may still be made */
    size_t next; /* the next piece's size is guessed from it */
    bool window; /* refused: its dictionary is past CEL_CODEC_MEMORY_MIB */
};

/* Room for the next piece; NULL: the buffer's status says why. */
char *cel_sink_room(struct cel_sink *sink, size_t *ret_size);

/* size bytes of it were made. */
enum celery_status cel_sink_made(struct cel_sink *sink, size_t size)
    CELERY_MUST_CHECK;

/* Decompresses one stream at *bytes and moves *bytes behind it. ret_broken is
 * set on CELERY_MALFORMED that is not just an early end. */
typedef enum celery_status (*cel_stream_fn)(struct celery_str *bytes,
                                            struct cel_sink *sink,
                                            bool *ret_broken);

/* Stream after stream, as Python's bz2 and lzma: what follows the first and is
 * broken counts as padding; what ends early is an error. */
enum celery_status cel_sink_streams(struct cel_sink *sink,
                                    struct celery_str bytes,
                                    cel_stream_fn stream) CELERY_MUST_CHECK;

struct cel_codec {
    enum celery_status (*compress)(struct celery_str bytes,
                                   struct celery_buf *buf);
    enum celery_status (*decompress)(struct celery_str bytes,
                                     struct cel_sink *sink);
};

extern const struct cel_codec cel_codec_zlib;
extern const struct cel_codec cel_codec_bzip2;
extern const struct cel_codec cel_codec_lzma;
extern const struct cel_codec cel_codec_zstd;
extern const struct cel_codec cel_codec_brotli;

#endif /* CELERY_COMPRESS_CODEC_H */
