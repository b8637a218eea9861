/*
 * Target policies that need no column of their own: they take the place of what a log says about
 * its target.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_TARGET_H
#define LCF_OFFLINE_EVAL_OPE_TARGET_H

#include "common/base/status.h"
#include "offline/eval/ope/log.h"

/*
 * Every candidate alike; over all actions of the log where it lists no candidates.
 *
 * errors   ENOMEM
 */
lcf_status lcf_ope_target_uniform(lcf_ope_log *log, lcf_err *err);

/* The logging policy itself: all weights are 1. Candidate sets are forgotten. */
void lcf_ope_target_logging(lcf_ope_log *log);

/*
 * The share of each action at each position in another log: the action distribution of a policy
 * that ignores the context, or the average of one that learned meanwhile.
 *
 * errors   EINVAL a position that the other log does not have; ENOMEM
 */
lcf_status lcf_ope_target_estimated(lcf_ope_log *log, const lcf_ope_log *other, lcf_err *err);

#endif
