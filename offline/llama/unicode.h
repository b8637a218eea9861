/*
 * What tokenizers must know about characters: general categories, and the folding that BERT's
 * uncased vocabularies expect. The only file that sees utf8proc is unicode.c.
 *
 * source   Unicode 15 (utf8proc 2.8); white space is the property White_Space, as \s in the regular
 *          expressions that tokenizers are published with
 */
#ifndef LCF_OFFLINE_LLAMA_UNICODE_H
#define LCF_OFFLINE_LLAMA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lcf_char_class {
    LCF_CHAR_OTHER,   /* also bytes that are no UTF-8 */
    LCF_CHAR_LETTER,  /* \p{L} */
    LCF_CHAR_NUMBER,  /* \p{N} */
    LCF_CHAR_SPACE,   /* \s */
    LCF_CHAR_CONTROL, /* \p{C} that is no white space */
    LCF_CHAR_PUNCT,   /* \p{P}, and every sign of ASCII */
    LCF_CHAR_END,     /* there is no character here */
} lcf_char_class;

/* Bytes of the UTF-8 character at s, 1 for a byte that begins none. n >= 1. */
size_t lcf_char_bytes(const char *s, size_t n);
/* The same, and which it is: U+FFFD for a byte that begins none. */
size_t lcf_char_read(uint32_t *c, const char *s, size_t n);
/* Appends c as UTF-8 at out; returns its bytes, at most 4. */
size_t lcf_char_write(char *out, uint32_t c);

lcf_char_class lcf_char_class_of(uint32_t c);
/* Whether BERT sets the character apart: the ideographs of CJK (not kana, not hangul). */
bool lcf_char_is_ideograph(uint32_t c);

enum { LCF_FOLD_MAX = 4 };
/* The canonical decomposition of c without non-spacing marks, in lower case: n characters. */
size_t lcf_char_fold(uint32_t out[LCF_FOLD_MAX], uint32_t c);

#endif
