/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"
#include "base/xalloc.h"
#include "conf/environment.h"

struct conf {
    const struct conf_setting *settings;
    size_t count;
    char **values;      /* NULL: unset */
    char **paths;       /* the file that the value came from, or NULL */
    const char **names; /* the variable that it came from, or NULL */
    char **rest;
    size_t rest_count;
};

static const char *label(const struct conf_setting *s)
{
    return s->env != NULL ? s->env : s->option;
}

static bool is_true(const char *v)
{
    return strcasecmp(v, "1") == 0 || strcasecmp(v, "true") == 0
        || strcasecmp(v, "yes") == 0 || strcasecmp(v, "on") == 0;
}

static bool is_false(const char *v)
{
    return *v == '\0' || strcasecmp(v, "0") == 0 || strcasecmp(v, "false") == 0
        || strcasecmp(v, "no") == 0 || strcasecmp(v, "off") == 0;
}

static bool has_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (const char *p = choices; *p != '\0';) {
        size_t size = strcspn(p, "|");
        if (size == len && strncasecmp(p, value, len) == 0)
            return true;
        p += size + (p[size] == '|');
    }
    return false;
}

static bool in_range(const struct conf_setting *s, double number)
{
    return number >= s->min && (s->max <= s->min || number <= s->max);
}

static enum celery_status refuse(const struct conf_setting *s,
                                 const char *value, const char *accepted,
                                 struct celery_error *err)
{
    char *masked = s->secret ? xstrdup("********") : url_masked(value);
    enum celery_status st =
        celery_fail(err, CELERY_INVALID,
                    "%s='%.60s' is not accepted; accepted: %s", label(s),
                    masked, accepted);
    free(masked);
    return st;
}

static enum celery_status check_number(const struct conf_setting *s,
                                       const char *value,
                                       struct celery_error *err)
{
    char accepted[80];
    char *end = NULL;
    errno = 0;
    double number = strtod(value, &end);
    bool whole =
        s->type != CONF_INT || strspn(value, "+-0123456789") == strlen(value);
    if (end != value && *end == '\0' && errno == 0 && isfinite(number) && whole
        && in_range(s, number))
        return CELERY_OK;
    const char *what =
        s->type == CONF_INT ? "an integer" : "a number of seconds";
    if (s->max > s->min)
        (void)snprintf(accepted, sizeof accepted, "%s from %g to %g", what,
                       s->min, s->max);
    else
        (void)snprintf(accepted, sizeof accepted, "%s of at least %g", what,
                       s->min);
    return refuse(s, value, accepted, err);
}

static enum celery_status check_value(const struct conf_setting *s,
                                      const char *value,
                                      struct celery_error *err)
{
    switch (s->type) {
    case CONF_TEXT:
        return CELERY_OK;
    case CONF_INT:
    case CONF_SECONDS:
        return check_number(s, value, err);
    case CONF_BOOL:
    case CONF_FLAG:
        return is_true(value) || is_false(value)
                 ? CELERY_OK
                 : refuse(s, value, "1, 0, true, false, yes, no, on, off", err);
    case CONF_CHOICE:
        return has_choice(s->choices, value)
                 ? CELERY_OK
                 : refuse(s, value, s->choices, err);
    }
    return CELERY_INVALID;
}

static bool has_file(const struct conf_setting *s)
{
    return s->secret || s->file;
}

static enum celery_status load_variable(struct conf *conf, size_t i,
                                        const char *name,
                                        struct celery_error *err)
{
    if (name == NULL || conf->values[i] != NULL)
        return CELERY_OK;
    conf->names[i] = name;
    return environment_read(name, has_file(&conf->settings[i]),
                            &conf->values[i], &conf->paths[i], err);
}

static enum celery_status load_environment(struct conf *conf, size_t i,
                                           struct celery_error *err)
{
    const struct conf_setting *s = &conf->settings[i];
    enum celery_status st = load_variable(conf, i, s->env, err);
    if (st == CELERY_OK)
        st = load_variable(conf, i, s->alias, err);
    if (st == CELERY_OK && conf->values[i] == NULL && s->fallback != NULL)
        conf->values[i] = xstrdup(s->fallback);
    return st;
}

static size_t find_option(const struct conf *conf, const char *name, size_t len)
{
    for (size_t i = 0; i < conf->count; i++) {
        const char *option = conf->settings[i].option;
        if (option != NULL && strlen(option) == len
            && strncmp(option, name, len) == 0)
            return i;
    }
    return conf->count;
}

static size_t find_letter(const struct conf *conf, char letter)
{
    size_t i = 0;
    while (i < conf->count && conf->settings[i].letter != letter)
        i++;
    return i;
}

static void set(struct conf *conf, size_t i, const char *value)
{
    free(conf->values[i]);
    free(conf->paths[i]);
    conf->values[i] = xstrdup(value);
    conf->paths[i] = NULL;
}

/* ps(1) shows argv: what holds a password is overwritten in place. */
static void hide(char *word)
{
    char *masked = url_masked(word);
    if (strcmp(masked, word) != 0)
        memset(word, 'x', strlen(word));
    free(masked);
}

/* How much of a word that is no good option an error may show: what follows a = or
 * a letter can be a password. */
static int shown(const char *word)
{
    size_t len = word[1] == '-' ? strcspn(word, "=") : 2;
    return len < 60 ? (int)len : 60;
}

/* One option at argv[at]; *ret_used counts the words it took. */
static enum celery_status load_option(struct conf *conf, int argc, char **argv,
                                      int at, int *ret_used,
                                      struct celery_error *err)
{
    char *word = argv[at];
    char *value = NULL;
    size_t i = 0;
    *ret_used = 1;
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");
        i = find_option(conf, word + 2, len);
        if (word[2 + len] == '=')
            value = word + 2 + len + 1;
    } else {
        i = find_letter(conf, word[1]);
        if (word[2] != '\0')
            value = word + 2;
    }
    if (i == conf->count)
        return celery_fail(err, CELERY_INVALID,
                           "unknown option '%.*s'; --help lists them",
                           shown(word), word);
    if (conf->settings[i].type == CONF_FLAG) {
        if (value != NULL)
            return celery_fail(err, CELERY_INVALID,
                               "option '%.*s' takes no value", shown(word),
                               word);
        set(conf, i, "1");
        return CELERY_OK;
    }
    if (value == NULL && at + 1 < argc) {
        value = argv[at + 1];
        *ret_used = 2;
    }
    if (value == NULL)
        return celery_fail(err, CELERY_INVALID, "option '%.60s' needs a value",
                           word);
    set(conf, i, value);
    hide(value);
    return CELERY_OK;
}

static enum celery_status load_arguments(struct conf *conf, int argc,
                                         char **argv, struct celery_error *err)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int used = 0;
        enum celery_status st = load_option(conf, argc, argv, at, &used, err);
        if (st != CELERY_OK)
            return st;
        at += used;
    }
    conf->rest = argv + at;
    conf->rest_count = (size_t)(argc - at);
    return CELERY_OK;
}

static struct conf *conf_new(const struct conf_setting *settings, size_t count)
{
    struct conf *conf = xcalloc(1, sizeof *conf);
    conf->settings = settings;
    conf->count = count;
    conf->values = xcalloc(count, sizeof(char *));
    conf->paths = xcalloc(count, sizeof(char *));
    conf->names = xcalloc(count, sizeof(char *));
    return conf;
}

static enum celery_status check_all(const struct conf *conf,
                                    struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < conf->count && st == CELERY_OK; i++) {
        if (conf->values[i] != NULL)
            st = check_value(&conf->settings[i], conf->values[i], err);
    }
    return st;
}

enum celery_status conf_load(const struct conf_setting *settings, size_t count,
                             int argc, char **argv, struct conf **ret,
                             struct celery_error *err)
{
    struct conf *conf = conf_new(settings, count);
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = load_environment(conf, i, err);
    if (st == CELERY_OK)
        st = load_arguments(conf, argc, argv, err);
    if (st == CELERY_OK)
        st = check_all(conf, err);
    if (st != CELERY_OK) {
        conf_free(conf);
        return st;
    }
    *ret = conf;
    return CELERY_OK;
}

static enum celery_status read_again(const struct conf *conf, size_t i,
                                     struct conf *fresh,
                                     struct celery_error *err)
{
    if (conf->paths[i] == NULL) {
        if (conf->values[i] != NULL)
            fresh->values[i] = xstrdup(conf->values[i]);
        return CELERY_OK;
    }
    fresh->paths[i] = xstrdup(conf->paths[i]);
    fresh->names[i] = conf->names[i];
    return environment_read_file(conf->names[i], conf->paths[i],
                                 &fresh->values[i], err);
}

enum celery_status conf_reload(const struct conf *conf, struct conf **ret,
                               struct celery_error *err)
{
    struct conf *fresh = conf_new(conf->settings, conf->count);
    enum celery_status st = CELERY_OK;
    fresh->rest = conf->rest;
    fresh->rest_count = conf->rest_count;
    for (size_t i = 0; i < conf->count && st == CELERY_OK; i++)
        st = read_again(conf, i, fresh, err);
    if (st == CELERY_OK)
        st = check_all(fresh, err);
    if (st != CELERY_OK) {
        conf_free(fresh);
        return st;
    }
    *ret = fresh;
    return CELERY_OK;
}

void conf_free(struct conf *conf)
{
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->count; i++) {
        if (conf->values[i] != NULL && has_file(&conf->settings[i]))
            explicit_bzero(conf->values[i], strlen(conf->values[i]));
        free(conf->values[i]);
        free(conf->paths[i]);
    }
    free(conf->values);
    free(conf->paths);
    free(conf->names);
    free(conf);
}

static size_t find(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->count; i++) {
        if (strcmp(label(&conf->settings[i]), name) == 0)
            return i;
    }
    (void)fprintf(stderr, "level=fatal msg=\"no setting %s\"\n", name);
    abort();
}

const char *conf_text(const struct conf *conf, const char *name)
{
    const char *value = conf->values[find(conf, name)];
    return value != NULL && *value != '\0' ? value : NULL;
}

int64_t conf_int(const struct conf *conf, const char *name)
{
    const char *value = conf->values[find(conf, name)];
    return value != NULL ? strtoll(value, NULL, 10) : 0;
}

double conf_seconds(const struct conf *conf, const char *name)
{
    const char *value = conf->values[find(conf, name)];
    return value != NULL ? strtod(value, NULL) : 0.0;
}

bool conf_bool(const struct conf *conf, const char *name)
{
    const char *value = conf->values[find(conf, name)];
    return value != NULL && is_true(value);
}

bool conf_is_set(const struct conf *conf, const char *name)
{
    return conf_text(conf, name) != NULL;
}

char **conf_rest(const struct conf *conf, size_t *ret_count)
{
    *ret_count = conf->rest_count;
    return conf->rest;
}

static const char *const type_names[] = {"TEXT", "N",      "SECONDS",
                                         "0|1",  "CHOICE", ""};

static void help_row(const struct conf_setting *s, FILE *out)
{
    const char *type =
        s->type == CONF_CHOICE ? s->choices : type_names[s->type];
    (void)fputs("  ", out);
    if (s->letter != 0)
        (void)fprintf(out, "-%c, ", s->letter);
    if (s->option != NULL)
        (void)fprintf(out, "--%s", s->option);
    if (s->option != NULL && s->type != CONF_FLAG)
        (void)fprintf(out, " %s", type);
    if (s->env != NULL)
        (void)fprintf(out, "%s%s%s", s->option != NULL ? "  [" : "", s->env,
                      s->option != NULL ? "]" : "");
    if (s->option == NULL && s->type == CONF_CHOICE)
        (void)fprintf(out, " %s", type);
    if (has_file(s) && s->env != NULL)
        (void)fprintf(out, " (or %s_FILE)", s->env);
    (void)fprintf(out, "\n        %s", s->help);
    if (s->fallback != NULL && *s->fallback != '\0')
        (void)fprintf(out, " (default %s)", s->fallback);
    (void)fputc('\n', out);
}

void conf_help(const struct conf_setting *settings, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        help_row(&settings[i], out);
}

void conf_print(const struct conf *conf, FILE *out)
{
    for (size_t i = 0; i < conf->count; i++) {
        const struct conf_setting *s = &conf->settings[i];
        if (conf->values[i] == NULL || s->env == NULL)
            continue;
        char *shown =
            s->secret ? xstrdup("********") : url_masked(conf->values[i]);
        (void)fprintf(out, "%s=%s\n", s->env, shown);
        free(shown);
    }
}
