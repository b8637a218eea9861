/*
 * Measures of a top-K list: what one user is shown, and what would have been right. One measure per
 * file; the table of all is in offline/eval/metrics.h.
 *
 * Conventions are those of trec_eval. Rows are shown by falling score, rows of equal score with the
 * greater row number first (trec_eval: the greater document id), so that neither the order of a
 * file nor the sort decides. Precision is over K also where fewer rows were there to show; recall
 * and MAP are over all relevant rows of the user, also where they are more than K. A user without a
 * relevant row has no value: he is left out of means and counted. (trec_eval gives him 0.)
 *
 * source   trec_eval 9.0 (m_P.c, m_recall.c, m_map_cut.c, m_recip_rank.c, m_ndcg_cut.c);
 *          schemas/report.md section 6
 */
#ifndef LCF_OFFLINE_EVAL_LISTS_LIST_H
#define LCF_OFFLINE_EVAL_LISTS_LIST_H

#include <stddef.h>
#include <stdint.h>

#define LCF_GAIN_MAX 30 /* the exponential gain of more would lose the rest */

typedef struct lcf_list {
    size_t k;             /* where lists end */
    const uint8_t *gains; /* [shown_n] of what is shown, best first; 0: not relevant */
    size_t shown_n;       /* <= k */
    const uint8_t *ideal; /* [ideal_n] the user's gains in falling order, up to k of them */
    size_t ideal_n;
    size_t relevant_n; /* rows of the user with a gain, shown or not */
} lcf_list;

/* Each needs relevant_n > 0 and k > 0. */

/* 1 when a relevant row is shown, else 0. */
double lcf_list_hit_rate(const lcf_list *l);
/* Relevant rows shown / relevant rows. */
double lcf_list_recall(const lcf_list *l);
/* Relevant rows shown / K. */
double lcf_list_precision(const lcf_list *l);
/* 1 / position of the first relevant row, 0 when none is shown. */
double lcf_list_mrr(const lcf_list *l);
/* Sum over relevant rows shown of the precision at their position / relevant rows. */
double lcf_list_map(const lcf_list *l);
/* Sum of gain / log2(position + 1), over that of the best list. source: Järvelin and Kekäläinen
 * 2002; trec_eval's ndcg_cut */
double lcf_list_ndcg(const lcf_list *l);
/* The same with gain 2^g - 1, which is the same for labels 0 and 1. source: Burges et al. 2005 */
double lcf_list_ndcg_exp(const lcf_list *l);

/* ---- of the items shown, relevant or not ---- */

/*
 * Mean of -log2 of the items' share of training samples, one sample added to each item's so that
 * new items have a share.
 *
 * shapes   items [n], each < items_n; counts [items_n] training samples of each item
 * units    bits
 * returns  NaN when n is 0
 * source   Zhou et al. 2010 (self-information); Vargas and Castells 2011
 */
double lcf_list_novelty(const uint32_t *items, size_t n, const uint32_t *counts, size_t items_n,
                        uint64_t samples_n);
/* Mean number of training samples. source: Yin et al. 2012 (ARP) */
double lcf_list_popularity(const uint32_t *items, size_t n, const uint32_t *counts);
/*
 * Intra-list diversity: mean of 1 - cosine over the pairs of items that have a vector.
 *
 * shapes   vectors [.., dim] by item, L2-normalised, zeros where there is none
 * returns  NaN with fewer than two such items
 * order    double
 * source   Ziegler et al. 2005; Zhang and Hurley 2008
 */
double lcf_list_diversity(const uint32_t *items, size_t n, const float *vectors, size_t dim);

/* ---- of all lists together: exposures [items_n], how many lists show each item ---- */

/* Share of items that are shown at all; NaN without items. */
double lcf_list_coverage(const uint32_t *exposures, size_t items_n);
/*
 * Gini coefficient of the exposures: 0 when all items are shown equally often, towards 1 when few
 * take all. Sorts `exposures`.
 *
 * returns  NaN without exposures
 * source   Gini 1912, as sum of (2 i - n - 1) x_i / (n sum of x_i), x ascending
 */
double lcf_list_gini(uint32_t *exposures, size_t items_n);

#endif
