/* SPDX-License-Identifier: MIT */
/*
 * What cricalgo-worker knows beyond a Celery worker: the ledger, the sweeper, and
 * its one-shot tools (--migrate, --check-ledger, --explain,
 * --resolve).
 */
#ifndef DEPOSITS_SETTINGS_H
#define DEPOSITS_SETTINGS_H

#include <stdbool.h>

#include "celery/error.h"
#include "celery/message.h"
#include "conf/conf.h"
#include "ledger/ledger.h"

struct deposit_settings {
    struct conf *conf; /* owns the texts */
    struct ledger_options ledger;
    char *broker_override; /* -b of the command line, copied; NULL: none */
    const char *broker_url;
    const char *broker_transport_options;
    const char *compression;
    int protocol;
    enum celery_serializer serializer;
    bool migrate_on_start;
    double sweep_interval_s;
    double sweep_grace_s;
    double reenqueue_s;
    double reenqueue_max_s;
    double monitor_interval_s;
    double audit_interval_s;
    bool help;
    bool migrate;        /* --migrate */
    bool check_ledger;   /* --check-ledger */
    const char *explain; /* --explain TX_ID */
    const char *resolve; /* --resolve TX_ID */
    bool credit;         /* … credit, else reject */
    const char *reason;  /* --reason TEXT */
};

/* Takes its own options out of argv (*argc shrinks); the rest is the worker's. */
enum celery_status deposit_settings_load(struct deposit_settings *ret,
                                         int *argc, char **argv,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;
void deposit_settings_done(struct deposit_settings *settings);

/* --help of the settings above. */
void deposit_settings_help(FILE *out);

#endif /* DEPOSITS_SETTINGS_H */
