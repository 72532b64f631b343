/* SPDX-License-Identifier: MIT */
/*
 * WEBHOOK_SOURCES_FILE: a JSON document {"sources": [{…}]}
 * (docs/sources/README.md). What is wrong is named by its place, as a JSON
 * pointer; a key that is not known is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"
#include "conf/environment.h"
#include "ledger/amount.h"
#include "webhook/json_path.h"
#include "webhook/sources.h"
#include "webhook/unique_keys.h"

enum { PLACE_MAX = 160 };

struct reader {
    struct sources *sources;
    const char *file;
    struct celery_arena arena;
    char place[PLACE_MAX];
    struct webhook_source *source;
    struct celery_error *err;
};

static bool refuse(struct reader *r, const char *accepted)
{
    (void)celery_fail(r->err, CELERY_INVALID,
                      "WEBHOOK_SOURCES_FILE='%.60s': %s is not accepted; "
                      "accepted: %s",
                      r->file, r->place[0] != '\0' ? r->place : "the document",
                      accepted);
    return false;
}

/* --- walking ----------------------------------------------------------------- */

struct key {
    const char *name;
    bool (*read)(struct reader *r, struct celery_json value);
};

/* Steps into a member for the time of its reading. */
static size_t step(struct reader *r, struct celery_str name)
{
    size_t len = strlen(r->place);
    (void)snprintf(r->place + len, sizeof r->place - len, "/%.*s",
                   (int)(name.len < 40 ? name.len : 40), name.data);
    return len;
}

static bool read_member(struct reader *r, const struct key *keys, size_t count,
                        struct celery_json key, struct celery_json value)
{
    struct celery_str name = {0};
    if (celery_json_string(key, &r->arena, &name) != CELERY_OK)
        return refuse(r, "keys that are texts");
    size_t back = step(r, name);
    for (size_t i = 0; i < count; i++) {
        if (celery_json_is(key, keys[i].name)) {
            bool good = keys[i].read(r, value);
            if (good)
                r->place[back] = '\0';
            return good;
        }
    }
    return refuse(r, "keys that docs/sources/README.md lists");
}

static bool read_object(struct reader *r, struct celery_json object,
                        const struct key *keys, size_t count)
{
    struct celery_json_iter iter = celery_json_iter(object);
    struct celery_json key = {0};
    struct celery_json value = {0};
    if (object.type != CELERY_JSON_OBJECT)
        return refuse(r, "an object");
    while (celery_json_next(&iter, &key, &value)) {
        if (!read_member(r, keys, count, key, value))
            return false;
    }
    return true;
}

static bool read_array(struct reader *r, struct celery_json array,
                       bool (*read)(struct reader *r, struct celery_json value))
{
    struct celery_json_iter iter = celery_json_iter(array);
    struct celery_json value = {0};
    if (array.type != CELERY_JSON_ARRAY)
        return refuse(r, "a list");
    for (unsigned i = 0; celery_json_next(&iter, NULL, &value); i++) {
        char number[16];
        int len = snprintf(number, sizeof number, "%u", i);
        size_t back = step(r, (struct celery_str){number, (size_t)len});
        if (!read(r, value))
            return false;
        r->place[back] = '\0';
    }
    return true;
}

/* --- plain values -------------------------------------------------------------- */

/* A text of 1 to max bytes, visible ASCII but for blanks; NULL: it is none.
 * Borrowed from the arena. */
static const char *text_of(struct reader *r, struct celery_json value,
                           size_t max)
{
    struct celery_str text = {0};
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || text.len > max)
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~')
            return NULL;
    }
    return celery_arena_copy(&r->arena, text).data;
}

static bool read_bool(struct reader *r, struct celery_json value, bool *ret)
{
    *ret = value.type == CELERY_JSON_TRUE;
    return *ret || value.type == CELERY_JSON_FALSE
        || refuse(r, "true or false");
}

static bool read_path(struct reader *r, struct celery_json value, char **ret)
{
    const char *text = text_of(r, value, 256);
    if (text == NULL || !json_path_valid(text))
        return refuse(r, "a JSON pointer, with '^' before it when it begins at "
                         "the body instead of the list's entry");
    free(*ret);
    *ret = xstrdup(text);
    return true;
}

static bool read_texts(struct reader *r, struct celery_json value,
                       struct text_list *ret)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json entry = {0};
    if (value.type != CELERY_JSON_ARRAY)
        return refuse(r, "a list of texts");
    while (celery_json_next(&iter, NULL, &entry)) {
        const char *text = text_of(r, entry, 256);
        if (text == NULL || ret->count == 10000)
            return refuse(r, "a list of texts");
        text_list_add(ret, text, strlen(text));
    }
    return true;
}

static bool read_test(struct reader *r, struct celery_json value,
                      struct source_test *ret)
{
    struct celery_json path = celery_json_get(value, "pointer");
    struct celery_json values = celery_json_get(value, "values");
    if (value.type != CELERY_JSON_OBJECT || celery_json_count(value) != 2
        || values.type != CELERY_JSON_ARRAY)
        return refuse(r, "{\"pointer\": …, \"values\": […]}");
    return read_path(r, path, &ret->path)
        && read_texts(r, values, &ret->values);
}

/* --- name, path, secrets -------------------------------------------------------- */

static bool read_name(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    char name[LEDGER_CHAIN_MAX];
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || !chain_name(text, name))
        return refuse(r, "1 to 32 letters, digits, '-' or '_'");
    if (sources_named(r->sources, name) != NULL)
        return refuse(r, "a name that no chain and no other source has");
    memcpy(r->source->name, name, sizeof name);
    return true;
}

/* environment_read() for the name that the file gives. */
static bool read_secret_variable(struct reader *r, struct celery_json value)
{
    const char *name = text_of(r, value, 60);
    char *text = NULL;
    char *path = NULL;
    struct celery_error why = {0};
    if (name == NULL || *name == '\0')
        return refuse(r, "the name of an environment variable");
    enum celery_status st = environment_read(name, true, &text, &path, &why);
    if (st == CELERY_OK && text == NULL)
        st = celery_fail(&why, CELERY_INVALID,
                         "%s is not set; accepted: secrets, or a file of them "
                         "in %s_FILE",
                         name, name);
    if (st == CELERY_OK)
        st = signing_secrets_read(&r->source->secrets, name, text, true, &why);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    free(path);
    if (st == CELERY_OK)
        return true;
    (void)celery_fail(r->err, CELERY_INVALID,
                      "WEBHOOK_SOURCES_FILE='%.60s': %s: %s", r->file, r->place,
                      why.msg);
    return false;
}

/* --- the signature ---------------------------------------------------------------- */

static struct signature_scheme *scheme(struct reader *r)
{
    return &r->source->schemes[r->source->scheme_count];
}

static bool read_form(struct reader *r, struct celery_json value)
{
    static const char *const names[] = {
        [SIGNATURE_HMAC] = "hmac",
        [SIGNATURE_STANDARD] = "standard",
        [SIGNATURE_STRIPE] = "stripe",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (celery_json_is(value, names[i])) {
            scheme(r)->form = (enum signature_form)i;
            return true;
        }
    }
    return refuse(r, "\"hmac\", \"standard\" or \"stripe\"");
}

static bool read_header(struct reader *r, struct celery_json value)
{
    const char *text = text_of(r, value, SIGNATURE_HEADER_MAX - 1);
    if (text == NULL || *text == '\0' || strpbrk(text, " :") != NULL)
        return refuse(r, "the name of a header field");
    (void)strcpy(scheme(r)->header, text);
    return true;
}

static bool read_prefix(struct reader *r, struct celery_json value)
{
    const char *text = text_of(r, value, SIGNATURE_PREFIX_MAX - 1);
    if (text == NULL)
        return refuse(r, "a text of at most 31 characters");
    (void)strcpy(scheme(r)->prefix, text);
    return true;
}

static bool read_digest(struct reader *r, struct celery_json value)
{
    bool wide = celery_json_is(value, "sha512");
    scheme(r)->digest = wide ? SIGNATURE_SHA512 : SIGNATURE_SHA256;
    return wide || celery_json_is(value, "sha256")
        || refuse(r, "\"sha256\" or \"sha512\"");
}

static bool read_encoding(struct reader *r, struct celery_json value)
{
    bool base64 = celery_json_is(value, "base64");
    scheme(r)->encoding = base64 ? SIGNATURE_BASE64 : SIGNATURE_HEX;
    return base64 || celery_json_is(value, "hex")
        || refuse(r, "\"hex\" or \"base64\"");
}

static bool read_scheme(struct reader *r, struct celery_json value)
{
    static const struct key keys[] = {
        {"scheme", read_form},       {"header", read_header},
        {"prefix", read_prefix},     {"digest", read_digest},
        {"encoding", read_encoding},
    };
    if (r->source->scheme_count == SIGNATURE_SCHEMES_MAX)
        return refuse(r, "at most 8 schemes");
    if (!read_object(r, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    if (celery_json_null(celery_json_get(value, "scheme")))
        return refuse(r, "a signature with its \"scheme\"");
    if (scheme(r)->header[0] == '\0') {
        if (scheme(r)->form == SIGNATURE_HMAC)
            return refuse(r, "a HMAC with its \"header\"");
        (void)strcpy(scheme(r)->header, scheme(r)->form == SIGNATURE_STRIPE
                                            ? "Stripe-Signature"
                                            : "webhook");
    }
    r->source->scheme_count++;
    return true;
}

static bool read_signature(struct reader *r, struct celery_json value)
{
    return value.type == CELERY_JSON_ARRAY ? read_array(r, value, read_scheme)
                                           : read_scheme(r, value);
}

/* --- chains and currencies --------------------------------------------------------- */

static const struct chain *chain_of(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    char name[LEDGER_CHAIN_MAX];
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || !chain_name(text, name))
        return NULL;
    return chains_find(&r->sources->chains, name);
}

static bool add_chain(struct reader *r, struct celery_str word,
                      struct celery_json name)
{
    struct webhook_source *source = r->source;
    const struct chain *chain = chain_of(r, name);
    if (chain == NULL)
        return refuse(r, "chains that WEBHOOK_CHAINS lists");
    source->chains = xrealloc(source->chains, (source->chain_count + 1)
                                                  * sizeof *source->chains);
    source->chains[source->chain_count++] =
        (struct source_chain){xstrndup(word.data, word.len), chain};
    return true;
}

static bool add_named_chain(struct reader *r, struct celery_json name)
{
    struct celery_str word = {0};
    if (celery_json_string(name, &r->arena, &word) != CELERY_OK)
        return refuse(r, "names of chains");
    return add_chain(r, word, name);
}

/* {"the sender's word": "our chain"} or ["our chain"]. */
static bool read_chains(struct reader *r, struct celery_json value)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json key = {0};
    struct celery_json name = {0};
    if (value.type == CELERY_JSON_ARRAY)
        return read_array(r, value, add_named_chain);
    if (value.type != CELERY_JSON_OBJECT)
        return refuse(r, "a list of chains, or an object of the sender's word "
                         "to the chain");
    while (celery_json_next(&iter, &key, &name)) {
        struct celery_str word = {0};
        if (celery_json_string(key, &r->arena, &word) != CELERY_OK)
            return refuse(r, "words that are texts");
        size_t back = step(r, word);
        if (!add_chain(r, word, name))
            return false;
        r->place[back] = '\0';
    }
    return true;
}

static struct source_currency *currency(struct reader *r)
{
    return &r->source->currencies[r->source->currency_count - 1];
}

static bool read_currency_name(struct reader *r, struct celery_json value)
{
    const char *text = text_of(r, value, LEDGER_CURRENCY_MAX - 1);
    if (text == NULL || *text == '\0' || strchr(text, ' ') != NULL)
        return refuse(r, "1 to 16 visible ASCII characters");
    for (size_t i = 0; text[i] != '\0'; i++)
        currency(r)->name[i] =
            (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
    return true;
}

static bool read_currency_chain(struct reader *r, struct celery_json value)
{
    currency(r)->chain = chain_of(r, value);
    return currency(r)->chain != NULL
        || refuse(r, "a chain that WEBHOOK_CHAINS lists");
}

static bool read_contract(struct reader *r, struct celery_json value)
{
    const char *text = text_of(r, value, 128);
    if (text == NULL || *text == '\0')
        return refuse(r, "the address of a contract");
    currency(r)->contract = xstrdup(text);
    return true;
}

static bool read_symbol(struct reader *r, struct celery_json value)
{
    const char *text = text_of(r, value, 64);
    if (text == NULL || *text == '\0')
        return refuse(r, "what the sender calls the currency");
    currency(r)->symbol = xstrdup(text);
    return true;
}

static bool read_decimals(struct reader *r, struct celery_json value)
{
    int64_t n = 0;
    if (!celery_json_int64(value, &n) || n < 0 || n > AMOUNT_DECIMALS)
        return refuse(r, "an integer from 0 to 18");
    currency(r)->decimals = (int)n;
    return true;
}

/* The chain may stand behind the contract: its kind is known at the end. */
static void canonical_contract(struct source_currency *currency)
{
    if (currency->contract == NULL || currency->chain == NULL)
        return;
    size_t len = strlen(currency->contract);
    char *text = xmalloc(len + 3);
    chain_canonical_address(currency->chain->kind,
                            (struct celery_str){currency->contract, len}, text);
    free(currency->contract);
    currency->contract = text;
}

static bool read_currency(struct reader *r, struct celery_json value)
{
    static const struct key keys[] = {
        {"name", read_currency_name}, {"chain", read_currency_chain},
        {"contract", read_contract},  {"symbol", read_symbol},
        {"decimals", read_decimals},
    };
    struct webhook_source *source = r->source;
    source->currencies =
        xrealloc(source->currencies,
                 (source->currency_count + 1) * sizeof *source->currencies);
    source->currencies[source->currency_count++] =
        (struct source_currency){.decimals = -1};
    if (!read_object(r, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    if (currency(r)->name[0] == '\0' || currency(r)->decimals < 0)
        return refuse(r, "a currency with its \"name\" and \"decimals\"");
    if (currency(r)->contract != NULL && currency(r)->chain == NULL)
        return refuse(r, "a contract with its \"chain\"");
    canonical_contract(currency(r));
    return true;
}

static bool read_currencies(struct reader *r, struct celery_json value)
{
    return read_array(r, value, read_currency);
}

static bool read_unit(struct reader *r, struct celery_json value)
{
    r->source->base_units = celery_json_is(value, "base");
    return r->source->base_units || celery_json_is(value, "decimal")
        || refuse(r, "\"decimal\" or \"base\"");
}

/* --- fields ---------------------------------------------------------------------------- */

/* A pointer, or {"pointer": …, "when": {…}, "after_last": "/", "position":
 * true}. */
static bool read_rule(struct reader *r, struct celery_json value,
                      struct source_rules *rules)
{
    if (rules->count == SOURCE_RULES_MAX)
        return refuse(r, "at most 4 places for a field");
    struct source_rule *rule = &rules->list[rules->count++];
    if (value.type == CELERY_JSON_STRING)
        return read_path(r, value, &rule->path);
    struct celery_json when = celery_json_get(value, "when");
    struct celery_json after = celery_json_get(value, "after_last");
    struct celery_json position = celery_json_get(value, "position");
    size_t known = 1 + (when.type != CELERY_JSON_NONE)
                 + (after.type != CELERY_JSON_NONE)
                 + (position.type != CELERY_JSON_NONE);
    if (value.type != CELERY_JSON_OBJECT || celery_json_count(value) != known)
        return refuse(r, "a pointer, or an object of \"pointer\" and, where "
                         "needed, \"when\", \"after_last\", \"position\"");
    if (after.type != CELERY_JSON_NONE) {
        const char *text = text_of(r, after, 1);
        if (text == NULL || *text == '\0')
            return refuse(r, "one character in \"after_last\"");
        rule->after_last = *text;
    }
    return read_path(r, celery_json_get(value, "pointer"), &rule->path)
        && (position.type == CELERY_JSON_NONE
            || read_bool(r, position, &rule->as_position))
        && (when.type == CELERY_JSON_NONE || read_test(r, when, &rule->when));
}

static bool read_rules(struct reader *r, struct celery_json value,
                       struct source_rules *rules)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json entry = {0};
    if (value.type != CELERY_JSON_ARRAY)
        return read_rule(r, value, rules);
    while (celery_json_next(&iter, NULL, &entry)) {
        if (!read_rule(r, entry, rules))
            return false;
    }
    return true;
}

static bool read_fields(struct reader *r, struct celery_json value)
{
    if (value.type != CELERY_JSON_OBJECT)
        return refuse(r, "an object");
    size_t known = 0;
    for (int f = 0; f < FIELD_COUNT; f++) {
        const char *name = source_field_name((enum source_field)f);
        struct celery_json rule = celery_json_get(value, name);
        if (rule.type == CELERY_JSON_NONE)
            continue;
        size_t back = step(r, (struct celery_str){name, strlen(name)});
        if (!read_rules(r, rule, &r->source->fields[f]))
            return false;
        r->place[back] = '\0';
        known++;
    }
    return known == celery_json_count(value)
        || refuse(r, "fields that docs/sources/README.md lists");
}

/* --- the rest -------------------------------------------------------------------------- */

static bool read_items(struct reader *r, struct celery_json value)
{
    return read_path(r, value, &r->source->items);
}

static bool read_event_id(struct reader *r, struct celery_json value)
{
    return read_path(r, value, &r->source->event_id);
}

static bool read_stable(struct reader *r, struct celery_json value)
{
    return read_bool(r, value, &r->source->index_stable);
}

static bool read_assume_final(struct reader *r, struct celery_json value)
{
    return read_bool(r, value, &r->source->assume_final);
}

static bool read_addresses(struct reader *r, struct celery_json value)
{
    bool good = read_texts(r, value, &r->source->addresses);
    text_list_sort(&r->source->addresses);
    return good;
}

static bool add_accept(struct reader *r, struct celery_json value)
{
    if (r->source->accept_count == SOURCE_TESTS_MAX)
        return refuse(r, "at most 8 tests");
    return read_test(r, value, &r->source->accept[r->source->accept_count++]);
}

static bool read_accept(struct reader *r, struct celery_json value)
{
    return read_array(r, value, add_accept);
}

static bool read_final(struct reader *r, struct celery_json value)
{
    return read_texts(r, value, &r->source->final);
}

static bool read_pending(struct reader *r, struct celery_json value)
{
    return read_texts(r, value, &r->source->pending);
}

static bool read_failed(struct reader *r, struct celery_json value)
{
    return read_texts(r, value, &r->source->failed);
}

static bool read_status(struct reader *r, struct celery_json value)
{
    static const struct key keys[] = {{"final", read_final},
                                      {"pending", read_pending},
                                      {"failed", read_failed}};
    return read_object(r, value, keys, sizeof keys / sizeof keys[0]);
}

static bool read_refused_status(struct reader *r, struct celery_json value)
{
    int64_t n = 0;
    if (!celery_json_int64(value, &n) || (n != 200 && n != 422))
        return refuse(r, "422 or 200");
    r->source->refused_status = (int)n;
    return true;
}

static bool read_rate(struct reader *r, struct celery_json value)
{
    double rate = 0;
    if (!celery_json_double(value, &rate) || !(rate > 0 && rate <= 1e6))
        return refuse(r, "a number above 0, at most 1000000");
    r->source->rate.per_second = rate;
    r->source->rate.tokens = rate > 1 ? rate : 1;
    return true;
}

static bool read_allow(struct reader *r, struct celery_json value)
{
    CLEANUP(celery_buf_done) struct celery_buf joined = CELERY_BUF_INIT;
    struct text_list list = {0};
    bool good = read_texts(r, value, &list);
    for (size_t i = 0; good && i < list.count; i++)
        celery_buf_printf(&joined, "%s%s", i > 0 ? "," : "", list.list[i]);
    if (good
        && (list.count == 0
            || peer_set_init(&r->source->allow_from, "allow_from", joined.data,
                             NULL)
                   != CELERY_OK))
        good = refuse(r, "a list of addresses or networks, such as "
                         "\"192.0.2.0/24\"");
    text_list_done(&list);
    return good;
}

/* Standard Webhooks' keys are base64 behind whsec_. */
static bool check_keys(struct reader *r)
{
    const struct webhook_source *source = r->source;
    for (size_t i = 0; i < source->scheme_count; i++) {
        for (size_t k = 0; k < source->secrets.count; k++) {
            if (source->schemes[i].form == SIGNATURE_STANDARD
                && source->secrets.list[k].key == NULL)
                return refuse(r, "secrets whose whsec_ is followed by base64 "
                                 "of 8 bytes or more");
        }
    }
    return true;
}

static bool check_whole(struct reader *r)
{
    const struct webhook_source *source = r->source;
    if (source->name[0] == '\0')
        return refuse(r, "a source with its \"name\"");
    if (source->scheme_count == 0 || source->secrets.count == 0)
        return refuse(r, "a source with \"signature\" and \"secrets_env\"");
    if (source->chain_count == 0)
        return refuse(r, "a source with its \"chains\"");
    if (source->chain_count > 1 && source->fields[FIELD_CHAIN].count == 0)
        return refuse(r, "a source of several chains with a \"chain\" in "
                         "\"fields\"");
    if (source->fields[FIELD_TX_HASH].count == 0
        || source->fields[FIELD_AMOUNT].count == 0)
        return refuse(r, "a source with \"tx_hash\" and \"amount\" in "
                         "\"fields\"");
    return !source->base_units || source->currency_count > 0
        || refuse(r, "amounts in base units with \"currencies\", whose "
                     "decimals they need");
}

static bool read_source(struct reader *r, struct celery_json value)
{
    static const struct key keys[] = {
        {"name", read_name},
        {"signature", read_signature},
        {"secrets_env", read_secret_variable},
        {"chains", read_chains},
        {"currencies", read_currencies},
        {"amount_unit", read_unit},
        {"items", read_items},
        {"accept", read_accept},
        {"addresses", read_addresses},
        {"fields", read_fields},
        {"status", read_status},
        {"assume_final", read_assume_final},
        {"log_index_stable", read_stable},
        {"event_id", read_event_id},
        {"refused_status", read_refused_status},
        {"allow_from", read_allow},
        {"rate_per_second", read_rate},
    };
    r->source = sources_add(r->sources);
    if (r->source == NULL)
        return refuse(r, "at most 128 sources, chains included");
    return read_object(r, value, keys, sizeof keys / sizeof keys[0])
        && check_whole(r) && check_keys(r);
}

static bool read_sources(struct reader *r, struct celery_json value)
{
    return read_array(r, value, read_source);
}

static bool read_document(struct reader *r, struct celery_str text)
{
    static const struct key keys[] = {{"sources", read_sources}};
    struct celery_json root = {0};
    struct celery_error why = {0};
    if (celery_json_parse(text, NULL, &root, &why) != CELERY_OK)
        return refuse(r, "JSON");
    if (!unique_keys(root, &r->arena))
        return refuse(r, "objects that name each key once");
    return read_object(r, root, keys, 1);
}

enum celery_status sources_file_read(struct sources *sources, const char *path,
                                     struct celery_error *err)
{
    char *text = NULL;
    struct reader r = {.sources = sources,
                       .file = path,
                       .arena = CELERY_ARENA_INIT,
                       .err = err};
    enum celery_status st =
        environment_read_file("WEBHOOK_SOURCES", path, &text, err);
    if (st != CELERY_OK)
        return st;
    if (!read_document(&r, (struct celery_str){text, strlen(text)}))
        st = CELERY_INVALID;
    celery_arena_done(&r.arena);
    free(text);
    return st;
}
