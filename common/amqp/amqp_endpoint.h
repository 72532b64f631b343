/* SPDX-License-Identifier: MIT */
/*
 * Where a RabbitMQ is: kombu's URL forms (amqp://, pyamqp://, amqps://), several
 * of them in one text separated by ';' (the next one is tried when one fails).
 * Source: kombu/utils/url.py, kombu/transport/pyamqp.py, kombu/connection.py.
 */
#ifndef AMQP_AMQP_ENDPOINT_H
#define AMQP_AMQP_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/error.h"

struct amqp_endpoint {
    char *host;
    int port;
    char *user;
    char *password;
    char *vhost;
    bool tls;
    bool verify;              /* the server's certificate and its host name */
    bool external;            /* login by the client's certificate */
    char *ca_certs;           /* NULL: the system's */
    char *certfile;           /* NULL: none */
    char *keyfile;            /* NULL: in certfile */
    int heartbeat_s;          /* -1: not given */
    double connect_timeout_s; /* 0: not given */
};

struct amqp_endpoints {
    struct amqp_endpoint *list;
    size_t count; /* ≥ 1 */
};

/* The schemes, ending with NULL. */
extern const char *const amqp_schemes[];

/* options: broker_transport_options, JSON object text or NULL; its "ssl" holds
 * broker_use_ssl's keys ca_certs, certfile, keyfile, cert_reqs. The error never
 * shows a password. */
enum celery_status amqp_endpoints_parse(const char *text, const char *options,
                                        struct amqp_endpoints *ret,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;
void amqp_endpoints_done(struct amqp_endpoints *endpoints);

#endif /* AMQP_AMQP_ENDPOINT_H */
