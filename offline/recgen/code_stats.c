/* Statistics of codes: see code_stats.h. */
#include "offline/recgen/code_stats.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_code(const void *a, const void *b, void *bytes)
{
    return memcmp(a, b, *(const size_t *)bytes);
}

/* -p log2 p of a share of n. */
static double surprise(size_t count, size_t n)
{
    const double p = (double)count / (double)n;

    return count ? -p * log2(p) : 0.0;
}

/* Codes in order: equal ones are neighbours. */
static void count_codes(lcf_code_stats *out, const uint8_t *sorted, size_t n, size_t bytes)
{
    size_t begin = 0;

    for (size_t i = 1; i <= n; i++)
        if (i == n || memcmp(sorted + i * bytes, sorted + begin * bytes, bytes)) {
            out->distinct++;
            out->entropy += surprise(i - begin, n);
            begin = i;
        }
}

static void count_bits(lcf_code_stats *out, const uint8_t *codes, size_t n, size_t bytes)
{
    size_t all = 0;

    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        size_t ones = 0;

        for (size_t i = 0; i < n; i++)
            ones += codes[i * bytes + bit / 8] >> (7 - bit % 8) & 1;
        out->bit_entropy[bit] = surprise(ones, n) + surprise(n - ones, n);
        all += ones;
    }
    out->ones = (double)all / (8.0 * (double)(n * bytes));
}

lcf_status lcf_code_stats_make(lcf_code_stats *out, const uint8_t *codes, size_t n, size_t bytes,
                               lcf_err *err)
{
    uint8_t *sorted = lcf_alloc(n + 1, bytes);

    *out = (lcf_code_stats){.bit_entropy = lcf_alloc_zero(8 * bytes, sizeof(double))};
    if (!sorted || !out->bit_entropy) {
        free(sorted);
        free(out->bit_entropy);
        out->bit_entropy = NULL;
        return LCF_FAIL(err, LCF_ENOMEM, "statistics of %zu codes", n);
    }
    if (n) {
        memcpy(sorted, codes, n * bytes);
        qsort_r(sorted, n, bytes, by_code, &bytes);
        count_codes(out, sorted, n, bytes);
        count_bits(out, codes, n, bytes);
    }
    free(sorted);
    return LCF_OK;
}
