/* SPDX-License-Identifier: MIT */
/*
 * When the certificates that stand before us end: a gauge for each PEM file,
 * read anew at every scrape, since they are renewed under our feet.
 */
#ifndef API_CERTIFICATES_H
#define API_CERTIFICATES_H

/* Comma-separated; NULL: none. The text is borrowed for good. */
void certificates_watch(const char *paths);

#endif /* API_CERTIFICATES_H */
