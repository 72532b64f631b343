/* SPDX-License-Identifier: MIT */
#include "webhook/signature.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/cleanup.h"
#include "base/xalloc.h"
#include "celery/arena.h"
#include "celery/base64.h"

enum { DIGEST_LEN = 32, SIGNED_ID_MAX = 256 };

/* The key of a secret in Standard Webhooks' form is base64 behind this. */
static const char standard_prefix[] = "whsec_";

bool signature_keys_init(struct signature_keys *keys, const char *text)
{
    *keys = (struct signature_keys){0};
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",");
        /* "whsec_" alone, a template without its value, would be an empty key. */
        bool empty = len == sizeof standard_prefix - 1
                  && strncmp(p, standard_prefix, len) == 0;
        if (empty || (len > 0 && keys->count == SIGNATURE_SECRETS_MAX)) {
            signature_keys_done(keys);
            return false;
        }
        if (len > 0)
            keys->secrets[keys->count++] = xstrndup(p, len);
        p += len + (p[len] == ',');
    }
    return true;
}

void signature_keys_done(struct signature_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        explicit_bzero(keys->secrets[i], strlen(keys->secrets[i]));
        free(keys->secrets[i]);
    }
    *keys = (struct signature_keys){0};
}

static bool digest(struct celery_str key, struct celery_str message,
                   unsigned char ret[DIGEST_LEN])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), key.data, (int)key.len,
                (const unsigned char *)message.data, message.len, ret, &len)
            != NULL
        && len == DIGEST_LEN;
}

/* --- hex of the body ---------------------------------------------------- */

static bool read_hex(const char *text, unsigned char ret[DIGEST_LEN])
{
    for (size_t i = 0; i < DIGEST_LEN; i++) {
        int high = ascii_hex(text[0]);
        int low = high >= 0 ? ascii_hex(text[1]) : -1;
        if (low < 0)
            return false;
        ret[i] = (unsigned char)(high * 16 + low);
        text += 2;
    }
    return *text == '\0';
}

static enum signature_verdict check_hex(const struct signature_keys *keys,
                                        const struct http_request *request,
                                        const char *value, int64_t now_s)
{
    unsigned char given[DIGEST_LEN];
    unsigned char ours[DIGEST_LEN];
    bool found = false;
    (void)now_s;
    if (strncasecmp(value, "sha256=", strlen("sha256=")) == 0)
        value += strlen("sha256=");
    if (!read_hex(value, given))
        return SIGNATURE_WRONG;
    /* Every secret is tried, so the time does not tell which one fits. */
    for (size_t i = 0; i < keys->count; i++) {
        struct celery_str key = {keys->secrets[i], strlen(keys->secrets[i])};
        if (digest(key, celery_buf_str(&request->body), ours)
            && CRYPTO_memcmp(given, ours, DIGEST_LEN) == 0)
            found = true;
    }
    return found ? SIGNATURE_VALID : SIGNATURE_WRONG;
}

/* --- Standard Webhooks -------------------------------------------------- */

static struct celery_str standard_key(const char *secret,
                                      struct celery_arena *arena)
{
    size_t skip = strlen(standard_prefix);
    struct celery_str key = {secret, strlen(secret)};
    struct celery_str bytes = {0};
    if (strncmp(secret, standard_prefix, skip) != 0)
        return key;
    struct celery_str text = {secret + skip, key.len - skip};
    return celery_base64_decode(text, arena, &bytes) == CELERY_OK ? bytes : key;
}

/* Does the list "v1,<base64> v1,<base64> …" hold the digest? */
static bool lists(const char *list, const unsigned char ours[DIGEST_LEN],
                  struct celery_arena *arena)
{
    bool found = false;
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, " ");
        struct celery_str bytes = {0};
        if (len > 3 && strncmp(p, "v1,", 3) == 0
            && celery_base64_decode((struct celery_str){p + 3, len - 3}, arena,
                                    &bytes)
                   == CELERY_OK
            && bytes.len == DIGEST_LEN
            && CRYPTO_memcmp(bytes.data, ours, DIGEST_LEN) == 0)
            found = true;
        p += len + (p[len] == ' ');
    }
    return found;
}

static bool read_seconds(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static enum signature_verdict check_standard(const struct signature_keys *keys,
                                             const struct http_request *request,
                                             const char *value, int64_t now_s)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf message = CELERY_BUF_INIT;
    const char *id = http_header(request, "webhook-id");
    const char *timestamp = http_header(request, "webhook-timestamp");
    unsigned char ours[DIGEST_LEN];
    int64_t signed_s = 0;
    bool found = false;
    if (id == NULL || timestamp == NULL || strlen(id) > SIGNED_ID_MAX
        || !read_seconds(timestamp, &signed_s))
        return SIGNATURE_WRONG;
    celery_buf_printf(&message, "%s.%s.", id, timestamp);
    celery_buf_append(&message, celery_buf_str(&request->body));
    if (celery_buf_status(&message) != CELERY_OK)
        return SIGNATURE_WRONG;
    for (size_t i = 0; i < keys->count; i++) {
        struct celery_str key = standard_key(keys->secrets[i], &arena);
        if (digest(key, celery_buf_str(&message), ours)
            && lists(value, ours, &arena))
            found = true;
    }
    if (!found)
        return SIGNATURE_WRONG;
    bool fresh = signed_s >= now_s - SIGNATURE_WINDOW_S
              && signed_s <= now_s + SIGNATURE_WINDOW_S;
    return fresh ? SIGNATURE_VALID : SIGNATURE_STALE;
}

/* --- the table ---------------------------------------------------------- */

static const struct {
    const char *header;
    enum signature_verdict (*check)(const struct signature_keys *keys,
                                    const struct http_request *request,
                                    const char *value, int64_t now_s);
} schemes[] = {
    {"X-Signature", check_hex},
    {"X-Hub-Signature-256", check_hex},
    {"X-Webhook-Signature", check_hex},
    {"webhook-signature", check_standard},
};

enum signature_verdict signature_check(const struct signature_keys *keys,
                                       const struct http_request *request,
                                       int64_t now_s)
{
    enum signature_verdict verdict = SIGNATURE_MISSING;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const char *value = http_header(request, schemes[i].header);
        if (value == NULL)
            continue;
        enum signature_verdict one =
            schemes[i].check(keys, request, value, now_s);
        if (one == SIGNATURE_VALID)
            return one;
        /* A right but stale signature says more than a wrong one. */
        if (verdict != SIGNATURE_STALE)
            verdict = one;
    }
    return verdict;
}
