/*
 * Measures of next-item ranking, each a function of the target's rank among all items: hit rate
 * (with one target the same as recall), NDCG, and the reciprocal rank.
 *
 * source   Jarvelin and Kekalainen 2002 (NDCG), with one relevant item
 */
#ifndef LCF_OFFLINE_EVAL_RANK_MEASURES_H
#define LCF_OFFLINE_EVAL_RANK_MEASURES_H

#include <stddef.h>
#include <stdint.h>

/* identifier, name, cut-off (0: none), gain at a rank within it */
#define LCF_RANK_MEASURE_LIST(X)                     \
    X(HR5, "hr@5", 5, 1.0)                           \
    X(HR10, "hr@10", 10, 1.0)                        \
    X(HR20, "hr@20", 20, 1.0)                        \
    X(HR50, "hr@50", 50, 1.0)                        \
    X(NDCG5, "ndcg@5", 5, 1.0 / log2(1.0 + rank))    \
    X(NDCG10, "ndcg@10", 10, 1.0 / log2(1.0 + rank)) \
    X(NDCG20, "ndcg@20", 20, 1.0 / log2(1.0 + rank)) \
    X(NDCG50, "ndcg@50", 50, 1.0 / log2(1.0 + rank)) \
    X(MRR, "mrr", 0, 1.0 / rank)

typedef enum lcf_rank_measure {
#define LCF_RANK_MEASURE_ENUM(id, name, cut, gain) LCF_RANK_##id,
    LCF_RANK_MEASURE_LIST(LCF_RANK_MEASURE_ENUM)
#undef LCF_RANK_MEASURE_ENUM
        LCF_RANK_MEASURES_N
} lcf_rank_measure;

const char *lcf_rank_measure_name(lcf_rank_measure measure);
/* What a target at that rank (from 1) is worth, in [0, 1]. */
double lcf_rank_value(lcf_rank_measure measure, uint32_t rank);
/* Mean over n rows; NaN without rows. */
double lcf_rank_mean(lcf_rank_measure measure, const uint32_t *ranks, size_t n);

#endif
