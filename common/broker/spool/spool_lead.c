/* SPDX-License-Identifier: MIT */
/*
 * Who shows the fleet's figures: of the workers the one that holds the first
 * lock; of the programs that only watch the one that holds the second, while
 * nobody holds the first.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "broker/spool/spool_broker.h"

#define WORKS_LOCK   ".figures.lock"
#define WATCHES_LOCK ".figures-watch.lock"

/* -1: another process has it. */
static int lock_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

enum celery_status spool_lead(struct broker *broker, enum broker_lead as,
                              double ttl_s, bool *ret_leading,
                              struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    (void)ttl_s; /* a lock ends with its process */
    (void)err;
    *ret_leading = false;
    if (sb->lead_fd < 0)
        sb->lead_fd = lock_file(sb->control_dir,
                                as == BROKER_WORKS ? WORKS_LOCK : WATCHES_LOCK);
    if (sb->lead_fd < 0)
        return CELERY_OK;
    if (as == BROKER_WORKS) {
        *ret_leading = true;
        return CELERY_OK;
    }
    int works = lock_file(sb->control_dir, WORKS_LOCK);
    *ret_leading = works >= 0;
    if (works >= 0)
        (void)close(works);
    return CELERY_OK;
}
