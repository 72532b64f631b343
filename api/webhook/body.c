/* SPDX-License-Identifier: MIT */
#include "webhook/body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "celery/json_scan.h"
#include "celery/task_id.h"
#include "ledger/amount.h"

enum { ADDRESS_MAX = 128, STATUS_MAX = 64 };

struct reader {
    struct celery_str path_chain;
    const struct webhook_rules *rules;
    struct celery_arena *arena;
    struct ledger_deposit *deposit;
    struct chain chain;
    struct webhook_fault *fault;
};

static bool refuse(struct reader *r, int status, const char *field,
                   const char *error)
{
    *r->fault = (struct webhook_fault){status, error, field};
    return false;
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

/* The string's text; false when value is no string of 1 to max bytes that are
 * visible. */
static bool read_visible(struct reader *r, struct celery_json value, size_t max,
                         bool spaces, struct celery_str *ret)
{
    struct celery_str text = {0};
    if (celery_json_string(value, r->arena, &text) != CELERY_OK)
        return false;
    if (text.len == 0 || text.len > max || !is_visible(text, spaces))
        return false;
    *ret = text;
    return true;
}

/* text is shorter than the room it is copied to. */
static void copy(char *to, struct celery_str text)
{
    memcpy(to, text.data, text.len);
    to[text.len] = '\0';
}

/* --- the fields, a function each ---------------------------------------- */

static bool read_chain(struct reader *r, struct celery_json value)
{
    char named[LEDGER_CHAIN_MAX];
    struct celery_str text = {0};
    if (!chain_name(r->path_chain, r->deposit->chain))
        return refuse(r, 422, "chain",
                      "chain must be 1 to 32 letters, digits, '-' or '_'");
    r->chain = chains_find(r->rules->chains, r->deposit->chain);
    if (celery_json_null(value))
        return true;
    if (!read_visible(r, value, LEDGER_CHAIN_MAX - 1, false, &text)
        || !chain_name(text, named) || strcmp(named, r->deposit->chain) != 0)
        return refuse(r, 422, "chain", "chain must equal the path's");
    return true;
}

/* 0x… in hexadecimal means the same in either case: two notifiers of one deposit
 * must not make two of it. Other hashes (base58) are taken letter by letter. */
static void fold_hex(char *text)
{
    if (text[0] != '0' || ascii_lower(text[1]) != 'x' || text[2] == '\0')
        return;
    for (const char *p = text + 2; *p != '\0'; p++) {
        if (ascii_hex(*p) < 0)
            return;
    }
    for (char *p = text; *p != '\0'; p++)
        *p = ascii_lower(*p);
}

static bool read_tx_hash(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (!read_visible(r, value, LEDGER_HASH_MAX - 1, false, &text))
        return refuse(r, 422, "tx_hash",
                      "tx_hash must be 1 to 128 visible ASCII characters");
    copy(r->deposit->tx_hash, text);
    fold_hex(r->deposit->tx_hash);
    return true;
}

/* Money that is really announced is never refused for its form: decimals that
 * we cannot hold make a conflict, with the amount cut. */
static bool take_amount(struct reader *r, struct celery_str text)
{
    struct amount amount = {0};
    int decimals = 0;
    enum celery_status st = amount_parse_cut(text, &amount, &decimals);
    if (st == CELERY_TOO_LARGE)
        return refuse(r, 422, "amount",
                      "amount must have at most 20 digits before the point");
    if (st != CELERY_OK)
        return refuse(r, 422, "amount",
                      "amount must be a decimal such as \"12.5\"");
    bool cut = decimals > r->chain.decimals;
    if (amount.units == 0 && !cut)
        return refuse(r, 422, "amount", "amount must be above zero");
    amount_format(amount, r->deposit->amount);
    if (cut)
        r->deposit->conflict_reason = "amount has more decimals than its chain";
    return true;
}

static bool read_amount(struct reader *r, struct celery_json value)
{
    struct celery_str text = value.text;
    if (value.type == CELERY_JSON_STRING) {
        if (celery_json_string(value, r->arena, &text) != CELERY_OK)
            return refuse(r, 422, "amount", "amount is too long");
    } else if (value.type != CELERY_JSON_NUMBER) {
        return refuse(r, 422, "amount",
                      "amount must be a decimal such as \"12.5\"");
    }
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

static bool read_number(struct celery_json value, int64_t max, int64_t *ret)
{
    int64_t n = 0;
    if (!celery_json_int64(value, &n) || n < 0 || n > max)
        return false;
    *ret = n;
    return true;
}

static bool read_confirmations(struct reader *r, struct celery_json value)
{
    r->deposit->confirmations_required = r->rules->confirmations_required;
    if (celery_json_null(value)) {
        if (r->chain.assume_final)
            r->deposit->confirmations = r->rules->confirmations_required;
        return true;
    }
    if (!read_number(value, INT64_MAX, &r->deposit->confirmations))
        return refuse(r, 422, "confirmations",
                      "confirmations must be an integer of at least 0");
    return true;
}

static bool read_log_index(struct reader *r, struct celery_json value)
{
    int64_t n = 0;
    if (!celery_json_null(value) && !read_number(value, INT32_MAX, &n))
        return refuse(r, 422, "log_index",
                      "log_index must be an integer from 0 to 2147483647");
    r->deposit->log_index = (int32_t)n;
    return true;
}

static bool read_block_number(struct reader *r, struct celery_json value)
{
    r->deposit->block_number = -1;
    if (!celery_json_null(value)
        && !read_number(value, INT64_MAX, &r->deposit->block_number))
        return refuse(r, 422, "block_number",
                      "block_number must be an integer of at least 0");
    return true;
}

static bool read_currency(struct reader *r, struct celery_json value)
{
    struct celery_str text = {r->rules->currency, strlen(r->rules->currency)};
    if (!celery_json_null(value)
        && !read_visible(r, value, LEDGER_CURRENCY_MAX - 1, false, &text))
        return refuse(r, 422, "currency",
                      "currency must be 1 to 16 visible ASCII characters");
    for (size_t i = 0; i < text.len; i++)
        r->deposit->currency[i] = ascii_upper(text.data[i]);
    return true;
}

static bool read_to_address(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return true;
    if (!read_visible(r, value, ADDRESS_MAX, false, &text))
        return refuse(r, 422, "to_address",
                      "to_address must be 1 to 128 visible ASCII characters");
    r->deposit->to_address = celery_arena_copy(r->arena, text).data;
    return r->deposit->to_address != NULL
        || refuse(r, 422, "to_address", "to_address is too long");
}

/* What a provider calls a transaction that moved no money. */
static bool is_failure(const char *status)
{
    static const char *const words[] = {"failed",  "reverted", "rejected",
                                        "dropped", "canceled", "cancelled",
                                        "expired", "error"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(status, words[i]) == 0)
            return true;
    }
    return false;
}

static bool read_status(struct reader *r, struct celery_json value)
{
    struct celery_str text = {0};
    if (celery_json_null(value))
        return true;
    if (!read_visible(r, value, STATUS_MAX, true, &text))
        return refuse(r, 422, "status",
                      "status must be 1 to 64 visible ASCII characters");
    r->deposit->provider_status = celery_arena_copy(r->arena, text).data;
    if (r->deposit->provider_status == NULL)
        return refuse(r, 422, "status", "status is too long");
    if (is_failure(r->deposit->provider_status))
        r->deposit->conflict_reason = "the provider says that it failed";
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

/* In this order: the chain first, since it decides on decimals. */
static const struct {
    const char *name;
    bool (*read)(struct reader *r, struct celery_json value);
} fields[] = {
    {"chain", read_chain},           {"tx_hash", read_tx_hash},
    {"amount", read_amount},         {"user_id", read_user_id},
    {"to_address", read_to_address}, {"confirmations", read_confirmations},
    {"log_index", read_log_index},   {"currency", read_currency},
    {"status", read_status},         {"block_number", read_block_number},
    {"metadata", read_metadata},
};

/* --- the whole ---------------------------------------------------------- */

/* NaN and Infinity are no JSON, although the codec, like Python, reads them.
 * Outside of strings only they have these letters. */
static bool has_nan(struct celery_str text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == 'N' || c == 'I'))
            return true;
    }
    return false;
}

/* Present and worth reading: the original's users know this answer. */
static bool is_missing(struct celery_json object, const char *key)
{
    struct celery_json value = celery_json_get(object, key);
    return celery_json_null(value)
        || (value.type == CELERY_JSON_STRING && value.text.len == 2);
}

bool webhook_body_read(struct celery_str body, struct celery_str chain,
                       const struct webhook_rules *rules,
                       struct celery_arena *arena, struct ledger_deposit *ret,
                       struct webhook_fault *ret_fault)
{
    static const struct celery_limits limits = {
        .message_bytes = WEBHOOK_BODY_MAX,
        .inflated_bytes = WEBHOOK_BODY_MAX,
        .elements = 10000,
        .depth = 64,
        .headers = 1000};
    struct reader r = {.path_chain = chain,
                       .rules = rules,
                       .arena = arena,
                       .deposit = ret,
                       .fault = ret_fault};
    struct celery_json root = {0};
    *ret = (struct ledger_deposit){0};
    if (celery_json_parse(body, &limits, &root, NULL) != CELERY_OK
        || has_nan(body))
        return refuse(&r, 400, NULL, "malformed JSON");
    if (root.type != CELERY_JSON_OBJECT)
        return refuse(&r, 400, NULL, "the body must be a JSON object");
    if (is_missing(root, "tx_hash") || is_missing(root, "amount"))
        return refuse(&r, 400,
                      is_missing(root, "tx_hash") ? "tx_hash" : "amount",
                      "missing tx_hash or amount");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!fields[i].read(&r, celery_json_get(root, fields[i].name)))
            return false;
    }
    return true;
}
