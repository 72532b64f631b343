/* SPDX-License-Identifier: MIT */
#include "webhook/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "support/unit.h"

static const char body[] = "{\"tx_hash\":\"0x1\"}";
static const int64_t now_s = 1700000000;

static struct http_request request_with(const char *name, const char *value)
{
    struct http_request request = {0};
    celery_buf_append(&request.body,
                      (struct celery_str){body, sizeof body - 1});
    request.headers[request.header_count++] = (struct http_header){name, value};
    return request;
}

static void sign(const char *secret, const char *message, unsigned char ret[32])
{
    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, (int)strlen(secret),
                               (const unsigned char *)message, strlen(message),
                               ret, NULL));
}

static void sign_hex(const char *secret, char ret[65])
{
    unsigned char raw[32];
    sign(secret, body, raw);
    for (int i = 0; i < 32; i++)
        (void)snprintf(ret + (ptrdiff_t)i * 2, 3, "%02x", raw[i]);
}

static enum signature_verdict check(const char *secrets, const char *name,
                                    const char *value)
{
    struct signature_keys keys;
    struct http_request request = request_with(name, value);
    ck_assert(signature_keys_init(&keys, secrets));
    enum signature_verdict verdict = signature_check(&keys, &request, now_s);
    signature_keys_done(&keys);
    http_request_done(&request);
    return verdict;
}

START_TEST(every_hex_header_is_read)
{
    static const char *const headers[] = {"X-Signature", "x-hub-signature-256",
                                          "X-Webhook-Signature"};
    char hex[65];
    char prefixed[80];
    sign_hex("key", hex);
    (void)snprintf(prefixed, sizeof prefixed, "sha256=%s", hex);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(check("key", headers[i], hex), SIGNATURE_VALID);
        ck_assert_int_eq(check("key", headers[i], prefixed), SIGNATURE_VALID);
        ck_assert_int_eq(check("old,key", headers[i], hex), SIGNATURE_VALID);
        ck_assert_int_eq(check("other", headers[i], hex), SIGNATURE_WRONG);
    }
    for (char *p = hex; *p != '\0'; p++)
        *p = (char)(*p >= 'a' && *p <= 'f' ? *p - 'a' + 'A' : *p);
    ck_assert_int_eq(check("key", "X-Signature", hex), SIGNATURE_VALID);
}
END_TEST

START_TEST(other_texts_are_wrong)
{
    char hex[65];
    char text[80];
    sign_hex("key", hex);
    ck_assert_int_eq(check("key", "X-Other", hex), SIGNATURE_MISSING);
    ck_assert_int_eq(check("key", "X-Signature", ""), SIGNATURE_WRONG);
    ck_assert_int_eq(check("key", "X-Signature", "sha256="), SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, "%s00", hex);
    ck_assert_int_eq(check("key", "X-Signature", text), SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, " %s", hex);
    ck_assert_int_eq(check("key", "X-Signature", text), SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, "sha1=%s", hex);
    ck_assert_int_eq(check("key", "X-Signature", text), SIGNATURE_WRONG);
    hex[63] = '\0';
    ck_assert_int_eq(check("key", "X-Signature", hex), SIGNATURE_WRONG);
    hex[0] = 'g';
    ck_assert_int_eq(check("key", "X-Signature", hex), SIGNATURE_WRONG);
}
END_TEST

START_TEST(without_a_secret_nothing_is_valid)
{
    char hex[65];
    sign_hex("", hex);
    ck_assert_int_eq(check(NULL, "X-Signature", hex), SIGNATURE_WRONG);
    ck_assert_int_eq(check(",,", "X-Signature", hex), SIGNATURE_WRONG);
}
END_TEST

/* What the Standard Webhooks libraries send. */
static enum signature_verdict standard(const char *secrets, const char *key,
                                       int64_t at_s, const char *id)
{
    struct signature_keys keys;
    char message[200];
    char timestamp[32];
    char value[120] = "v1,AAAA v2,xx v1,";
    unsigned char raw[32];
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)at_s);
    (void)snprintf(message, sizeof message, "msg_1.%s.%s", timestamp, body);
    sign(key, message, raw);
    (void)EVP_EncodeBlock((unsigned char *)value + strlen(value), raw, 32);
    struct http_request request = request_with("webhook-signature", value);
    request.headers[1] = (struct http_header){"webhook-timestamp", timestamp};
    request.headers[2] = (struct http_header){"webhook-id", id};
    request.header_count = id != NULL ? 3 : 2;
    ck_assert(signature_keys_init(&keys, secrets));
    enum signature_verdict verdict = signature_check(&keys, &request, now_s);
    signature_keys_done(&keys);
    http_request_done(&request);
    return verdict;
}

START_TEST(standard_webhooks_have_a_window)
{
    static const struct {
        int64_t off_s;
        enum signature_verdict verdict;
    } cases[] = {
        {0, SIGNATURE_VALID},    {300, SIGNATURE_VALID},
        {-300, SIGNATURE_VALID}, {301, SIGNATURE_STALE},
        {-301, SIGNATURE_STALE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_int_eq(standard("key", "key", now_s + cases[i].off_s,
                                  "msg_1"),
                         cases[i].verdict);
    ck_assert_int_eq(standard("key", "other", now_s, "msg_1"), SIGNATURE_WRONG);
    ck_assert_int_eq(standard("key", "key", now_s, "msg_2"), SIGNATURE_WRONG);
    ck_assert_int_eq(standard("key", "key", now_s, NULL), SIGNATURE_WRONG);
    /* whsec_ is base64: "key" is a2V5. */
    ck_assert_int_eq(standard("whsec_a2V5", "key", now_s, "msg_1"),
                     SIGNATURE_VALID);
}
END_TEST

START_TEST(too_many_secrets_are_refused)
{
    struct signature_keys keys;
    ck_assert(signature_keys_init(&keys, "1,2,3,4,5,6,7,8,"));
    ck_assert_uint_eq(keys.count, 8);
    signature_keys_done(&keys);
    ck_assert(!signature_keys_init(&keys, "1,2,3,4,5,6,7,8,9"));
}
END_TEST

UNIT_MAIN("signature", every_hex_header_is_read, other_texts_are_wrong,
          without_a_secret_nothing_is_valid, standard_webhooks_have_a_window,
          too_many_secrets_are_refused)
