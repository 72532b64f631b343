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

/* Is it uri-host [ ":" port ] (RFC 9110 section 7.2), by its characters? A
 * user's name before it is none of them. */
bool http_is_host(struct celery_str s);

#endif /* HTTP_HEAD_FIELDS_H */
