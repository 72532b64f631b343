/* SPDX-License-Identifier: MIT */
#include "celery/compress.h"

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

static const char *const names[] = {"zlib", "bzip2", "lzma", "zstd", "brotli"};
enum { NAMES = sizeof names / sizeof names[0] };

START_TEST(knows_kombus_names)
{
    static const struct {
        const char *name;
        const char *mime;
    } table[] = {
        {"gzip", "application/x-gzip"},
        {"zlib", "application/x-gzip"},
        {"application/x-gzip", "application/x-gzip"},
        {"bzip2", "application/x-bz2"},
        {"bzip", "application/x-bz2"},
        {"lzma", "application/x-lzma"},
        {"xz", "application/x-lzma"},
        {"zstd", "application/zstd"},
        {"zstandard", "application/zstd"},
        {"brotli", "application/x-brotli"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        ck_assert_str_eq(celery_compression_mime(text(table[i].name)),
                         table[i].mime);
    ck_assert_ptr_null(celery_compression_mime(text("")));
    ck_assert_ptr_null(celery_compression_mime(text("snappy")));
    ck_assert_ptr_null(celery_compression_mime(text("zli")));
}
END_TEST

START_TEST(goes_both_ways)
{
    static char large[200000];

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * i >> 7);
    const struct celery_str inputs[] = {
        {"", 0},
        {"a", 1},
        {large, sizeof large},
    };
    for (size_t i = 0; i < NAMES; i++) {
        for (size_t j = 0; j < 3; j++) {
            CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
            CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
            struct celery_error err = {.msg = ""};

            celery_buf_append(&plain, text("before"));
            ck_assert_int_eq(celery_compress(text(names[i]), inputs[j], &packed,
                                             &err),
                             CELERY_OK);
            ck_assert_msg(celery_decompress(text(names[i]),
                                            celery_buf_str(&packed),
                                            inputs[j].len, &plain, &err)
                              == CELERY_OK,
                          "%s: %s", names[i], err.msg);
            ck_assert_uint_eq(plain.len, inputs[j].len + 6);
            ck_assert_mem_eq(plain.data + 6, inputs[j].data, inputs[j].len);
        }
    }
}
END_TEST

START_TEST(stops_at_the_limit)
{
    static char zeros[1 << 20];

    for (size_t i = 0; i < NAMES; i++) {
        CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
        struct celery_error err = {.msg = ""};

        ck_assert_int_eq(celery_compress(text(names[i]),
                                         (struct celery_str){zeros,
                                                             sizeof zeros},
                                         &packed, NULL),
                         CELERY_OK);
        ck_assert_int_eq(celery_decompress(text(names[i]),
                                           celery_buf_str(&packed),
                                           sizeof zeros - 1, &plain, &err),
                         CELERY_TOO_LARGE);
        ck_assert_uint_eq(plain.len, 0);
        ck_assert_uint_le(plain.cap, (sizeof zeros) * 2);
        ck_assert_ptr_nonnull(strstr(err.msg, "1048575"));
        ck_assert_int_eq(celery_decompress(text(names[i]),
                                           celery_buf_str(&packed),
                                           sizeof zeros, &plain, NULL),
                         CELERY_OK);
        celery_buf_clear(&plain);
        ck_assert_int_eq(celery_decompress(text(names[i]),
                                           celery_buf_str(&packed), 0, &plain,
                                           NULL),
                         CELERY_TOO_LARGE);
    }
}
END_TEST

START_TEST(refuses_cut_and_broken_input)
{
    for (size_t i = 0; i < NAMES; i++) {
        CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;

        ck_assert_int_eq(celery_compress(text(names[i]),
                                         text("some text, some more text"),
                                         &packed, NULL),
                         CELERY_OK);
        for (size_t len = 1; len < packed.len; len++) {
            struct celery_str cut = {packed.data, len};
            ck_assert_msg(celery_decompress(text(names[i]), cut, 1000, &plain,
                                            NULL)
                              == CELERY_MALFORMED,
                          "%s cut at %zu", names[i], len);
            ck_assert_uint_eq(plain.len, 0);
        }
        ck_assert_int_eq(celery_decompress(text(names[i]),
                                           text("\x7fno such stream"), 1000,
                                           &plain, NULL),
                         CELERY_MALFORMED);
    }
}
END_TEST

/* zlib ignores what follows, bz2 and lzma read on, zstd and brotli refuse. */
START_TEST(treats_what_follows_as_python_does)
{
    static const struct {
        const char *name;
        enum celery_status garbage;
        const char *twice; /* NULL: refused */
    } table[] = {
        {"zlib", CELERY_OK, "ab"},          {"bzip2", CELERY_OK, "abab"},
        {"lzma", CELERY_OK, "abab"},        {"zstd", CELERY_MALFORMED, "abab"},
        {"brotli", CELERY_MALFORMED, NULL},
    };

    for (size_t i = 0; i < NAMES; i++) {
        CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
        struct celery_str name = text(table[i].name);

        ck_assert_int_eq(celery_compress(name, text("ab"), &packed, NULL),
                         CELERY_OK);
        size_t once = packed.len;
        celery_buf_append(&packed, text("xx"));
        ck_assert_int_eq(celery_decompress(name, celery_buf_str(&packed), 100,
                                           &plain, NULL),
                         table[i].garbage);
        packed.len = once;
        celery_buf_clear(&plain);
        ck_assert_int_eq(celery_compress(name, text("ab"), &packed, NULL),
                         CELERY_OK);
        enum celery_status status =
            celery_decompress(name, celery_buf_str(&packed), 100, &plain, NULL);
        if (table[i].twice == NULL) {
            ck_assert_int_eq(status, CELERY_MALFORMED);
            continue;
        }
        ck_assert_int_eq(status, CELERY_OK);
        ASSERT_BUF(&plain, table[i].twice);

        /* A second stream that is cut short is an error, but to zlib. */
        packed.len--;
        celery_buf_clear(&plain);
        ck_assert_int_eq(celery_decompress(name, celery_buf_str(&packed), 100,
                                           &plain, NULL),
                         i == 0 ? CELERY_OK : CELERY_MALFORMED);
    }
}
END_TEST

START_TEST(unknown_names_are_named)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};

    ck_assert_int_eq(celery_compress(text("snappy"), text("x"), &buf, &err),
                     CELERY_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.msg, "snappy"));
    err.msg[0] = '\0';
    ck_assert_int_eq(celery_decompress(text("snappy"), text("x"), 10, &buf,
                                       &err),
                     CELERY_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.msg, "snappy"));
}
END_TEST

START_TEST(survives_out_of_memory)
{
    for (size_t i = 0; i < NAMES; i++) {
        CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
        enum celery_status status = CELERY_OK;

        OOM_LOOP(status, {
            celery_buf_done(&packed);
            status =
                celery_compress(text(names[i]), text("abc"), &packed, NULL);
        });
        OOM_LOOP(status, {
            struct celery_buf plain = CELERY_BUF_INIT;
            status = celery_decompress(text(names[i]), celery_buf_str(&packed),
                                       100, &plain, NULL);
            celery_buf_done(&plain);
        });
    }
}
END_TEST

UNIT_MAIN("compress", knows_kombus_names, goes_both_ways, stops_at_the_limit,
          refuses_cut_and_broken_input, treats_what_follows_as_python_does,
          unknown_names_are_named, survives_out_of_memory)
