/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_endpoint.h"

#include <string.h>

#include "support/unit.h"

static struct amqp_endpoints parsed(const char *text, const char *options)
{
    struct amqp_endpoints eps = {0};
    struct celery_error err = {0};
    ck_assert_msg(amqp_endpoints_parse(text, options, &eps, &err) == CELERY_OK,
                  "%s: %s", text, err.msg);
    return eps;
}

/* kombu's forms: kombu/utils/url.py url_to_parts, transport/pyamqp.py. */
START_TEST(forms)
{
    static const struct {
        const char *text;
        const char *host;
        int port;
        const char *user, *password, *vhost;
    } cases[] = {
        {"amqp://", "127.0.0.1", 5672, "guest", "guest", "/"},
        {"AMQP://h", "h", 5672, "guest", "guest", "/"},
        {"pyamqp://localhost", "127.0.0.1", 5672, "guest", "guest", "/"},
        {"amqp://h:7/", "h", 7, "guest", "guest", "/"},
        {"amqp://h//", "h", 5672, "guest", "guest", "/"},
        {"amqp://h//foo", "h", 5672, "guest", "guest", "/foo"},
        {"amqp://h/%2F", "h", 5672, "guest", "guest", "/"},
        {"amqp://h/foo", "h", 5672, "guest", "guest", "foo"},
        {"amqp://h/a%2Fb%20c", "h", 5672, "guest", "guest", "a/b c"},
        {"amqp://u:p@h/v", "h", 5672, "u", "p", "v"},
        {"amqp://u%40x:p%3A%2F@h/v", "h", 5672, "u@x", "p:/", "v"},
        {"amqp://u:p@[::1]:1/v", "::1", 1, "u", "p", "v"},
        {"amqps://h/v", "h", 5671, "guest", "guest", "v"},
        {"amqps://localhost/v", "localhost", 5671, "guest", "guest", "v"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct amqp_endpoints eps = parsed(cases[i].text, NULL);
        const struct amqp_endpoint *ep = &eps.list[0];
        ck_assert_uint_eq(eps.count, 1);
        ck_assert_str_eq(ep->host, cases[i].host);
        ck_assert_int_eq(ep->port, cases[i].port);
        ck_assert_str_eq(ep->user, cases[i].user);
        ck_assert_str_eq(ep->password, cases[i].password);
        ck_assert_str_eq(ep->vhost, cases[i].vhost);
        ck_assert_int_eq(ep->heartbeat_s, -1);
        ck_assert_int_eq(ep->tls, ep->port == 5671);
        ck_assert(ep->verify);
        amqp_endpoints_done(&eps);
    }
}
END_TEST

START_TEST(failover_list)
{
    struct amqp_endpoints eps =
        parsed("amqp://a:p1@h1/v;amqps://b:p2@h2;;amqp://h3", NULL);
    ck_assert_uint_eq(eps.count, 3);
    ck_assert_str_eq(eps.list[0].host, "h1");
    ck_assert_str_eq(eps.list[1].password, "p2");
    ck_assert_int_eq(eps.list[1].port, 5671);
    ck_assert_str_eq(eps.list[2].host, "h3");
    amqp_endpoints_done(&eps);
}
END_TEST

START_TEST(options)
{
    struct amqp_endpoints eps = parsed(
        "amqps://h/v?heartbeat=7&connection_timeout=2.5&ssl_ca_certs=%2Fca&"
        "ssl_certfile=c&ssl_keyfile=k&ssl_cert_reqs=CERT_NONE",
        NULL);
    const struct amqp_endpoint *ep = &eps.list[0];
    ck_assert_int_eq(ep->heartbeat_s, 7);
    ck_assert_double_eq_tol(ep->connect_timeout_s, 2.5, 1e-9);
    ck_assert_str_eq(ep->ca_certs, "/ca");
    ck_assert_str_eq(ep->certfile, "c");
    ck_assert_str_eq(ep->keyfile, "k");
    ck_assert(!ep->verify);
    amqp_endpoints_done(&eps);

    eps = parsed("amqp://h", "{\"ssl\": {\"ca_certs\": \"/x\", \"cert_reqs\": "
                             "2}, \"heartbeat\": 3}");
    ck_assert(eps.list[0].tls && eps.list[0].verify);
    ck_assert_int_eq(eps.list[0].port, 5671);
    ck_assert_int_eq(eps.list[0].heartbeat_s, 3);
    ck_assert_str_eq(eps.list[0].ca_certs, "/x");
    amqp_endpoints_done(&eps);

    eps = parsed("amqps://h", "{\"ssl\": {\"cert_reqs\": 0}}");
    ck_assert(!eps.list[0].verify);
    amqp_endpoints_done(&eps);
    eps = parsed("amqps://h?login_method=EXTERNAL", NULL);
    ck_assert(eps.list[0].external);
    amqp_endpoints_done(&eps);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "amqp"},
        {"redis://h", "amqp"},
        {"amqp://h:99999", "URL"},
        {"amqp://u:secret@h;http://x", "amqp"},
        {"amqp://u:secret@h?heartbeat=-1", "heartbeat"},
        {"amqp://u:secret@h?heartbeat=1x", "heartbeat"},
        {"amqp://u:secret@h?connect_timeout=nan", "connect_timeout"},
        {"amqp://u:secret@h?login_method=AMQPLAIN", "login_method"},
        {"amqp://u:secret%00@h", "URL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct amqp_endpoints eps = {0};
        struct celery_error err = {0};
        ck_assert(amqp_endpoints_parse(cases[i].text, NULL, &eps, &err)
                  != CELERY_OK);
        ck_assert_msg(strstr(err.msg, cases[i].word) != NULL, "%s: %s",
                      cases[i].text, err.msg);
        ck_assert_msg(strstr(err.msg, "secret") == NULL, "%s", err.msg);
        ck_assert_ptr_null(eps.list);
    }
}
END_TEST

UNIT_MAIN("amqp_endpoint", forms, failover_list, options, refused)
