/*
 * Codes of a user and an item: the sign of tanh(W e + b), e the vector of either, and as logit
 * scale * <user's code, item's code>, with a weight per element of the extra vector. What binmf and
 * binlightgcn are made of. Private to common/model.
 *
 * In the gradient the sign counts as identity, a straight-through estimator. Inference sees hard
 * codes alone; in training a share of the elements may stay soft (lcf_ranker_harden).
 *
 * source   Zhang et al. 2024 (BinLLM, arXiv 2406.03210), equation 2; companions.md section 2.1
 */
#ifndef LCF_COMMON_MODEL_BINARY_H
#define LCF_COMMON_MODEL_BINARY_H

#include "common/model/backbone.h"

/* Indices of the maps from a vector to a code. */
typedef struct ranker_binary {
    size_t user_w, user_b, item_w, item_b, extra;
    bool has_extra;
} ranker_binary;

lcf_status lcf_ranker_add_binary(ranker_binary *b, lcf_ranker *r, size_t extra_dim, lcf_err *err);
/* Logits [rows_n, 1] from vectors of the rows' users [rows_n, dim] and of the batch's items
 * [items_n, dim]. */
lcf_tensor *lcf_ranker_binary_logits(const ranker_pass *p, const ranker_binary *b,
                                     lcf_tensor *users, lcf_tensor *items, const ranker_fields *f);
/* Sets the bits of 1 in the codes [n, dim / 8] of vectors [n, dim], by the map w, b. errors: ENOMEM
 */
lcf_status lcf_ranker_binary_codes(uint8_t *codes, const lcf_ranker *r, const float *vectors,
                                   size_t n, size_t w, size_t b, lcf_err *err);

#endif
