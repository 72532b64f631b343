/* SPDX-License-Identifier: MIT */
/*
 * WEBHOOK_SOURCES_FILE: a JSON document {"sources": [{…}], "chains": {…}}
 * (docs/sources/README.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/environment.h"
#include "webhook/source_reader.h"
#include "webhook/unique_keys.h"

/* --- name, path, secrets -------------------------------------------------------- */

static bool read_name(struct source_reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    char name[LEDGER_CHAIN_MAX];
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || !chain_name(text, name))
        return source_refuse(r, "1 to 32 letters, digits, '-' or '_'");
    if (sources_named(r->sources, name) != NULL)
        return source_refuse(r, "a name that no chain and no other source has");
    memcpy(r->source->name, name, sizeof name);
    return true;
}

/* environment_read() for the name that the file gives. */
static bool read_secret_variable(struct source_reader *r,
                                 struct celery_json value)
{
    const char *name = source_text(r, value, 60);
    char *text = NULL;
    char *path = NULL;
    struct celery_error why = {0};
    if (name == NULL || *name == '\0')
        return source_refuse(r, "the name of an environment variable");
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

static struct signature_scheme *scheme(struct source_reader *r)
{
    return &r->source->schemes[r->source->scheme_count];
}

static bool read_form(struct source_reader *r, struct celery_json value)
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
    return source_refuse(r, "\"hmac\", \"standard\" or \"stripe\"");
}

static bool read_header(struct source_reader *r, struct celery_json value)
{
    const char *text = source_text(r, value, SIGNATURE_HEADER_MAX - 1);
    if (text == NULL || *text == '\0' || strpbrk(text, " :") != NULL)
        return source_refuse(r, "the name of a header field");
    (void)snprintf(scheme(r)->header, sizeof scheme(r)->header, "%s", text);
    return true;
}

static bool read_prefix(struct source_reader *r, struct celery_json value)
{
    const char *text = source_text(r, value, SIGNATURE_PREFIX_MAX - 1);
    if (text == NULL)
        return source_refuse(r, "a text of at most 31 characters");
    (void)snprintf(scheme(r)->prefix, sizeof scheme(r)->prefix, "%s", text);
    return true;
}

static bool read_digest(struct source_reader *r, struct celery_json value)
{
    bool wide = celery_json_is(value, "sha512");
    scheme(r)->digest = wide ? SIGNATURE_SHA512 : SIGNATURE_SHA256;
    return wide || celery_json_is(value, "sha256")
        || source_refuse(r, "\"sha256\" or \"sha512\"");
}

static bool read_encoding(struct source_reader *r, struct celery_json value)
{
    bool base64 = celery_json_is(value, "base64");
    scheme(r)->encoding = base64 ? SIGNATURE_BASE64 : SIGNATURE_HEX;
    return base64 || celery_json_is(value, "hex")
        || source_refuse(r, "\"hex\" or \"base64\"");
}

static bool read_scheme(struct source_reader *r, struct celery_json value)
{
    static const struct source_key keys[] = {
        {"scheme", read_form},       {"header", read_header},
        {"prefix", read_prefix},     {"digest", read_digest},
        {"encoding", read_encoding},
    };
    if (r->source->scheme_count == SIGNATURE_SCHEMES_MAX)
        return source_refuse(r, "at most 8 schemes");
    if (!source_read_object(r, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    if (celery_json_null(celery_json_get(value, "scheme")))
        return source_refuse(r, "a signature with its \"scheme\"");
    if (scheme(r)->header[0] == '\0') {
        if (scheme(r)->form == SIGNATURE_HMAC)
            return source_refuse(r, "a HMAC with its \"header\"");
        bool stripe = scheme(r)->form == SIGNATURE_STRIPE;
        (void)snprintf(scheme(r)->header, sizeof scheme(r)->header, "%s",
                       stripe ? "Stripe-Signature" : "webhook");
    }
    r->source->scheme_count++;
    return true;
}

static bool read_signature(struct source_reader *r, struct celery_json value)
{
    return value.type == CELERY_JSON_ARRAY
             ? source_read_array(r, value, read_scheme)
             : read_scheme(r, value);
}

/* --- the rest -------------------------------------------------------------------------- */

static bool read_unit(struct source_reader *r, struct celery_json value)
{
    r->source->base_units = celery_json_is(value, "base");
    return r->source->base_units || celery_json_is(value, "decimal")
        || source_refuse(r, "\"decimal\" or \"base\"");
}

static bool read_items(struct source_reader *r, struct celery_json value)
{
    return source_read_path(r, value, &r->source->items);
}

static bool read_event_id(struct source_reader *r, struct celery_json value)
{
    return source_read_path(r, value, &r->source->event_id);
}

static bool read_stable(struct source_reader *r, struct celery_json value)
{
    return source_read_bool(r, value, &r->source->index_stable);
}

static bool read_assume_final(struct source_reader *r, struct celery_json value)
{
    return source_read_bool(r, value, &r->source->assume_final);
}

static bool read_addresses(struct source_reader *r, struct celery_json value)
{
    bool good = source_read_texts(r, value, &r->source->addresses);
    text_list_sort(&r->source->addresses);
    return good;
}

static bool add_accept(struct source_reader *r, struct celery_json value)
{
    if (r->source->accept_count == SOURCE_TESTS_MAX)
        return source_refuse(r, "at most 8 tests");
    return source_read_test(r, value,
                            &r->source->accept[r->source->accept_count++]);
}

static bool read_accept(struct source_reader *r, struct celery_json value)
{
    return source_read_array(r, value, add_accept);
}

static bool read_final(struct source_reader *r, struct celery_json value)
{
    return source_read_texts(r, value, &r->source->final);
}

static bool read_pending(struct source_reader *r, struct celery_json value)
{
    return source_read_texts(r, value, &r->source->pending);
}

static bool read_failed(struct source_reader *r, struct celery_json value)
{
    return source_read_texts(r, value, &r->source->failed);
}

static bool read_status(struct source_reader *r, struct celery_json value)
{
    static const struct source_key keys[] = {{"final", read_final},
                                             {"pending", read_pending},
                                             {"failed", read_failed}};
    return source_read_object(r, value, keys, sizeof keys / sizeof keys[0]);
}

static bool read_refused_status(struct source_reader *r,
                                struct celery_json value)
{
    int64_t n = 0;
    if (!celery_json_int64(value, &n) || (n != 200 && n != 422))
        return source_refuse(r, "422 or 200");
    r->source->refused_status = (int)n;
    return true;
}

static bool read_rate(struct source_reader *r, struct celery_json value)
{
    double rate = 0;
    if (!celery_json_double(value, &rate) || !(rate > 0 && rate <= 1e6))
        return source_refuse(r, "a number above 0, at most 1000000");
    r->source->rate.per_second = rate;
    return true;
}

static bool read_allow(struct source_reader *r, struct celery_json value)
{
    CLEANUP(celery_buf_done) struct celery_buf joined = CELERY_BUF_INIT;
    struct text_list list = {0};
    bool good = source_read_texts(r, value, &list);
    for (size_t i = 0; good && i < list.count; i++)
        celery_buf_printf(&joined, "%s%s", i > 0 ? "," : "", list.list[i]);
    if (good
        && (list.count == 0
            || peer_set_init(&r->source->allow_from, "allow_from", joined.data,
                             NULL)
                   != CELERY_OK))
        good = source_refuse(r, "a list of addresses or networks, such as "
                                "\"192.0.2.0/24\"");
    text_list_done(&list);
    return good;
}

/* Standard Webhooks' keys are base64 behind whsec_. */
static bool check_keys(struct source_reader *r)
{
    const struct webhook_source *source = r->source;
    for (size_t i = 0; i < source->scheme_count; i++) {
        for (size_t k = 0; k < source->secrets.count; k++) {
            if (source->schemes[i].form == SIGNATURE_STANDARD
                && source->secrets.list[k].key == NULL)
                return source_refuse(
                    r, "secrets whose whsec_ is followed by base64 "
                       "of 8 bytes or more");
        }
    }
    return true;
}

static bool check_whole(struct source_reader *r)
{
    const struct webhook_source *source = r->source;
    if (source->name[0] == '\0')
        return source_refuse(r, "a source with its \"name\"");
    if (source->scheme_count == 0 || source->secrets.count == 0)
        return source_refuse(r,
                             "a source with \"signature\" and \"secrets_env\"");
    if (source->chain_count == 0)
        return source_refuse(r, "a source with its \"chains\"");
    if (source->chain_count > 1 && source->fields[FIELD_CHAIN].count == 0)
        return source_refuse(r,
                             "a source of several chains with a \"chain\" in "
                             "\"fields\"");
    if (source->fields[FIELD_TX_HASH].count == 0
        || source->fields[FIELD_AMOUNT].count == 0)
        return source_refuse(r, "a source with \"tx_hash\" and \"amount\" in "
                                "\"fields\"");
    return !source->base_units || source->currency_count > 0
        || source_refuse(r, "amounts in base units with \"currencies\", whose "
                            "decimals they need");
}

static bool read_source(struct source_reader *r, struct celery_json value)
{
    static const struct source_key keys[] = {
        {"name", read_name},
        {"signature", read_signature},
        {"secrets_env", read_secret_variable},
        {"chains", source_read_chains},
        {"currencies", source_read_currencies},
        {"amount_unit", read_unit},
        {"items", read_items},
        {"accept", read_accept},
        {"addresses", read_addresses},
        {"fields", source_read_fields},
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
        return source_refuse(r, "at most 128 sources, chains included");
    return source_read_object(r, value, keys, sizeof keys / sizeof keys[0])
        && check_whole(r) && check_keys(r);
}

static bool read_sources(struct source_reader *r, struct celery_json value)
{
    return source_read_array(r, value, read_source);
}

/* What can be said of a chain's own path: its body and signatures are ours. */
static bool read_native(struct source_reader *r, struct celery_json value)
{
    static const struct source_key keys[] = {
        {"addresses", read_addresses},
        {"status", read_status},
        {"log_index_stable", read_stable},
        {"refused_status", read_refused_status},
        {"allow_from", read_allow},
        {"rate_per_second", read_rate},
    };
    return source_read_object(r, value, keys, sizeof keys / sizeof keys[0]);
}

/* {"bep20": {…}}: chains of WEBHOOK_CHAINS. */
static bool read_natives(struct source_reader *r, struct celery_json value)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json key = {0};
    struct celery_json settings = {0};
    if (value.type != CELERY_JSON_OBJECT)
        return source_refuse(r, "an object of chains");
    while (celery_json_next(&iter, &key, &settings)) {
        struct celery_str text = {0};
        if (celery_json_string(key, &r->arena, &text) != CELERY_OK)
            return source_refuse(r, "names of chains");
        size_t back = source_step(r, text);
        r->source = sources_find(r->sources, text);
        if (r->source == NULL || !r->source->is_native)
            return source_refuse(r, "chains that WEBHOOK_CHAINS lists");
        if (!read_native(r, settings))
            return false;
        r->place[back] = '\0';
    }
    return true;
}

static bool read_document(struct source_reader *r, struct celery_str text)
{
    static const struct source_key keys[] = {{"sources", read_sources},
                                             {"chains", read_natives}};
    struct celery_json root = {0};
    struct celery_error why = {0};
    if (celery_json_parse(text, NULL, &root, &why) != CELERY_OK)
        return source_refuse(r, "JSON");
    if (!unique_keys(root, &r->arena))
        return source_refuse(r, "objects that name each key once");
    return source_read_object(r, root, keys, sizeof keys / sizeof keys[0]);
}

enum celery_status sources_file_read(struct sources *sources, const char *path,
                                     struct celery_error *err)
{
    char *text = NULL;
    struct source_reader r = {.sources = sources,
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
