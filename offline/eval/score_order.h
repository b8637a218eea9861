/*
 * Rows in ascending order of their scores, the common ground of every rank statistic.
 *
 * An order is an array of keys: the upper 32 bits are the score mapped to an unsigned integer of
 * the same order, the lower 32 the row. Equal scores (also -0 and +0) have equal upper halves, so
 * ties are found by comparing them, and rows of a tie stand in ascending order.
 */
#ifndef LCF_OFFLINE_EVAL_SCORE_ORDER_H
#define LCF_OFFLINE_EVAL_SCORE_ORDER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Sorts n scores by radix, in O(n).
 *
 * shapes   order [n] out; scores [n], no NaN; scratch [n]; n < 2^32
 * memory   allocates nothing
 * threads  safe
 */
void lcf_score_order(uint64_t *order, const float *scores, size_t n, uint64_t *scratch);

/* The key of a score with 32 bits of the caller's below. IEEE 754 order as unsigned order:
 * positives get the sign bit set, negatives are complemented. */
static inline uint64_t lcf_order_key(float score, uint32_t low)
{
    uint32_t bits;

    score += 0.0f; /* -0 becomes +0, so that the two tie */
    memcpy(&bits, &score, sizeof(bits));
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | low;
}

/* Sorts keys [n] by their upper halves, keeping the order of equal ones. shapes: scratch [n]. */
void lcf_order_sort(uint64_t *keys, size_t n, uint64_t *scratch);

static inline uint32_t lcf_order_row(uint64_t key)
{
    return (uint32_t)key;
}

static inline uint32_t lcf_order_rank(uint64_t key)
{
    return (uint32_t)(key >> 32);
}

/* Index of the first NaN in scores [n], or n when there is none. */
size_t lcf_scores_first_nan(const float *scores, size_t n);

#endif
