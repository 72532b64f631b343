/* SPDX-License-Identifier: MIT */
/*
 * What is signed is what the fields mean, not how they are written: kombu
 * writes an envelope anew when it restores a message, RabbitMQ carries headers
 * as a table. Every field is a netstring ("5:abcde,"), so that nothing can
 * move from one into the next; what is absent or null is "-,".
 */
#include "celery/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "celery/json_write.h"
#include "message_fields.h"

enum { HEX_LEN = 2 * SHA256_DIGEST_LENGTH };

static const struct celery_str version = {"v1", 2};

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
        || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool same(struct celery_str a, struct celery_str b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static const struct celery_str *find_key(const struct celery_seal_keys *keys,
                                         struct celery_str id)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (same(keys->keys[i].id, id))
            return &keys->keys[i].key;
    }
    return NULL;
}

/* One "id:key". */
static const char *add_key(struct celery_seal_keys *keys, const char *p,
                           size_t len)
{
    size_t id_len = 0;

    while (id_len < len && is_id_char(p[id_len]))
        id_len++;
    if (id_len == 0 || id_len > CELERY_SEAL_ID_MAX)
        return "no id of 1 to 64 letters, digits, '.', '_' or '-'";
    if (id_len == len || p[id_len] != ':')
        return "no ':' behind the id";
    if (len - id_len - 1 < CELERY_SEAL_KEY_MIN)
        return "a key is shorter than 16 bytes";
    if (keys->count == CELERY_SEAL_KEYS_MAX)
        return "more than 8 keys";
    if (find_key(keys, (struct celery_str){p, id_len}) != NULL)
        return "an id stands there twice";
    keys->keys[keys->count].id = (struct celery_str){p, id_len};
    keys->keys[keys->count].key =
        (struct celery_str){p + id_len + 1, len - id_len - 1};
    keys->count++;
    return NULL;
}

enum celery_status celery_seal_keys_parse(struct celery_str text,
                                          struct celery_seal_keys *ret,
                                          struct celery_error *err)
{
    struct celery_seal_keys keys = {.count = 0};
    const char *p = text.data;
    const char *end = text.data + text.len;

    for (size_t n = 1;; n++) {
        const char *comma = p == end ? NULL : memchr(p, ',', (size_t)(end - p));
        const char *stop = comma == NULL ? end : comma;
        const char *problem = add_key(&keys, p, (size_t)(stop - p));
        if (problem != NULL)
            return celery_fail(err, CELERY_INVALID, "signing key %zu: %s", n,
                               problem);
        if (comma == NULL)
            break;
        p = comma + 1;
    }
    *ret = keys;
    return CELERY_OK;
}

static void put(struct celery_buf *buf, struct celery_str text)
{
    celery_buf_printf(buf, "%zu:", text.len);
    celery_buf_append(buf, text);
    celery_buf_append(buf, CELERY_STR(","));
}

static void put_none(struct celery_buf *buf)
{
    celery_buf_append(buf, CELERY_STR("-,"));
}

/* What is no text is told from one by the mark. */
static void put_text(struct celery_buf *buf, struct celery_json value,
                     struct celery_arena *arena)
{
    struct celery_str text = {"", 0};

    if (celery_json_null(value)) {
        put_none(buf);
        return;
    }
    if (value.type != CELERY_JSON_STRING) {
        celery_buf_append(buf, CELERY_STR("="));
        put(buf, value.text);
        return;
    }
    if (celery_json_string(value, arena, &text) != CELERY_OK)
        buf->status = CELERY_NOMEM;
    else
        put(buf, text);
}

/* 10 and 10.0 are the same. */
static void put_number(struct celery_buf *buf, struct celery_json value,
                       struct celery_arena *arena)
{
    char text[32];
    double d = 0;

    if (celery_json_double(value, &d))
        put(buf, (struct celery_str){text, celery_double_repr(d, text)});
    else
        put_text(buf, value, arena);
}

/* An absent count is 0, as for whoever reads it. */
static void put_retries(struct celery_buf *buf, struct celery_json value,
                        struct celery_arena *arena)
{
    if (celery_json_null(value))
        put(buf, CELERY_STR("0"));
    else if (value.type == CELERY_JSON_NUMBER)
        put(buf, value.text);
    else
        put_text(buf, value, arena);
}

static enum celery_status canonical(const struct cel_fields *fields,
                                    const struct celery_content *content,
                                    struct celery_str key_id,
                                    struct celery_str queue,
                                    struct celery_arena *arena,
                                    struct celery_buf *buf)
{
    const struct celery_json *v = fields->values;
    unsigned char digest[SHA256_DIGEST_LENGTH];

    put(buf, CELERY_STR("celery-c-seal-1"));
    put(buf, key_id);
    put_text(buf, v[CEL_FIELD_TASK], arena);
    put_text(buf, v[CEL_FIELD_ID], arena);
    put_text(buf, v[CEL_FIELD_ETA], arena);
    put_text(buf, v[CEL_FIELD_EXPIRES], arena);
    put_retries(buf, v[CEL_FIELD_RETRIES], arena);
    put_number(buf, celery_json_at(v[CEL_FIELD_TIMELIMIT], 0), arena);
    put_number(buf, celery_json_at(v[CEL_FIELD_TIMELIMIT], 1), arena);
    put(buf, queue);
    put(buf, content->type);
    put_text(buf, v[CEL_FIELD_COMPRESSION], arena);
    if (SHA256((const unsigned char *)content->body.data, content->body.len,
               digest)
        == NULL)
        return CELERY_NOMEM;
    put(buf, (struct celery_str){(const char *)digest, sizeof digest});
    return celery_buf_status(buf);
}

/* The signature in hexadecimal into out[HEX_LEN]. */
static enum celery_status make(struct celery_str key,
                               const struct cel_fields *fields,
                               const struct celery_content *content,
                               struct celery_str key_id,
                               struct celery_str queue,
                               struct celery_arena *arena, char *out)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char mac[SHA256_DIGEST_LENGTH];
    struct celery_buf buf = CELERY_BUF_INIT;

    enum celery_status status =
        canonical(fields, content, key_id, queue, arena, &buf);
    if (status == CELERY_OK
        && HMAC(EVP_sha256(), key.data, (int)key.len,
                (const unsigned char *)buf.data, buf.len, mac, NULL)
               == NULL)
        status = CELERY_NOMEM;
    celery_buf_done(&buf);
    for (size_t i = 0; status == CELERY_OK && i < sizeof mac; i++) {
        out[2 * i] = hex[mac[i] >> 4];
        out[2 * i + 1] = hex[mac[i] & 15];
    }
    return status;
}

enum celery_status celery_seal_sign(const struct celery_seal_keys *keys,
                                    struct celery_buf *headers,
                                    const struct celery_content *content,
                                    struct celery_str queue,
                                    struct celery_error *err)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    const struct cel_fields *fields = NULL;
    struct celery_json root;
    char hex[HEX_LEN];

    enum celery_status status =
        celery_json_parse(celery_buf_str(headers), NULL, &root, err);
    if (status != CELERY_OK)
        return status;
    if (keys->count == 0 || root.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_INVALID, "nothing to sign, or no key");
    /* Protocol 1 has none: the body says it all. */
    const char *comma = celery_json_count(root) == 0 ? "" : ", ";
    struct celery_str id = keys->keys[0].id;
    fields = cel_fields_pick(root, &arena);
    if (fields == NULL)
        status = CELERY_NOMEM;
    if (status == CELERY_OK)
        status =
            make(keys->keys[0].key, fields, content, id, queue, &arena, hex);
    celery_arena_done(&arena);
    if (status == CELERY_OK) {
        headers->len--; /* the closing brace */
        celery_buf_printf(headers,
                          "%s\"" CELERY_SEAL_HEADER "\": \"v1:%.*s:%.*s\"}",
                          comma, (int)id.len, id.data, HEX_LEN, hex);
        status = celery_buf_status(headers);
    }
    return status == CELERY_OK
             ? CELERY_OK
             : celery_fail(err, status, "no room for the signature");
}

/* "v1:id:hex"; false for anything else. */
static bool split(struct celery_str text, struct celery_str *ret_id,
                  struct celery_str *ret_hex)
{
    size_t most = version.len + 1 + CELERY_SEAL_ID_MAX + 1 + HEX_LEN;

    if (text.len > most || text.len <= version.len + 2 + HEX_LEN
        || memcmp(text.data, version.data, version.len) != 0
        || text.data[version.len] != ':')
        return false;
    size_t colon = text.len - HEX_LEN - 1;
    if (text.data[colon] != ':')
        return false;
    ret_id->data = text.data + version.len + 1;
    ret_id->len = colon - version.len - 1;
    ret_hex->data = text.data + colon + 1;
    ret_hex->len = HEX_LEN;
    return true;
}

enum celery_status celery_seal_verify(const struct celery_seal_keys *keys,
                                      const struct celery_envelope *envelope,
                                      struct celery_str queue,
                                      struct celery_arena *arena,
                                      enum celery_seal *ret,
                                      struct celery_error *err)
{
    const struct cel_fields *fields = envelope->fields;
    struct celery_str text = {"", 0};
    struct celery_str id = {"", 0};
    struct celery_str got = {"", 0};
    char want[HEX_LEN];

    if (fields == NULL)
        fields = cel_fields_pick(envelope->headers, arena);
    if (fields == NULL)
        return celery_fail(err, CELERY_NOMEM, "no memory for a signature");
    struct celery_json header = fields->values[CEL_FIELD_SEAL];
    if (celery_json_null(header)) {
        *ret = CELERY_SEAL_UNSIGNED;
        return CELERY_OK;
    }
    enum celery_status status = celery_json_string(header, arena, &text);
    if (status == CELERY_NOMEM)
        return celery_fail(err, status, "no memory for a signature");
    const struct celery_str *key = NULL;
    if (status == CELERY_OK && split(text, &id, &got))
        key = find_key(keys, id);
    if (key == NULL) {
        *ret = CELERY_SEAL_BAD;
        return CELERY_OK;
    }
    status = make(*key, fields, &envelope->content, id, queue, arena, want);
    if (status != CELERY_OK)
        return celery_fail(err, status, "no memory for a signature");
    *ret = CRYPTO_memcmp(want, got.data, HEX_LEN) == 0 ? CELERY_SEAL_GOOD
                                                       : CELERY_SEAL_BAD;
    return CELERY_OK;
}
