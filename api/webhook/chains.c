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

/* The chain's row, added when it is new; NULL when there is no room. */
static struct chain *row(struct chains *chains, const char *name)
{
    for (size_t i = 0; i < chains->count; i++) {
        if (strcmp(chains->list[i].name, name) == 0)
            return &chains->list[i];
    }
    if (chains->count == CHAINS_MAX)
        return NULL;
    struct chain *added = &chains->list[chains->count++];
    *added = (struct chain){.decimals = AMOUNT_DECIMALS};
    memcpy(added->name, name, strlen(name) + 1);
    return added;
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
            chain = row(chains, name);
        if (chain == NULL || !celery_json_int64(value, &decimals)
            || decimals < 0 || decimals > AMOUNT_DECIMALS)
            return celery_fail(err, CELERY_INVALID,
                               "CHAIN_DECIMALS: '%.*s' is not accepted; "
                               "accepted: decimals from 0 to %d for a chain",
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
        if (chain_name((struct celery_str){p, len}, name))
            chain = row(chains, name);
        if (chain == NULL)
            return celery_fail(err, CELERY_INVALID,
                               "CHAIN_ASSUME_FINAL='%.60s' is not accepted; "
                               "accepted: chains, comma-separated",
                               text);
        chain->assume_final = true;
        p += len + (p[len] == ',');
    }
    return CELERY_OK;
}

enum celery_status chains_init(struct chains *chains, const char *decimals_json,
                               const char *assume_final,
                               struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    *chains = (struct chains){0};
    if (decimals_json != NULL)
        st = read_decimals(chains, decimals_json, err);
    if (st == CELERY_OK && assume_final != NULL)
        st = read_final(chains, assume_final, err);
    return st;
}

struct chain chains_find(const struct chains *chains, const char *name)
{
    for (size_t i = 0; i < chains->count; i++) {
        if (strcmp(chains->list[i].name, name) == 0)
            return chains->list[i];
    }
    return (struct chain){.decimals = AMOUNT_DECIMALS};
}
