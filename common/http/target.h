/* SPDX-License-Identifier: MIT */
/*
 * A request's target: one form of each path, so that an edge that allows or
 * forbids paths and our routes speak of the same thing. Pure.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "http/head.h"

struct http_target {
    struct celery_str path;  /* percent-encoded; "/" where none was given */
    struct celery_str query; /* data NULL: there is none */
};

/* Takes path and query from origin-form, absolute-form ("http://host/path") or
 * "*". Refuses what has a second spelling: dot segments, empty segments,
 * backslashes and encoded slashes, control characters, a '%' that encodes
 * nothing. Slices are borrowed from text. false: *ret_refusal says why. */
bool http_target_parse(struct celery_str text, struct http_target *ret,
                       struct http_refusal *ret_refusal);

/* Decodes %xx into ret_path (path.len + 1 bytes suffice; path's own bytes will
 * do) and ends it with a NUL. path must come from http_target_parse(). */
void http_target_decode(struct celery_str path, char *ret_path);

#endif /* HTTP_TARGET_H */
