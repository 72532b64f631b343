/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "redis/redis_conn.h"
#include "support/unit.h"

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static struct redis_endpoint parsed(const char *url, const char *options)
{
    struct redis_endpoint ep = {0};
    struct celery_error err = {0};
    ck_assert_msg(redis_endpoint_parse(url, options, &ep, &err) == CELERY_OK,
                  "%s: %s", url, err.msg);
    return ep;
}

START_TEST(hosts_sockets_and_databases)
{
    static const struct {
        const char *url;
        const char *host;
        int port;
        const char *path;
        int db;
    } good[] = {
        {"redis://", "127.0.0.1", 6379, NULL, 0},
        {"redis://h:7/3", "h", 7, NULL, 3},
        {"redis://h/", "h", 6379, NULL, 0},
        {"redis://h/1048576", "h", 6379, NULL, 1048576},
        {"redis://[::1]:7", "::1", 7, NULL, 0},
        {"redis+socket:///run/r.sock", NULL, 0, "/run/r.sock", 0},
        {"redis+socket:///r.sock?virtual_host=2", NULL, 0, "/r.sock", 2},
        {"socket:///r.sock", NULL, 0, "/r.sock", 0},
    };
    for (size_t i = 0; i < LENGTH(good); i++) {
        struct redis_endpoint ep = parsed(good[i].url, NULL);
        ck_assert_pstr_eq(ep.host, good[i].host);
        ck_assert_pstr_eq(ep.unix_path, good[i].path);
        ck_assert_int_eq(ep.port, good[i].port);
        ck_assert_int_eq(ep.db, good[i].db);
        ck_assert(!ep.use_tls && ep.password == NULL && ep.user == NULL);
        redis_endpoint_done(&ep);
    }
}
END_TEST

START_TEST(tls_by_redis_pys_names)
{
    struct redis_endpoint ep = parsed("rediss://u:p@h/1", NULL);
    ck_assert(ep.use_tls && !ep.tls.no_verify && !ep.tls.any_host);
    ck_assert_ptr_null(ep.tls.ca_file);
    ck_assert_str_eq(ep.user, "u");
    ck_assert_str_eq(ep.password, "p");
    redis_endpoint_done(&ep);

    ep = parsed("rediss://h/?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=%2Fca.pem"
                "&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
                "&ssl_check_hostname=False",
                NULL);
    ck_assert(!ep.tls.no_verify && ep.tls.any_host);
    ck_assert_str_eq(ep.tls.ca_file, "/ca.pem");
    ck_assert_str_eq(ep.tls.cert_file, "/c.pem");
    ck_assert_str_eq(ep.tls.key_file, "/k.pem");
    redis_endpoint_done(&ep);

    ep = parsed("rediss://h/?ssl_cert_reqs=none", NULL);
    ck_assert(ep.tls.no_verify);
    redis_endpoint_done(&ep);
}
END_TEST

START_TEST(sentinels)
{
    struct redis_endpoint ep = parsed(
        "sentinel://:pw@a:1/2;sentinel://b",
        "{\"master_name\": \"m\", \"sentinel_kwargs\": {\"password\": \"s\"}}");
    ck_assert_uint_eq(ep.sentinel_count, 2);
    ck_assert_str_eq(ep.sentinels[0].host, "a");
    ck_assert_int_eq(ep.sentinels[0].port, 1);
    ck_assert_str_eq(ep.sentinels[1].host, "b");
    ck_assert_int_eq(ep.sentinels[1].port, 26379);
    ck_assert_int_eq(ep.db, 2);
    ck_assert_str_eq(ep.password, "pw");
    ck_assert_str_eq(ep.master_name, "m");
    ck_assert_str_eq(ep.sentinel_password, "s");
    redis_endpoint_done(&ep);
}
END_TEST

START_TEST(errors_say_what_is_accepted_and_never_the_password)
{
    static const struct {
        const char *url;
        const char *options;
        const char *says;
    } bad[] = {
        {"http://u:hidden@h", NULL, "accepted schemes are redis, rediss"},
        {"redis://u:hidden@h/x", NULL, "a number from 0"},
        {"redis://u:hidden@h/-1", NULL, "a number from 0"},
        {"redis://u:hidden@h/+1", NULL, "a number from 0"},
        {"redis://u:hidden@h/1048577", NULL, "a number from 0"},
        {"redis://u:hidden@h/99999999999999999999", NULL, "a number from 0"},
        {"redis+socket://", NULL, "which socket?"},
        {"rediss://u:hidden@h/?ssl_cert_reqs=some", NULL,
         "accepted: required, optional, none"},
        {"rediss://u:hidden@h/?ssl_check_hostname=2", NULL,
         "accepted: true, false"},
        {"sentinel://u:hidden@h", NULL, "needs master_name"},
        {"sentinel://u:hidden@h", "{\"master_name\": 1}", "needs master_name"},
        {"sentinel://u:hidden@h;redis://u:hidden@h", NULL,
         "up to 32 sentinel:// URLs"},
    };
    for (size_t i = 0; i < LENGTH(bad); i++) {
        struct redis_endpoint ep = {0};
        struct celery_error err = {0};
        ck_assert(redis_endpoint_parse(bad[i].url, bad[i].options, &ep, &err)
                  != CELERY_OK);
        ck_assert_msg(strstr(err.msg, bad[i].says) != NULL, "%s: %s",
                      bad[i].url, err.msg);
        ck_assert_msg(strstr(err.msg, "hidden") == NULL, "%s", err.msg);
    }
}
END_TEST

UNIT_MAIN("redis_endpoint", hosts_sockets_and_databases, tls_by_redis_pys_names,
          sentinels, errors_say_what_is_accepted_and_never_the_password)
