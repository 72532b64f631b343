/* SPDX-License-Identifier: MIT */
/*
 * --health of the programs: asks the running one whether it lives. For
 * containers, whose image has no HTTP client.
 */
#ifndef HTTP_HEALTH_CHECK_H
#define HTTP_HEALTH_CHECK_H

/* GET /healthz at host and port; "0.0.0.0" and "::" are asked at the loopback
 * address. 0 when it answers 200 within 3 s; else 1, and stderr says why. */
int health_check(const char *program, const char *host, int port);

#endif /* HTTP_HEALTH_CHECK_H */
