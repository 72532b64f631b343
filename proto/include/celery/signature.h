/* SPDX-License-Identifier: MIT */
/*
 * A signature: the JSON object that says which task is to be called how, and,
 * as a canvas, which tasks in which order. Stands in callbacks, errbacks,
 * chain and chord of a message, and inside other signatures. Source:
 * celery/canvas.py (Signature, from_dict, register_type).
 */
#ifndef CELERY_SIGNATURE_H
#define CELERY_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/error.h"
#include "celery/json_scan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One line per kind: the value of subtask_type ("" for null). */
#define CELERY_SIGNATURE_KIND_MAP(XX) \
    XX(TASK, "")                      \
    XX(CHAIN, "chain")                \
    XX(GROUP, "group")                \
    XX(CHORD, "chord")                \
    XX(MAP, "xmap")                   \
    XX(STARMAP, "xstarmap")           \
    XX(CHUNKS, "chunks")

enum celery_signature_kind {
#define XX(name, type) CELERY_SIGNATURE_##name,
    CELERY_SIGNATURE_KIND_MAP(XX)
#undef XX
};

/* Values of type CELERY_JSON_NONE are absent. Everything borrows from the
 * document or lives in the arena. */
struct celery_signature {
    enum celery_signature_kind kind;
    struct celery_str task;
    struct celery_json args;    /* array */
    struct celery_json kwargs;  /* object */
    struct celery_json options; /* object */
    bool immutable;             /* the parent's result is not put in front */
    int64_t chord_size;         /* of clients before 5.2; -1: absent */
    /* What the kind has: chain and group have tasks; a chord has header (a
     * group's signature or an array of them) and body; map, starmap and
     * chunks have each (a signature, or a task's name) and it. */
    struct celery_json tasks;
    struct celery_json header;
    struct celery_json body;
    struct celery_json each;
    struct celery_json it;
    int64_t chunk;             /* chunks: n; else 0 */
    struct celery_json source; /* the whole object, for unknown members */
};

/* value comes from celery_json_parse. CELERY_MALFORMED: no object, no task, a
 * member of a wrong type, or a canvas that lacks its parts; CELERY_UNSUPPORTED:
 * a subtask_type that Celery does not have. */
CELERY_API enum celery_status celery_signature_decode(
    struct celery_json value, struct celery_arena *arena,
    struct celery_signature *ret, struct celery_error *err) CELERY_MUST_CHECK;

/* Appends the six members in Python's order, chord_size where there is one,
 * and what else source has, byte for byte. The parts of a canvas are in its
 * kwargs. */
CELERY_API void celery_signature_encode(
    struct celery_buf *buf, const struct celery_signature *signature);

/* Where below a signature another one stands. */
enum celery_signature_role {
    CELERY_SIGNATURE_ROOT,
    CELERY_SIGNATURE_MEMBER,   /* of a chain or group */
    CELERY_SIGNATURE_HEADER,   /* of a chord; also the group that is one */
    CELERY_SIGNATURE_BODY,     /* of a chord */
    CELERY_SIGNATURE_EACH,     /* of a map, starmap or chunks */
    CELERY_SIGNATURE_LINK,     /* options.link */
    CELERY_SIGNATURE_ERRBACK,  /* options.link_error */
    CELERY_SIGNATURE_REST,     /* options.chain */
    CELERY_SIGNATURE_CALLBACK, /* options.chord */
};

enum { CELERY_SIGNATURE_DEPTH = 64 };

/* A walk over a signature and all below it, each before what is below it, by
 * an explicit stack. */
struct celery_signature_walk {
    struct celery_arena *arena;
    struct {
        struct celery_json parts[8];
        struct celery_json_iter iter; /* of the part that is an array */
        unsigned part;                /* the next one */
        bool inside;
    } frames[CELERY_SIGNATURE_DEPTH];
    unsigned depth; /* of the signature that came last; the root's is 0 */
    unsigned count; /* frames in use */
    bool begun;
    struct celery_json root;
    enum celery_signature_role role; /* of the signature that came last */
};

CELERY_API void celery_signature_walk(struct celery_signature_walk *walk,
                                      struct celery_json root,
                                      struct celery_arena *arena);

/* The next one into ret; *ret_done at the end. What celery_signature_decode
 * refuses ends the walk; so does, with CELERY_TOO_LARGE, a nesting of more than
 * CELERY_SIGNATURE_DEPTH. */
CELERY_API enum celery_status celery_signature_next(
    struct celery_signature_walk *walk, struct celery_signature *ret,
    bool *ret_done, struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_SIGNATURE_H */
