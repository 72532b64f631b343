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
extern const unsigned char web_app_js[];
extern const size_t web_app_js_len;
extern const unsigned char web_app_css[];
extern const size_t web_app_css_len;

#endif /* WEB_WEB_H */
