/*
 * A text as words: runs of letters, digits and bytes above 127, compared by a 64-bit hash of their
 * lower-case form. At most LCF_WORDS_MAX are looked at, so that a text of any length costs the same
 * memory.
 */
#ifndef LCF_OFFLINE_RECGEN_WORDS_H
#define LCF_OFFLINE_RECGEN_WORDS_H

#include "common/base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define LCF_WORDS_MAX 2048

typedef struct lcf_words {
    uint64_t hash[LCF_WORDS_MAX];
    uint16_t sentence[LCF_WORDS_MAX]; /* from 0; a full stop or a line end closes one */
    bool name[LCF_WORDS_MAX];         /* capitalised or a number, not the first of its sentence */
    size_t n;
} lcf_words;

void lcf_words_split(lcf_words *out, lcf_str text);
uint64_t lcf_word_hash(const char *s, size_t n);
/* list: lower-case words; NULL ends it. */
bool lcf_words_in_list(uint64_t hash, const char *const *list);
/* How many words are in the list. */
size_t lcf_words_count(const lcf_words *w, const char *const *list);
/* The hashes of a list of at most LCF_WORD_LIST_MAX words; returns how many. */
#define LCF_WORD_LIST_MAX 64
size_t lcf_word_list_hash(uint64_t out[LCF_WORD_LIST_MAX], const char *const *list);
bool lcf_word_among(uint64_t hash, const uint64_t *list, size_t n);
bool lcf_words_has(const lcf_words *w, uint64_t hash);
/* Share of word triples that occurred before. */
double lcf_words_repeated(const lcf_words *w);

#endif
