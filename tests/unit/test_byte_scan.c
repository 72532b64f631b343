/* SPDX-License-Identifier: MIT */
/* Every byte at every place of a text, against the definition. The text is a
 * copy of its own, so that a read past its end is seen. */
#include "byte_scan.h"

#include "base/cleanup.h"
#include "support/unit.h"

enum { LONGEST = 40 };

static bool quote(unsigned char c)
{
    return c == '"' || c == '\\';
}

static bool special(unsigned char c)
{
    return quote(c) || c < ' ' || c > 0x7f;
}

static bool unprintable(unsigned char c)
{
    return special(c) || c == 0x7f;
}

static const struct {
    const char *(*find)(const char *p, const char *end);
    bool (*is)(unsigned char c);
} finders[] = {
    {cel_find_quote, quote},
    {cel_find_special, special},
    {cel_find_unprintable, unprintable},
};

/* Without an assertion a call: they are millions. */
static void check_all(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof finders / sizeof finders[0]; i++) {
        size_t want = 0;
        while (want < len && !finders[i].is((unsigned char)text[want]))
            want++;
        if (finders[i].find(text, text + len) != text + want)
            ck_abort_msg("finder %zu, length %zu, place %zu", i, len, want);
        if (finders[i].is == unprintable
            && cel_is_printable_text(text, len) != (want == len))
            ck_abort_msg("printable, length %zu, place %zu", len, want);
    }
}

static void text_freep(char **text)
{
    free(*text);
}

static char *filled(size_t len)
{
    char *text = malloc(len == 0 ? 1 : len);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', len);
    return text;
}

START_TEST(finds_every_byte_at_every_place)
{
    for (size_t len = 0; len <= LONGEST; len++) {
        CLEANUP(text_freep) char *text = filled(len);
        check_all(text, len);
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                text[at] = (char)c;
                check_all(text, len);
            }
            text[at] = 'x';
        }
    }
}
END_TEST

/* What a borrow of the byte before could hide or feign. */
START_TEST(finds_the_first_of_neighbours)
{
    static const unsigned char near[] = {0x00, 0x01, 0x1f, 0x20, 0x21, 0x22,
                                         0x23, 0x5b, 0x5c, 0x5d, 0x7e, 0x7f,
                                         0x80, 0x9f, 0xa0, 0xff};
    char text[24];

    memset(text, 'x', sizeof text);
    for (size_t at = 0; at + 1 < sizeof text; at++) {
        for (size_t a = 0; a < sizeof near; a++) {
            for (size_t b = 0; b < sizeof near; b++) {
                text[at] = (char)near[a];
                text[at + 1] = (char)near[b];
                check_all(text, sizeof text);
            }
        }
        text[at] = 'x';
    }
}
END_TEST

UNIT_MAIN("byte_scan", finds_every_byte_at_every_place,
          finds_the_first_of_neighbours)
