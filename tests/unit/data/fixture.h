/*
 * Tiny logs and datasets for tests of anything that starts from a dataset.
 *
 * The log has ratings, brands, categories and texts. Everything is a function of the options, so
 * two calls give the same bytes.
 */
#ifndef LCF_TESTS_UNIT_DATA_FIXTURE_H
#define LCF_TESTS_UNIT_DATA_FIXTURE_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_fixture_options {
    size_t users_n, items_n, rows_per_user;
    bool ratings; /* false: implicit, with sampled negatives and leave-last splits */
    uint64_t seed;
} lcf_fixture_options;

/* 12 users x 10 rows over 15 items: 3 brands, 4 categories. */
#define LCF_FIXTURE_OPTIONS_INIT \
    {                            \
        12, 15, 10, true, 1      \
    }

/* A new empty folder below the working folder or $TMPDIR; free() releases the path. Never NULL (a
 * failed assertion instead). The caller removes it with lcf_dir_remove. */
char *lcf_fixture_dir(void);
/* items.tsv and interactions.tsv into `dir`, which exists. NULL options: the defaults. */
lcf_status lcf_fixture_write_log(const char *dir, const lcf_fixture_options *options, lcf_err *err);
/*
 * The prepared dataset in `dir` (created). Users "u1"..., items "i1"...; users with an even number
 * like the even categories, so that the labels can be learned.
 */
lcf_status lcf_fixture_write_dataset(const char *dir, const lcf_fixture_options *options,
                                     lcf_err *err);

/* Bits in which two codes of so many bytes differ: what Hamming kernels are held against. */
static inline size_t lcf_fixture_bits_apart(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < 8 * bytes; i++)
        n += (size_t)((a[i / 8] ^ b[i / 8]) >> i % 8 & 1);
    return n;
}

#endif
