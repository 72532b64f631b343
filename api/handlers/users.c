/* SPDX-License-Identifier: MIT */
/*
 * POST /api/v1/auth/register {"telegram_id", "username"}: 201 with a new user_id
 * or 409. Who has the scope users is told there whose the name or the telegram id
 * is, and can choose the user_id, to attribute deposits that wait for it.
 */
#include <string.h>

#include "api.h"
#include "base/ascii.h"
#include "base/cleanup.h"
#include "celery/json_scan.h"
#include "celery/task_id.h"
#include "handlers/handlers.h"
#include "log/log.h"

enum { NAME_MIN = 3, NAME_MAX = 48 };

struct registration {
    int64_t telegram_id; /* 0: none */
    char username[NAME_MAX + 1];
    char user_id[LEDGER_ID_MAX]; /* "": a new one */
};

/* Letters that look like others, run backwards or cannot be seen let one user
 * pass for another: only these, and case makes no other name. */
static bool is_name(struct celery_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!ascii_is_alnum(c) && c != '_' && c != '.' && c != '-')
            return false;
    }
    return text.len >= NAME_MIN && text.len <= NAME_MAX;
}

static const char *read_fields(struct celery_json root,
                               struct celery_arena *arena,
                               struct registration *ret, const char **ret_field)
{
    struct celery_str text = {0};
    struct celery_json id = celery_json_get(root, "telegram_id");
    struct celery_json user_id = celery_json_get(root, "user_id");
    *ret_field = "username";
    if (celery_json_string(celery_json_get(root, "username"), arena, &text)
            != CELERY_OK
        || !is_name(text))
        return "username must be 3 to 48 of the characters A-Z a-z 0-9 _ . -";
    memcpy(ret->username, text.data, text.len);
    *ret_field = "telegram_id";
    if (!celery_json_null(id)
        && (!celery_json_int64(id, &ret->telegram_id) || ret->telegram_id <= 0))
        return "telegram_id must be an integer above 0";
    *ret_field = "user_id";
    if (celery_json_null(user_id))
        return NULL;
    if (celery_json_string(user_id, arena, &text) != CELERY_OK
        || !celery_task_id_valid(text))
        return "user_id must be a UUID";
    memcpy(ret->user_id, text.data, text.len);
    return NULL;
}

static bool read_body(struct http_request *request, struct registration *ret,
                      struct http_response *response)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json root = {0};
    const char *field = NULL;
    if (!http_content_type_is(request, "application/json")) {
        http_problem(response, request, 415,
                     "Content-Type must be application/json", NULL);
        return false;
    }
    if (celery_json_parse(celery_buf_str(&request->body), NULL, &root, NULL)
            != CELERY_OK
        || root.type != CELERY_JSON_OBJECT) {
        http_problem(response, request, 400, "the body must be a JSON object",
                     NULL);
        return false;
    }
    const char *error = read_fields(root, &arena, ret, &field);
    if (error == NULL)
        return true;
    http_problem(response, request, 422, error, field);
    return false;
}

static void answer_created(const struct registration *registration,
                           const char *user_id, struct http_response *response)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(&response->body);
    response->status = 201;
    celery_json_begin_object(&w);
    celery_json_key(&w, "ok");
    celery_json_put_bool(&w, true);
    celery_json_key(&w, "user_id");
    celery_json_put_text(&w, user_id);
    celery_json_key(&w, "username");
    celery_json_put_text(&w, registration->username);
    celery_json_key(&w, "telegram_id");
    if (registration->telegram_id != 0)
        celery_json_put_int(&w, registration->telegram_id);
    else
        celery_json_put_null(&w);
    celery_json_end_object(&w);
}

/* Whose the name is, only those are told who may see users: anybody could ask
 * for every name and number in turn. */
static void answer_taken(const struct http_request *request,
                         const struct auth_caller *caller, const char *user_id,
                         struct http_response *response)
{
    struct http_problem problem = {409, "user_taken",
                                   "username or telegram_id already registered",
                                   NULL};
    struct celery_json_writer w;
    http_problem_begin(response, request, &problem, &w);
    if ((caller->scopes & SCOPE_USERS) != 0) {
        celery_json_key(&w, "user_id");
        celery_json_put_text(&w, user_id);
    }
    celery_json_end_object(&w);
}

static void log_chosen(const struct http_request *request,
                       const struct auth_caller *caller, const char *user_id)
{
    LOG_EVENT(LOG_LEVEL_INFO, "user_id_chosen", LOG_STR("user_id", user_id),
              LOG_STR("caller", caller->name),
              LOG_STR("request_id", request->id));
}

void handle_register(void *arg, struct http_request *request,
                     struct http_response *response)
{
    struct api *api = arg;
    struct registration registration = {0};
    struct celery_error err = {0};
    char user_id[LEDGER_ID_MAX] = "";
    bool created = false;
    if (!read_body(request, &registration, response))
        return;
    bool chosen = registration.user_id[0] != '\0';
    struct auth_caller caller = caller_of(api, request);
    if (chosen && (caller.scopes & SCOPE_USERS) == 0) {
        http_problem_code(response, request, 403, "scope",
                          "user_id may be chosen with the scope 'users' only",
                          "user_id");
        return;
    }
    enum celery_status st = ledger_register_user(
        api->ledger, registration.telegram_id, registration.username,
        chosen ? registration.user_id : NULL, user_id, &created, &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, &err);
    else if (!created)
        answer_taken(request, &caller, user_id, response);
    else
        answer_created(&registration, user_id, response);
    if (st == CELERY_OK && created && chosen)
        log_chosen(request, &caller, user_id);
}
