/*
 * The rows of a log as features of a linear model: context, action, position, score.
 *
 * Columns: the context features of the log (numbers divided by their root mean square, categories
 * as indicators), one indicator per action, one per position where wanted and where there are
 * several, and the score where the log has scores.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_DESIGN_H
#define LCF_OFFLINE_EVAL_OPE_DESIGN_H

#include "common/base/status.h"
#include "offline/eval/ope/log.h"
#include "offline/eval/ope/logistic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_ope_design {
    lcf_sparse_rows x; /* of the logged actions */
    const lcf_ope_log *log;
    size_t action_column, position_column, score_column;
    bool has_positions;
    double *scale; /* [log->features_n] what a context feature is multiplied with */
    uint64_t *first;
    uint32_t *index;
    double *value;
} lcf_ope_design;

/* errors: ENOMEM. memory: dispose releases, also after a failure; the log must outlive it */
lcf_status lcf_ope_design_init(lcf_ope_design *out, const lcf_ope_log *log, bool positions,
                               lcf_err *err);
void lcf_ope_design_dispose(lcf_ope_design *design);

/* The linear score of a row's context and the intercept; coefficients [features_n + 1]. */
double lcf_ope_design_context(const lcf_ope_design *design, const double *coefficients, size_t row);
/* That plus an action, at a position, with a score. */
double lcf_ope_design_linear(const lcf_ope_design *design, const double *coefficients,
                             double context, uint32_t action, size_t position, double score);

#endif
