/* SPDX-License-Identifier: MIT */
/*
 * The first byte of some kind, a block at a time: sixteen bytes with SSE2,
 * which every x86-64 has, else eight in a word. A mask has a bit set in each
 * byte that is looked for; only its lowest is exact, since the word's borrow
 * can set others behind it.
 */
#ifndef CELERY_BYTE_SCAN_H
#define CELERY_BYTE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CEL_BYTE_SCAN_PORTABLE)

#include <emmintrin.h>

typedef __m128i cel_block;
typedef unsigned cel_mask;

static inline cel_block cel_block_load(const char *p)
{
    cel_block block;
    memcpy(&block, p, sizeof block);
    return block;
}

static inline cel_block cel_block_equal(cel_block block, char c)
{
    return _mm_cmpeq_epi8(block, _mm_set1_epi8(c));
}

/* Below ' ' or above 0x7f: signed, that is one comparison. */
static inline cel_block cel_block_no_ascii(cel_block block)
{
    return _mm_cmplt_epi8(block, _mm_set1_epi8(' '));
}

static inline cel_block cel_block_either(cel_block a, cel_block b)
{
    return _mm_or_si128(a, b);
}

static inline cel_mask cel_block_mask(cel_block found)
{
    return (cel_mask)_mm_movemask_epi8(found);
}

static inline size_t cel_mask_first(cel_mask mask)
{
    return (size_t)__builtin_ctz(mask);
}

#else

#include <endian.h>

typedef uint64_t cel_block;
typedef uint64_t cel_mask;

#define CEL_ONES  0x0101010101010101U
#define CEL_HIGHS 0x8080808080808080U

static inline cel_block cel_block_load(const char *p)
{
    cel_block block = 0;
    memcpy(&block, p, sizeof block);
    return le64toh(block);
}

static inline cel_block cel_block_equal(cel_block block, char c)
{
    uint64_t differs = block ^ CEL_ONES * (unsigned char)c;
    return (differs - CEL_ONES) & ~differs & CEL_HIGHS;
}

static inline cel_block cel_block_no_ascii(cel_block block)
{
    return (block | (block - CEL_ONES * ' ')) & CEL_HIGHS;
}

static inline cel_block cel_block_either(cel_block a, cel_block b)
{
    return a | b;
}

static inline cel_mask cel_block_mask(cel_block found)
{
    return found;
}

static inline size_t cel_mask_first(cel_mask mask)
{
    return (size_t)__builtin_ctzll(mask) / 8;
}

#endif

static inline cel_block cel_block_quote(cel_block block)
{
    return cel_block_either(cel_block_equal(block, '"'),
                            cel_block_equal(block, '\\'));
}

static inline cel_block cel_block_special(cel_block block)
{
    return cel_block_either(cel_block_quote(block), cel_block_no_ascii(block));
}

static inline cel_block cel_block_unprintable(cel_block block)
{
    return cel_block_either(cel_block_special(block),
                            cel_block_equal(block, '\x7f'));
}

/* The first quote or backslash; end when there is none. */
static inline const char *cel_find_quote(const char *p, const char *end)
{
    while ((size_t)(end - p) >= sizeof(cel_block)) {
        cel_mask mask = cel_block_mask(cel_block_quote(cel_block_load(p)));
        if (mask != 0)
            return p + cel_mask_first(mask);
        p += sizeof(cel_block);
    }
    while (p != end && *p != '"' && *p != '\\')
        p++;
    return p;
}

static inline bool cel_is_special(char c)
{
    return (unsigned char)c < ' ' || (unsigned char)c > '\x7f' || c == '"'
        || c == '\\';
}

/* The first quote, backslash, control character or byte above 0x7f. */
static inline const char *cel_find_special(const char *p, const char *end)
{
    while ((size_t)(end - p) >= sizeof(cel_block)) {
        cel_mask mask = cel_block_mask(cel_block_special(cel_block_load(p)));
        if (mask != 0)
            return p + cel_mask_first(mask);
        p += sizeof(cel_block);
    }
    while (p != end && !cel_is_special(*p))
        p++;
    return p;
}

/* The same, and DEL: what JSON text in ASCII cannot hold as it is. */
static inline const char *cel_find_unprintable(const char *p, const char *end)
{
    while ((size_t)(end - p) >= sizeof(cel_block)) {
        cel_mask mask =
            cel_block_mask(cel_block_unprintable(cel_block_load(p)));
        if (mask != 0)
            return p + cel_mask_first(mask);
        p += sizeof(cel_block);
    }
    while (p != end && !cel_is_special(*p) && *p != '\x7f')
        p++;
    return p;
}

/* Does cel_find_unprintable find nothing? The last block overlaps the one
 * before it, so that a text that fills one has no odd bytes. */
static inline bool cel_is_printable_text(const char *p, size_t len)
{
    if (len < sizeof(cel_block))
        return cel_find_unprintable(p, p + len) == p + len;
    const char *last = p + len - sizeof(cel_block);
    for (; p < last; p += sizeof(cel_block)) {
        if (cel_block_mask(cel_block_unprintable(cel_block_load(p))) != 0)
            return false;
    }
    return cel_block_mask(cel_block_unprintable(cel_block_load(last))) == 0;
}

#endif /* CELERY_BYTE_SCAN_H */
