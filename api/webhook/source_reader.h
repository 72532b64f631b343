/* SPDX-License-Identifier: MIT */
/*
 * Reading WEBHOOK_SOURCES_FILE: tables of keys, and errors that name their place
 * as a JSON pointer. A key that is not in the table is wrong.
 */
#ifndef WEBHOOK_SOURCE_READER_H
#define WEBHOOK_SOURCE_READER_H

#include "celery/arena.h"
#include "celery/json_scan.h"
#include "webhook/sources.h"

enum { SOURCE_PLACE_MAX = 160 };

struct source_reader {
    struct sources *sources;
    const char *file;
    struct celery_arena arena;
    char place[SOURCE_PLACE_MAX];
    struct webhook_source *source; /* the one being read */
    struct celery_error *err;
};

struct source_key {
    const char *name;
    bool (*read)(struct source_reader *r, struct celery_json value);
};

/* Fills err with the place and what is accepted there; false, always. */
bool source_refuse(struct source_reader *r, const char *accepted);

/* Each member by its row of keys. */
bool source_read_object(struct source_reader *r, struct celery_json object,
                        const struct source_key *keys, size_t count);

bool source_read_array(struct source_reader *r, struct celery_json array,
                       bool (*read)(struct source_reader *r,
                                    struct celery_json value));

/* Steps into a member; the place ends where the result says after its reading. */
size_t source_step(struct source_reader *r, struct celery_str name);

/* A text of at most max bytes, visible ASCII but for blanks; NULL: it is none.
 * Borrowed from the arena. */
const char *source_text(struct source_reader *r, struct celery_json value,
                        size_t max);

bool source_read_bool(struct source_reader *r, struct celery_json value,
                      bool *ret);
bool source_read_path(struct source_reader *r, struct celery_json value,
                      char **ret);
bool source_read_texts(struct source_reader *r, struct celery_json value,
                       struct text_list *ret);
bool source_read_test(struct source_reader *r, struct celery_json value,
                      struct source_test *ret);

/* source_money.c: "chains", "currencies". */
bool source_read_chains(struct source_reader *r, struct celery_json value);
bool source_read_currencies(struct source_reader *r, struct celery_json value);

/* source_fields.c: "fields". */
bool source_read_fields(struct source_reader *r, struct celery_json value);

#endif /* WEBHOOK_SOURCE_READER_H */
