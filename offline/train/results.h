/*
 * Results of seeds on disk and in reports. A finished seed is two files in OUT.partial:
 * seed-<s>.lcf, the weights, and seed-<s>.result.lcf, written after them: its presence says that
 * the seed is done.
 */
#ifndef LCF_OFFLINE_TRAIN_RESULTS_H
#define LCF_OFFLINE_TRAIN_RESULTS_H

#include "offline/train/trainer.h"

/* errors: ENOMEM; ENOSPC, EIO */
lcf_status train_result_save(const train_result *r, const lcf_ranker *ranker, const char *dir,
                             const lcf_dataset *d, lcf_err *err);
/* errors: ENOENT the seed is not done; EFORMAT, ECHECKSUM, EVERSION what is there cannot be used */
lcf_status train_result_load(train_result *r, const char *dir, uint64_t seed, const lcf_dataset *d,
                             lcf_err *err);

/* One seed as an object of report.json; with_times adds seconds, samples_per_s
 * and seconds_per_1000_rows. New, or NULL. */
json_t *train_result_json(const train_result *r, bool with_times);
/* All measures: {"valid_auc": {"mean": m, "sd": s or null}, ...}. New, or NULL. */
json_t *train_results_summary(const train_result *results, size_t n);
/* valid.lcf or test.lcf of all seeds into dir. */
lcf_status train_predictions_save(const char *dir, const train_result *results, size_t results_n,
                                  const lcf_dataset *d, lcf_split split, lcf_err *err);

#endif
