/*
 * The reward model of the direct method: a logistic regression on what the log says about the
 * context, the action, the position and the score, with cross-fitting. The users are dealt into
 * folds, and a row is predicted by the model that saw no row of its fold.
 *
 * Features are those of design.h. Rewards outside [0, 1] are mapped to it by their range.
 *
 * source   cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning"
 */
#ifndef LCF_OFFLINE_EVAL_OPE_REWARD_MODEL_H
#define LCF_OFFLINE_EVAL_OPE_REWARD_MODEL_H

#include "common/base/pool.h"
#include "common/base/status.h"
#include "offline/eval/ope/log.h"

typedef struct lcf_reward_model_options {
    size_t folds_n; /* 2 or more; fewer users than folds: as many folds as users */
    double l2;      /* strength of the ridge penalty */
} lcf_reward_model_options;

#define LCF_REWARD_MODEL_OPTIONS_INIT \
    {                                 \
        3, 1.0                        \
    }

typedef struct lcf_reward_model {
    double *q_logged;         /* [rows_n] of the logged action */
    double *q_target;         /* [rows_n] mean over the candidates under the target policy */
    double *q_later;          /* [rows_n] the same candidates' rewards at the later positions of the
                                 request, summed: what a slate estimator expects from here on */
    double log_loss;          /* held-out, mean per row, of rewards mapped to [0, 1] */
    double log_loss_constant; /* the same of a model that knows the mean reward alone */
    size_t folds_n;
} lcf_reward_model;

/*
 * The log needs candidate sets with target probabilities.
 *
 * errors   EINVAL a single user; ENOMEM
 * memory   dispose releases, also after a failure
 * threads  folds run in the pool; the result does not depend on their number
 */
lcf_status lcf_reward_model_fit(lcf_reward_model *out, const lcf_ope_log *log, lcf_pool *pool,
                                const lcf_reward_model_options *options, lcf_err *err);
void lcf_reward_model_dispose(lcf_reward_model *model);

#endif
