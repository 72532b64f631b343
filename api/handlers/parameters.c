/* SPDX-License-Identifier: MIT */
/*
 * What all handlers share: who asks, the parts of the path, the query's
 * parameters, and what a failed ledger answers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "handlers/handlers.h"

struct auth_caller caller_of(struct api *api,
                             const struct http_request *request)
{
    struct secrets *secrets = secrets_hold(&api->secrets);
    struct auth_caller caller = auth_identify(&secrets->auth, request);
    secrets_release(&api->secrets, secrets);
    return caller;
}

bool read_query(const struct http_request *request, struct query *ret,
                struct http_response *response)
{
    struct query_fault fault = {0};
    if (query_parse(ret, request->query, &fault))
        return true;
    http_problem_code(response, request, 400, "parameter", fault.error,
                      fault.field[0] != '\0' ? fault.field : NULL);
    return false;
}

/* The parts of the path that stand for something. */
static bool check_path(const struct http_request *request,
                       struct http_response *response)
{
    for (size_t i = 0; i < request->param_count; i++) {
        const struct http_param *param = &request->params[i];
        if (query_is_text(param->value))
            continue;
        char *field = strndup(param->name.data, param->name.len);
        http_problem_code(response, request, 400, "parameter",
                          "this part of the path is not UTF-8 text without NUL",
                          field);
        free(field);
        return false;
    }
    return true;
}

bool check_parameters(const struct http_request *request,
                      struct http_response *response)
{
    CLEANUP(query_done) struct query query = {.text = NULL};
    return check_path(request, response)
        && read_query(request, &query, response);
}

bool query_text(const struct http_request *request, const struct query *query,
                const char *name, size_t size, const char **ret,
                struct http_response *response)
{
    const char *value = query_get(query, name);
    *ret = value;
    if (value == NULL)
        return true;
    if (value[0] == '\0')
        http_problem_code(response, request, 400, "parameter",
                          "the parameter is empty; leave it out", name);
    else if (strlen(value) >= size)
        http_problem(response, request, 422, "parameter is too long", name);
    else
        return true;
    return false;
}

bool query_visible(const struct http_request *request,
                   const struct query *query, const char *name, size_t size,
                   const char **ret, struct http_response *response)
{
    if (!query_text(request, query, name, size, ret, response))
        return false;
    for (const char *p = *ret; p != NULL && *p != '\0'; p++) {
        if (*p > ' ' && *p <= '~')
            continue;
        http_problem(response, request, 422,
                     "the parameter must be of visible ASCII characters", name);
        return false;
    }
    return true;
}

bool path_text(const struct http_request *request, const char *name,
               char *ret_text, size_t size)
{
    struct celery_str part = http_param(request, name);
    if (part.len >= size)
        return false;
    memcpy(ret_text, part.data, part.len);
    ret_text[part.len] = '\0';
    return true;
}

void answer_ledger_error(const struct http_request *request,
                         struct http_response *response,
                         const struct celery_error *err)
{
    if (ledger_outcome_unknown(err))
        http_unavailable_code(response, request, "outcome_unknown",
                              "the outcome is unknown; send it again");
    else
        http_unavailable(response, request, "the ledger is not available");
}
