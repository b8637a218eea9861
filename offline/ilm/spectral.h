/*
 * Spectral vectors: what users and items are, from who took what in the training rows.
 *
 * Of the matrix A with A(u, i) = 1 / sqrt(items of u * users of i) where u took i, the vector of an
 * item is its row of V diag(sigma), that of a user its row of U diag(sigma), of the largest
 * singular values, each brought to length 1. Items with like users lie near each other, whatever
 * was thought of them: a factorisation of what is consumed together, which a ranker trained on
 * likes and dislikes of the same rows is not.
 *
 * Who took what: rows of label 1, and all rows where the log has ratings; where it has none,
 * label 0 is a drawn negative.
 *
 * source   Wang et al. 2019 (NGCF), equation 8, the normalised adjacency; Shen et al. 2021
 *          (GF-CF), its largest singular vectors
 */
#ifndef LCF_OFFLINE_ILM_SPECTRAL_H
#define LCF_OFFLINE_ILM_SPECTRAL_H

#include "common/data/dataset.h"

#define LCF_SPECTRAL_DIM 32

/*
 * Items, then users, each with the unknown at 0, whose vector is 0, as is that of one that took or
 * was taken by nobody.
 *
 * shapes   out [items_n + users_n, LCF_SPECTRAL_DIM]
 * order    the same bits on every run
 * errors   EINVAL no training row says that a known user took a known item; ENOMEM
 * cost     some ten products of A with 48 columns
 */
lcf_status lcf_spectral_vectors(float *out, const lcf_dataset *d, lcf_err *err);

#endif
