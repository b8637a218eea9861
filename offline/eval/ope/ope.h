/*
 * All estimators on one log: values, intervals, weight diagnostics and warnings.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_OPE_H
#define LCF_OFFLINE_EVAL_OPE_OPE_H

#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/gate.h"
#include "offline/eval/ope/estimator.h"
#include "offline/eval/ope/inference.h"
#include "offline/eval/ope/log.h"
#include "offline/eval/ope/position_bias.h"
#include "offline/eval/ope/reward_model.h"
#include "offline/eval/ope/slate.h"
#include "offline/eval/ope/tune.h"

#include <stdbool.h>
#include <stddef.h>

#define LCF_OPE_OUTCOMES_N (LCF_OPE_ESTIMATORS_N + LCF_OPE_SLATE_ESTIMATORS_N)

typedef struct lcf_ope_options {
    lcf_ope_bootstrap_options bootstrap;
    lcf_reward_model_options model;
    lcf_ope_tuning tuning;
    lcf_position_bias_method position_bias;
} lcf_ope_options;

#define LCF_OPE_OPTIONS_INIT                                                               \
    {                                                                                      \
        LCF_OPE_BOOTSTRAP_OPTIONS_INIT, LCF_REWARD_MODEL_OPTIONS_INIT, LCF_OPE_TUNE_BOUND, \
            LCF_POSITION_BIAS_WEIGHTED                                                     \
    }

/* What one estimator says. */
typedef struct lcf_ope_outcome {
    const char *name, *title;
    bool slate;         /* per request; otherwise per row */
    const char *absent; /* why there is no estimate; NULL: there is one */
    bool tuned;
    double lambda; /* where tuned; infinite: weights were left as they are */
    double ess;    /* of the weights that the estimator uses; NaN: it uses none */
    lcf_ope_estimate estimate[LCF_OPE_QUANTITIES_N];
} lcf_ope_outcome;

typedef struct lcf_ope_result {
    lcf_ope_outcome outcomes[LCF_OPE_OUTCOMES_N]; /* rows first, then slates */
    size_t outcomes_n;                            /* without slates where the log has none */
    lcf_ope_estimate logged, logged_slate; /* mean logged reward per row and per request: the value
                                              of the logging policy */
    lcf_ope_weights weights;               /* of rows; n = 0 without target probabilities */
    double
        unseen_mass; /* of the target per row, on actions that the log never shows; NaN unknown */
    bool has_model;
    double model_log_loss, model_log_loss_constant;
    double *examination; /* [positions_n], or NULL */
    size_t positions_n;
    lcf_buf warnings; /* one a line */
} lcf_ope_result;

/*
 * Where requests are no lists, or a position was never rewarded, a warning says so and the other
 * estimators go on.
 *
 * errors   ENOMEM; ECANCELED a stop was requested
 * memory   dispose releases, also after a failure
 * threads  the result does not depend on the number of threads in the pool
 */
lcf_status lcf_ope_evaluate(lcf_ope_result *out, const lcf_ope_log *log, lcf_pool *pool,
                            const lcf_ope_options *options, lcf_err *err);
void lcf_ope_result_dispose(lcf_ope_result *result);

/* NULL when there is none of that name. */
const lcf_ope_outcome *lcf_ope_find(const lcf_ope_result *result, const char *name);

/* What a gate may ask for; with a NULL result the values are NaN and only the names matter. */
void lcf_ope_figures(lcf_figures *out, const lcf_ope_result *result);

#endif
