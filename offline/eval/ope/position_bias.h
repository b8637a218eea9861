/*
 * How likely a position is looked at, relative to the first: the examination of the position-based
 * model, click = examination(position) * attraction(item, context).
 *
 * source   propensity-weighted: Wang, Bendersky, Metzler and Najork 2016 ("result randomisation"),
 *          here from a policy that explores with known propensities; regression EM: Wang, Golbandi,
 *          Bendersky, Metzler and Najork 2018, "Position bias estimation for unbiased learning to
 *          rank in personal search"
 */
#ifndef LCF_OFFLINE_EVAL_OPE_POSITION_BIAS_H
#define LCF_OFFLINE_EVAL_OPE_POSITION_BIAS_H

#include "common/base/status.h"
#include "offline/eval/ope/log.h"

typedef enum lcf_position_bias_method {
    LCF_POSITION_BIAS_WEIGHTED, /* mean reward by position, weighted to a uniform policy */
    LCF_POSITION_BIAS_EM,       /* needs no propensities; attraction is a logistic regression on
                                   context, action and score */
} lcf_position_bias_method;

/*
 * shapes   examination [log->positions_n] out, the first is 1
 * errors   EINVAL rewards outside [0, 1], or a position (named) that was never rewarded; ENOMEM
 */
lcf_status lcf_position_bias(double *examination, const lcf_ope_log *log,
                             lcf_position_bias_method method, double l2, lcf_err *err);

#endif
