/* SPDX-License-Identifier: MIT */
#include "webhook/body.h"

#include <string.h>

#include "webhook/json_path.h"
#include "webhook/unique_keys.h"

static bool refuse(struct webhook_fault *fault, int status, const char *error,
                   const char *field)
{
    *fault = (struct webhook_fault){status, error, field};
    return false;
}

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

/* RFC 8259, section 8.1: a reader may ignore a byte order mark. */
static struct celery_str without_mark(struct celery_str body)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t len = sizeof mark - 1;
    if (body.len >= len && memcmp(body.data, mark, len) == 0)
        return (struct celery_str){body.data + len, body.len - len};
    return body;
}

static bool parse(struct celery_str body, struct celery_arena *arena,
                  struct celery_json *ret, struct webhook_fault *fault)
{
    static const struct celery_limits limits = {
        .message_bytes = WEBHOOK_BODY_MAX,
        .inflated_bytes = WEBHOOK_BODY_MAX,
        .elements = WEBHOOK_BODY_MAX / 2, /* the bytes bound them */
        .depth = 64,
        .headers = 1000};
    body = without_mark(body);
    if (celery_json_parse(body, &limits, ret, NULL) != CELERY_OK
        || has_nan(body))
        return refuse(fault, 400, "malformed JSON", NULL);
    if (ret->type != CELERY_JSON_OBJECT)
        return refuse(fault, 400, "the body must be a JSON object", NULL);
    return unique_keys(*ret, arena)
        || refuse(fault, 422, "a key stands twice in one object", NULL);
}

/* The signed body's own word for the event. */
static bool read_event_id(struct celery_json root, const char *path,
                          struct celery_arena *arena, const char **ret,
                          struct webhook_fault *fault)
{
    struct celery_json value = json_path_get(path, root, root);
    struct celery_str text = {0};
    *ret = NULL;
    if (path == NULL || celery_json_null(value))
        return true;
    if (celery_json_string(value, arena, &text) != CELERY_OK
        || !signature_id_valid(text))
        return refuse(fault, 422,
                      "the event's id must be 1 to 256 visible ASCII "
                      "characters",
                      "event_id");
    *ret = celery_arena_copy(arena, text).data;
    return *ret != NULL || refuse(fault, 422, "out of memory", NULL);
}

static bool make_room(struct celery_arena *arena, size_t count,
                      struct webhook_read *ret)
{
    ret->items = celery_arena_alloc(arena, (count + 1) * sizeof *ret->items);
    ret->deposits =
        celery_arena_alloc(arena, (count + 1) * sizeof *ret->deposits);
    return ret->items != NULL && ret->deposits != NULL;
}

static void add(struct webhook_read *ret, struct webhook_item item)
{
    item.index = ret->deposit_count;
    ret->deposit_count += item.result == ITEM_DEPOSIT;
    ret->items[ret->item_count++] = item;
}

bool webhook_body_read(struct celery_str body,
                       const struct webhook_source *source,
                       const struct webhook_rules *rules,
                       struct celery_arena *arena, struct webhook_read *ret,
                       struct webhook_fault *ret_fault)
{
    struct celery_json root = {0};
    struct celery_json entry = {0};
    *ret = (struct webhook_read){0};
    if (!parse(body, arena, &root, ret_fault)
        || !read_event_id(root, source->event_id, arena, &ret->event_id,
                          ret_fault))
        return false;
    struct celery_json list = json_path_get(source->items, root, root);
    bool is_list = source->items != NULL;
    if (is_list && !celery_json_null(list) && list.type != CELERY_JSON_ARRAY)
        return refuse(ret_fault, 422, "the list of deposits is no list",
                      "items");
    size_t count = is_list ? celery_json_count(list) : 1;
    if (count > WEBHOOK_ITEMS_MAX)
        return refuse(ret_fault, 422, "more than 256 deposits in one body",
                      "items");
    if (!make_room(arena, count, ret))
        return refuse(ret_fault, 422, "out of memory", NULL);
    if (!is_list) {
        add(ret, webhook_entry_read(root, root, source, rules, arena,
                                    ret->deposits));
        return true;
    }
    struct celery_json_iter iter = celery_json_iter(list);
    while (celery_json_next(&iter, NULL, &entry))
        add(ret, webhook_entry_read(root, entry, source, rules, arena,
                                    &ret->deposits[ret->deposit_count]));
    return true;
}

void webhook_judge(const struct webhook_read *read, struct webhook_fault *fault,
                   struct ledger_webhook *webhook)
{
    for (size_t i = 0; i < read->item_count && fault->status == 0; i++) {
        if (read->items[i].result == ITEM_REFUSED)
            *fault = read->items[i].fault;
    }
    webhook->error = fault->status != 0 ? fault->error : NULL;
    webhook->field = fault->status != 0 ? fault->field : NULL;
    if (read->deposit_count > 0)
        webhook->outcome = read->deposit_count < read->item_count
                             ? LEDGER_PARTIAL
                             : LEDGER_STORED;
    else
        webhook->outcome = fault->status != 0 ? LEDGER_REFUSED : LEDGER_IGNORED;
    for (size_t i = 0; i < read->item_count && webhook->error == NULL; i++) {
        if (read->items[i].result == ITEM_IGNORED)
            webhook->error = read->items[i].fault.error;
    }
}
