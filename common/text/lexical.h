/*
 * Lexical features of a text: hashed word 1- and 2-grams and the character 3- to 5-grams of each
 * word, counted.
 *
 * A word is a run of ASCII letters and digits (lower-cased), apostrophes inside it, and bytes of
 * other characters; its character n-grams are taken from "<word>", by code points.
 */
#ifndef LCF_COMMON_TEXT_LEXICAL_H
#define LCF_COMMON_TEXT_LEXICAL_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>
#include <stdint.h>

/* Scratch of one thread, and the features of the text it saw last. */
typedef struct lcf_features {
    uint32_t buckets; /* 2^bits */
    uint32_t *bucket; /* [n] in the order in which they first occurred */
    float *weight;    /* [n] (1 + ln count), less for character n-grams */
    size_t n, capacity;
    uint32_t *count; /* [buckets], zero between texts */
    uint8_t *kind;   /* [buckets] of the first n-gram there */
    char *word;      /* "<word>" */
    size_t word_capacity;
    lcf_status status; /* the first failure, as in lcf_buf */
} lcf_features;

lcf_status lcf_features_init(lcf_features *f, uint32_t bits, lcf_err *err);
void lcf_features_dispose(lcf_features *f);
/* errors: ENOMEM */
lcf_status lcf_features_of(lcf_features *f, lcf_str text, lcf_err *err);

#endif
