/* SPDX-License-Identifier: MIT */
/*
 * Is a webhook from who may announce money? HMAC-SHA256 over the raw body (or
 * over "id.timestamp.body", Standard Webhooks), any active secret, compared in
 * constant time. The schemes are one table; a provider is a row.
 */
#ifndef WEBHOOK_SIGNATURE_H
#define WEBHOOK_SIGNATURE_H

#include <stdbool.h>

#include "http/request.h"

enum {
    SIGNATURE_SECRETS_MAX = 8,
    SIGNATURE_WINDOW_S = 300, /* a signed timestamp may be this far off */
};

/* Several secrets so that they can be rotated. */
struct signature_keys {
    char *secrets[SIGNATURE_SECRETS_MAX]; /* owned */
    size_t count;
};

/* From "secret[,secret…]"; NULL gives none. false: too many. */
bool signature_keys_init(struct signature_keys *keys, const char *text);
void signature_keys_done(struct signature_keys *keys);

enum signature_verdict {
    SIGNATURE_VALID,
    SIGNATURE_MISSING, /* no header of any scheme */
    SIGNATURE_WRONG,
    SIGNATURE_STALE, /* right, but its timestamp is outside the window */
};

/* now_s: seconds since 1970. */
enum signature_verdict signature_check(const struct signature_keys *keys,
                                       const struct http_request *request,
                                       int64_t now_s);

#endif /* WEBHOOK_SIGNATURE_H */
