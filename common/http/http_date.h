/* SPDX-License-Identifier: MIT */
/*
 * The Date of an answer (RFC 9110 section 6.6.1).
 */
#ifndef HTTP_HTTP_DATE_H
#define HTTP_HTTP_DATE_H

/* "Sun, 06 Nov 1994 08:49:37 GMT", now; the calling thread's until it asks
 * again. Made anew once a second. thread: any */
const char *http_date(void);

#endif /* HTTP_HTTP_DATE_H */
