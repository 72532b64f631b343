/* SPDX-License-Identifier: MIT */
#include "certificates.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/xalloc.h"
#include "metrics/metrics.h"

static struct metric *expiry;
static const char *files; /* the settings keep the text */

/* The notAfter of the file's first certificate, 0 when it has none. */
static double not_after(const char *path)
{
    struct tm tm = {0};
    double seconds = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    if (cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
        seconds = (double)timegm(&tm);
    X509_free(cert);
    return seconds;
}

/* A file that cannot be read shows 0: an alert, not a gap. */
static void collect(void *arg)
{
    (void)arg;
    for (const char *p = files; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (len > 0) {
            char *path = xstrndup(p, len);
            metric_set(expiry, not_after(path), (const char *const[]){path});
            free(path);
        }
        p += len + (p[len] == ',');
    }
}

void certificates_watch(const char *paths)
{
    static const struct metric_desc desc = {
        "certificate_expiry_timestamp_seconds",
        "When the certificate ends; 0: the file has none.",
        METRIC_GAUGE,
        {"path", NULL},
        NULL,
        0};
    if (paths == NULL || *paths == '\0')
        return;
    files = paths;
    expiry = metric_register(&desc);
    metrics_on_collect(collect, NULL);
}
