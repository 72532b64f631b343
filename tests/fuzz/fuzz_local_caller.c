/* SPDX-License-Identifier: MIT */
/*
 * Lines are header fields of a request from a loopback address. Whoever counts as
 * local has a Host that only this machine can have, and stops being local with
 * another peer, a forwarding field or another site's origin.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz/fuzz.h"
#include "local_caller.h"

enum { FIELDS_MAX = 16 };

/* "Name: value" in place; false: it is no field. */
static bool split(char *line, struct http_header *ret)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line)
        return false;
    *colon = '\0';
    ret->name = line;
    ret->value = colon + 1 + strspn(colon + 1, " \t");
    return true;
}

static bool local_with(struct http_request request, const char *name,
                       const char *value)
{
    request.headers[request.header_count++] = (struct http_header){name, value};
    return is_local_caller(&request);
}

static void check_local(const struct http_request *request)
{
    static const char host_chars[] = "0123456789.:[]localhostLOCALHOST";
    struct http_request other = *request;
    other.peer = "10.0.0.1";
    HOLDS(!is_local_caller(&other));
    HOLDS(!local_with(*request, "Via", "1.1 proxy"));
    HOLDS(!local_with(*request, "X-Forwarded-For", "127.0.0.1"));
    HOLDS(!local_with(*request, "Origin", "http://evil.example"));
    HOLDS(!local_with(*request, "Host", "evil.example"));
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *field = &request->headers[i];
        if (strcasecmp(field->name, "Host") == 0)
            HOLDS(field->value[0] != '\0'
                  && field->value[strspn(field->value, host_chars)] == '\0');
        HOLDS(strcasecmp(field->name, "Forwarded") != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = {.peer = "127.0.0.1"};
    char *rest = NULL;
    char *text = calloc(size + 1, 1);
    HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    for (char *line = strtok_r(text, "\n", &rest);
         line != NULL && request.header_count < FIELDS_MAX;
         line = strtok_r(NULL, "\n", &rest))
        request.header_count +=
            split(line, &request.headers[request.header_count]);
    if (is_local_caller(&request))
        check_local(&request);
    free(text);
    return 0;
}
