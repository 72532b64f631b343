/* SPDX-License-Identifier: MIT */
/*
 * Every setting of cricalgo-api: one table, from which --help, the checks and
 * docs/configuration.md come.
 */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H

#include "conf/conf.h"

const struct conf_setting *api_settings(size_t *ret_count);

/* What one setting alone cannot say. */
enum celery_status api_settings_check(const struct conf *conf,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* API_SETTINGS_H */
