/* The reward model: see reward_model.h. A fold's task writes the rows of its users alone. */
#include "offline/eval/ope/reward_model.h"

#include "common/base/mem.h"
#include "offline/eval/ope/design.h"
#include "offline/eval/ope/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const lcf_ope_log *log;
    const lcf_reward_model_options *options;
    lcf_reward_model *out;
    lcf_ope_design design;
    double *y;            /* [rows_n] rewards in [0, 1] */
    double low, range;    /* reward = low + range * y */
    uint32_t *last;       /* [requests_n] largest position of the request */
    double *loss;         /* [rows_n] held-out */
    double *coefficients; /* [folds_n, features_n + 1] */
} job;

/* Rewards in [0, 1] stay as they are; others are mapped by their range. */
static void scale_rewards(job *j)
{
    const lcf_ope_log *log = j->log;
    double low = log->reward[0], high = log->reward[0];

    for (size_t i = 0; i < log->rows_n; i++) {
        low = fmin(low, log->reward[i]);
        high = fmax(high, log->reward[i]);
    }
    if (low >= 0 && high <= 1) {
        low = 0;
        high = 1;
    }
    j->low = low;
    j->range = high > low ? high - low : 1;
    for (size_t i = 0; i < log->rows_n; i++)
        j->y[i] = (log->reward[i] - low) / j->range;
}

static lcf_status prepare(job *j, lcf_err *err)
{
    const lcf_ope_log *log = j->log;
    lcf_reward_model *out = j->out;
    lcf_status status = lcf_ope_design_init(&j->design, log, true, err);

    if (status)
        return status;
    j->y = lcf_alloc(log->rows_n, sizeof(*j->y));
    j->loss = lcf_alloc(log->rows_n, sizeof(*j->loss));
    j->last = lcf_alloc_zero(log->requests_n, sizeof(*j->last));
    j->coefficients = lcf_alloc_zero(out->folds_n, (j->design.x.features_n + 1) * sizeof(double));
    out->q_logged = lcf_alloc(log->rows_n, sizeof(double));
    out->q_target = lcf_alloc(log->rows_n, sizeof(double));
    out->q_later = lcf_alloc(log->rows_n, sizeof(double));
    if (!j->y || !j->loss || !j->last || !j->coefficients || !out->q_logged || !out->q_target ||
        !out->q_later)
        return LCF_FAIL(err, LCF_ENOMEM, "reward model of %zu rows", log->rows_n);
    scale_rewards(j);
    for (size_t i = 0; i < log->rows_n; i++)
        if (log->position[i] > j->last[log->request[i]])
            j->last[log->request[i]] = log->position[i];
    return LCF_OK;
}

/* The mean over the row's candidates under the target policy, were they at that position. */
static double target_mean(const job *j, const double *coefficients, double context, size_t row,
                          size_t position)
{
    const lcf_ope_log *log = j->log;
    uint32_t set = log->set[row];
    double sum = 0;

    for (uint64_t c = log->set_first[set]; c < log->set_first[set + 1]; c++) {
        double p = log->candidate_target[c];
        if (p > 0)
            sum += p * lcf_logistic_mean(lcf_ope_design_linear(&j->design, coefficients, context,
                                                               log->candidate[c], position,
                                                               log->candidate_score[c]));
    }
    return j->low + j->range * sum;
}

static void predict(job *j, const double *coefficients, size_t row)
{
    const lcf_ope_log *log = j->log;
    double context = lcf_ope_design_context(&j->design, coefficients, row);
    double z = lcf_ope_design_linear(&j->design, coefficients, context, log->action[row],
                                     log->position[row], log->score[row]);

    j->out->q_logged[row] = j->low + j->range * lcf_logistic_mean(z);
    j->out->q_target[row] = target_mean(j, coefficients, context, row, log->position[row]);
    j->out->q_later[row] = 0;
    for (size_t p = (size_t)log->position[row] + 1; p <= j->last[log->request[row]]; p++)
        j->out->q_later[row] += target_mean(j, coefficients, context, row, p);
    j->loss[row] = lcf_logistic_loss(z, j->y[row]);
}

static lcf_status fit_fold(void *arg, size_t fold, size_t worker, lcf_err *err)
{
    job *j = arg;
    const lcf_ope_log *log = j->log;
    double *coefficients = j->coefficients + fold * (j->design.x.features_n + 1);
    uint32_t *rows = lcf_alloc(log->rows_n, sizeof(*rows));
    size_t n = 0;
    lcf_status status;

    (void)worker;
    if (!rows)
        return LCF_FAIL(err, LCF_ENOMEM, "fold of %zu rows", log->rows_n);
    for (size_t i = 0; i < log->rows_n; i++)
        if (log->user[i] % j->out->folds_n != fold)
            rows[n++] = (uint32_t)i;
    status = lcf_logistic_fit(coefficients, &j->design.x, j->y, rows, n, j->options->l2, err);
    free(rows);
    for (size_t i = 0; i < log->rows_n && !status; i++)
        if (log->user[i] % j->out->folds_n == fold)
            predict(j, coefficients, i);
    return status;
}

static void judge(job *j)
{
    double n = (double)j->log->rows_n, sum = 0, mean = 0;

    for (size_t i = 0; i < j->log->rows_n; i++) {
        sum += j->loss[i];
        mean += j->y[i];
    }
    mean /= n;
    j->out->log_loss = sum / n;
    j->out->log_loss_constant =
        mean > 0 && mean < 1 ? -mean * log(mean) - (1 - mean) * log(1 - mean) : 0;
}

lcf_status lcf_reward_model_fit(lcf_reward_model *out, const lcf_ope_log *log, lcf_pool *pool,
                                const lcf_reward_model_options *options, lcf_err *err)
{
    job j = {.log = log, .options = options, .out = out};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    if (log->users_n < 2)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s: a reward model with cross-fitting needs two users or more", log->path);
    out->folds_n = options->folds_n < log->users_n ? options->folds_n : log->users_n;
    status = prepare(&j, err);
    if (!status)
        status = lcf_pool_run(pool, out->folds_n, fit_fold, &j, err);
    if (!status)
        judge(&j);
    lcf_ope_design_dispose(&j.design);
    free(j.y);
    free(j.loss);
    free(j.last);
    free(j.coefficients);
    if (status)
        lcf_reward_model_dispose(out);
    return status;
}

void lcf_reward_model_dispose(lcf_reward_model *model)
{
    free(model->q_logged);
    free(model->q_target);
    free(model->q_later);
    memset(model, 0, sizeof(*model));
}
