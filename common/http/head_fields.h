/* SPDX-License-Identifier: MIT */
/*
 * The fields that say where a message ends and what becomes of its connection:
 * Content-Length, Transfer-Encoding, Connection, Host, Expect. Pure.
 */
#ifndef HTTP_HEAD_FIELDS_H
#define HTTP_HEAD_FIELDS_H

#include "http/head.h"

/* Fills content_length, chunked, keep_alive and expect_continue from the
 * fields. false: they are malformed or contradict each other. */
bool http_head_read_fields(struct http_head *head,
                           struct http_refusal *ret_refusal);

#endif /* HTTP_HEAD_FIELDS_H */
