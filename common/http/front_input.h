/* SPDX-License-Identifier: MIT */
/*
 * From the bytes of a connection to a struct http_request: head, then body. It
 * works on an exchange's memory alone.
 */
#ifndef HTTP_FRONT_INPUT_H
#define HTTP_FRONT_INPUT_H

#include "http/exchange.h"
#include "http/peers.h"

enum input_state { INPUT_MORE, INPUT_DONE, INPUT_REFUSED };

/* DONE: exchange->head is filled. */
enum input_state input_read_head(struct exchange *exchange,
                                 struct http_refusal *ret_refusal);

/* Fills exchange->request from the head that was read: ends its texts with
 * NULs, in place. */
void input_make_request(struct exchange *exchange,
                        const struct peer_address *peer,
                        const struct peer_set *trusted);

/* For a refusal: a request with an id, where no head could be read. */
void input_ensure_request(struct exchange *exchange);

/* Does the head announce a body? */
bool input_has_body(const struct exchange *exchange);

/* Moves body bytes of the input to request.body; more than body_limit of them
 * are refused. */
enum input_state input_read_body(struct exchange *exchange,
                                 struct http_refusal *ret_refusal);

/* Where the next bytes go. There is always room. */
char *input_room(struct exchange *exchange, size_t *ret_room);

/* Until when the body must go on: what has come so far buys time, up to a
 * limit. */
int64_t input_body_deadline(const struct exchange *exchange);

#endif /* HTTP_FRONT_INPUT_H */
