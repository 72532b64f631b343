/* SPDX-License-Identifier: MIT */
/*
 * The members that say how to run a task. In protocol 2 they are headers, in
 * protocol 1 members of the body; read from either, they mean the same.
 */
#ifndef CELERY_MESSAGE_FIELDS_H
#define CELERY_MESSAGE_FIELDS_H

#include "celery/content.h"
#include "celery/message.h"
#include "json_text.h"

/* One line per member: name on the wire. */
#define CEL_FIELD_MAP(XX)                              \
    XX(LANG, "lang")                                   \
    XX(TASK, "task")                                   \
    XX(ID, "id")                                       \
    XX(SHADOW, "shadow")                               \
    XX(ETA, "eta")                                     \
    XX(EXPIRES, "expires")                             \
    XX(GROUP, "group")                                 \
    XX(GROUP_INDEX, "group_index")                     \
    XX(RETRIES, "retries")                             \
    XX(TIMELIMIT, "timelimit")                         \
    XX(ROOT_ID, "root_id")                             \
    XX(PARENT_ID, "parent_id")                         \
    XX(ARGSREPR, "argsrepr")                           \
    XX(KWARGSREPR, "kwargsrepr")                       \
    XX(ORIGIN, "origin")                               \
    XX(IGNORE_RESULT, "ignore_result")                 \
    XX(REPLACED_TASK_NESTING, "replaced_task_nesting") \
    XX(STAMPED_HEADERS, "stamped_headers")             \
    XX(STAMPS, "stamps")                               \
    XX(COMPRESSION, "compression")                     \
    XX(REDELIVERED, "redelivered")                     \
    XX(SEAL, "x-celery-c-signature")

enum cel_field {
#define XX(name, key) CEL_FIELD_##name,
    CEL_FIELD_MAP(XX)
#undef XX
        CEL_FIELDS
};

extern const struct celery_str cel_field_names[CEL_FIELDS];

struct cel_fields {
    size_t members; /* of the whole object */
    struct celery_json values[CEL_FIELDS];
};

/* All fields of object in one walk; NULL without memory. */
const struct cel_fields *cel_fields_pick(struct celery_json object,
                                         struct celery_arena *arena)
    CELERY_MUST_CHECK;

/* The same for fields that were picked already. */
const struct cel_fields *cel_fields_copy(const struct cel_fields *fields,
                                         struct celery_arena *arena)
    CELERY_MUST_CHECK;

/* Are there as few headers as may be? */
enum celery_status cel_fields_limit(const struct cel_fields *fields,
                                    struct celery_json headers,
                                    const struct celery_limits *limits,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* Task and id into ret; CELERY_MALFORMED when one is missing or no text. */
enum celery_status cel_fields_identity(const struct cel_fields *fields,
                                       struct celery_arena *arena,
                                       struct celery_message *ret,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* All the others. */
enum celery_status cel_fields_read(const struct cel_fields *fields,
                                   struct celery_arena *arena,
                                   struct celery_message *ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* args and kwargs; absent ones are empty. */
enum celery_status cel_message_arguments(struct celery_json args,
                                         struct celery_json kwargs,
                                         struct celery_message *ret,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;

/* callbacks, errbacks, chain and chord out of object, which may be null. */
enum celery_status cel_message_embed(struct celery_json object,
                                     struct celery_message *ret,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* celery_content_decode, which also fills the picks. */
enum celery_status cel_content_decode(
    const struct celery_content *content, unsigned accept,
    const struct celery_limits *limits, struct celery_arena *arena,
    struct cel_pick *picks, size_t n_picks, struct celery_json *ret_root,
    struct celery_error *err) CELERY_MUST_CHECK;

enum { CEL_CALLBACKS, CEL_ERRBACKS, CEL_CHAIN, CEL_CHORD, CEL_EMBED_N };

enum { CEL_BODY_ARGS, CEL_BODY_KWARGS, CEL_BODY_EMBED, CEL_BODY_N };

/* A body, and if it is an array of protocol 2, what it is made of. */
struct cel_body {
    struct celery_json root;
    struct celery_json parts[CEL_BODY_N];
    struct celery_json embed[CEL_EMBED_N];
    size_t members;
};

extern const struct celery_str cel_embed_names[CEL_EMBED_N];

/* Protocol 2: the body of a message whose headers name a task. An object with
 * "args" is the older form: then the body fills in what the headers lack. */
enum celery_status cel_message_v2(const struct cel_body *body,
                                  const struct cel_fields *fields,
                                  struct celery_arena *arena,
                                  struct celery_message *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* Protocol 1: all of the message is its body. */
enum celery_status cel_message_v1(struct celery_json body,
                                  struct celery_arena *arena,
                                  struct celery_message *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

#endif /* CELERY_MESSAGE_FIELDS_H */
