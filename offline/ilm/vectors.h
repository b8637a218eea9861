/*
 * Collaborative vectors: those that the training rows have themselves (spectral.h), or the factors
 * that a trained ranker has for items and users, in one numbering of "entities": the items of the
 * dataset, then its users. To a module that reads such a vector a user is a special item.
 *
 * source   ILM, arXiv 2406.02844; schemas/ranker_weights.md
 */
#ifndef LCF_OFFLINE_ILM_VECTORS_H
#define LCF_OFFLINE_ILM_VECTORS_H

#include "common/data/dataset.h"

typedef struct lcf_cf_vectors {
    size_t items_n, users_n, dim; /* each with the unknown at 0 */
    float *values;                /* [items_n + users_n, dim] */
    float scale;                  /* 1 / root mean square of all elements */
} lcf_cf_vectors;

/*
 * ranker: a weights file, or NULL for the spectral vectors.
 *
 * errors   EINVAL a ranker of other items or users than the dataset's, or without vectors of them;
 *          as lcf_ranker_open, lcf_spectral_vectors
 * memory   lcf_cf_vectors_dispose, after success
 */
lcf_status lcf_cf_vectors_open(lcf_cf_vectors *out, const char *ranker, const lcf_dataset *d,
                               lcf_err *err);
/* The same of a ranker that may know items alone, such as sasrec: users_n is 0 then. */
lcf_status lcf_cf_vectors_open_items(lcf_cf_vectors *out, const char *ranker, const lcf_dataset *d,
                                     lcf_err *err);
/*
 * Whether these are the vectors that `what` was trained on, as far as their width and scale tell:
 * another ranker's, or spectral ones in place of a ranker's, have another scale.
 *
 * errors   EINVAL they are not
 */
lcf_status lcf_cf_vectors_check(const lcf_cf_vectors *v, size_t dim, float scale, const char *what,
                                lcf_err *err);
void lcf_cf_vectors_dispose(lcf_cf_vectors *v);

static inline size_t lcf_cf_entities(const lcf_cf_vectors *v)
{
    return v->items_n + v->users_n;
}

static inline size_t lcf_cf_user(const lcf_cf_vectors *v, uint32_t user)
{
    return v->items_n + user;
}

#endif
