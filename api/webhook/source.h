/* SPDX-License-Identifier: MIT */
/*
 * Who sends webhooks and how to read them. A chain's own path is a source whose
 * body is ours (docs/api.md); WEBHOOK_SOURCES_FILE names others
 * (docs/sources/README.md). Built once, then only read.
 */
#ifndef WEBHOOK_SOURCE_H
#define WEBHOOK_SOURCE_H

#include "http/peers.h"
#include "ledger/ledger.h"
#include "webhook/chains.h"
#include "webhook/rate_limit.h"
#include "webhook/signature.h"
#include "webhook/signing_secrets.h"

enum source_field {
    FIELD_CHAIN, /* first: it decides on hashes, addresses and decimals */
    FIELD_CONTRACT,
    FIELD_CURRENCY,
    FIELD_TX_HASH,
    FIELD_TO_ADDRESS,
    FIELD_AMOUNT,
    FIELD_USER_ID,
    FIELD_CONFIRMATIONS,
    FIELD_LOG_INDEX,
    FIELD_STATUS,
    FIELD_REMOVED,
    FIELD_BLOCK_NUMBER,
    FIELD_METADATA,
    FIELD_COUNT,
};

/* "chain", "contract", … */
const char *source_field_name(enum source_field field);

enum { SOURCE_RULES_MAX = 4, SOURCE_TESTS_MAX = 8 };

/* Owned texts. */
struct text_list {
    char **list;
    size_t count;
};

/* Does the value at path equal one of values, in any case? "" is an absent one.
 * path NULL: it does. */
struct source_test {
    char *path; /* json_path.h */
    struct text_list values;
};

/* Where a field stands, when the test holds. */
struct source_rule {
    char *path;
    struct source_test when;
    char after_last; /* the text begins behind the last one of these; 0: none */
    bool as_position; /* FIELD_LOG_INDEX: a text that tells transfers apart */
};

struct source_rules {
    struct source_rule list[SOURCE_RULES_MAX];
    size_t count;
};

struct source_chain {
    char *word; /* what the sender calls it; owned */
    const struct chain *chain;
};

struct source_currency {
    char name[LEDGER_CURRENCY_MAX];
    const struct chain *chain; /* NULL: on any */
    char *contract;            /* canonical; NULL: the chain's own coin */
    char *symbol;              /* what the sender calls it; NULL: name */
    int decimals;
};

struct webhook_source {
    char name[LEDGER_SOURCE_MAX];
    bool is_native; /* the path of a chain: our own body */
    struct signature_scheme schemes[SIGNATURE_SCHEMES_MAX];
    size_t scheme_count;
    struct signing_secrets secrets;
    bool is_unsigned; /* WEBHOOK_ALLOW_UNSIGNED */
    struct source_chain *chains;
    size_t chain_count;
    bool must_name_chain; /* a secret counts elsewhere, too: the signed body
                             has to say what it is for */
    struct source_currency *currencies; /* none: any, as the body calls it */
    size_t currency_count;
    bool base_units;        /* amounts count the currency's smallest unit */
    struct text_list final; /* none: the words of status.h; so the next two */
    struct text_list pending;
    struct text_list failed;
    char *items; /* where the list of deposits stands; NULL: the body is one */
    struct source_rules fields[FIELD_COUNT];
    struct source_test
        accept[SOURCE_TESTS_MAX]; /* all hold, or it is ignored */
    size_t accept_count;
    struct text_list addresses; /* ours, sorted; none: all are */
    bool index_stable;
    bool assume_final;
    char *event_id; /* where the sender's id of the event stands; NULL: in the
                       signature's headers, if there */
    int refused_status; /* 422, or 200 for senders that give up otherwise */
    struct peer_set allow_from; /* none: anybody */
    struct rate_limit rate;
};

/* Makes the empty source the path of a chain: our own body, which names every
 * field as we do. chain is borrowed. */
void webhook_source_native(struct webhook_source *source,
                           const struct chain *chain);

void webhook_source_done(struct webhook_source *source);

void text_list_done(struct text_list *list);
void text_list_add(struct text_list *list, const char *text, size_t len);

/* Whatever the case of its letters. */
bool text_list_has(const struct text_list *list, struct celery_str text);

/* The same in a long list, which text_list_sort() has put in order. */
void text_list_sort(struct text_list *list);
bool text_list_find(const struct text_list *list, struct celery_str text);

#endif /* WEBHOOK_SOURCE_H */
