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

static struct signature_checked checked;

/* By the default schemes. */
static enum signature_verdict judge(const char *secrets,
                                    const struct http_request *request)
{
    struct signing_secrets keys = {0};
    size_t count = 0;
    const struct signature_scheme *schemes = signature_defaults(&count);
    if (secrets != NULL)
        ck_assert_int_eq(signing_secrets_read(&keys, "X", secrets, false, NULL),
                         CELERY_OK);
    checked = signature_check(schemes, count, &keys, request, now_s);
    signing_secrets_done(&keys);
    return checked.verdict;
}

static enum signature_verdict check(const char *secrets, const char *name,
                                    const char *value)
{
    struct http_request request = request_with(name, value);
    enum signature_verdict verdict = judge(secrets, &request);
    http_request_done(&request);
    return verdict;
}

START_TEST(every_hex_header_is_read)
{
    static const char *const headers[] = {"X-Signature", "x-hub-signature-256",
                                          "X-Webhook-Signature"};
    char hex[65];
    char prefixed[80];
    sign_hex("key-of-8", hex);
    (void)snprintf(prefixed, sizeof prefixed, "sha256=%s", hex);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(check("key-of-8", headers[i], hex), SIGNATURE_VALID);
        ck_assert_int_eq(check("key-of-8", headers[i], prefixed),
                         SIGNATURE_VALID);
        ck_assert_int_eq(check("old-key-8,key-of-8", headers[i], hex),
                         SIGNATURE_VALID);
        ck_assert_int_eq(check("other-key", headers[i], hex), SIGNATURE_WRONG);
    }
    for (char *p = hex; *p != '\0'; p++)
        *p = (char)(*p >= 'a' && *p <= 'f' ? *p - 'a' + 'A' : *p);
    ck_assert_int_eq(check("key-of-8", "X-Signature", hex), SIGNATURE_VALID);
}
END_TEST

START_TEST(other_texts_are_wrong)
{
    char hex[65];
    char text[80];
    sign_hex("key-of-8", hex);
    ck_assert_int_eq(check("key-of-8", "X-Other", hex), SIGNATURE_MISSING);
    ck_assert_int_eq(check("key-of-8", "X-Signature", ""), SIGNATURE_WRONG);
    ck_assert_int_eq(check("key-of-8", "X-Signature", "sha256="),
                     SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, "%s00", hex);
    ck_assert_int_eq(check("key-of-8", "X-Signature", text), SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, " %s", hex);
    ck_assert_int_eq(check("key-of-8", "X-Signature", text), SIGNATURE_WRONG);
    (void)snprintf(text, sizeof text, "sha1=%s", hex);
    ck_assert_int_eq(check("key-of-8", "X-Signature", text), SIGNATURE_WRONG);
    hex[63] = '\0';
    ck_assert_int_eq(check("key-of-8", "X-Signature", hex), SIGNATURE_WRONG);
    hex[0] = 'g';
    ck_assert_int_eq(check("key-of-8", "X-Signature", hex), SIGNATURE_WRONG);
}
END_TEST

START_TEST(without_a_secret_nothing_is_valid)
{
    char hex[65];
    sign_hex("", hex);
    ck_assert_int_eq(check(NULL, "X-Signature", hex), SIGNATURE_WRONG);
}
END_TEST

/* What the Standard Webhooks libraries send. */
static enum signature_verdict standard(const char *secrets, const char *key,
                                       int64_t at_s, const char *id)
{
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
    enum signature_verdict verdict = judge(secrets, &request);
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
        ck_assert_int_eq(standard("key-of-8", "key-of-8",
                                  now_s + cases[i].off_s, "msg_1"),
                         cases[i].verdict);
    ck_assert_int_eq(standard("key-of-8", "other-key", now_s, "msg_1"),
                     SIGNATURE_WRONG);
    ck_assert_int_eq(standard("key-of-8", "key-of-8", now_s, "msg_2"),
                     SIGNATURE_WRONG);
    ck_assert_int_eq(standard("key-of-8", "key-of-8", now_s, NULL),
                     SIGNATURE_WRONG);
    /* whsec_ is base64: "key-of-8" is a2V5LW9mLTg=. */
    ck_assert_int_eq(standard("whsec_a2V5LW9mLTg=", "key-of-8", now_s, "msg_1"),
                     SIGNATURE_VALID);
    ck_assert_str_eq(checked.event_id, "msg_1");
    ck_assert_int_eq(checked.signed_s, now_s);
}
END_TEST

/* One header, by one scheme, keyed with one secret. */
static enum signature_verdict by_scheme(const struct signature_scheme *scheme,
                                        const char *secret, const char *text,
                                        const char *header, const char *value)
{
    struct signing_secrets keys = {0};
    struct http_request request = {0};
    celery_buf_append(&request.body, (struct celery_str){text, strlen(text)});
    request.headers[request.header_count++] =
        (struct http_header){header, value};
    ck_assert_int_eq(signing_secrets_read(&keys, "X", secret, true, NULL),
                     CELERY_OK);
    checked = signature_check(scheme, 1, &keys, &request, now_s);
    signing_secrets_done(&keys);
    http_request_done(&request);
    return checked.verdict;
}

static void encode(const unsigned char *raw, unsigned len, bool hex, char *ret)
{
    if (!hex) {
        (void)EVP_EncodeBlock((unsigned char *)ret, raw, (int)len);
        return;
    }
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(ret + (ptrdiff_t)i * 2, 3, "%02x", raw[i]);
}

START_TEST(every_digest_and_encoding)
{
    for (int wide = 0; wide < 2; wide++) {
        for (int hex = 0; hex < 2; hex++) {
            struct signature_scheme scheme = {
                .form = SIGNATURE_HMAC,
                .digest = wide ? SIGNATURE_SHA512 : SIGNATURE_SHA256,
                .encoding = hex ? SIGNATURE_HEX : SIGNATURE_BASE64,
                .header = "X-Payload-Hash"};
            unsigned char raw[64];
            unsigned len = 0;
            char value[140];
            ck_assert_ptr_nonnull(
                HMAC(wide ? EVP_sha512() : EVP_sha256(), "whsec_raw-key", 13,
                     (const unsigned char *)body, sizeof body - 1, raw, &len));
            encode(raw, len, hex, value);
            /* As the text that it is: not decoded. */
            ck_assert_int_eq(by_scheme(&scheme, "raw-key-1", body,
                                       "x-payload-hash", value),
                             SIGNATURE_WRONG);
            unsigned char own[64];
            ck_assert_ptr_nonnull(
                HMAC(wide ? EVP_sha512() : EVP_sha256(), "raw-key-1", 9,
                     (const unsigned char *)body, sizeof body - 1, own, &len));
            encode(own, len, hex, value);
            ck_assert_int_eq(by_scheme(&scheme, "raw-key-1", body,
                                       "x-payload-hash", value),
                             SIGNATURE_VALID);
            value[0] = value[0] == 'a' ? 'b' : 'a';
            ck_assert_int_eq(by_scheme(&scheme, "raw-key-1", body,
                                       "x-payload-hash", value),
                             SIGNATURE_WRONG);
        }
    }
}
END_TEST

static void stripe_value(int64_t at_s, const char *more, char ret[300])
{
    unsigned char raw[32];
    char message[200];
    char hex[65];
    (void)snprintf(message, sizeof message, "%lld.%s", (long long)at_s, body);
    sign("whsec_stripe-text", message, raw);
    encode(raw, 32, true, hex);
    (void)snprintf(ret, 300, "t=%lld,%sv1=%s,v0=00", (long long)at_s, more,
                   hex);
}

START_TEST(stripe_signs_a_time)
{
    static const struct signature_scheme scheme = {
        .form = SIGNATURE_STRIPE, .header = "Stripe-Signature"};
    char value[300];
    struct {
        int64_t off_s;
        enum signature_verdict verdict;
    } cases[] = {{0, SIGNATURE_VALID},
                 {-300, SIGNATURE_VALID},
                 {-301, SIGNATURE_STALE},
                 {301, SIGNATURE_STALE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stripe_value(now_s + cases[i].off_s, "v1=ab,", value);
        /* "whsec_stripe-text" is no base64: Stripe's secrets are text. */
        ck_assert_int_eq(by_scheme(&scheme, "whsec_stripe-text", body,
                                   "Stripe-Signature", value),
                         cases[i].verdict);
    }
    stripe_value(now_s, "", value);
    ck_assert_int_eq(by_scheme(&scheme, "another-secret", body,
                               "Stripe-Signature", value),
                     SIGNATURE_WRONG);
    ck_assert_int_eq(by_scheme(&scheme, "another-secret", body,
                               "Stripe-Signature", "v1=00"),
                     SIGNATURE_WRONG);
    ck_assert_int_eq(by_scheme(&scheme, "another-secret", body,
                               "Stripe-Signature", "t=x,v1=00"),
                     SIGNATURE_WRONG);
}
END_TEST

/* A key pair of our own; the private half stays here. */
START_TEST(a_public_key_checks_v1a)
{
    unsigned char public_key[32];
    unsigned char signature[64];
    char message[200];
    char value[140] = "v1a,";
    char secret[80] = "whpk_";
    char timestamp[32];
    size_t len = sizeof public_key;
    size_t signature_len = sizeof signature;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, public_key, &len), 1);
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)now_s);
    (void)snprintf(message, sizeof message, "msg_1.%s.%s", timestamp, body);
    ck_assert_int_eq(EVP_DigestSignInit(context, NULL, NULL, NULL, key), 1);
    ck_assert_int_eq(EVP_DigestSign(context, signature, &signature_len,
                                    (const unsigned char *)message,
                                    strlen(message)),
                     1);
    encode(signature, 64, false, value + 4);
    encode(public_key, 32, false, secret + 5);
    struct http_request request = request_with("svix-signature", value);
    request.headers[1] = (struct http_header){"svix-timestamp", timestamp};
    request.headers[2] = (struct http_header){"svix-id", "msg_1"};
    request.header_count = 3;
    ck_assert_int_eq(judge(secret, &request), SIGNATURE_VALID);
    request.headers[2].value = "msg_2";
    ck_assert_int_eq(judge(secret, &request), SIGNATURE_WRONG);
    /* A public key is known to anybody: it keys no HMAC. */
    char hex[65];
    sign_hex(secret, hex);
    ck_assert_int_eq(check(secret, "X-Signature", hex), SIGNATURE_WRONG);
    http_request_done(&request);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(secrets_are_judged)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"12345678", true},
        {"12345678,abcdefgh", true},
        {"1234567", false},
        {"", false},
        {",", false},
        {"12345678,", false},
        {",12345678", false},
        {" ", false},
        {"with blank", false},
        {"whsec_", false},
        {"whsec_not base64", false},
        {"whsec_!!!!!!!!", false},
        {"whsec_a2V5", false}, /* three bytes */
        {"whsec_a2V5LW9mLTg=", true},
        {"whpk_a2V5LW9mLTg=", false},
        {"whsk_a2V5LW9mLTg=", false},
        {"12345671,12345672,12345673,12345674,12345675,12345676,12345677,"
         "12345678",
         true},
        {"12345671,12345672,12345673,12345674,12345675,12345676,12345677,"
         "12345678,12345679",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct signing_secrets keys;
        struct celery_error err = {0};
        enum celery_status st =
            signing_secrets_read(&keys, "NAME", cases[i].text, false, &err);
        ck_assert_msg((st == CELERY_OK) == cases[i].good, "%s", cases[i].text);
        if (st == CELERY_OK) {
            signing_secrets_done(&keys);
            continue;
        }
        ck_assert_ptr_nonnull(strstr(err.msg, "NAME"));
        if (strlen(cases[i].text) > 4)
            ck_assert_ptr_null(strstr(err.msg, cases[i].text));
    }
}
END_TEST

UNIT_MAIN("signature", every_hex_header_is_read, other_texts_are_wrong,
          without_a_secret_nothing_is_valid, standard_webhooks_have_a_window,
          every_digest_and_encoding, stripe_signs_a_time,
          a_public_key_checks_v1a, secrets_are_judged)
