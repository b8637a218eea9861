/*
 * Least-significant-digit radix sort over the score half of the keys: two passes of 16 bits would
 * need a table larger than most inputs, so four of 8. Each pass is stable, which keeps the rows of
 * a tie ascending.
 */
#include "offline/eval/score_order.h"

#include <math.h>
#include <string.h>

#define DIGITS 256

static void radix_pass(uint64_t *out, const uint64_t *in, size_t n, unsigned shift)
{
    size_t start[DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        start[in[i] >> shift & (DIGITS - 1)]++;
    for (size_t d = 0; d < DIGITS; d++) {
        size_t count = start[d];
        start[d] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        out[start[in[i] >> shift & (DIGITS - 1)]++] = in[i];
}

void lcf_order_sort(uint64_t *keys, size_t n, uint64_t *scratch)
{
    for (unsigned shift = 32; shift < 64; shift += 16) {
        radix_pass(scratch, keys, n, shift);
        radix_pass(keys, scratch, n, shift + 8);
    }
}

void lcf_score_order(uint64_t *order, const float *scores, size_t n, uint64_t *scratch)
{
    for (size_t i = 0; i < n; i++)
        order[i] = lcf_order_key(scores[i], (uint32_t)i);
    lcf_order_sort(order, n, scratch);
}

size_t lcf_scores_first_nan(const float *scores, size_t n)
{
    size_t i = 0;

    while (i < n && !isnan(scores[i]))
        i++;
    return i;
}
