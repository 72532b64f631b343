/* SPDX-License-Identifier: MIT */
/*
 * Every route of the API: one table. web/openapi.json describes the same ones.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "http/router.h"

const struct http_route *api_routes(size_t *ret_count);

#endif /* API_ROUTES_H */
