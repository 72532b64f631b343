/* SPDX-License-Identifier: MIT */
/* Source: Lib/re/_parser.py (_escape, _class_escape, _parse). */
#include <string.h>

#include "control_regex.h"
#include "json_text.h"

uint32_t cel_take_char(const char **p, const char *end)
{
    const unsigned char *c = (const unsigned char *)*p;
    size_t len = cel_utf8_len(c, (const unsigned char *)end, true);

    *p += len == 0 ? 1 : len;
    return len == 0 ? 0xdc00U + c[0] : cel_utf8_get(c, len);
}

bool cel_regex_accept(struct cel_regex *re, char c)
{
    if (re->p == re->end || *re->p != c)
        return false;
    re->p++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static uint32_t to_lower(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static uint32_t to_upper(uint32_t c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

bool cel_regex_is_word(uint32_t c)
{
    return (to_lower(c) >= 'a' && to_lower(c) <= 'z') || c == '_'
        || (c >= '0' && c <= '9');
}

/* str.isspace() has the four separators too. */
static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

bool cel_regex_in_class(uint32_t letter, uint32_t c)
{
    switch (letter) {
    case 'd':
        return c >= '0' && c <= '9';
    case 'D':
        return c < '0' || c > '9';
    case 's':
        return is_space(c);
    case 'S':
        return !is_space(c);
    case 'w':
        return cel_regex_is_word(c);
    default:
        return !cel_regex_is_word(c);
    }
}

static bool take_hex(struct cel_regex *re, int digits, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < digits; i++) {
        if (re->p == re->end)
            return false;
        char c = *re->p++;
        if (is_digit(c))
            *ret = *ret * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *ret = *ret * 16 + (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            *ret = *ret * 16 + (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    return *ret <= 0x10ffff;
}

bool cel_regex_escape(struct cel_regex *re, bool in_set,
                      struct cel_regex_item *ret)
{
    static const char controls[] = "a\ab\bf\fn\nr\rt\tv\v";

    if (re->p == re->end || is_digit(*re->p))
        return false;
    uint32_t c = cel_take_char(&re->p, re->end);
    ret->code = c;
    ret->is_class = c != 0 && c < 0x80 && strchr("dDsSwW", (int)c) != NULL;
    if (ret->is_class) {
        re->ascii_only = true;
        return true;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        int digits = c == 'u' ? 4 : 8;
        return take_hex(re, c == 'x' ? 2 : digits, &ret->code);
    }
    for (size_t i = 0; i + 1 < sizeof controls; i += 2) {
        if ((unsigned char)controls[i] == c && (c != 'b' || in_set)) {
            ret->code = (unsigned char)controls[i + 1];
            return true;
        }
    }
    return !(to_lower(c) >= 'a' && to_lower(c) <= 'z'); /* a bad escape */
}

static bool take_item(struct cel_regex *re, struct cel_regex_item *ret)
{
    if (re->p == re->end)
        return false;
    ret->is_class = false;
    ret->code = cel_take_char(&re->p, re->end);
    if (ret->code == '\\' && !cel_regex_escape(re, true, ret))
        return false;
    re->ascii = re->ascii && ret->code < 0x80;
    return true;
}

bool cel_regex_in_range(const struct cel_regex *re, uint32_t low, uint32_t high,
                        uint32_t c)
{
    if (!re->ignore_case)
        return c >= low && c <= high;
    return (to_lower(c) >= low && to_lower(c) <= high)
        || (to_upper(c) >= low && to_upper(c) <= high);
}

bool cel_regex_set(struct cel_regex *re, uint32_t c, bool *ret_matched)
{
    bool negated = cel_regex_accept(re, '^');
    bool matched = false;
    struct cel_regex_item low;
    struct cel_regex_item high;

    for (bool first = true; first || !cel_regex_accept(re, ']');
         first = false) {
        if (!take_item(re, &low))
            return false;
        high = low;
        if (re->end - re->p >= 2 && re->p[0] == '-' && re->p[1] != ']') {
            re->p++;
            if (!take_item(re, &high) || low.is_class || high.is_class
                || low.code > high.code)
                return false;
        }
        if (low.is_class ? cel_regex_in_class(low.code, c)
                         : cel_regex_in_range(re, low.code, high.code, c))
            matched = true;
    }
    *ret_matched = matched != negated;
    return true;
}
