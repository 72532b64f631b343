/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "redis/redis_conn.h"

enum { DEFAULT_PORT = 6379, MAX_DB = 1 << 20 };

void redis_endpoint_done(struct redis_endpoint *endpoint)
{
    free(endpoint->host);
    free(endpoint->unix_path);
    free(endpoint->user);
    if (endpoint->password != NULL)
        explicit_bzero(endpoint->password, strlen(endpoint->password));
    free(endpoint->password);
    *endpoint = (struct redis_endpoint){0};
}

static bool parse_db(const char *text, int *ret_db)
{
    if (text == NULL || *text == '\0') {
        *ret_db = 0;
        return true;
    }
    char *end = NULL;
    long db = strtol(text, &end, 10);
    if (*end != '\0' || db < 0 || db > MAX_DB)
        return false;
    *ret_db = (int)db;
    return true;
}

static enum celery_status fill(const struct url *url, const char *text,
                               struct redis_endpoint *ep,
                               struct celery_error *err)
{
    CLEANUP(url_freep) char *masked = url_masked(text);
    CLEANUP(url_freep) char *vhost = url_query(url, "virtual_host");
    bool tcp = strcmp(url->scheme, "redis") == 0;
    bool local = strcmp(url->scheme, "redis+socket") == 0
              || strcmp(url->scheme, "socket") == 0;
    if (!tcp && !local)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "'%.80s': accepted schemes are redis, redis+socket",
                           masked);
    const char *db = local ? vhost : url->path + (url->path[0] == '/');
    if (!parse_db(db, &ep->db))
        return celery_fail(err, CELERY_INVALID,
                           "'%.80s': the database is a number from 0", masked);
    if (local) {
        ep->unix_path = xstrdup(url->path);
    } else {
        ep->host = xstrdup(url->host != NULL ? url->host : "127.0.0.1");
        ep->port = url->port != 0 ? url->port : DEFAULT_PORT;
    }
    ep->user = url->user != NULL ? xstrdup(url->user) : NULL;
    ep->password = url->password != NULL ? xstrdup(url->password) : NULL;
    return CELERY_OK;
}

enum celery_status redis_endpoint_parse(const char *text,
                                        struct redis_endpoint *ret,
                                        struct celery_error *err)
{
    struct url url = {0};
    enum celery_status st = url_parse(text, &url, err);
    if (st != CELERY_OK)
        return st;
    struct redis_endpoint ep = {0};
    st = fill(&url, text, &ep, err);
    url_done(&url);
    if (st == CELERY_OK)
        *ret = ep;
    else
        redis_endpoint_done(&ep);
    return st;
}
