/* SPDX-License-Identifier: MIT */
#include "http/peers.h"

#include <string.h>

#include "http/peer_count.h"
#include "http/request.h"
#include "support/unit.h"

static struct peer_address address(const char *text)
{
    struct peer_address found;
    ck_assert_msg(peer_address_parse(text, strlen(text), &found), "%s", text);
    return found;
}

START_TEST(networks_hold_their_addresses)
{
    static const struct {
        const char *set;
        const char *address;
        bool has;
    } cases[] = {
        {NULL, "10.1.2.3", false},
        {"", "10.1.2.3", false},
        {"10.0.0.0/8", "10.1.2.3", true},
        {"10.0.0.0/8", "11.1.2.3", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.0/30, 10.0.0.0/8", "192.0.2.3", true},
        {"192.0.2.0/30,10.0.0.0/8", "192.0.2.4", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "203.0.113.9", true},
        {"fd00::/8", "fd12::1", true},
        {"fd00::/8", "fe80::1", false},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer_set set;
        struct celery_error err = {0};
        struct peer_address peer = address(cases[i].address);
        ck_assert_int_eq(peer_set_init(&set, "T", cases[i].set, &err),
                         CELERY_OK);
        ck_assert_msg(peer_set_has(&set, &peer) == cases[i].has, "case %zu", i);
        peer_set_done(&set);
    }
}
END_TEST

START_TEST(wrong_networks_are_named)
{
    static const char *const wrong[] = {
        "10.0.0.0/33", "10.0.0.0/",   "10.0.0/8",       "fd00::/129",
        "localhost",   "10.0.0.0/8x", "10.0.0.0/-1",    "[::1]",
        "1.2.3.4:80",  "10.0.0.0//8", "10.0.0.0/08000", "*",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct peer_set set;
        struct celery_error err = {0};
        ck_assert_msg(peer_set_init(&set, "TRUSTED_PROXIES", wrong[i], &err)
                          == CELERY_INVALID,
                      "%s", wrong[i]);
        ck_assert_ptr_nonnull(strstr(err.msg, "TRUSTED_PROXIES"));
        ck_assert_ptr_nonnull(strstr(err.msg, wrong[i]));
        ck_assert_ptr_nonnull(strstr(err.msg, "10.0.0.0/8"));
        ck_assert_ptr_null(set.networks);
    }
}
END_TEST

START_TEST(the_client_is_the_last_that_is_not_ours)
{
    static const struct {
        const char *peer;
        const char *first; /* X-Forwarded-For fields, NULL: none */
        const char *second;
        const char *client;
    } cases[] = {
        {"203.0.113.9", NULL, NULL, "203.0.113.9"},
        {"203.0.113.9", "1.2.3.4", NULL, "203.0.113.9"},
        {"10.0.0.1", NULL, NULL, "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4", NULL, "1.2.3.4"},
        {"10.0.0.1", "6.6.6.6, 1.2.3.4", NULL, "1.2.3.4"},
        {"10.0.0.1", "6.6.6.6,1.2.3.4 ,\t10.0.0.2", NULL, "1.2.3.4"},
        {"10.0.0.1", "6.6.6.6", "1.2.3.4, 10.0.0.2", "1.2.3.4"},
        {"10.0.0.1", "1.2.3.4", "10.0.0.2", "1.2.3.4"},
        {"10.0.0.1", "10.0.0.3, 10.0.0.2", NULL, "10.0.0.3"},
        {"10.0.0.1", "1.2.3.4, unknown", NULL, "10.0.0.1"},
        {"10.0.0.1", "1.2.3.4, unknown, 10.0.0.2", NULL, "10.0.0.2"},
        {"10.0.0.1", "1.2.3.4:567", NULL, "1.2.3.4"},
        {"10.0.0.1", "[2001:db8::1]:567", NULL, "2001:db8::1"},
        {"10.0.0.1", "2001:DB8::1", NULL, "2001:db8::1"},
        {"10.0.0.1", ", 1.2.3.4, ,", NULL, "1.2.3.4"},
        {"10.0.0.1", "", NULL, "10.0.0.1"},
        {"fd00::1", "1.2.3.4", NULL, "1.2.3.4"},
    };
    struct peer_set set;
    struct celery_error err = {0};
    ck_assert_int_eq(peer_set_init(&set, "T", "10.0.0.0/8,fd00::/8", &err),
                     CELERY_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request request = {0};
        struct peer_address peer = address(cases[i].peer);
        struct peer_address client;
        char text[INET6_ADDRSTRLEN];
        const char *values[] = {cases[i].first, cases[i].second};
        for (size_t k = 0; k < 2 && values[k] != NULL; k++)
            request.headers[request.header_count++] =
                (struct http_header){"x-forwarded-FOR", values[k]};
        peer_client(&set, &peer, &request, &client);
        peer_address_text(&client, text);
        ck_assert_msg(strcmp(text, cases[i].client) == 0, "case %zu: %s", i,
                      text);
    }
    peer_set_done(&set);
}
END_TEST

START_TEST(connections_are_counted_by_peer)
{
    struct peer_count *peers = peer_count_new();
    struct peer_address a = address("192.0.2.1");
    struct peer_address b = address("192.0.2.2");
    struct peer_address c = address("2001:db8::1");
    struct peer_address same_net = address("2001:db8::2");
    struct peer_address other_net = address("2001:db8:0:1::1");
    ck_assert(peer_count_add(peers, &a, 2));
    ck_assert(peer_count_add(peers, &a, 2));
    ck_assert(!peer_count_add(peers, &a, 2));
    ck_assert(peer_count_add(peers, &b, 2));
    peer_count_remove(peers, &a);
    ck_assert(peer_count_add(peers, &a, 2));
    ck_assert(!peer_count_add(peers, &a, 2));
    ck_assert(peer_count_add(peers, &a, 0));
    ck_assert(peer_count_add(peers, &c, 1));
    ck_assert(!peer_count_add(peers, &same_net, 1));
    ck_assert(peer_count_add(peers, &other_net, 1));
    peer_count_free(peers);
}
END_TEST

UNIT_MAIN("http_peers", networks_hold_their_addresses, wrong_networks_are_named,
          the_client_is_the_last_that_is_not_ours,
          connections_are_counted_by_peer)
