/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"

enum {
    PORT = 5672,
    TLS_PORT = 5671,
    HEARTBEAT_MAX_S = 65535,
    TIMEOUT_MAX_S = 3600,
};

const char *const amqp_schemes[] = {"amqp", "pyamqp", "amqps", NULL};

static void endpoint_done(struct amqp_endpoint *ep)
{
    free(ep->host);
    free(ep->user);
    if (ep->password != NULL)
        explicit_bzero(ep->password, strlen(ep->password));
    free(ep->password);
    free(ep->vhost);
    free(ep->ca_certs);
    free(ep->certfile);
    free(ep->keyfile);
    *ep = (struct amqp_endpoint){0};
}

void amqp_endpoints_done(struct amqp_endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++)
        endpoint_done(&endpoints->list[i]);
    free(endpoints->list);
    *endpoints = (struct amqp_endpoints){0};
}

static enum celery_status read_number(const struct url *url, const char *name,
                                      double max, double *ret,
                                      struct celery_error *err)
{
    CLEANUP(url_freep) char *text = url_query(url, name);
    char *end = NULL;
    if (text == NULL)
        return CELERY_OK;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= max))
        return celery_fail(err, CELERY_INVALID,
                           "%s=%.40s in the broker's URL is not accepted; "
                           "accepted: 0 to %.0f",
                           name, text, max);
    *ret = value;
    return CELERY_OK;
}

/* "none" and "CERT_NONE" as kombu writes them; 0 is Python's ssl.CERT_NONE. */
static bool is_no_check(const char *text)
{
    return strcasecmp(text, "none") == 0 || strcmp(text, "CERT_NONE") == 0
        || strcmp(text, "0") == 0;
}

static void set(char **slot, char *value)
{
    if (value == NULL)
        return;
    free(*slot);
    *slot = value;
}

static enum celery_status read_query(const struct url *url,
                                     struct amqp_endpoint *ep,
                                     struct celery_error *err)
{
    double heartbeat = -1;
    enum celery_status st =
        read_number(url, "heartbeat", HEARTBEAT_MAX_S, &heartbeat, err);
    if (st == CELERY_OK)
        st = read_number(url, "connect_timeout", TIMEOUT_MAX_S,
                         &ep->connect_timeout_s, err);
    if (st == CELERY_OK)
        st = read_number(url, "connection_timeout", TIMEOUT_MAX_S,
                         &ep->connect_timeout_s, err);
    if (st != CELERY_OK)
        return st;
    ep->heartbeat_s = (int)heartbeat;
    set(&ep->ca_certs, url_query(url, "ssl_ca_certs"));
    set(&ep->certfile, url_query(url, "ssl_certfile"));
    set(&ep->keyfile, url_query(url, "ssl_keyfile"));
    CLEANUP(url_freep) char *reqs = url_query(url, "ssl_cert_reqs");
    if (reqs != NULL)
        ep->verify = !is_no_check(reqs);
    CLEANUP(url_freep) char *login = url_query(url, "login_method");
    if (login == NULL || strcmp(login, "PLAIN") == 0)
        return CELERY_OK;
    ep->external = strcmp(login, "EXTERNAL") == 0;
    return ep->external
             ? CELERY_OK
             : celery_fail(err, CELERY_UNSUPPORTED,
                           "login_method=%.40s is not accepted; accepted: "
                           "PLAIN, EXTERNAL",
                           login);
}

/* The path without its first slash; nothing, as in amqp://host/, is "/".
 * amqp://host// is "/" as well, and so is %2F. */
static char *vhost_of(const struct url *url)
{
    const char *path = url->path + (url->path[0] == '/');
    return xstrdup(*path != '\0' ? path : "/");
}

static enum celery_status parse_one(const char *text, struct amqp_endpoint *ret,
                                    struct celery_error *err)
{
    struct url url = {0};
    if (!url_has_scheme(text, amqp_schemes)) {
        CLEANUP(url_freep) char *masked = url_masked(text);
        return celery_fail(err, CELERY_INVALID,
                           "'%.80s': accepted schemes are amqp, amqps, pyamqp",
                           masked);
    }
    enum celery_status st = url_parse(text, &url, err);
    if (st != CELERY_OK)
        return st;
    struct amqp_endpoint ep = {
        .tls = strcmp(url.scheme, "amqps") == 0,
        .verify = true,
        .heartbeat_s = -1,
    };
    ep.host = xstrdup(url.host != NULL ? url.host : "localhost");
    ep.port = url.port;
    ep.user = xstrdup(url.user != NULL ? url.user : "guest");
    ep.password = xstrdup(url.password != NULL ? url.password : "guest");
    ep.vhost = vhost_of(&url);
    st = read_query(&url, &ep, err);
    url_done(&url);
    if (st != CELERY_OK)
        endpoint_done(&ep);
    else
        *ret = ep;
    return st;
}

static void option_text(struct celery_json object, const char *key, char **slot)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str text = {"", 0};
    if (celery_json_string(celery_json_get(object, key), &arena, &text)
        == CELERY_OK)
        set(slot, xstrndup(text.data, text.len));
    celery_arena_done(&arena);
}

static void apply_options(struct celery_json root, struct amqp_endpoint *ep)
{
    struct celery_json ssl = celery_json_get(root, "ssl");
    double number = 0;
    if (celery_json_truthy(ssl))
        ep->tls = true;
    option_text(ssl, "ca_certs", &ep->ca_certs);
    option_text(ssl, "certfile", &ep->certfile);
    option_text(ssl, "keyfile", &ep->keyfile);
    char *reqs = NULL;
    option_text(ssl, "cert_reqs", &reqs);
    if (reqs != NULL)
        ep->verify = !is_no_check(reqs);
    free(reqs);
    if (celery_json_double(celery_json_get(ssl, "cert_reqs"), &number))
        ep->verify = number > 0;
    if (ep->heartbeat_s < 0
        && celery_json_double(celery_json_get(root, "heartbeat"), &number)
        && number >= 0 && number <= HEARTBEAT_MAX_S)
        ep->heartbeat_s = (int)number;
}

static enum celery_status add(struct amqp_endpoints *eps, const char *text,
                              struct celery_json options,
                              struct celery_error *err)
{
    struct amqp_endpoint ep = {0};
    enum celery_status st = parse_one(text, &ep, err);
    if (st != CELERY_OK)
        return st;
    apply_options(options, &ep);
    /* kombu: localhost is 127.0.0.1, never ::1. A certificate has the name. */
    if (!ep.tls && ep.host != NULL && strcmp(ep.host, "localhost") == 0)
        set(&ep.host, xstrdup("127.0.0.1"));
    if (ep.port == 0)
        ep.port = ep.tls ? TLS_PORT : PORT;
    eps->list = xrealloc(eps->list, (eps->count + 1) * sizeof eps->list[0]);
    eps->list[eps->count++] = ep;
    return CELERY_OK;
}

enum celery_status amqp_endpoints_parse(const char *text, const char *options,
                                        struct amqp_endpoints *ret,
                                        struct celery_error *err)
{
    struct amqp_endpoints eps = {0};
    struct celery_json root = {.type = CELERY_JSON_NONE};
    enum celery_status st = CELERY_OK;
    if (options != NULL)
        st = celery_json_parse((struct celery_str){options, strlen(options)},
                               NULL, &root, err);
    for (const char *p = text; st == CELERY_OK && p != NULL;) {
        const char *end = strchr(p, ';');
        char *one = end != NULL ? xstrndup(p, (size_t)(end - p)) : xstrdup(p);
        if (*one != '\0' || eps.count == 0)
            st = add(&eps, one, root, err);
        explicit_bzero(one, strlen(one));
        free(one);
        p = end != NULL ? end + 1 : NULL;
    }
    if (st != CELERY_OK)
        amqp_endpoints_done(&eps);
    else
        *ret = eps;
    return st;
}
