/* SPDX-License-Identifier: MIT */
/*
 * Does a request come from this machine itself? Without API_TOKEN that is all
 * that guards the routes which are not for everybody. Pure.
 */
#ifndef API_LOCAL_CALLER_H
#define API_LOCAL_CALLER_H

#include <stdbool.h>

#include "http/request.h"

/* The peer is a loopback address; Host is absent or a loopback address or
 * localhost; an Origin is the server's own; and no field says that somebody
 * else's request is being forwarded. */
bool is_local_caller(const struct http_request *request);

#endif /* API_LOCAL_CALLER_H */
