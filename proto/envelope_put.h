/* SPDX-License-Identifier: MIT */
#ifndef CELERY_ENVELOPE_PUT_H
#define CELERY_ENVELOPE_PUT_H

#include "celery/envelope.h"

/* celery_envelope_encode to a place that came from a message: its names may
 * hold any byte. out's exchange and routing_key are not looked at. */
void cel_envelope_put(struct celery_buf *buf,
                      const struct celery_envelope_out *out,
                      struct celery_str exchange,
                      struct celery_str routing_key);

#endif /* CELERY_ENVELOPE_PUT_H */
