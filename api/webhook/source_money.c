/* SPDX-License-Identifier: MIT */
/*
 * A source's chains and currencies.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "ledger/amount.h"
#include "webhook/source_reader.h"

static const struct chain *chain_of(struct source_reader *r,
                                    struct celery_json value)
{
    struct celery_str text = {0};
    char name[LEDGER_CHAIN_MAX];
    if (celery_json_string(value, &r->arena, &text) != CELERY_OK
        || !chain_name(text, name))
        return NULL;
    return chains_find(&r->sources->chains, name);
}

static bool add_chain(struct source_reader *r, struct celery_str word,
                      struct celery_json name)
{
    struct webhook_source *source = r->source;
    const struct chain *chain = chain_of(r, name);
    if (chain == NULL)
        return source_refuse(r, "chains that WEBHOOK_CHAINS lists");
    source->chains = xrealloc(source->chains, (source->chain_count + 1)
                                                  * sizeof *source->chains);
    source->chains[source->chain_count++] =
        (struct source_chain){xstrndup(word.data, word.len), chain};
    return true;
}

static bool add_named_chain(struct source_reader *r, struct celery_json name)
{
    struct celery_str word = {0};
    if (celery_json_string(name, &r->arena, &word) != CELERY_OK)
        return source_refuse(r, "names of chains");
    return add_chain(r, word, name);
}

/* {"the sender's word": "our chain"} or ["our chain"]. */
bool source_read_chains(struct source_reader *r, struct celery_json value)
{
    struct celery_json_iter iter = celery_json_iter(value);
    struct celery_json key = {0};
    struct celery_json name = {0};
    if (value.type == CELERY_JSON_ARRAY)
        return source_read_array(r, value, add_named_chain);
    if (value.type != CELERY_JSON_OBJECT)
        return source_refuse(
            r, "a list of chains, or an object of the sender's word "
               "to the chain");
    while (celery_json_next(&iter, &key, &name)) {
        struct celery_str word = {0};
        if (celery_json_string(key, &r->arena, &word) != CELERY_OK)
            return source_refuse(r, "words that are texts");
        size_t back = source_step(r, word);
        if (!add_chain(r, word, name))
            return false;
        r->place[back] = '\0';
    }
    return true;
}

static struct source_currency *currency(struct source_reader *r)
{
    return &r->source->currencies[r->source->currency_count - 1];
}

static bool read_currency_name(struct source_reader *r,
                               struct celery_json value)
{
    const char *text = source_text(r, value, LEDGER_CURRENCY_MAX - 1);
    if (text == NULL || *text == '\0' || strchr(text, ' ') != NULL)
        return source_refuse(r, "1 to 16 visible ASCII characters");
    for (size_t i = 0; text[i] != '\0'; i++)
        currency(r)->name[i] =
            (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
    return true;
}

static bool read_currency_chain(struct source_reader *r,
                                struct celery_json value)
{
    currency(r)->chain = chain_of(r, value);
    return currency(r)->chain != NULL
        || source_refuse(r, "a chain that WEBHOOK_CHAINS lists");
}

static bool read_contract(struct source_reader *r, struct celery_json value)
{
    const char *text = source_text(r, value, 128);
    if (text == NULL || *text == '\0')
        return source_refuse(r, "the address of a contract");
    currency(r)->contract = xstrdup(text);
    return true;
}

static bool read_symbol(struct source_reader *r, struct celery_json value)
{
    const char *text = source_text(r, value, 64);
    if (text == NULL || *text == '\0')
        return source_refuse(r, "what the sender calls the currency");
    currency(r)->symbol = xstrdup(text);
    return true;
}

static bool read_decimals(struct source_reader *r, struct celery_json value)
{
    int64_t n = 0;
    if (!celery_json_int64(value, &n) || n < 0 || n > AMOUNT_DECIMALS)
        return source_refuse(r, "an integer from 0 to 18");
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

static bool read_currency(struct source_reader *r, struct celery_json value)
{
    static const struct source_key keys[] = {
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
    if (!source_read_object(r, value, keys, sizeof keys / sizeof keys[0]))
        return false;
    if (currency(r)->name[0] == '\0' || currency(r)->decimals < 0)
        return source_refuse(r,
                             "a currency with its \"name\" and \"decimals\"");
    if (currency(r)->contract != NULL && currency(r)->chain == NULL)
        return source_refuse(r, "a contract with its \"chain\"");
    canonical_contract(currency(r));
    return true;
}

bool source_read_currencies(struct source_reader *r, struct celery_json value)
{
    return source_read_array(r, value, read_currency);
}
