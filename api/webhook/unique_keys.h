/* SPDX-License-Identifier: MIT */
/*
 * Does an object of the document name a key twice? Readers disagree on which of
 * the two counts (RFC 8259, section 4), so what was signed is not clear. Pure.
 */
#ifndef WEBHOOK_UNIQUE_KEYS_H
#define WEBHOOK_UNIQUE_KEYS_H

#include <stdbool.h>

#include "celery/arena.h"
#include "celery/json_scan.h"

/* Every object in root, at any depth. Keys count unescaped. false also without
 * memory. */
bool unique_keys(struct celery_json root, struct celery_arena *arena);

#endif /* WEBHOOK_UNIQUE_KEYS_H */
