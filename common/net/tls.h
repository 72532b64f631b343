/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.2 or newer over a connected, non-blocking socket, as a client. Unless told
 * otherwise the server's certificate must be signed by a known authority and be
 * made out for the host's name.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/error.h"

struct tls_settings {
    char *ca_file;   /* PEM; NULL: the system's authorities */
    char *cert_file; /* PEM, for servers that want to know us; NULL: none */
    char *key_file;  /* PEM; NULL: in cert_file */
    bool no_verify;  /* any certificate will do */
    bool any_host;   /* made out for any name */
};
void tls_settings_done(struct tls_settings *settings);

struct tls;

/* Shakes hands over fd, which stays the caller's. Errors say what is wrong with
 * the server's certificate. */
enum celery_status tls_open(int fd, const struct tls_settings *settings,
                            const char *host, int64_t deadline_us,
                            struct tls **ret, struct celery_error *err)
    CELERY_MUST_CHECK;
/* Says good-bye as far as that is possible without waiting. */
void tls_close(struct tls *tls);

/* Moves what can be moved without waiting; *ret_n may be 0. After a read that did
 * not fill buf everything that has arrived is read. */
enum celery_status tls_read(struct tls *tls, void *buf, size_t size,
                            size_t *ret_n, struct celery_error *err)
    CELERY_MUST_CHECK;
enum celery_status tls_write(struct tls *tls, const void *data, size_t size,
                             size_t *ret_n, struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* NET_TLS_H */
