/* SPDX-License-Identifier: MIT */
#include "webhook/chains.h"

#include <string.h>

#include "base/ascii.h"
#include "base/cleanup.h"
#include "celery/json_scan.h"
#include "ledger/amount.h"

bool chain_name(struct celery_str text, char ret_name[LEDGER_CHAIN_MAX])
{
    if (text.len == 0 || text.len >= LEDGER_CHAIN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool inner = i > 0 && (c == '-' || c == '_');
        if (!ascii_is_alnum(c) && !inner)
            return false;
    }
    for (size_t i = 0; i < text.len; i++)
        ret_name[i] = ascii_lower(text.data[i]);
    ret_name[text.len] = '\0';
    return true;
}

static struct chain *find(struct chains *chains, const char *name)
{
    for (size_t i = 0; i < chains->count; i++) {
        if (strcmp(chains->list[i].name, name) == 0)
            return &chains->list[i];
    }
    return NULL;
}

/* WEBHOOK_SECRET_<CHAIN> of such a name would be a _FILE form. */
static bool ends_in_file(const char *name)
{
    size_t len = strlen(name);
    return len >= 4 && strcmp(name + len - 4, "file") == 0
        && (len == 4 || name[len - 5] == '_' || name[len - 5] == '-');
}

/* "name" or "name:kind" into a new row. */
static bool add(struct chains *chains, struct celery_str text)
{
    const char *colon = memchr(text.data, ':', text.len);
    struct celery_str name = text;
    struct chain row = {.decimals = AMOUNT_DECIMALS};
    if (colon != NULL)
        name.len = (size_t)(colon - text.data);
    if (!chain_name(name, row.name) || ends_in_file(row.name)
        || find(chains, row.name) != NULL || chains->count == CHAINS_MAX)
        return false;
    row.kind = chain_kind_of(row.name);
    if (colon != NULL
        && !chain_kind_parse(
            (struct celery_str){colon + 1, text.len - name.len - 1}, &row.kind))
        return false;
    chains->list[chains->count++] = row;
    return true;
}

/* A transfer that is told of under both would be two deposits. */
static enum celery_status check_networks(const struct chains *chains,
                                         struct celery_error *err)
{
    for (size_t i = 0; i < chains->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (chain_same_network(chains->list[i].name, chains->list[k].name))
                return celery_fail(err, CELERY_INVALID,
                                   "WEBHOOK_CHAINS: '%s' and '%s' are names of "
                                   "one network; accepted: one of them",
                                   chains->list[k].name, chains->list[i].name);
        }
    }
    return CELERY_OK;
}

/* Blanks around a name do not count. */
static struct celery_str trimmed(const char *p, size_t len)
{
    while (len > 0 && *p == ' ') {
        p++;
        len--;
    }
    while (len > 0 && p[len - 1] == ' ')
        len--;
    return (struct celery_str){p, len};
}

static enum celery_status read_list(struct chains *chains, const char *text,
                                    struct celery_error *err)
{
    const char *p = text;
    do {
        size_t len = strcspn(p, ",");
        if (!add(chains, trimmed(p, len)))
            return celery_fail(
                err, CELERY_INVALID,
                "WEBHOOK_CHAINS='%.60s' is not accepted; "
                "accepted: up to %d names, comma-separated, each "
                "once, each with ':evm', ':bitcoin', ':tron', "
                "':solana' or ':other' where the name does not "
                "tell",
                text, (int)CHAINS_MAX);
        p += len;
    } while (*p++ == ',');
    return check_networks(chains, err);
}

static enum celery_status read_decimals(struct chains *chains, const char *text,
                                        struct celery_error *err)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root = {0};
    struct celery_json key = {0};
    struct celery_json value = {0};
    if (celery_json_parse((struct celery_str){text, strlen(text)}, NULL, &root,
                          NULL)
            != CELERY_OK
        || root.type != CELERY_JSON_OBJECT)
        return celery_fail(err, CELERY_INVALID,
                           "CHAIN_DECIMALS='%.60s' is not accepted; accepted: "
                           "a JSON object such as {\"bep20\":18}",
                           text);
    struct celery_json_iter iter = celery_json_iter(root);
    while (celery_json_next(&iter, &key, &value)) {
        char name[LEDGER_CHAIN_MAX];
        struct celery_str slice = {0};
        int64_t decimals = 0;
        struct chain *chain = NULL;
        if (celery_json_string(key, &arena, &slice) == CELERY_OK
            && chain_name(slice, name))
            chain = find(chains, name);
        if (chain == NULL || !celery_json_int64(value, &decimals)
            || decimals < 0 || decimals > AMOUNT_DECIMALS)
            return celery_fail(err, CELERY_INVALID,
                               "CHAIN_DECIMALS: '%.*s' is not accepted; "
                               "accepted: decimals from 0 to %d for a chain of "
                               "WEBHOOK_CHAINS",
                               (int)(key.text.len < 40 ? key.text.len : 40),
                               key.text.data, (int)AMOUNT_DECIMALS);
        chain->decimals = (int)decimals;
    }
    return CELERY_OK;
}

static enum celery_status read_final(struct chains *chains, const char *text,
                                     struct celery_error *err)
{
    for (const char *p = text; *p != '\0';) {
        size_t len = strcspn(p, ",");
        char name[LEDGER_CHAIN_MAX];
        struct chain *chain = NULL;
        if (chain_name(trimmed(p, len), name))
            chain = find(chains, name);
        if (chain == NULL)
            return celery_fail(err, CELERY_INVALID,
                               "CHAIN_ASSUME_FINAL='%.60s' is not accepted; "
                               "accepted: chains of WEBHOOK_CHAINS, "
                               "comma-separated",
                               text);
        chain->assume_final = true;
        p += len + (p[len] == ',');
    }
    return CELERY_OK;
}

enum celery_status chains_init(struct chains *chains, const char *list,
                               const char *decimals_json,
                               const char *assume_final,
                               struct celery_error *err)
{
    *chains = (struct chains){0};
    enum celery_status st = read_list(chains, list, err);
    if (st == CELERY_OK && decimals_json != NULL)
        st = read_decimals(chains, decimals_json, err);
    if (st == CELERY_OK && assume_final != NULL)
        st = read_final(chains, assume_final, err);
    return st;
}

const struct chain *chains_find(const struct chains *chains, const char *name)
{
    for (size_t i = 0; i < chains->count; i++) {
        if (strcmp(chains->list[i].name, name) == 0)
            return &chains->list[i];
    }
    return NULL;
}
