/* SPDX-License-Identifier: MIT */
/*
 * The static files, embedded by embed.py.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stddef.h>

extern const unsigned char web_openapi_json[];
extern const size_t web_openapi_json_len;
extern const unsigned char web_index_html[];
extern const size_t web_index_html_len;

#endif /* WEB_WEB_H */
