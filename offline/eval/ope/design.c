/* The rows of a log as features: see design.h. */
#include "offline/eval/ope/design.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void scale_numbers(lcf_ope_design *d)
{
    const lcf_ope_log *log = d->log;

    for (size_t k = 0; k < log->features_used_n; k++)
        d->scale[log->feature[k]] += log->feature_value[k] * log->feature_value[k];
    for (size_t f = 0; f < log->features_n; f++) {
        double rms = sqrt(d->scale[f] / (double)log->rows_n);
        d->scale[f] = log->feature_numeric[f] && rms > 0 ? 1 / rms : 1;
    }
}

static void push(lcf_ope_design *d, uint64_t *at, size_t column, double value)
{
    d->index[*at] = (uint32_t)column;
    d->value[(*at)++] = value;
}

static void fill(lcf_ope_design *d)
{
    const lcf_ope_log *log = d->log;
    uint64_t at = 0;

    for (size_t i = 0; i < log->rows_n; i++) {
        d->first[i] = at;
        for (uint64_t k = log->feature_first[i]; k < log->feature_first[i + 1]; k++)
            push(d, &at, log->feature[k], log->feature_value[k] * d->scale[log->feature[k]]);
        push(d, &at, d->action_column + log->action[i], 1);
        if (d->has_positions)
            push(d, &at, d->position_column + log->position[i], 1);
        if (log->has_scores)
            push(d, &at, d->score_column, log->score[i]);
    }
    d->first[log->rows_n] = at;
}

lcf_status lcf_ope_design_init(lcf_ope_design *out, const lcf_ope_log *log, bool positions,
                               lcf_err *err)
{
    size_t used = log->features_used_n + 3 * log->rows_n;

    memset(out, 0, sizeof(*out));
    out->log = log;
    out->has_positions = positions && log->positions_n > 1;
    out->action_column = log->features_n;
    out->position_column = out->action_column + log->actions_n;
    out->score_column = out->position_column + (out->has_positions ? log->positions_n : 0);
    out->scale = lcf_alloc_zero(log->features_n + 1, sizeof(*out->scale));
    out->first = lcf_alloc(log->rows_n + 1, sizeof(*out->first));
    out->index = lcf_alloc(used, sizeof(*out->index));
    out->value = lcf_alloc(used, sizeof(*out->value));
    if (!out->scale || !out->first || !out->index || !out->value) {
        lcf_ope_design_dispose(out);
        return LCF_FAIL(err, LCF_ENOMEM, "features of %zu rows", log->rows_n);
    }
    scale_numbers(out);
    fill(out);
    out->x = (lcf_sparse_rows){log->rows_n, out->score_column + log->has_scores, out->first,
                               out->index, out->value};
    return LCF_OK;
}

void lcf_ope_design_dispose(lcf_ope_design *design)
{
    free(design->scale);
    free(design->first);
    free(design->index);
    free(design->value);
    memset(design, 0, sizeof(*design));
}

double lcf_ope_design_context(const lcf_ope_design *d, const double *coefficients, size_t row)
{
    const lcf_ope_log *log = d->log;
    double sum = coefficients[d->x.features_n];

    for (uint64_t k = log->feature_first[row]; k < log->feature_first[row + 1]; k++)
        sum += coefficients[log->feature[k]] * log->feature_value[k] * d->scale[log->feature[k]];
    return sum;
}

double lcf_ope_design_linear(const lcf_ope_design *d, const double *coefficients, double context,
                             uint32_t action, size_t position, double score)
{
    double sum = context + coefficients[d->action_column + action];

    if (d->has_positions)
        sum += coefficients[d->position_column + position];
    if (d->log->has_scores)
        sum += coefficients[d->score_column] * score;
    return sum;
}
