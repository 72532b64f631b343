/* SPDX-License-Identifier: MIT */
/*
 * The Python objects behind kombu's typed values, as their repr() shows them.
 * Source: kombu/utils/json.py; Lib/datetime.py, uuid.py.
 */
#include <string.h>

#include "python_text.h"

enum cel_typed cel_typed_get(struct celery_json object,
                             struct celery_json *ret_type,
                             struct celery_json *ret_value)
{
    struct celery_json key;
    struct celery_json value;
    struct celery_json type = {CELERY_JSON_NONE, {"", 0}};
    struct celery_json inner = type;

    if (object.type != CELERY_JSON_OBJECT)
        return CEL_TYPED_NONE;
    struct celery_json_iter iter = celery_json_iter(object);
    while (celery_json_next(&iter, &key, &value)) {
        if (celery_json_is(key, "__type__"))
            type = value;
        else if (celery_json_is(key, "__value__"))
            inner = value;
        else
            return CEL_TYPED_NONE;
    }
    if (type.type != CELERY_JSON_STRING || inner.type == CELERY_JSON_NONE)
        return CEL_TYPED_NONE;
    *ret_type = type;
    *ret_value = inner;
    if (inner.type == CELERY_JSON_STRING && celery_json_is(type, "bytes"))
        return CEL_TYPED_BYTES;
    if (inner.type == CELERY_JSON_STRING && celery_json_is(type, "base64"))
        return CEL_TYPED_BASE64;
    return CEL_TYPED_OTHER;
}

static const int64_t usec_per_sec = 1000000; /* microseconds */
static const int64_t usec_per_day = 86400 * (int64_t)1000000;

struct cursor {
    const char *p;
    const char *end;
};

static bool read_char(struct cursor *c, char want)
{
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static bool read_two(struct cursor *c, int *ret)
{
    if (c->end - c->p < 2 || c->p[0] < '0' || c->p[0] > '9' || c->p[1] < '0'
        || c->p[1] > '9')
        return false;
    *ret = (c->p[0] - '0') * 10 + (c->p[1] - '0');
    c->p += 2;
    return true;
}

struct moment {
    int year, month, day;
    int hour, minute, second, micro;
    int64_t offset; /* microseconds east */
    bool aware;
};

static bool read_date(struct cursor *c, struct moment *m)
{
    int century = 0;

    if (!read_two(c, &century) || !read_two(c, &m->year))
        return false;
    m->year += century * 100;
    return read_char(c, '-') && read_two(c, &m->month) && read_char(c, '-')
        && read_two(c, &m->day);
}

static bool read_micro(struct cursor *c, int *ret)
{
    int unit = 100000;

    while (c->p != c->end && *c->p >= '0' && *c->p <= '9') {
        *ret += (*c->p - '0') * unit;
        unit /= 10;
        c->p++;
    }
    return unit < 100000;
}

static bool read_offset(struct cursor *c, struct moment *m)
{
    int hours = 0;
    int minutes = 0;
    int seconds = 0;
    int micro = 0;

    if (c->p == c->end)
        return true;
    m->aware = true;
    if (read_char(c, 'Z'))
        return true;
    bool west = read_char(c, '-');
    if (!west && !read_char(c, '+'))
        return false;
    if (!read_two(c, &hours) || !read_char(c, ':') || !read_two(c, &minutes))
        return false;
    if (read_char(c, ':') && !read_two(c, &seconds))
        return false;
    if (read_char(c, '.') && !read_micro(c, &micro))
        return false;
    m->offset = ((hours * 60 + minutes) * 60 + seconds) * usec_per_sec + micro;
    if (m->offset < usec_per_sec)
        m->offset = 0; /* as _datetimemodule.c has it */
    if (west)
        m->offset = -m->offset;
    return true;
}

static bool read_clock(struct cursor *c, struct moment *m)
{
    if (!read_two(c, &m->hour) || !read_char(c, ':')
        || !read_two(c, &m->minute))
        return false;
    if (read_char(c, ':')) {
        if (!read_two(c, &m->second))
            return false;
        if (read_char(c, '.') && !read_micro(c, &m->micro))
            return false;
    }
    return read_offset(c, m);
}

/* A timedelta is normalized: only its days may be negative. */
static void put_zone(struct celery_buf *buf, int64_t offset)
{
    int days = offset < 0 ? -1 : 0;
    int64_t micro = offset - days * usec_per_day;
    const char *comma = "";

    celery_buf_append(buf, CELERY_STR(", tzinfo=datetime.timezone("
                                      "datetime.timedelta("));
    if (days != 0) {
        celery_buf_append(buf, CELERY_STR("days=-1"));
        comma = ", ";
    }
    if (micro / usec_per_sec != 0) {
        celery_buf_printf(buf, "%sseconds=%d", comma,
                          (int)(micro / usec_per_sec));
        comma = ", ";
    }
    if (micro % usec_per_sec != 0)
        celery_buf_printf(buf, "%smicroseconds=%d", comma,
                          (int)(micro % usec_per_sec));
    celery_buf_append(buf, CELERY_STR("))"));
}

/* repr() leaves out seconds and microseconds from the right while zero. */
static void put_clock(struct celery_buf *buf, const struct moment *m)
{
    celery_buf_printf(buf, "%d, %d", m->hour, m->minute);
    if (m->second != 0 || m->micro != 0)
        celery_buf_printf(buf, ", %d", m->second);
    if (m->micro != 0)
        celery_buf_printf(buf, ", %d", m->micro);
    if (m->aware && m->offset == 0)
        celery_buf_append(buf, CELERY_STR(", tzinfo=datetime.timezone.utc"));
    if (m->aware && m->offset != 0)
        put_zone(buf, m->offset);
    celery_buf_append(buf, CELERY_STR(")"));
}

static bool repr_datetime(struct celery_buf *buf, struct cursor c)
{
    struct moment m = {0};

    if (!read_date(&c, &m) || c.p == c.end)
        return false;
    c.p++; /* any separator */
    if (!read_clock(&c, &m) || c.p != c.end)
        return false;
    celery_buf_printf(buf, "datetime.datetime(%d, %d, %d, ", m.year, m.month,
                      m.day);
    put_clock(buf, &m);
    return true;
}

static bool repr_date(struct celery_buf *buf, struct cursor c)
{
    struct moment m = {0};

    if (!read_date(&c, &m))
        return false;
    /* 5.2 wrote a date with a time; the reader cuts it. */
    celery_buf_printf(buf, "datetime.date(%d, %d, %d)", m.year, m.month, m.day);
    return true;
}

static bool repr_time(struct celery_buf *buf, struct cursor c)
{
    struct moment m = {0};

    if (!read_clock(&c, &m) || c.p != c.end)
        return false;
    celery_buf_append(buf, CELERY_STR("datetime.time("));
    put_clock(buf, &m);
    return true;
}

static bool repr_decimal(struct celery_buf *buf, struct cursor c)
{
    return cel_repr_decimal(buf,
                            (struct celery_str){c.p, (size_t)(c.end - c.p)});
}

static bool repr_uuid(struct celery_buf *buf, struct cursor c)
{
    char out[36];
    size_t n = 0;

    if (c.end - c.p != 32)
        return false;
    for (; c.p != c.end; c.p++) {
        char d = *c.p;
        if (d >= 'A' && d <= 'F')
            d = (char)(d - 'A' + 'a');
        if (!(d >= '0' && d <= '9') && !(d >= 'a' && d <= 'f'))
            return false;
        if (n == 8 || n == 13 || n == 18 || n == 23)
            out[n++] = '-';
        out[n++] = d;
    }
    celery_buf_printf(buf, "UUID('%.*s')", (int)n, out);
    return true;
}

static const struct {
    const char *type;
    bool (*repr)(struct celery_buf *buf, struct cursor c);
} kinds[] = {
    {"datetime", repr_datetime}, {"date", repr_date}, {"time", repr_time},
    {"decimal", repr_decimal},   {"uuid", repr_uuid},
};

/* false: the value is no string, or not ASCII. */
static bool read_text(struct celery_json value, struct celery_buf *ret)
{
    uint32_t code = 0;
    struct cel_chars chars;

    if (value.type != CELERY_JSON_STRING)
        return false;
    cel_chars_json(&chars, value);
    while (cel_chars_next(&chars, &code)) {
        if (code >= 0x80)
            return false;
        const char c = (char)code;
        celery_buf_append(ret, (struct celery_str){&c, 1});
    }
    return celery_buf_status(ret) == CELERY_OK;
}

static bool repr_text(struct celery_buf *buf, struct celery_json type,
                      struct celery_str text)
{
    struct cursor c = {text.data, text.data + text.len};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (celery_json_is(type, kinds[i].type))
            return kinds[i].repr(buf, c);
    }
    return false;
}

bool cel_repr_typed(struct celery_buf *buf, struct celery_json type,
                    struct celery_json value)
{
    struct celery_buf text = CELERY_BUF_INIT;

    if (celery_json_is(type, "uuid") && value.type == CELERY_JSON_OBJECT)
        value = celery_json_get(value, "hex");
    bool known = read_text(value, &text);
    if (celery_buf_status(&text) != CELERY_OK)
        buf->status = celery_buf_status(&text);
    else if (known)
        known = repr_text(buf, type, celery_buf_str(&text));
    celery_buf_done(&text);
    return known;
}
