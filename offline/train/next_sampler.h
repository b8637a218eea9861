/*
 * Draws items as negatives: uniformly, or log-uniformly by popularity (the k-th most frequent item
 * with a share proportional to log(1 + 1 / (k + 1)), k from 0).
 *
 * source   tf.random.log_uniform_candidate_sampler (the distribution; draws are with replacement)
 */
#ifndef LCF_OFFLINE_TRAIN_NEXT_SAMPLER_H
#define LCF_OFFLINE_TRAIN_NEXT_SAMPLER_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "offline/train/train_next.h"

#include <stdint.h>

typedef struct next_sampler {
    lcf_next_sampling kind;
    uint32_t items_n;  /* items are 1 .. items_n - 1 */
    uint32_t *by_rank; /* [items_n - 1] items by falling count, then by number; log-uniform only */
    float *log_share;  /* [items_n] log of the share of draws; NULL when uniform */
} next_sampler;

/* shapes: count [items_n] training targets of each item. errors: ENOMEM */
lcf_status next_sampler_init(next_sampler *s, lcf_next_sampling kind, const uint32_t *count,
                             uint32_t items_n, lcf_err *err);
void next_sampler_dispose(next_sampler *s);
uint32_t next_sampler_draw(const next_sampler *s, lcf_rng *rng);

#endif
