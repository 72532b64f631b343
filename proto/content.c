/* SPDX-License-Identifier: MIT */
/*
 * What may be in a body: one table. For JSON the content encoding is not
 * looked at, since kombu always reads it as UTF-8. Source:
 * kombu/serialization.py (SerializerRegistry.loads), kombu/utils/json.py.
 */
#include "celery/content.h"

#include <string.h>

#include "celery/compress.h"
#include "message_fields.h"

typedef enum celery_status (*reader_fn)(struct celery_str body,
                                        const struct celery_limits *limits,
                                        struct celery_arena *arena,
                                        struct cel_pick *picks, size_t n_picks,
                                        struct celery_json *ret_root,
                                        struct celery_error *err);

/* Moves the contents into the arena, so that slices of it live as long. */
static enum celery_status move_to_arena(struct celery_buf *buf,
                                        enum celery_status status,
                                        struct celery_arena *arena,
                                        struct celery_str *ret,
                                        struct celery_error *err)
{
    struct celery_str copy = {NULL, 0};

    if (status == CELERY_OK) {
        copy = celery_arena_copy(arena, celery_buf_str(buf));
        if (copy.data == NULL)
            status = celery_fail(err, CELERY_NOMEM, "no memory for the body");
    }
    celery_buf_done(buf);
    if (status == CELERY_OK)
        *ret = copy;
    return status;
}

static enum celery_status read_json(struct celery_str body,
                                    const struct celery_limits *limits,
                                    struct celery_arena *arena,
                                    struct cel_pick *picks, size_t n_picks,
                                    struct celery_json *ret_root,
                                    struct celery_error *err)
{
    (void)arena;
    return cel_json_parse_picks(body, limits, picks, n_picks, ret_root, err);
}

static enum celery_status read_msgpack(struct celery_str body,
                                       const struct celery_limits *limits,
                                       struct celery_arena *arena,
                                       struct cel_pick *picks, size_t n_picks,
                                       struct celery_json *ret_root,
                                       struct celery_error *err)
{
    struct celery_buf json = CELERY_BUF_INIT;
    struct celery_str text;

    json.limit = limits->inflated_bytes;
    enum celery_status status = celery_msgpack_decode(body, limits, &json, err);
    status = move_to_arena(&json, status, arena, &text, err);
    if (status != CELERY_OK)
        return status;
    return cel_json_parse_picks(text, limits, picks, n_picks, ret_root, err);
}

static const struct {
    const char *type;
    unsigned accept; /* enum celery_accept */
    reader_fn read;
} types[] = {
    {"application/json", CELERY_ACCEPT_JSON, read_json},
    {"application/x-msgpack", CELERY_ACCEPT_MSGPACK, read_msgpack},
};

static reader_fn reader_of(struct celery_str type, unsigned accept)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if ((accept & types[i].accept) != 0 && type.len == strlen(types[i].type)
            && memcmp(type.data, types[i].type, type.len) == 0)
            return types[i].read;
    }
    return NULL;
}

static enum celery_status decompress(const struct celery_content *content,
                                     const struct celery_limits *limits,
                                     struct celery_arena *arena,
                                     struct celery_str *ret_body,
                                     struct celery_error *err)
{
    struct celery_buf plain = CELERY_BUF_INIT;

    enum celery_status status =
        celery_decompress(content->compression, content->body,
                          limits->inflated_bytes, &plain, err);
    return move_to_arena(&plain, status, arena, ret_body, err);
}

enum celery_status cel_content_decode(const struct celery_content *content,
                                      unsigned accept,
                                      const struct celery_limits *limits,
                                      struct celery_arena *arena,
                                      struct cel_pick *picks, size_t n_picks,
                                      struct celery_json *ret_root,
                                      struct celery_error *err)
{
    const struct celery_limits defaults = CELERY_LIMITS_DEFAULT;
    struct celery_str type = content->type;
    struct celery_str body = content->body;

    if (limits == NULL)
        limits = &defaults;
    if (type.len == 0)
        type = CELERY_STR("application/data"); /* kombu's default */
    reader_fn read = reader_of(type, accept);
    if (read == NULL)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "content type \"%.*s\" is not accepted",
                           type.len < 100 ? (int)type.len : 100, type.data);

    if (content->compression.len != 0) {
        enum celery_status status =
            decompress(content, limits, arena, &body, err);
        if (status != CELERY_OK)
            return status;
    }
    if (body.len > limits->inflated_bytes)
        return celery_fail(
            err, CELERY_TOO_LARGE,
            "body of %zu bytes: past the limit inflated_bytes of "
            "%zu at byte %zu",
            body.len, limits->inflated_bytes, limits->inflated_bytes);
    return read(body, limits, arena, picks, n_picks, ret_root, err);
}

enum celery_status celery_content_decode(const struct celery_content *content,
                                         unsigned accept,
                                         const struct celery_limits *limits,
                                         struct celery_arena *arena,
                                         struct celery_json *ret_root,
                                         struct celery_error *err)
{
    return cel_content_decode(content, accept, limits, arena, NULL, 0, ret_root,
                              err);
}
