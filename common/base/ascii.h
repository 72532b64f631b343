/* SPDX-License-Identifier: MIT */
/*
 * Letters and digits of ASCII, whatever the locale says.
 */
#ifndef BASE_ASCII_H
#define BASE_ASCII_H

#include <stdbool.h>

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool ascii_is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static inline bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_upper(c) || ascii_is_lower(c);
}

static inline char ascii_lower(char c)
{
    return (char)(ascii_is_upper(c) ? c + ('a' - 'A') : c);
}

static inline char ascii_upper(char c)
{
    return (char)(ascii_is_lower(c) ? c - ('a' - 'A') : c);
}

/* The value of a hexadecimal digit, or -1. */
static inline int ascii_hex(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif /* BASE_ASCII_H */
