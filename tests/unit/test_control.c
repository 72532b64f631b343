/* SPDX-License-Identifier: MIT */
#include "celery/control.h"

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

static struct celery_envelope envelope(const char *headers, const char *body)
{
    struct celery_envelope e = {
        .content = {.type = text("application/json"), .body = text(body)},
    };

    if (headers != NULL)
        e.headers = json(headers);
    return e;
}

static const char ping[] =
    "{\"method\": \"ping\", \"arguments\": {\"a\": 1}, \"destination\": "
    "[\"w@h\"], \"pattern\": null, \"matcher\": null, \"ticket\": \"ti\", "
    "\"reply_to\": {\"exchange\": \"reply.celery.pidbox\", \"routing_key\": "
    "\"oid\"}, \"extra\": 1}";

START_TEST(reads_a_request)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_control_request r;
    struct celery_envelope e =
        envelope("{\"clock\": 5, \"expires\": 1795469909.1}", ping);

    ck_assert_int_eq(celery_control_decode(&e, NULL, &arena, &r, NULL),
                     CELERY_OK);
    ASSERT_TEXT(r.method, "ping");
    ASSERT_TEXT(r.arguments.text, "{\"a\": 1}");
    ASSERT_TEXT(r.destination.text, "[\"w@h\"]");
    ASSERT_TEXT(r.ticket, "ti");
    ASSERT_TEXT(r.reply_exchange, "reply.celery.pidbox");
    ASSERT_TEXT(r.reply_routing_key, "oid");
    ck_assert_int_eq(r.clock, 5);
    ck_assert_double_eq_tol(r.expires, 1795469909.1, 1e-6);

    e = envelope(NULL, "{\"method\": \"x\", \"arguments\": null, \"ticket\": "
                       "\"ti\"}");
    ck_assert_int_eq(celery_control_decode(&e, NULL, &arena, &r, NULL),
                     CELERY_OK);
    ck_assert_int_eq(r.arguments.type, CELERY_JSON_NONE);
    ASSERT_TEXT(r.ticket, ""); /* no reply_to: a cast */
    ck_assert_int_eq(r.clock, 0);
}
END_TEST

START_TEST(refuses_broken_requests)
{
    static const struct {
        const char *headers;
        const char *body;
    } broken[] = {
        {"{}", "[]"},
        {"{}", "{}"},
        {"{}", "{\"method\": null}"},
        {"{}", "{\"method\": 5}"},
        {"{}", "{\"method\": \"x\", \"arguments\": []}"},
        {"{}", "{\"method\": \"x\", \"destination\": 5}"},
        {"{}", "{\"method\": \"x\", \"pattern\": 5}"},
        {"{\"clock\": \"5\"}", "{\"method\": \"x\"}"},
        {"{\"clock\": 5.5}", "{\"method\": \"x\"}"},
        {"{}", "nonsense"},
    };

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_control_request r = {.clock = 99};
        struct celery_envelope e = envelope(broken[i].headers, broken[i].body);

        ck_assert_msg(celery_control_decode(&e, NULL, &arena, &r, NULL)
                          == CELERY_MALFORMED,
                      "%s", broken[i].body);
        ck_assert_int_eq(r.clock, 99);
    }
}
END_TEST

START_TEST(json_only)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_control_request r;
    struct celery_envelope e = envelope(NULL, "\x80");

    e.content.type = text("application/x-msgpack");
    ck_assert_int_eq(celery_control_decode(&e, NULL, &arena, &r, NULL),
                     CELERY_UNSUPPORTED);
}
END_TEST

static const struct {
    const char *destination; /* JSON; NULL: none */
    const char *pattern;
    const char *matcher;
    bool for_us; /* celery@web-1.example */
} selections[] = {
    {NULL, "", "", true},
    {"[]", "", "", true},
    {"\"\"", "", "", true},
    {"[\"celery@web-1.example\"]", "", "", true},
    {"[\"a@b\", \"celery@web-\\u0031.example\"]", "", "", true},
    {"[\"celery@web-1\"]", "", "", false},
    {"\"xxcelery@web-1.examplexx\"", "", "", true},
    {"\"celery@web-1\"", "", "", false},
    {"[\"a@b\"]", "*", "glob", false}, /* the destination decides */
    {NULL, "celery@*", "glob", true},
    {NULL, "celery@web-?.example", "glob", true},
    {NULL, "celery@web-[0-9].example", "glob", true},
    {NULL, "celery@web-[!0-9].example", "glob", false},
    {NULL, "celery@web-[!2].example", "glob", true},
    {NULL, "*example", "glob", true},
    {NULL, "*@*-*.*", "glob", true},
    {NULL, "*xample", "glob", true},
    {NULL, "celery", "glob", false},
    {NULL, "CELERY@*", "glob", false},
    {NULL, "celery@web-[1.example", "glob", false},
    {NULL, "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "glob", false},
    {NULL, "celery@web", "pcre", true},
    {NULL, "web", "pcre", false},
    {NULL, "celery@web-\\d\\.", "pcre", true},
    {NULL, "other|celery", "pcre", true},
    {NULL, "(?:celery|worker)@.*example$", "pcre", true},
    {NULL, "celery@web-\\d{1,99}", "pcre", true},
    {NULL, "celery@web-\\d{2}", "pcre", false},
    {NULL, "celery@web-\\d{", "pcre", false}, /* the brace itself */
    {NULL, "c.{1000000}", "pcre", false},
    {NULL, "celery@web-[\\d]", "pcre", true},
    {NULL, "[\\w]+@", "pcre", true},
    {NULL, "celery@web-1.example\\Z", "pcre", true},
    {NULL, "celery@web-1\\Z", "pcre", false},
    {NULL, "(?i)CELERY@[V-X]EB", "pcre", true},
    {NULL, "CELERY", "pcre", false},
    {NULL, "c(?i)ELERY", "pcre", false}, /* an error in Python */
    {NULL, "c**", "pcre", false},
    {NULL, "c*+", "pcre", false},
    {NULL, "celery\\t", "pcre", false},
    {NULL, "celery(?=@)", "pcre", false}, /* not known here */
    {NULL, "(?P<name>celery)@", "pcre", true},
    {NULL, "^celery\\b@\\Bweb", "pcre", false},
    {NULL, "^celery\\b@\\bweb", "pcre", true},
    {NULL, "(a|b|cel(ery)?|x)+@(w|eb){3}-1", "pcre", false},
    {NULL, "(a|b|cel(ery)?|x)+@(w|eb){2}-1", "pcre", true},
    {NULL, "(c)\\1", "pcre", false},
    {NULL, "c+e+l+e+r+y+@+w+e+b", "pcre", true},
    {NULL, "(c+)+e", "pcre", true},
    /* Nested '+' double the expression each. */
    {NULL,
     "(((((((((((((((((((((((((c+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)"
     "+)+)+)+)+",
     "pcre", false},
    {NULL, "((((", "pcre", false},
    {NULL, "*", "pcre", false},
    {NULL, "celery@*", "other", false},
    {NULL, "nomatch", "", true}, /* only both together count */
};

START_TEST(selects_nodes)
{
    for (size_t i = 0; i < sizeof selections / sizeof selections[0]; i++) {
        struct celery_control_request r = {
            .pattern = text(selections[i].pattern),
            .matcher = text(selections[i].matcher),
        };

        if (selections[i].destination != NULL)
            r.destination = json(selections[i].destination);
        ck_assert_msg(celery_control_is_for(&r, "celery@web-1.example")
                          == selections[i].for_us,
                      "%s %s %s", selections[i].destination,
                      selections[i].pattern, selections[i].matcher);
    }
}
END_TEST

static const struct {
    const char *pattern;
    const char *matcher;
    bool for_us; /* w@höst, which is one character more in bytes */
} wide[] = {
    {"w@h?st", "glob", true},     {"w@h[ö]st", "glob", true},
    {"w@h[à-ü]st", "glob", true}, {"w@h[!x]st", "glob", true},
    {"w@h[!ö]st", "glob", false}, {"w@h??st", "glob", false},
    {"w@h.st", "pcre", true},     {"w@h[^x]st\\Z", "pcre", true},
    {"w@h\\xf6st", "pcre", true}, {"w@h..st", "pcre", false},
    {"w@h\\wst", "pcre", false}, /* not known here */
};

START_TEST(matches_characters_not_bytes)
{
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        const struct celery_control_request r = {
            .pattern = text(wide[i].pattern),
            .matcher = text(wide[i].matcher),
        };

        ck_assert_msg(celery_control_is_for(&r, "w@höst") == wide[i].for_us,
                      "%s %s", wide[i].pattern, wide[i].matcher);
    }
}
END_TEST

START_TEST(long_patterns_are_refused)
{
    char pattern[400];
    struct celery_control_request r = {
        .pattern = {pattern, 256},
        .matcher = text("pcre"),
    };

    memset(pattern, '.', sizeof pattern);
    pattern[0] = 'w';
    pattern[1] = '@';
    pattern[2] = 'h';
    pattern[3] = '|';
    ck_assert(celery_control_is_for(&r, "w@h"));
    r.pattern.len = 257;
    ck_assert(!celery_control_is_for(&r, "w@h"));
}
END_TEST

static void assert_body(const struct celery_buf *buf, const char *body,
                        const char *headers, const char *properties)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope e;

    ck_assert_int_eq(celery_envelope_decode(celery_buf_str(buf), NULL, &arena,
                                            &e, NULL),
                     CELERY_OK);
    ASSERT_TEXT(e.content.body, body);
    ASSERT_TEXT(e.headers.text, headers);
    ASSERT_TEXT(e.properties.text, properties);
}

START_TEST(writes_replies)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    const struct celery_control_request r = {
        .ticket = text("ti"),
        .reply_exchange = text("reply.celery.pidbox"),
        .reply_routing_key = text("oid"),
    };

    celery_control_reply(&buf, &r, "w@h", text("{\"ok\": \"pong\"}"), 9, "d");
    ck_assert_int_eq(celery_buf_status(&buf), CELERY_OK);
    assert_body(&buf, "{\"w@h\": {\"ok\": \"pong\"}}",
                "{\"ticket\": \"ti\", \"clock\": 9}",
                "{\"delivery_mode\": 1, \"delivery_info\": {\"exchange\": "
                "\"reply.celery.pidbox\", \"routing_key\": \"oid\"}, "
                "\"priority\": 0, \"body_encoding\": \"base64\", "
                "\"delivery_tag\": \"d\"}");
}
END_TEST

START_TEST(writes_requests)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_control_out out = {
        .method = "ping",
        .ticket = "ti",
        .reply_routing_key = "oid",
        .clock = 1,
        .expires = 1795497472.6696653,
        .delivery_tag = "d",
    };
    static const char properties[] =
        "{\"delivery_mode\": 2, \"delivery_info\": {\"exchange\": "
        "\"celery.pidbox\", \"routing_key\": \"\"}, \"priority\": 0, "
        "\"body_encoding\": \"base64\", \"delivery_tag\": \"d\"}";

    celery_control_encode(&buf, &out);
    assert_body(&buf,
                "{\"method\": \"ping\", \"arguments\": {}, \"destination\": "
                "null, \"pattern\": null, \"matcher\": null, \"ticket\": "
                "\"ti\", \"reply_to\": {\"exchange\": \"reply.celery.pidbox\", "
                "\"routing_key\": \"oid\"}}",
                "{\"clock\": 1, \"expires\": 1795497472.6696653}", properties);

    out.pattern = "w@*";
    out.matcher = "glob";
    celery_buf_clear(&buf);
    celery_control_encode(&buf, &out);
    assert_body(&buf,
                "{\"method\": \"ping\", \"arguments\": {}, \"destination\": "
                "null, \"pattern\": \"w@*\", \"matcher\": \"glob\", "
                "\"ticket\": \"ti\", \"reply_to\": {\"exchange\": "
                "\"reply.celery.pidbox\", \"routing_key\": \"oid\"}}",
                "{\"clock\": 1, \"expires\": 1795497472.6696653}", properties);

    out.pattern = NULL;
    out.matcher = NULL;
    out.ticket = NULL;
    out.expires = 0;
    out.arguments = text("{\"n\": 1}");
    out.destination = text("[\"w@h\"]");
    celery_buf_clear(&buf);
    celery_control_encode(&buf, &out);
    assert_body(&buf,
                "{\"method\": \"ping\", \"arguments\": {\"n\": 1}, "
                "\"destination\": [\"w@h\"], \"pattern\": null, \"matcher\": "
                "null}",
                "{\"clock\": 1, \"expires\": 0}", properties);
}
END_TEST

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;
    struct celery_envelope e =
        envelope("{}", "{\"method\": \"\\u0041\", \"pattern\": \"\\u0041\"}");
    const struct celery_control_out out = {.method = "ping"};
    const struct celery_control_request r = {.ticket = text("ti")};

    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_control_request request;
        status = celery_control_decode(&e, NULL, &arena, &request, NULL);
        celery_arena_done(&arena);
    });
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_control_encode(&buf, &out);
        celery_control_reply(&buf, &r, "w@h", text("1"), 1, "d");
        status = celery_buf_status(&buf);
        celery_buf_done(&buf);
    });
}
END_TEST

/* Who cannot look does not answer. */
START_TEST(matching_survives_out_of_memory)
{
    static const char *const patterns[][2] = {
        {"glob", "w[a-z@]*"},
        {"pcre", "w@[a-h]+\\.x"},
    };

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const struct celery_control_request r = {
            .matcher = text(patterns[i][0]),
            .pattern = text(patterns[i][1]),
        };
        long n = 0;
        do {
            oom_after(n++);
            bool matched = celery_control_is_for(&r, "w@h.x");
            oom_after(-1);
            ck_assert(matched == !oom_happened());
        } while (oom_happened());
    }
}
END_TEST

UNIT_MAIN("control", reads_a_request, refuses_broken_requests, json_only,
          selects_nodes, matches_characters_not_bytes,
          long_patterns_are_refused, writes_replies, writes_requests,
          survives_out_of_memory, matching_survives_out_of_memory)
