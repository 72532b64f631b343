/* SPDX-License-Identifier: MIT */
/*
 * WEBHOOK_SOURCES_FILE: what is read is whole, what is refused has a reason, and
 * nothing of either stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "fuzz/fuzz.h"
#include "webhook/json_path.h"
#include "webhook/sources.h"

static struct sources *empty(void)
{
    struct sources *sources = xcalloc(1, sizeof *sources);
    sources->list = xcalloc(SOURCES_MAX, sizeof *sources->list);
    HOLDS(chains_init(&sources->chains, "bep20,erc20,btc", NULL, NULL, NULL)
          == CELERY_OK);
    return sources;
}

static void check_source(const struct webhook_source *source)
{
    HOLDS(source->name[0] != '\0');
    HOLDS(source->secrets.count > 0 && source->scheme_count > 0);
    HOLDS(source->chain_count > 0 && source->fields[FIELD_AMOUNT].count > 0);
    for (size_t i = 0; i < source->chain_count; i++)
        HOLDS(source->chains[i].chain != NULL);
    for (int field = 0; field < FIELD_COUNT; field++) {
        for (size_t i = 0; i < source->fields[field].count; i++)
            HOLDS(json_path_valid(source->fields[field].list[i].path));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/tmp/fuzz-sources-XXXXXX";
    static int fd = -1;
    struct celery_error err = {0};
    if (fd < 0) {
        fd = mkstemp(path);
        HOLDS(fd >= 0);
        HOLDS(setenv("KEY", "a-secret-of-ours", 1) == 0);
    }
    HOLDS(ftruncate(fd, 0) == 0);
    HOLDS(pwrite(fd, data, size, 0) == (ssize_t)size);
    struct sources *sources = empty();
    if (sources_file_read(sources, path, &err) == CELERY_OK) {
        for (size_t i = 0; i < sources->count; i++)
            check_source(&sources->list[i]);
    } else {
        HOLDS(err.status == CELERY_INVALID && err.msg[0] != '\0');
    }
    sources_free(sources);
    return 0;
}
