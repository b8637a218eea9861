/*
 * Warm start: the weights of an earlier ranker, of an earlier dataset, as the beginning of a new
 * one whose tables have grown.
 */
#ifndef LCF_OFFLINE_TRAIN_WARM_START_H
#define LCF_OFFLINE_TRAIN_WARM_START_H

#include "common/data/dataset.h"
#include "common/model/ranker.h"

/*
 * Takes over what `dir` (made by train) knows: of the tables of users, items, brands and categories
 * (vectors and linear weights) the rows whose external id or name `now` and `before` share; of
 * everything else all, by name. Rows and parameters that are new, and tables of the data's own
 * fields, keep their fresh values. The weights are those of the same seed, or of the best one where
 * that seed was not trained.
 *
 * errors   ENOENT, EFORMAT, ... of opening the weights; EINVAL a parameter of another shape, or
 *          tables that do not belong to `before`
 */
lcf_status train_warm_start(lcf_ranker *r, const lcf_dataset *now, const char *dir, uint64_t seed,
                            const lcf_dataset *before, lcf_err *err);

#endif
