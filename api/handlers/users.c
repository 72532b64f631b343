/* SPDX-License-Identifier: MIT */
/*
 * POST /api/v1/auth/register {"telegram_id", "username"}: 201 with a new user_id
 * or 409 with the one that has the name or the telegram id. A caller who may use
 * the guarded routes can choose the user_id, to attribute deposits that wait for
 * it.
 */
#include <string.h>

#include "api.h"
#include "base/cleanup.h"
#include "celery/json_scan.h"
#include "celery/task_id.h"
#include "handlers/handlers.h"

enum { NAME_MIN = 3, NAME_CHARS_MAX = 48, NAME_BYTES_MAX = 192 };

struct registration {
    int64_t telegram_id; /* 0: none */
    char username[NAME_BYTES_MAX + 1];
    char user_id[LEDGER_ID_MAX]; /* "": a new one */
};

/* 3 to 48 characters, none of them a control, a NUL or half a surrogate. */
static bool is_name(struct celery_str text)
{
    size_t characters = 0;
    if (text.len > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == 0xed && i + 1 < text.len
            && (unsigned char)text.data[i + 1] >= 0xa0)
            return false;
        characters += (c & 0xc0U) != 0x80;
    }
    return characters >= NAME_MIN && characters <= NAME_CHARS_MAX;
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
        return "username must be a text of 3 to 48 characters";
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

static void answer(const struct http_request *request,
                   const struct registration *registration, const char *user_id,
                   bool created, struct http_response *response)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(&response->body);
    response->status = created ? 201 : 409;
    celery_json_begin_object(&w);
    celery_json_key(&w, "ok");
    celery_json_put_bool(&w, created);
    if (!created) {
        celery_json_key(&w, "error");
        celery_json_put_text(&w, "username or telegram_id already registered");
        celery_json_key(&w, "field");
        celery_json_put_null(&w);
        celery_json_key(&w, "request_id");
        celery_json_put_text(&w, request->id);
    }
    celery_json_key(&w, "user_id");
    celery_json_put_text(&w, user_id);
    if (created) {
        celery_json_key(&w, "username");
        celery_json_put_text(&w, registration->username);
        celery_json_key(&w, "telegram_id");
        if (registration->telegram_id != 0)
            celery_json_put_int(&w, registration->telegram_id);
        else
            celery_json_put_null(&w);
    }
    celery_json_end_object(&w);
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
    if (registration.user_id[0] != '\0' && !auth_allows(&api->auth, request)) {
        http_problem(response, request, 403,
                     "only with an API token may user_id be chosen", "user_id");
        return;
    }
    enum celery_status st = ledger_register_user(
        api->ledger, registration.telegram_id, registration.username,
        registration.user_id[0] != '\0' ? registration.user_id : NULL, user_id,
        &created, &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, st, &err);
    else
        answer(request, &registration, user_id, created, response);
}
