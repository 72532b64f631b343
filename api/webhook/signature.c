/* SPDX-License-Identifier: MIT */
#include "webhook/signature.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/cleanup.h"
#include "celery/arena.h"
#include "celery/base64.h"

enum { SHA256_LEN = 32, ED25519_LEN = 64, GIVEN_MAX = 512 };

static const struct signature_scheme defaults[] = {
    {SIGNATURE_HMAC, SIGNATURE_SHA256, SIGNATURE_HEX, "X-Signature", "sha256="},
    {SIGNATURE_HMAC, SIGNATURE_SHA256, SIGNATURE_HEX, "X-Hub-Signature-256",
     "sha256="},
    {SIGNATURE_HMAC, SIGNATURE_SHA256, SIGNATURE_HEX, "X-Webhook-Signature",
     "sha256="},
    {.form = SIGNATURE_STANDARD, .header = "webhook"},
    {.form = SIGNATURE_STANDARD, .header = "svix"},
};

const struct signature_scheme *signature_defaults(size_t *ret_count)
{
    *ret_count = sizeof defaults / sizeof defaults[0];
    return defaults;
}

bool signature_id_valid(struct celery_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        if (id.data[i] <= ' ' || id.data[i] > '~')
            return false;
    }
    return id.len > 0 && id.len <= SIGNATURE_ID_MAX;
}

/* What a check works on. */
struct check {
    const struct signature_scheme *scheme;
    const struct signing_secrets *secrets;
    const struct http_request *request;
    struct celery_arena arena;
    struct signature_checked *ret;
};

/* --- bytes -------------------------------------------------------------- */

static bool read_hex(struct celery_str text, unsigned char *ret, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = ascii_hex(text.data[2 * i]);
        int low = ascii_hex(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static bool read_base64(struct check *check, struct celery_str text,
                        unsigned char *ret, size_t len)
{
    struct celery_str bytes = {0};
    if (text.len > GIVEN_MAX
        || celery_base64_decode(text, &check->arena, &bytes) != CELERY_OK
        || bytes.len != len)
        return false;
    memcpy(ret, bytes.data, len);
    return true;
}

static bool hmac_is(const EVP_MD *digest, const void *key, size_t key_len,
                    struct celery_str message, const unsigned char *given)
{
    unsigned char ours[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return HMAC(digest, key, (int)key_len, (const unsigned char *)message.data,
                message.len, ours, &len)
            != NULL
        && CRYPTO_memcmp(given, ours, len) == 0;
}

/* Every secret is tried, so the time does not tell which one fits. raw: keyed
 * with the text of the secret, else with what Standard Webhooks decodes. */
static bool any_hmac(const struct check *check, const EVP_MD *digest, bool raw,
                     struct celery_str message, const unsigned char *given)
{
    bool found = false;
    for (size_t i = 0; i < check->secrets->count; i++) {
        const struct secret *secret = &check->secrets->list[i];
        if (secret->is_public || (!raw && secret->key == NULL))
            continue;
        if (raw ? hmac_is(digest, secret->text, secret->len, message, given)
                : hmac_is(digest, secret->key, secret->key_len, message, given))
            found = true;
    }
    return found;
}

static bool any_public(const struct check *check, struct celery_str message,
                       const unsigned char given[ED25519_LEN])
{
    bool found = false;
    for (size_t i = 0; i < check->secrets->count; i++) {
        const struct secret *secret = &check->secrets->list[i];
        if (!secret->is_public)
            continue;
        EVP_PKEY *key =
            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, secret->key,
                                        secret->key_len);
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        if (key != NULL && context != NULL
            && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1
            && EVP_DigestVerify(context, given, ED25519_LEN,
                                (const unsigned char *)message.data,
                                message.len)
                   == 1)
            found = true;
        EVP_MD_CTX_free(context);
        EVP_PKEY_free(key);
    }
    return found;
}

/* --- time ----------------------------------------------------------------- */

static bool read_seconds(struct celery_str text, int64_t *ret)
{
    char copy[24];
    char *end = NULL;
    if (text.len == 0 || text.len >= sizeof copy || !ascii_is_digit(*text.data))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    errno = 0;
    *ret = strtoll(copy, &end, 10);
    return errno == 0 && *end == '\0';
}

static enum signature_verdict judge_time(int64_t signed_s, int64_t now_s)
{
    return signed_s >= now_s - SIGNATURE_WINDOW_S
                && signed_s <= now_s + SIGNATURE_WINDOW_S
             ? SIGNATURE_VALID
             : SIGNATURE_STALE;
}

/* --- HMAC of the body ------------------------------------------------------- */

static enum signature_verdict check_hmac(struct check *check, const char *value,
                                         int64_t now_s)
{
    const struct signature_scheme *scheme = check->scheme;
    unsigned char given[EVP_MAX_MD_SIZE];
    bool wide = scheme->digest == SIGNATURE_SHA512;
    const EVP_MD *digest = wide ? EVP_sha512() : EVP_sha256();
    size_t len = (size_t)EVP_MD_get_size(digest);
    size_t skip = strlen(scheme->prefix);
    (void)now_s;
    if (strncasecmp(value, scheme->prefix, skip) == 0)
        value += skip;
    struct celery_str text = {value, strlen(value)};
    bool read = scheme->encoding == SIGNATURE_HEX
                  ? read_hex(text, given, len)
                  : read_base64(check, text, given, len);
    return read
                && any_hmac(check, digest, true,
                            celery_buf_str(&check->request->body), given)
             ? SIGNATURE_VALID
             : SIGNATURE_WRONG;
}

/* --- Standard Webhooks ------------------------------------------------------ */

/* One "v1,<base64>" or "v1a,<base64>"; other versions are none of ours. */
static bool check_version(struct check *check, struct celery_str text,
                          struct celery_str message)
{
    unsigned char given[ED25519_LEN];
    if (text.len > 3 && strncmp(text.data, "v1,", 3) == 0)
        return read_base64(check,
                           (struct celery_str){text.data + 3, text.len - 3},
                           given, SHA256_LEN)
            && any_hmac(check, EVP_sha256(), false, message, given);
    if (text.len > 4 && strncmp(text.data, "v1a,", 4) == 0)
        return read_base64(check,
                           (struct celery_str){text.data + 4, text.len - 4},
                           given, ED25519_LEN)
            && any_public(check, message, given);
    return false;
}

static bool check_list(struct check *check, const char *list,
                       struct celery_str message)
{
    bool found = false;
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, " ");
        if (check_version(check, (struct celery_str){p, len}, message))
            found = true;
        p += len + (p[len] == ' ');
    }
    return found;
}

static const char *named_header(const struct check *check, const char *suffix)
{
    char name[SIGNATURE_HEADER_MAX + 16];
    (void)snprintf(name, sizeof name, "%s-%s", check->scheme->header, suffix);
    return http_header(check->request, name);
}

static enum signature_verdict check_standard(struct check *check,
                                             const char *value, int64_t now_s)
{
    CLEANUP(celery_buf_done) struct celery_buf message = CELERY_BUF_INIT;
    const char *id = named_header(check, "id");
    const char *timestamp = named_header(check, "timestamp");
    int64_t signed_s = 0;
    if (id == NULL || timestamp == NULL
        || !signature_id_valid((struct celery_str){id, strlen(id)})
        || !read_seconds((struct celery_str){timestamp, strlen(timestamp)},
                         &signed_s))
        return SIGNATURE_WRONG;
    celery_buf_printf(&message, "%s.%s.", id, timestamp);
    celery_buf_append(&message, celery_buf_str(&check->request->body));
    if (celery_buf_status(&message) != CELERY_OK
        || !check_list(check, value, celery_buf_str(&message)))
        return SIGNATURE_WRONG;
    check->ret->event_id = id;
    check->ret->signed_s = signed_s;
    return judge_time(signed_s, now_s);
}

/* --- Stripe ------------------------------------------------------------------ */

/* The value of the first "t=" of "t=…,v1=…,v1=…,v0=…". */
static bool stripe_time(const char *value, struct celery_str *ret)
{
    for (const char *p = value; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (len > 2 && strncmp(p, "t=", 2) == 0) {
            *ret = (struct celery_str){p + 2, len - 2};
            return true;
        }
        p += len + (p[len] == ',');
    }
    return false;
}

static enum signature_verdict check_stripe(struct check *check,
                                           const char *value, int64_t now_s)
{
    CLEANUP(celery_buf_done) struct celery_buf message = CELERY_BUF_INIT;
    struct celery_str timestamp = {0};
    int64_t signed_s = 0;
    bool found = false;
    if (!stripe_time(value, &timestamp) || !read_seconds(timestamp, &signed_s))
        return SIGNATURE_WRONG;
    celery_buf_append(&message, timestamp);
    celery_buf_append(&message, CELERY_STR("."));
    celery_buf_append(&message, celery_buf_str(&check->request->body));
    if (celery_buf_status(&message) != CELERY_OK)
        return SIGNATURE_WRONG;
    for (const char *p = value; *p != '\0';) {
        unsigned char given[SHA256_LEN];
        size_t len = strcspn(p, ",");
        if (len > 3 && strncmp(p, "v1=", 3) == 0
            && read_hex((struct celery_str){p + 3, len - 3}, given, SHA256_LEN)
            && any_hmac(check, EVP_sha256(), true, celery_buf_str(&message),
                        given))
            found = true;
        p += len + (p[len] == ',');
    }
    if (!found)
        return SIGNATURE_WRONG;
    check->ret->signed_s = signed_s;
    return judge_time(signed_s, now_s);
}

/* --- the table ---------------------------------------------------------------- */

static enum signature_verdict (*const forms[])(struct check *check,
                                               const char *value,
                                               int64_t now_s) = {
    [SIGNATURE_HMAC] = check_hmac,
    [SIGNATURE_STANDARD] = check_standard,
    [SIGNATURE_STRIPE] = check_stripe,
};

static const char *signature_header(const struct check *check)
{
    return check->scheme->form == SIGNATURE_STANDARD
             ? named_header(check, "signature")
             : http_header(check->request, check->scheme->header);
}

struct signature_checked signature_check(const struct signature_scheme *schemes,
                                         size_t count,
                                         const struct signing_secrets *secrets,
                                         const struct http_request *request,
                                         int64_t now_s)
{
    struct signature_checked checked = {.verdict = SIGNATURE_MISSING};
    struct check check = {.secrets = secrets,
                          .request = request,
                          .arena = CELERY_ARENA_INIT,
                          .ret = &checked};
    for (size_t i = 0; i < count && checked.verdict != SIGNATURE_VALID; i++) {
        check.scheme = &schemes[i];
        const char *value = signature_header(&check);
        if (value == NULL)
            continue;
        enum signature_verdict one =
            forms[schemes[i].form](&check, value, now_s);
        /* A right but stale signature says more than a wrong one. */
        if (one == SIGNATURE_VALID || checked.verdict != SIGNATURE_STALE)
            checked.verdict = one;
    }
    celery_arena_done(&check.arena);
    return checked;
}
