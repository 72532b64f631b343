/* SPDX-License-Identifier: MIT */
/*
 * Queries: whatever is accepted has text for names and values, no name twice, and
 * reads back from what it decodes to; a refusal says why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "query.h"

static bool is_text(const char *text)
{
    return query_is_text((struct celery_str){text, strlen(text)});
}

/* Every byte as an escape: another spelling of the same. */
static void spell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        (void)fprintf(out, "%%%02x", (unsigned char)*text);
}

static void check_same(const struct query *query)
{
    char *text = NULL;
    size_t len = 0;
    struct query again = {.text = NULL};
    struct query_fault fault = {0};
    FILE *out = open_memstream(&text, &len);
    HOLDS(out != NULL);
    for (size_t i = 0; i < query->count; i++) {
        spell(out, query->params[i].name);
        (void)fputc('=', out);
        spell(out, query->params[i].value);
        (void)fputc('&', out);
    }
    (void)fclose(out);
    HOLDS(query_parse(&again, text, &fault));
    HOLDS(again.count == query->count);
    for (size_t i = 0; i < query->count; i++) {
        HOLDS(strcmp(again.params[i].name, query->params[i].name) == 0);
        HOLDS(strcmp(again.params[i].value, query->params[i].value) == 0);
    }
    query_done(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query query = {.text = NULL};
    struct query_fault fault = {0};
    char *text = calloc(size + 1, 1);
    HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    if (query_parse(&query, text, &fault)) {
        HOLDS(query.count <= QUERY_PARAMS_MAX);
        for (size_t i = 0; i < query.count; i++) {
            HOLDS(is_text(query.params[i].name));
            HOLDS(is_text(query.params[i].value));
            HOLDS(query_get(&query, query.params[i].name)
                  == query.params[i].value);
        }
        check_same(&query);
    } else {
        HOLDS(fault.error != NULL && is_text(fault.field));
    }
    query_done(&query);
    free(text);
    return 0;
}
