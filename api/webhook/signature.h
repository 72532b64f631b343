/* SPDX-License-Identifier: MIT */
/*
 * Is a webhook from who may announce money? A source's schemes say which header
 * holds a signature and over what; any active secret, compared in constant time.
 * Where a time is signed it must be near to now.
 */
#ifndef WEBHOOK_SIGNATURE_H
#define WEBHOOK_SIGNATURE_H

#include <stdbool.h>

#include "http/request.h"
#include "webhook/signing_secrets.h"

enum {
    SIGNATURE_WINDOW_S = 300, /* a signed timestamp may be this far off */
    SIGNATURE_SCHEMES_MAX = 8,
    SIGNATURE_HEADER_MAX = 64,
    SIGNATURE_PREFIX_MAX = 32,
    SIGNATURE_ID_MAX = 256,
};

enum signature_form {
    SIGNATURE_HMAC,     /* of the body, in a header of its own */
    SIGNATURE_STANDARD, /* Standard Webhooks: <header>-id, -timestamp,
                           -signature; v1 and v1a */
    SIGNATURE_STRIPE,   /* "t=…,v1=…": of "t.body", SHA-256, hex */
};

enum signature_digest { SIGNATURE_SHA256, SIGNATURE_SHA512 };
enum signature_encoding { SIGNATURE_HEX, SIGNATURE_BASE64 };

struct signature_scheme {
    enum signature_form form;
    enum signature_digest digest;     /* of SIGNATURE_HMAC */
    enum signature_encoding encoding; /* of SIGNATURE_HMAC */
    /* SIGNATURE_STANDARD: what stands before "-signature" */
    char header[SIGNATURE_HEADER_MAX];
    char
        prefix[SIGNATURE_PREFIX_MAX]; /* may stand before a HMAC; in any case */
};

/* The schemes of a chain's own path: X-Signature, X-Hub-Signature-256,
 * X-Webhook-Signature, and Standard Webhooks under both names. */
const struct signature_scheme *signature_defaults(size_t *ret_count);

enum signature_verdict {
    SIGNATURE_VALID,
    SIGNATURE_MISSING, /* no header of any scheme */
    SIGNATURE_WRONG,
    SIGNATURE_STALE, /* right, but its timestamp is outside the window */
};

/* An event's id: 1 to 256 visible ASCII characters. */
bool signature_id_valid(struct celery_str id);

struct signature_checked {
    enum signature_verdict verdict;
    const char *event_id; /* signed with the body, borrowed; NULL: none */
    int64_t signed_s;     /* since 1970; 0: no time was signed */
};

/* now_s: seconds since 1970. */
struct signature_checked signature_check(const struct signature_scheme *schemes,
                                         size_t count,
                                         const struct signing_secrets *secrets,
                                         const struct http_request *request,
                                         int64_t now_s);

#endif /* WEBHOOK_SIGNATURE_H */
