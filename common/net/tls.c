/* SPDX-License-Identifier: MIT */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/xalloc.h"
#include "net/socket.h"

struct tls {
    SSL_CTX *context;
    SSL *ssl;
};

void tls_settings_done(struct tls_settings *settings)
{
    free(settings->ca_file);
    free(settings->cert_file);
    free(settings->key_file);
    *settings = (struct tls_settings){0};
}

void tls_close(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (tls->ssl != NULL) {
        if (SSL_is_init_finished(tls->ssl))
            (void)SSL_shutdown(tls->ssl);
        SSL_free(tls->ssl);
    }
    SSL_CTX_free(tls->context);
    free(tls);
}

static enum celery_status fail_with(enum celery_status st, const char *what,
                                    struct celery_error *err)
{
    char text[128] = "no reason given";
    unsigned long code = ERR_get_error();
    if (code != 0)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return celery_fail(err, st, "TLS: %s: %s", what, text);
}

/* Files are configuration: what is wrong with them is final. */
static enum celery_status load_files(SSL_CTX *context,
                                     const struct tls_settings *s,
                                     struct celery_error *err)
{
    char what[160];
    const char *key = s->key_file != NULL ? s->key_file : s->cert_file;
    if (s->ca_file != NULL
        && SSL_CTX_load_verify_locations(context, s->ca_file, NULL) != 1) {
        (void)snprintf(what, sizeof what, "authorities in '%.100s'",
                       s->ca_file);
        return fail_with(CELERY_INVALID, what, err);
    }
    if (s->ca_file == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
        return fail_with(CELERY_INVALID, "the system's authorities", err);
    if (s->cert_file != NULL
        && (SSL_CTX_use_certificate_chain_file(context, s->cert_file) != 1
            || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM)
                   != 1)) {
        (void)snprintf(what, sizeof what, "certificate '%.100s' and its key",
                       s->cert_file);
        return fail_with(CELERY_INVALID, what, err);
    }
    return CELERY_OK;
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1
        || inet_pton(AF_INET6, host, bytes) == 1;
}

/* OpenSSL's macro takes a name that may change, and copies it. */
static bool send_name(SSL *ssl, const char *host)
{
    char *name = xstrdup(host);
    bool good = SSL_set_tlsext_host_name(ssl, name) == 1;
    free(name);
    return good;
}

static bool expect_host(SSL *ssl, const char *host, bool any_host)
{
    bool address = is_address(host);
    if (!address && !send_name(ssl, host))
        return false;
    if (any_host)
        return true;
    return address
             ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
             : SSL_set1_host(ssl, host) == 1;
}

static enum celery_status start(struct tls *tls, int fd,
                                const struct tls_settings *s, const char *host,
                                struct celery_error *err)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->context == NULL)
        return fail_with(CELERY_NOMEM, "starting", err);
    (void)SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(tls->context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE
                               | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->context,
                       s->no_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    enum celery_status st = load_files(tls->context, s, err);
    if (st != CELERY_OK)
        return st;
    tls->ssl = SSL_new(tls->context);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1
        || !expect_host(tls->ssl, host, s->any_host || s->no_verify))
        return fail_with(CELERY_NOMEM, "starting", err);
    return CELERY_OK;
}

static enum celery_status refused(struct tls *tls, const char *host,
                                  struct celery_error *err)
{
    long verified = SSL_get_verify_result(tls->ssl);
    if (verified != X509_V_OK) {
        ERR_clear_error();
        return celery_fail(err, CELERY_IO,
                           "TLS: the certificate of %.80s is refused: %s", host,
                           X509_verify_cert_error_string(verified));
    }
    return fail_with(CELERY_IO, "no connection", err);
}

static enum celery_status shake_hands(struct tls *tls, int fd, const char *host,
                                      int64_t deadline_us,
                                      struct celery_error *err)
{
    for (;;) {
        ERR_clear_error();
        int rc = SSL_connect(tls->ssl);
        if (rc == 1)
            return CELERY_OK;
        int error = SSL_get_error(tls->ssl, rc);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return refused(tls, host, err);
        if (!net_wait(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
                      deadline_us, NULL))
            return celery_fail(err, CELERY_TIMEOUT,
                               "TLS: %.80s does not answer in time", host);
    }
}

enum celery_status tls_open(int fd, const struct tls_settings *settings,
                            const char *host, int64_t deadline_us,
                            struct tls **ret, struct celery_error *err)
{
    struct tls *tls = xcalloc(1, sizeof *tls);
    enum celery_status st = start(tls, fd, settings, host, err);
    if (st == CELERY_OK)
        st = shake_hands(tls, fd, host, deadline_us, err);
    if (st != CELERY_OK) {
        tls_close(tls);
        return st;
    }
    *ret = tls;
    return CELERY_OK;
}

/* The end of a read or write that moved nothing. */
static enum celery_status ended(struct tls *tls, int rc, const char *what,
                                struct celery_error *err)
{
    int system = errno;
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CELERY_OK;
    case SSL_ERROR_ZERO_RETURN:
        return celery_fail(err, CELERY_CLOSED,
                           "the server closed the TLS connection");
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return celery_fail(err, system == 0 ? CELERY_CLOSED : CELERY_IO,
                           "TLS: %s: %s", what,
                           system == 0 ? "the connection was cut"
                                       : strerrordesc_np(system));
    default:
        return fail_with(CELERY_IO, what, err);
    }
}

enum celery_status tls_read(struct tls *tls, void *buf, size_t size,
                            size_t *ret_n, struct celery_error *err)
{
    *ret_n = 0;
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(tls->ssl, buf, size < INT_MAX ? (int)size : INT_MAX);
    if (n <= 0)
        return ended(tls, n, "reading", err);
    *ret_n = (size_t)n;
    return CELERY_OK;
}

enum celery_status tls_write(struct tls *tls, const void *data, size_t size,
                             size_t *ret_n, struct celery_error *err)
{
    *ret_n = 0;
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(tls->ssl, data, size < INT_MAX ? (int)size : INT_MAX);
    if (n <= 0)
        return ended(tls, n, "writing", err);
    *ret_n = (size_t)n;
    return CELERY_OK;
}
