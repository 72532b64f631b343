/* SPDX-License-Identifier: MIT */
#include "webhook/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/xalloc.h"
#include "conf/environment.h"

/* environ, for the variables that no chain explains. */
#include <unistd.h>

static const char secret_variable[] = "WEBHOOK_SECRET";

struct webhook_source *sources_add(struct sources *sources)
{
    if (sources->count == SOURCES_MAX)
        return NULL;
    struct webhook_source *added = &sources->list[sources->count++];
    *added = (struct webhook_source){.refused_status = 422};
    rate_limit_init(&added->rate, 0);
    return added;
}

void sources_free(struct sources *sources)
{
    if (sources == NULL)
        return;
    for (size_t i = 0; i < sources->count; i++)
        webhook_source_done(&sources->list[i]);
    free(sources->list);
    free(sources);
}

struct webhook_source *sources_named(struct sources *sources, const char *name)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->list[i].name, name) == 0)
            return &sources->list[i];
    }
    return NULL;
}

struct webhook_source *sources_find(struct sources *sources,
                                    struct celery_str path)
{
    char name[LEDGER_SOURCE_MAX];
    return chain_name(path, name) ? sources_named(sources, name) : NULL;
}

/* --- a chain's own path --------------------------------------------------- */

/* WEBHOOK_SECRET_BEP20 for "bep20"; '-' is '_'. */
static void chain_variable(const char *chain,
                           char ret[sizeof secret_variable + LEDGER_CHAIN_MAX])
{
    size_t n = sizeof secret_variable - 1;
    memcpy(ret, secret_variable, n);
    ret[n++] = '_';
    for (const char *p = chain; *p != '\0'; p++)
        ret[n++] = ascii_upper((char)(*p == '-' ? '_' : *p));
    ret[n] = '\0';
}

/* Its own secrets, or those of all chains. */
static enum celery_status read_secrets(struct webhook_source *source,
                                       const char *common,
                                       struct celery_error *err)
{
    char variable[sizeof secret_variable + LEDGER_CHAIN_MAX];
    char *text = NULL;
    char *path = NULL;
    chain_variable(source->name, variable);
    enum celery_status st = environment_read(variable, true, &text, &path, err);
    if (st == CELERY_OK && text != NULL)
        st = signing_secrets_read(&source->secrets, variable, text, false, err);
    else if (st == CELERY_OK && common != NULL)
        st = signing_secrets_read(&source->secrets, secret_variable, common,
                                  false, err);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    free(path);
    return st;
}

static enum celery_status check_signed(const struct webhook_source *source,
                                       bool allow_unsigned,
                                       struct celery_error *err)
{
    if (source->secrets.count > 0 || allow_unsigned)
        return CELERY_OK;
    char variable[sizeof secret_variable + LEDGER_CHAIN_MAX];
    chain_variable(source->name, variable);
    return celery_fail(err, CELERY_INVALID,
                       "neither %s nor %s is set; accepted: a secret in one of "
                       "them, or WEBHOOK_ALLOW_UNSIGNED=1 to accept webhooks "
                       "from anyone",
                       variable, secret_variable);
}

static enum celery_status add_chains(struct sources *sources,
                                     const struct conf *conf,
                                     struct celery_error *err)
{
    const char *common = conf_text(conf, "WEBHOOK_SECRET");
    bool allow_unsigned = conf_bool(conf, "WEBHOOK_ALLOW_UNSIGNED");
    for (size_t i = 0; i < sources->chains.count; i++) {
        struct webhook_source *source = sources_add(sources);
        if (source == NULL)
            return celery_fail(err, CELERY_INVALID, "too many chains");
        webhook_source_native(source, &sources->chains.list[i]);
        source->is_unsigned = allow_unsigned;
        enum celery_status st = read_secrets(source, common, err);
        if (st == CELERY_OK)
            st = check_signed(source, allow_unsigned, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

/* --- what must hold for all ------------------------------------------------- */

static bool is_listed(const struct sources *sources, const char *variable,
                      size_t len)
{
    for (size_t i = 0; i < sources->chains.count; i++) {
        char own[sizeof secret_variable + LEDGER_CHAIN_MAX];
        chain_variable(sources->chains.list[i].name, own);
        if (strlen(own) == len && strncmp(own, variable, len) == 0)
            return true;
    }
    return false;
}

/* A secret for a chain that is not listed is a mistake that would go unseen. */
static enum celery_status check_variables(const struct sources *sources,
                                          struct celery_error *err)
{
    size_t prefix = sizeof secret_variable - 1;
    for (char **p = environ; *p != NULL; p++) {
        size_t len = strcspn(*p, "=");
        if (len < prefix + 2 || strncmp(*p, secret_variable, prefix) != 0
            || (*p)[prefix] != '_')
            continue;
        size_t name = len;
        if (len > 5 && strncmp(*p + len - 5, "_FILE", 5) == 0)
            name -= 5;
        if (name == prefix || is_listed(sources, *p, name)
            || is_listed(sources, *p, len))
            continue;
        return celery_fail(err, CELERY_INVALID,
                           "%.*s is set, but WEBHOOK_CHAINS does not list that "
                           "chain; accepted: secrets of chains that are listed",
                           (int)(len < 80 ? len : 80), *p);
    }
    return CELERY_OK;
}

/* A signature that counts at another path as well must say what it is for. */
static void find_shared(struct sources *sources, bool allow_unsigned)
{
    for (size_t i = 0; i < sources->count; i++) {
        struct webhook_source *a = &sources->list[i];
        if (a->is_native && allow_unsigned && a->secrets.count == 0)
            a->must_name_chain = false; /* nothing is signed */
        for (size_t k = 0; k < sources->count; k++) {
            if (k != i && a->is_native
                && signing_secrets_shared(&a->secrets,
                                          &sources->list[k].secrets))
                a->must_name_chain = true;
        }
    }
}

/* A named source's body has no word for its path: its secrets are its own. */
static enum celery_status check_own_secrets(const struct sources *sources,
                                            struct celery_error *err)
{
    for (size_t i = 0; i < sources->count; i++) {
        const struct webhook_source *a = &sources->list[i];
        for (size_t k = 0; k < sources->count; k++) {
            const struct webhook_source *b = &sources->list[k];
            if (k == i || a->is_native
                || !signing_secrets_shared(&a->secrets, &b->secrets))
                continue;
            return celery_fail(err, CELERY_INVALID,
                               "sources '%s' and '%s' have a secret in common; "
                               "accepted: secrets of its own for each source",
                               a->name, b->name);
        }
    }
    return CELERY_OK;
}

enum celery_status sources_read(const struct conf *conf, struct sources **ret,
                                struct celery_error *err)
{
    struct sources *sources = xcalloc(1, sizeof *sources);
    sources->list = xcalloc(SOURCES_MAX, sizeof *sources->list);
    const char *file = conf_text(conf, "WEBHOOK_SOURCES_FILE");
    enum celery_status st =
        chains_init(&sources->chains, conf_text(conf, "WEBHOOK_CHAINS"),
                    conf_text(conf, "CHAIN_DECIMALS"),
                    conf_text(conf, "CHAIN_ASSUME_FINAL"), err);
    if (st == CELERY_OK)
        st = add_chains(sources, conf, err);
    if (st == CELERY_OK)
        st = check_variables(sources, err);
    if (st == CELERY_OK && file != NULL)
        st = sources_file_read(sources, file, err);
    if (st == CELERY_OK)
        st = check_own_secrets(sources, err);
    if (st != CELERY_OK) {
        sources_free(sources);
        return st;
    }
    find_shared(sources, conf_bool(conf, "WEBHOOK_ALLOW_UNSIGNED"));
    *ret = sources;
    return CELERY_OK;
}

/* --- what is in force ------------------------------------------------------- */

static bool is_repeated(const struct webhook_source *source, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (source->chains[k].chain == source->chains[i].chain)
            return true;
    }
    return false;
}

static void print_chains(const struct webhook_source *source, FILE *out)
{
    for (size_t i = 0; i < source->chain_count; i++) {
        const struct chain *chain = source->chains[i].chain;
        if (!is_repeated(source, i))
            (void)fprintf(out, "%s %s (%s)", i > 0 ? "," : "", chain->name,
                          chain_kind_name(chain->kind));
    }
}

void sources_print(const struct sources *sources, FILE *out)
{
    for (size_t i = 0; i < sources->count; i++) {
        const struct webhook_source *source = &sources->list[i];
        (void)fprintf(out, "# /api/v1/webhooks/%s:", source->name);
        print_chains(source, out);
        (void)fprintf(out, "; %zu secret%s", source->secrets.count,
                      source->secrets.count == 1 ? "" : "s");
        if (source->is_unsigned)
            (void)fputs("; unsigned webhooks are accepted", out);
        if (source->must_name_chain)
            (void)fputs("; a body must name its chain", out);
        (void)fputc('\n', out);
    }
}
