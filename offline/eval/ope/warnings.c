/* What should make a reader doubt an estimate: see ope.h. */
#include "offline/eval/ope/warnings.h"

#include <math.h>

static void warn_dropped(lcf_buf *out, const lcf_ope_log *log)
{
    if (log->bad_rows_n)
        lcf_buf_printf(out, "%zu rows that could not be read were dropped, the first at %s\n",
                       log->bad_rows_n, log->bad_row);
    if (log->zero_propensity_n)
        lcf_buf_printf(out, "%zu rows of propensity 0 were dropped\n", log->zero_propensity_n);
    if (log->lost_clicks_n)
        lcf_buf_printf(out,
                       "%zu clicks are on requests that the log does not have, or on items that it "
                       "does not show\n",
                       log->lost_clicks_n);
    if (log->unsupported_rows_n)
        lcf_buf_printf(out,
                       "no overlap: in %zu rows the target puts mass on actions that the logging "
                       "policy cannot show, %.3g on average over all rows; what they are worth is "
                       "not in the log\n",
                       log->unsupported_rows_n, log->unsupported_mass / (double)log->rows_n);
}

static void warn_weights(lcf_buf *out, const lcf_ope_weights *w, const lcf_ope_log *log)
{
    double n = (double)w->n;

    if (fabs(w->mean - 1) > LCF_OPE_WARN_MEAN_SE * w->mean_se && fabs(w->mean - 1) > 0.01)
        lcf_buf_printf(
            out,
            "weights average %.3f +- %.3f (standard error), not 1: the propensities are "
            "not those the log was made with, or the logging policy cannot show all that "
            "the target does\n",
            w->mean, w->mean_se);
    if (!(w->ess >= LCF_OPE_WARN_ESS_SHARE * n))
        lcf_buf_printf(out,
                       "poor overlap: %zu rows weigh as much as %.0f of the target's own would "
                       "(effective sample size)\n",
                       w->n, isnan(w->ess) ? 0 : w->ess);
    if (w->top_share > LCF_OPE_WARN_TOP_SHARE)
        lcf_buf_printf(out,
                       "the 1 %% of the rows with the largest weights hold %.0f %% of all "
                       "weight; the largest is %.3g\n",
                       100 * w->top_share, w->max);
    if (log->users_n < LCF_OPE_WARN_CLUSTERS)
        lcf_buf_printf(out, "only %zu users: intervals are too narrow with so few\n", log->users_n);
}

/* Replay is unbiased under uniform logging alone: propensities that differ give it away. */
static bool logging_differs(const lcf_ope_log *log)
{
    for (size_t i = 1; i < log->rows_n; i++)
        if (fabs(log->propensity[i] - log->propensity[0]) > 1e-3 * log->propensity[0])
            return true;
    return false;
}

void lcf_ope_warn(lcf_ope_result *result, const lcf_ope_log *log)
{
    const lcf_ope_outcome *replay = lcf_ope_find(result, "replay");
    lcf_buf *out = &result->warnings;

    warn_dropped(out, log);
    if (result->weights.n)
        warn_weights(out, &result->weights, log);
    if (result->unseen_mass > LCF_OPE_WARN_UNSEEN)
        lcf_buf_printf(out,
                       "the target puts %.3g of its mass on actions that the log never shows\n",
                       result->unseen_mass);
    if (replay && !replay->absent && logging_differs(log))
        lcf_buf_append_text(out, "Replay is biased here: the logging policy is not uniform\n");
    if (result->has_model && result->model_log_loss > result->model_log_loss_constant)
        lcf_buf_printf(out,
                       "the reward model predicts held-out rows worse than the mean reward does "
                       "(log loss %.5f against %.5f): the direct method says little here\n",
                       result->model_log_loss, result->model_log_loss_constant);
}
