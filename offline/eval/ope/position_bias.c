/* Examination by position: see position_bias.h. */
#include "offline/eval/ope/position_bias.h"

#include "common/base/mem.h"
#include "offline/eval/ope/design.h"
#include "offline/eval/ope/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 200
#define SETTLED 1e-5 /* largest change of an examination in a round */

/* Divides by the first; EINVAL where a position has nothing. */
static lcf_status normalise(double *examination, const lcf_ope_log *log, lcf_err *err)
{
    double first = examination[0];

    for (size_t p = 0; p < log->positions_n; p++) {
        if (!(examination[p] > 0) || !isfinite(examination[p]))
            return LCF_FAIL(err, LCF_EINVAL,
                            "%s: nothing at position %zu was ever rewarded: its examination cannot "
                            "be estimated",
                            log->path, p + 1);
        examination[p] /= first;
    }
    return LCF_OK;
}

static lcf_status weighted(double *examination, const lcf_ope_log *log, lcf_err *err)
{
    double *weights = lcf_alloc_zero(log->positions_n, sizeof(*weights));

    if (!weights)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu positions", log->positions_n);
    memset(examination, 0, log->positions_n * sizeof(*examination));
    for (size_t i = 0; i < log->rows_n; i++) {
        examination[log->position[i]] += log->reward[i] / log->propensity[i];
        weights[log->position[i]] += 1 / log->propensity[i];
    }
    for (size_t p = 0; p < log->positions_n; p++)
        examination[p] /= weights[p];
    free(weights);
    return normalise(examination, log, err);
}

/* ---- regression EM ---- */

typedef struct em {
    const lcf_ope_log *log;
    lcf_ope_design design; /* without positions */
    double *coefficients, *attracted;
    double *examined, *rows_n; /* [positions_n] */
    uint32_t *all;             /* [rows_n] every row */
} em;

/* One round: what probably happened in every row under the current model, then the model that fits
 * this best. Returns the largest change of an examination. */
static double expect(em *e, double *examination)
{
    const lcf_ope_log *log = e->log;
    double change = 0;

    memset(e->examined, 0, log->positions_n * sizeof(*e->examined));
    for (size_t i = 0; i < log->rows_n; i++) {
        double seen = examination[log->position[i]], r = log->reward[i];
        double attraction = lcf_logistic_mean(lcf_ope_design_linear(
            &e->design, e->coefficients, lcf_ope_design_context(&e->design, e->coefficients, i),
            log->action[i], 0, log->score[i]));
        double none = 1 - seen * attraction; /* of no reward */
        e->examined[log->position[i]] += r + (1 - r) * seen * (1 - attraction) / none;
        e->attracted[i] = r + (1 - r) * attraction * (1 - seen) / none;
    }
    for (size_t p = 0; p < log->positions_n; p++) {
        double now = fmin(e->examined[p] / e->rows_n[p], 1 - 1e-9);
        change = fmax(change, fabs(now - examination[p]));
        examination[p] = now;
    }
    return change;
}

static lcf_status run_em(em *e, double *examination, double l2, lcf_err *err)
{
    lcf_status status = LCF_OK;
    double change = 1;

    for (size_t p = 0; p < e->log->positions_n; p++)
        examination[p] = 1 / (1 + (double)p); /* any start below 1 */
    examination[0] = 0.9;
    for (size_t round = 0; round < ROUNDS_MAX && change > SETTLED && !status; round++) {
        change = expect(e, examination);
        status = lcf_logistic_fit(e->coefficients, &e->design.x, e->attracted, e->all,
                                  e->log->rows_n, l2, err);
    }
    return status ? status : normalise(examination, e->log, err);
}

static lcf_status by_em(double *examination, const lcf_ope_log *log, double l2, lcf_err *err)
{
    em e = {.log = log};
    lcf_status status = lcf_ope_design_init(&e.design, log, false, err);

    if (status)
        return status;
    e.coefficients = lcf_alloc_zero(e.design.x.features_n + 1, sizeof(double));
    e.attracted = lcf_alloc(log->rows_n, sizeof(double));
    e.examined = lcf_alloc_zero(log->positions_n, sizeof(double));
    e.rows_n = lcf_alloc_zero(log->positions_n, sizeof(double));
    e.all = lcf_alloc(log->rows_n, sizeof(*e.all));
    if (e.coefficients && e.attracted && e.examined && e.rows_n && e.all) {
        for (size_t i = 0; i < log->rows_n; i++) {
            e.all[i] = (uint32_t)i;
            e.rows_n[log->position[i]]++;
        }
        status = run_em(&e, examination, l2, err);
    } else {
        status = LCF_FAIL(err, LCF_ENOMEM, "position bias over %zu rows", log->rows_n);
    }
    lcf_ope_design_dispose(&e.design);
    free(e.coefficients);
    free(e.attracted);
    free(e.examined);
    free(e.rows_n);
    free(e.all);
    return status;
}

lcf_status lcf_position_bias(double *examination, const lcf_ope_log *log,
                             lcf_position_bias_method method, double l2, lcf_err *err)
{
    for (size_t i = 0; i < log->rows_n; i++)
        if (!(log->reward[i] >= 0 && log->reward[i] <= 1))
            return LCF_FAIL(err, LCF_EINVAL,
                            "%s: a position-based model needs rewards in [0, 1]; line %llu has %g",
                            log->path, (unsigned long long)log->line[i], log->reward[i]);
    return method == LCF_POSITION_BIAS_EM ? by_em(examination, log, l2, err)
                                          : weighted(examination, log, err);
}
