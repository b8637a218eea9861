/*
 * Results of next-item seeds on disk and in reports. A finished seed is two files: seed-<s>.lcf,
 * the weights, and seed-<s>.result.lcf, written after them: its presence says that the seed is
 * done.
 */
#ifndef LCF_OFFLINE_TRAIN_NEXT_RESULTS_H
#define LCF_OFFLINE_TRAIN_NEXT_RESULTS_H

#include "offline/train/next_trainer.h"

/* errors: ENOMEM; ENOSPC, EIO */
lcf_status next_result_save(const next_result *r, const lcf_next *model, const char *dir,
                            const next_rows *rows, lcf_err *err);
/* errors: ENOENT the seed is not done; EFORMAT, ECHECKSUM, EVERSION what is there cannot be used */
lcf_status next_result_load(next_result *r, const char *dir, uint64_t seed, const next_rows *rows,
                            lcf_err *err);

/* One seed as an object of report.json; with_times adds seconds and questions_per_s. New, or NULL.
 */
json_t *next_result_json(const next_result *r, const next_rows *rows, bool with_times);
/* All measures of one split: {"hr@5": {"mean": m, "sd": s or null}, ...}. New, or NULL. */
json_t *next_results_summary(const next_result *results, size_t n, const next_rows *rows,
                             lcf_split split);
/* dir/ranks-<split>.lcf of all seeds. */
lcf_status next_results_save_ranks(const char *dir, const next_result *results, size_t results_n,
                                   const next_inputs *in, bool rank_seen, lcf_split split,
                                   lcf_err *err);

#endif
