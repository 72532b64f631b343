/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"
#include "redis/redis_conn.h"

enum {
    DEFAULT_PORT = 6379,
    SENTINEL_PORT = 26379,
    MAX_DB = 1 << 20,
    SENTINELS_MAX = 32,
};

static void free_secret(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void redis_endpoint_done(struct redis_endpoint *endpoint)
{
    free(endpoint->host);
    free(endpoint->unix_path);
    free(endpoint->user);
    free_secret(endpoint->password);
    tls_settings_done(&endpoint->tls);
    for (size_t i = 0; i < endpoint->sentinel_count; i++)
        free(endpoint->sentinels[i].host);
    free(endpoint->sentinels);
    free(endpoint->master_name);
    free(endpoint->sentinel_user);
    free_secret(endpoint->sentinel_password);
    *endpoint = (struct redis_endpoint){0};
}

static bool parse_db(const char *text, int *ret_db)
{
    *ret_db = 0;
    if (text == NULL || *text == '\0')
        return true;
    if (strspn(text, "0123456789") != strlen(text))
        return false;
    long db = strtol(text, NULL, 10);
    if (db > MAX_DB)
        return false;
    *ret_db = (int)db;
    return true;
}

static bool is_one_of(const char *text, const char *a, const char *b)
{
    return strcasecmp(text, a) == 0 || strcasecmp(text, b) == 0;
}

/* The names and values are redis-py's; kombu takes both spellings. */
static enum celery_status read_tls(const struct url *url,
                                   struct redis_endpoint *ep,
                                   struct celery_error *err)
{
    CLEANUP(url_freep) char *reqs = url_query(url, "ssl_cert_reqs");
    CLEANUP(url_freep) char *host = url_query(url, "ssl_check_hostname");
    ep->use_tls = true;
    ep->tls.ca_file = url_query(url, "ssl_ca_certs");
    ep->tls.cert_file = url_query(url, "ssl_certfile");
    ep->tls.key_file = url_query(url, "ssl_keyfile");
    if (reqs != NULL && is_one_of(reqs, "none", "CERT_NONE"))
        ep->tls.no_verify = true;
    else if (reqs != NULL && !is_one_of(reqs, "required", "CERT_REQUIRED")
             && !is_one_of(reqs, "optional", "CERT_OPTIONAL"))
        return celery_fail(err, CELERY_INVALID,
                           "ssl_cert_reqs='%.40s' is not accepted; accepted: "
                           "required, optional, none",
                           reqs);
    if (host != NULL && is_one_of(host, "false", "0"))
        ep->tls.any_host = true;
    else if (host != NULL && !is_one_of(host, "true", "1"))
        return celery_fail(err, CELERY_INVALID,
                           "ssl_check_hostname='%.40s' is not accepted; "
                           "accepted: true, false",
                           host);
    return CELERY_OK;
}

static void read_user(const struct url *url, struct redis_endpoint *ep)
{
    if (ep->user == NULL && url->user != NULL)
        ep->user = xstrdup(url->user);
    if (ep->password == NULL && url->password != NULL)
        ep->password = xstrdup(url->password);
}

static enum celery_status read_db(const char *text, const char *masked,
                                  struct redis_endpoint *ep,
                                  struct celery_error *err)
{
    return parse_db(text, &ep->db)
             ? CELERY_OK
             : celery_fail(err, CELERY_INVALID,
                           "'%.80s': the database is a number from 0", masked);
}

static enum celery_status fill(const struct url *url, const char *masked,
                               struct redis_endpoint *ep,
                               struct celery_error *err)
{
    CLEANUP(url_freep) char *vhost = url_query(url, "virtual_host");
    bool tls = strcmp(url->scheme, "rediss") == 0;
    bool local = strcmp(url->scheme, "redis+socket") == 0
              || strcmp(url->scheme, "socket") == 0;
    read_user(url, ep);
    if (local && (url->path[0] != '/' || url->path[1] == '\0'))
        return celery_fail(err, CELERY_INVALID,
                           "'%.80s': which socket? accepted is "
                           "redis+socket:///path",
                           masked);
    if (local) {
        ep->unix_path = xstrdup(url->path);
        return read_db(vhost, masked, ep, err);
    }
    if (!tls && strcmp(url->scheme, "redis") != 0)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "'%.80s': accepted schemes are redis, rediss, "
                           "redis+socket, sentinel",
                           masked);
    ep->host = xstrdup(url->host != NULL ? url->host : "127.0.0.1");
    ep->port = url->port != 0 ? url->port : DEFAULT_PORT;
    enum celery_status st =
        read_db(url->path + (url->path[0] == '/'), masked, ep, err);
    return st == CELERY_OK && tls ? read_tls(url, ep, err) : st;
}

/* --- sentinels --------------------------------------------------------------- */

static enum celery_status add_sentinel(const struct url *url,
                                       const char *masked,
                                       struct redis_endpoint *ep,
                                       struct celery_error *err)
{
    const char *db = url->path + (url->path[0] == '/');
    if (strcmp(url->scheme, "sentinel") != 0
        || ep->sentinel_count == SENTINELS_MAX)
        return celery_fail(err, CELERY_INVALID,
                           "'%.80s': accepted are up to %d sentinel:// URLs "
                           "with ; between them",
                           masked, SENTINELS_MAX);
    read_user(url, ep);
    ep->sentinels = xrealloc(ep->sentinels, (ep->sentinel_count + 1)
                                                * sizeof ep->sentinels[0]);
    ep->sentinels[ep->sentinel_count++] = (struct redis_address){
        xstrdup(url->host != NULL ? url->host : "127.0.0.1"),
        url->port != 0 ? url->port : SENTINEL_PORT};
    return *db != '\0' ? read_db(db, masked, ep, err) : CELERY_OK;
}

static char *option_text(struct celery_json object, const char *name)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str text = {NULL, 0};
    char *copy = NULL;
    if (celery_json_string(celery_json_get(object, name), &arena, &text)
            == CELERY_OK
        && text.len > 0)
        copy = xstrndup(text.data, text.len);
    celery_arena_done(&arena);
    return copy;
}

static enum celery_status read_sentinel_options(const char *text,
                                                struct redis_endpoint *ep,
                                                struct celery_error *err)
{
    struct celery_json root = {.type = CELERY_JSON_NONE};
    if (text != NULL
        && celery_json_parse((struct celery_str){text, strlen(text)}, NULL,
                             &root, NULL)
               != CELERY_OK)
        root.type = CELERY_JSON_NONE;
    struct celery_json kwargs = celery_json_get(root, "sentinel_kwargs");
    ep->master_name = option_text(root, "master_name");
    ep->sentinel_user = option_text(kwargs, "username");
    ep->sentinel_password = option_text(kwargs, "password");
    if (ep->master_name == NULL)
        return celery_fail(err, CELERY_INVALID,
                           "sentinel:// needs master_name in the transport "
                           "options, a text");
    return CELERY_OK;
}

static enum celery_status fill_sentinels(const char *text, const char *masked,
                                         const char *transport_options,
                                         struct redis_endpoint *ep,
                                         struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    while (*text != '\0' && st == CELERY_OK) {
        size_t len = strcspn(text, ";");
        char *part = xstrndup(text, len);
        struct url url = {0};
        st = url_parse(part, &url, err);
        if (st == CELERY_OK)
            st = add_sentinel(&url, masked, ep, err);
        url_done(&url);
        free_secret(part);
        text += len + (text[len] == ';');
    }
    return st == CELERY_OK ? read_sentinel_options(transport_options, ep, err)
                           : st;
}

enum celery_status redis_endpoint_parse(const char *text,
                                        const char *transport_options,
                                        struct redis_endpoint *ret,
                                        struct celery_error *err)
{
    static const char *const sentinel[] = {"sentinel", NULL};
    CLEANUP(url_freep) char *masked = url_masked(text);
    struct redis_endpoint ep = {0};
    struct url url = {0};
    enum celery_status st = CELERY_OK;
    if (url_has_scheme(text, sentinel)) {
        st = fill_sentinels(text, masked, transport_options, &ep, err);
    } else {
        st = url_parse(text, &url, err);
        if (st == CELERY_OK)
            st = fill(&url, masked, &ep, err);
        url_done(&url);
    }
    if (st == CELERY_OK)
        *ret = ep;
    else
        redis_endpoint_done(&ep);
    return st;
}
