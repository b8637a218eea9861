/*
 * N-gram features. Invariant: between texts every count is zero; a text costs time in proportion to
 * its length, whatever the number of buckets.
 */
#include "common/text/lexical.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WORD, PAIR, CHARS, KINDS_N };
enum { GRAM_MIN = 3, GRAM_MAX = 5 };

/* A word has about fifteen character n-grams: each counts less. */
static const float KIND_WEIGHT[KINDS_N] = {1.0f, 1.0f, 0.35f};

lcf_status lcf_features_init(lcf_features *f, uint32_t bits, lcf_err *err)
{
    memset(f, 0, sizeof(*f));
    if (bits < 4 || bits > 24)
        return LCF_FAIL(err, LCF_EINVAL, "2^%u hash buckets; 4 to 24 bits are possible", bits);
    f->buckets = 1u << bits;
    f->count = lcf_alloc_zero(f->buckets, sizeof(*f->count));
    f->kind = lcf_alloc(f->buckets, sizeof(*f->kind));
    if (!f->count || !f->kind) {
        lcf_features_dispose(f);
        return LCF_FAIL(err, LCF_ENOMEM, "counts of 2^%u buckets", bits);
    }
    return LCF_OK;
}

void lcf_features_dispose(lcf_features *f)
{
    free(f->bucket);
    free(f->weight);
    free(f->count);
    free(f->kind);
    free(f->word);
    memset(f, 0, sizeof(*f));
}

static bool is_word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static void add(lcf_features *f, uint64_t hash, int kind)
{
    uint32_t bucket = (uint32_t)hash & (f->buckets - 1);

    if (f->count[bucket] == UINT32_MAX)
        return;
    if (f->count[bucket]++)
        return;
    f->kind[bucket] = (uint8_t)kind;
    if (f->n == f->capacity) {
        size_t capacity = f->capacity;
        if (lcf_grow((void **)&f->bucket, &capacity, f->n + 1, sizeof(*f->bucket))) {
            f->status = LCF_ENOMEM;
            f->count[bucket] = 0; /* it is in no list that would zero it */
            return;
        }
        f->capacity = capacity;
    }
    f->bucket[f->n++] = bucket;
}

static void add_characters(lcf_features *f, size_t len)
{
    size_t begin[GRAM_MAX]; /* of the last code points, in a ring */
    size_t points = 0;

    for (size_t i = 0; i <= len; i++) {
        /* at the beginning of a code point, or at the end: the n-grams that end here */
        if (i < len && ((unsigned char)f->word[i] & 0xc0) == 0x80)
            continue;
        for (size_t n = GRAM_MIN; n <= GRAM_MAX && n <= points; n++) {
            size_t from = begin[(points - n) % GRAM_MAX];
            add(f, lcf_hash64(f->word + from, i - from, CHARS), CHARS);
        }
        begin[points++ % GRAM_MAX] = i;
    }
}

/* Adds one word, lower-cased between < and >; returns its hash. */
static uint64_t add_word(lcf_features *f, const char *text, size_t len, uint64_t before, bool first)
{
    uint64_t hash, pair[2];

    if (lcf_grow((void **)&f->word, &f->word_capacity, len + 2, 1)) {
        f->status = LCF_ENOMEM;
        return 0;
    }
    f->word[0] = '<';
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        f->word[i + 1] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    f->word[len + 1] = '>';
    hash = lcf_hash64(f->word, len + 2, WORD);
    add(f, hash, WORD);
    if (!first) {
        pair[0] = before;
        pair[1] = hash;
        add(f, lcf_hash64(pair, sizeof(pair), PAIR), PAIR);
    }
    add_characters(f, len + 2);
    return hash;
}

static size_t word_end(lcf_str text, size_t at)
{
    while (at < text.len && (is_word_byte((unsigned char)text.data[at]) ||
                             (text.data[at] == '\'' && at + 1 < text.len &&
                              is_word_byte((unsigned char)text.data[at + 1]))))
        at++;
    return at;
}

static lcf_status finish(lcf_features *f, lcf_err *err)
{
    float *weight = lcf_realloc(f->weight, f->capacity ? f->capacity : 1, sizeof(*weight));

    if (weight)
        f->weight = weight;
    else
        f->status = LCF_ENOMEM;
    for (size_t i = 0; i < f->n; i++) {
        uint32_t bucket = f->bucket[i];
        if (weight)
            weight[i] = KIND_WEIGHT[f->kind[bucket]] * (1.0f + logf((float)f->count[bucket]));
        f->count[bucket] = 0;
    }
    return f->status ? LCF_FAIL(err, f->status, "features of a text") : LCF_OK;
}

lcf_status lcf_features_of(lcf_features *f, lcf_str text, lcf_err *err)
{
    uint64_t before = 0;
    bool first = true;

    f->n = 0;
    f->status = LCF_OK;
    for (size_t at = 0; at < text.len && !f->status;) {
        size_t end;
        if (!is_word_byte((unsigned char)text.data[at])) {
            at++;
            continue;
        }
        end = word_end(text, at);
        before = add_word(f, text.data + at, end - at, before, first);
        first = false;
        at = end;
    }
    return finish(f, err);
}
