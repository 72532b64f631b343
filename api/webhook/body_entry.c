/* SPDX-License-Identifier: MIT */
/*
 * One deposit of a webhook: a function for each field, in an order in which each
 * finds what it needs.
 */
#include <openssl/evp.h>
#include <string.h>

#include "base/ascii.h"
#include "celery/task_id.h"
#include "ledger/amount.h"
#include "webhook/body.h"
#include "webhook/json_path.h"
#include "webhook/spelling.h"
#include "webhook/status.h"

enum {
    TEXT_MAX = 128, /* of hashes and addresses */
    STATUS_MAX = 64,
    POSITION_BASE = 0x40000000, /* above every log index of a block */
};

struct reader {
    struct celery_json root;
    struct celery_json entry;
    const struct webhook_source *source;
    const struct webhook_rules *rules;
    struct celery_arena *arena;
    struct ledger_deposit *deposit;
    const struct chain *chain;
    const struct source_currency *currency; /* NULL: the source lists none */
    const struct source_rule *rule;         /* that gave the value */
    const char *contract;                   /* canonical; NULL: none */
    struct webhook_item item;
};

static bool refuse(struct reader *r, int status, const char *field,
                   const char *error)
{
    r->item.result = ITEM_REFUSED;
    r->item.fault = (struct webhook_fault){status, error, field};
    return false;
}

/* What a chain's own body must not say may be somebody else's elsewhere. */
static bool ignore(struct reader *r, const char *field, const char *why)
{
    r->item.result = ITEM_IGNORED;
    r->item.fault = (struct webhook_fault){200, why, field};
    return false;
}

/* --- values --------------------------------------------------------------- */

/* A string's text, or the token of a number or of true and false. */
static bool scalar(struct reader *r, struct celery_json value,
                   struct celery_str *ret)
{
    *ret = value.text;
    if (value.type == CELERY_JSON_STRING)
        return celery_json_string(value, r->arena, ret) == CELERY_OK;
    return value.type == CELERY_JSON_NUMBER || value.type == CELERY_JSON_TRUE
        || value.type == CELERY_JSON_FALSE;
}

static bool holds(struct reader *r, const struct source_test *test)
{
    struct celery_str text = {"", 0};
    if (test->path == NULL)
        return true;
    struct celery_json value = json_path_get(test->path, r->root, r->entry);
    if (!celery_json_null(value) && !scalar(r, value, &text))
        return false;
    return text_list_has(&test->values, text);
}

/* The first place whose test holds and where something stands. */
static struct celery_json find(struct reader *r, enum source_field field)
{
    const struct source_rules *rules = &r->source->fields[field];
    for (size_t i = 0; i < rules->count; i++) {
        struct celery_json value =
            json_path_get(rules->list[i].path, r->root, r->entry);
        if (spelling_absent(value) || !holds(r, &rules->list[i].when))
            continue;
        r->rule = &rules->list[i];
        return value;
    }
    r->rule = NULL;
    return (struct celery_json){0};
}

/* Visible ASCII; space only where spaces is set. */
static bool is_visible(struct celery_str text, bool spaces)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if ((c < '!' || c > '~') && !(spaces && c == ' '))
            return false;
    }
    return true;
}

/* The string's text, or what its rule takes of it; false when value is no
 * string of 1 to max bytes that are visible. */
static bool read_visible(struct reader *r, struct celery_json value, size_t max,
                         bool spaces, struct celery_str *ret)
{
    struct celery_str text = {0};
    if (celery_json_string(value, r->arena, &text) != CELERY_OK)
        return false;
    if (r->rule != NULL && r->rule->after_last != 0) {
        const char *last = memrchr(text.data, r->rule->after_last, text.len);
        if (last != NULL)
            text =
                (struct celery_str){last + 1,
                                    text.len - (size_t)(last + 1 - text.data)};
    }
    if (text.len == 0 || text.len > max || !is_visible(text, spaces))
        return false;
    *ret = text;
    return true;
}

/* --- the fields, a function each ------------------------------------------- */

static bool read_chain(struct reader *r, struct celery_json value)
{
    const struct webhook_source *source = r->source;
    struct celery_str text = {0};
    if (celery_json_null(value)) {
        if (source->must_name_chain || source->chain_count != 1)
            return refuse(r, 422, "chain",
                          "chain must be named: the secret counts for several");
        r->chain = source->chains[0].chain;
    } else if (!read_visible(r, value, 64, false, &text)) {
        return refuse(r, 422, "chain", "chain must be the name of a chain");
    }
    for (size_t i = 0; i < source->chain_count && r->chain == NULL; i++) {
        struct text_list word = {&source->chains[i].word, 1};
        if (text_list_has(&word, text))
            r->chain = source->chains[i].chain;
    }
    if (r->chain == NULL && source->is_native)
        return refuse(r, 422, "chain", "chain must equal the path's");
    if (r->chain == NULL)
        return ignore(r, "chain", "a chain that the source does not list");
    memcpy(r->deposit->chain, r->chain->name, sizeof r->deposit->chain);
    return true;
}

static bool read_contract(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return true;
    if (!read_visible(r, value, TEXT_MAX, false, &text))
        return refuse(r, 422, "contract",
                      "contract must be 1 to 128 visible ASCII characters");
    char *copy = celery_arena_alloc(r->arena, text.len + 3);
    if (copy == NULL)
        return refuse(r, 422, "contract", "contract is too long");
    chain_canonical_address(r->chain->kind, text, copy);
    r->contract = copy;
    return true;
}

/* A token's symbol is anybody's choice: a contract is found by its address, and
 * only a chain's own coin by its name. */
static const struct source_currency *find_currency(struct reader *r,
                                                   struct celery_str symbol)
{
    for (size_t i = 0; i < r->source->currency_count; i++) {
        const struct source_currency *c = &r->source->currencies[i];
        const char *word = c->symbol != NULL ? c->symbol : c->name;
        if (c->chain != NULL && c->chain != r->chain)
            continue;
        if (r->contract != NULL && c->contract != NULL
            && strcmp(r->contract, c->contract) == 0)
            return c;
        if (r->contract == NULL && c->contract == NULL
            && strlen(word) == symbol.len
            && strncasecmp(word, symbol.data, symbol.len) == 0)
            return c;
    }
    return NULL;
}

static bool read_currency(struct reader *r, struct celery_json value)
{
    const char *fallback = r->rules->currency;
    struct celery_str text = {fallback, strlen(fallback)};
    bool listed = r->source->currency_count > 0;
    /* Anybody may call a token anything: where currencies are listed a name
     * that is none of theirs refuses nothing. */
    if (!celery_json_null(value)
        && !read_visible(r, value, LEDGER_CURRENCY_MAX - 1, listed, &text)) {
        if (!listed)
            return refuse(r, 422, "currency",
                          "currency must be 1 to 16 visible ASCII characters");
        text = (struct celery_str){"", 0};
    }
    if (listed) {
        r->currency = find_currency(r, text);
        if (r->currency == NULL)
            return ignore(r, "currency",
                          "a currency that the source does not list");
        text =
            (struct celery_str){r->currency->name, strlen(r->currency->name)};
    }
    for (size_t i = 0; i < text.len; i++)
        r->deposit->currency[i] = ascii_upper(text.data[i]);
    return true;
}

static bool read_tx_hash(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return refuse(r, 400, "tx_hash", "missing tx_hash or amount");
    if (!read_visible(r, value, TEXT_MAX, false, &text))
        return refuse(r, 422, "tx_hash",
                      "tx_hash must be 1 to 128 visible ASCII characters");
    chain_canonical_hash(r->chain->kind, text, r->deposit->tx_hash);
    return true;
}

static bool read_to_address(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    bool absent = celery_json_null(value);
    if (!absent && !read_visible(r, value, TEXT_MAX, false, &text))
        return refuse(r, 422, "to_address",
                      "to_address must be 1 to 128 visible ASCII characters");
    if (r->source->addresses.count > 0
        && (absent || !text_list_find(&r->source->addresses, text)))
        return ignore(r, "to_address", "a transfer to somebody else");
    if (absent)
        return true;
    char *copy = celery_arena_alloc(r->arena, text.len + 3);
    if (copy == NULL)
        return refuse(r, 422, "to_address", "to_address is too long");
    chain_canonical_address(r->chain->kind, text, copy);
    r->deposit->to_address = copy;
    return true;
}

/* Money that is really announced is never refused for its form: decimals that
 * we cannot hold make a conflict, with the amount cut. */
static bool take_amount(struct reader *r, const char *text)
{
    struct amount amount = {0};
    int decimals = 0;
    int most = r->currency != NULL ? r->currency->decimals : r->chain->decimals;
    if (*text == '-' && !r->source->is_native)
        return ignore(r, "amount", "an amount that went out");
    enum celery_status st =
        amount_parse_cut((struct celery_str){text, strlen(text)}, &amount,
                         &decimals);
    if (st == CELERY_TOO_LARGE)
        return refuse(r, 422, "amount",
                      "amount must have at most 20 digits before the point");
    if (st != CELERY_OK)
        return refuse(r, 422, "amount",
                      "amount must be a decimal such as \"12.5\"");
    bool cut = decimals > most || decimals > AMOUNT_DECIMALS;
    if (amount.units == 0 && !cut && !r->source->is_native)
        return ignore(r, "amount", "nothing was transferred");
    if (amount.units == 0 && !cut)
        return refuse(r, 422, "amount", "amount must be above zero");
    amount_format(amount, r->deposit->amount);
    if (cut)
        r->deposit->conflict_reason = "amount has more decimals than its chain";
    return true;
}

static bool read_amount(struct reader *r, struct celery_json value)
{
    char text[SPELLING_DECIMAL_MAX];
    if (celery_json_null(value))
        return refuse(r, 400, "amount", "missing tx_hash or amount");
    bool read =
        r->source->base_units
            ? spelling_base_units(value, r->arena, r->currency->decimals, text)
            : spelling_decimal(value, r->arena, text);
    if (!read)
        return refuse(r, 422, "amount",
                      r->source->base_units
                          ? "amount must be an integer of base units"
                          : "amount must be a decimal such as \"12.5\"");
    return take_amount(r, text);
}

static bool read_user_id(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return true;
    if (!read_visible(r, value, CELERY_TASK_ID_LEN, false, &text)
        || !celery_task_id_valid(text))
        return refuse(r, 422, "user_id", "user_id must be a UUID");
    for (size_t i = 0; i < text.len; i++)
        r->deposit->user_id[i] = ascii_lower(text.data[i]);
    return true;
}

static bool read_confirmations(struct reader *r, struct celery_json value)
{
    r->deposit->confirmations_required = r->rules->confirmations_required;
    if (celery_json_null(value)) {
        if (r->source->assume_final)
            r->deposit->confirmations = r->rules->confirmations_required;
        return true;
    }
    if (!spelling_integer(value, r->arena, INT64_MAX,
                          &r->deposit->confirmations))
        return refuse(r, 422, "confirmations",
                      "confirmations must be an integer of at least 0");
    return true;
}

/* A sender may tell transfers of one transaction apart by a text. Its place
 * above all log indexes comes from its digest. */
static bool read_position(struct reader *r, struct celery_json value)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct celery_str text = {0};
    unsigned len = 0;
    uint32_t n = 0;
    if (!scalar(r, value, &text) || text.len > 256
        || EVP_Digest(text.data, text.len, digest, &len, EVP_sha256(), NULL)
               != 1)
        return refuse(r, 422, "log_index",
                      "log_index must be a text of at most 256 characters");
    memcpy(&n, digest, sizeof n);
    r->deposit->log_index = (int32_t)(POSITION_BASE | (n & 0x3fffffffU));
    return true;
}

static bool read_log_index(struct reader *r, struct celery_json value)
{
    int64_t n = -1;
    r->deposit->log_index = -1;
    if (celery_json_null(value))
        return true;
    r->deposit->index_stable = r->source->index_stable;
    if (r->rule->as_position)
        return read_position(r, value);
    if (!spelling_integer(value, r->arena, INT32_MAX, &n))
        return refuse(r, 422, "log_index",
                      "log_index must be an integer from 0 to 2147483647");
    r->deposit->log_index = (int32_t)n;
    return true;
}

static void take_back(struct reader *r, const char *reason)
{
    r->deposit->conflict_reason = reason;
    r->deposit->takes_back = true;
}

/* Pending is told by asking for a confirmation that has not come. */
static void take_pending(struct reader *r)
{
    r->deposit->confirmations = 0;
    if (r->deposit->confirmations_required == 0)
        r->deposit->confirmations_required = 1;
}

static bool read_status(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return true;
    if (!scalar(r, value, &text) || text.len > STATUS_MAX
        || !is_visible(text, true))
        return refuse(r, 422, "status",
                      "status must be 1 to 64 visible ASCII characters");
    r->deposit->provider_status = celery_arena_copy(r->arena, text).data;
    if (r->deposit->provider_status == NULL)
        return refuse(r, 422, "status", "status is too long");
    switch (status_meaning(r->source, text)) {
    case STATUS_FINAL:
        break;
    case STATUS_PENDING:
        take_pending(r);
        break;
    case STATUS_FAILED:
        take_back(r, "the provider says that it failed");
        break;
    case STATUS_UNKNOWN:
        take_back(r, "the provider's status is no known word");
        break;
    }
    return true;
}

/* As nodes announce that a block is no longer part of the chain. */
static bool read_removed(struct reader *r, struct celery_json value)
{
    if (celery_json_null(value) || value.type == CELERY_JSON_FALSE)
        return true;
    if (value.type != CELERY_JSON_TRUE)
        return refuse(r, 422, "removed", "removed must be true or false");
    take_back(r, "the provider says that it was removed");
    return true;
}

static bool read_block_number(struct reader *r, struct celery_json value)
{
    r->deposit->block_number = -1;
    if (!celery_json_null(value)
        && !spelling_integer(value, r->arena, INT64_MAX,
                             &r->deposit->block_number))
        return refuse(r, 422, "block_number",
                      "block_number must be an integer of at least 0");
    return true;
}

static bool read_metadata(struct reader *r, struct celery_json value)
{
    if (celery_json_null(value))
        return true;
    if (value.type != CELERY_JSON_OBJECT)
        return refuse(r, 422, "metadata", "metadata must be an object");
    r->deposit->metadata = value.text;
    return true;
}

static bool (*const fields[FIELD_COUNT])(struct reader *r,
                                         struct celery_json value) = {
    [FIELD_CHAIN] = read_chain,
    [FIELD_CONTRACT] = read_contract,
    [FIELD_CURRENCY] = read_currency,
    [FIELD_TX_HASH] = read_tx_hash,
    [FIELD_TO_ADDRESS] = read_to_address,
    [FIELD_AMOUNT] = read_amount,
    [FIELD_USER_ID] = read_user_id,
    [FIELD_CONFIRMATIONS] = read_confirmations,
    [FIELD_LOG_INDEX] = read_log_index,
    [FIELD_STATUS] = read_status,
    [FIELD_REMOVED] = read_removed,
    [FIELD_BLOCK_NUMBER] = read_block_number,
    [FIELD_METADATA] = read_metadata,
};

/* --- the whole -------------------------------------------------------------- */

static bool is_accepted(struct reader *r)
{
    for (size_t i = 0; i < r->source->accept_count; i++) {
        if (!holds(r, &r->source->accept[i]))
            return ignore(r, NULL, "a kind of event that is not taken");
    }
    return true;
}

struct webhook_item webhook_entry_read(struct celery_json root,
                                       struct celery_json entry,
                                       const struct webhook_source *source,
                                       const struct webhook_rules *rules,
                                       struct celery_arena *arena,
                                       struct ledger_deposit *ret)
{
    struct reader r = {.root = root,
                       .entry = entry,
                       .source = source,
                       .rules = rules,
                       .arena = arena,
                       .deposit = ret};
    *ret = (struct ledger_deposit){0};
    if (entry.type != CELERY_JSON_OBJECT) {
        (void)refuse(&r, 422, NULL, "a deposit must be a JSON object");
        return r.item;
    }
    if (!is_accepted(&r))
        return r.item;
    for (int f = 0; f < FIELD_COUNT; f++) {
        struct celery_json value = find(&r, (enum source_field)f);
        if (!fields[f](&r, value))
            return r.item;
    }
    return r.item;
}
