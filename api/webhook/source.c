/* SPDX-License-Identifier: MIT */
#include "webhook/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

enum { TEXT_FIND_MAX = 256 };

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_CHAIN] = "chain",           [FIELD_CONTRACT] = "contract",
    [FIELD_CURRENCY] = "currency",     [FIELD_TX_HASH] = "tx_hash",
    [FIELD_TO_ADDRESS] = "to_address", [FIELD_AMOUNT] = "amount",
    [FIELD_USER_ID] = "user_id",       [FIELD_CONFIRMATIONS] = "confirmations",
    [FIELD_LOG_INDEX] = "log_index",   [FIELD_STATUS] = "status",
    [FIELD_REMOVED] = "removed",       [FIELD_BLOCK_NUMBER] = "block_number",
    [FIELD_METADATA] = "metadata",
};

const char *source_field_name(enum source_field field)
{
    return field_names[field];
}

void text_list_add(struct text_list *list, const char *text, size_t len)
{
    list->list = xrealloc(list->list, (list->count + 1) * sizeof *list->list);
    list->list[list->count++] = xstrndup(text, len);
}

bool text_list_has(const struct text_list *list, struct celery_str text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->list[i]) == text.len
            && strncasecmp(list->list[i], text.data, text.len) == 0)
            return true;
    }
    return false;
}

static int by_letters(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

void text_list_sort(struct text_list *list)
{
    if (list->count > 0)
        qsort(list->list, list->count, sizeof *list->list, by_letters);
}

bool text_list_find(const struct text_list *list, struct celery_str text)
{
    char key[TEXT_FIND_MAX + 1];
    char *p = key;
    if (text.len > TEXT_FIND_MAX || list->count == 0)
        return false;
    memcpy(key, text.data, text.len);
    key[text.len] = '\0';
    return bsearch(&p, list->list, list->count, sizeof *list->list, by_letters)
        != NULL;
}

void text_list_done(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->list[i]);
    free(list->list);
    *list = (struct text_list){0};
}

static void test_done(struct source_test *test)
{
    free(test->path);
    text_list_done(&test->values);
}

static void fields_done(struct source_rules *fields)
{
    for (size_t f = 0; f < FIELD_COUNT; f++) {
        for (size_t i = 0; i < fields[f].count; i++) {
            free(fields[f].list[i].path);
            test_done(&fields[f].list[i].when);
        }
    }
}

void webhook_source_done(struct webhook_source *source)
{
    signing_secrets_done(&source->secrets);
    for (size_t i = 0; i < source->chain_count; i++)
        free(source->chains[i].word);
    free(source->chains);
    for (size_t i = 0; i < source->currency_count; i++) {
        free(source->currencies[i].contract);
        free(source->currencies[i].symbol);
    }
    free(source->currencies);
    text_list_done(&source->final);
    text_list_done(&source->pending);
    text_list_done(&source->failed);
    text_list_done(&source->addresses);
    free(source->items);
    fields_done(source->fields);
    for (size_t i = 0; i < source->accept_count; i++)
        test_done(&source->accept[i]);
    free(source->event_id);
    peer_set_done(&source->allow_from);
    rate_limit_done(&source->rate);
}

static void add_field(struct webhook_source *source, enum source_field field,
                      const char *path)
{
    struct source_rules *rules = &source->fields[field];
    rules->list[rules->count++].path = xstrdup(path);
}

void webhook_source_native(struct webhook_source *source,
                           const struct chain *chain)
{
    for (int field = 0; field < FIELD_COUNT; field++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/%s",
                       source_field_name((enum source_field)field));
        if (field != FIELD_CONTRACT)
            add_field(source, (enum source_field)field, path);
    }
    source->is_native = true;
    (void)snprintf(source->name, sizeof source->name, "%s", chain->name);
    source->assume_final = chain->assume_final;
    source->chains = xcalloc(1, sizeof *source->chains);
    source->chains[0] = (struct source_chain){xstrdup(chain->name), chain};
    source->chain_count = 1;
    const struct signature_scheme *schemes =
        signature_defaults(&source->scheme_count);
    memcpy(source->schemes, schemes, source->scheme_count * sizeof *schemes);
}
