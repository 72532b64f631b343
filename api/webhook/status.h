/* SPDX-License-Identifier: MIT */
/*
 * What a provider's word for the state of a transfer means. Only words that are
 * listed mean that it is final. Pure.
 */
#ifndef WEBHOOK_STATUS_H
#define WEBHOOK_STATUS_H

#include "webhook/source.h"

enum status_meaning {
    STATUS_FINAL,
    STATUS_PENDING,
    STATUS_FAILED,
    STATUS_UNKNOWN, /* no word that is listed: a human has to look */
};

/* text as sent, in any case, blanks around it. The source's own words come
 * first; where it has some, ours do not count. */
enum status_meaning status_meaning(const struct webhook_source *source,
                                   struct celery_str text);

#endif /* WEBHOOK_STATUS_H */
