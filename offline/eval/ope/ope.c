/* All estimators on one log: see ope.h. */
#include "offline/eval/ope/ope.h"

#include "common/base/mem.h"
#include "offline/eval/ope/warnings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUMS_MAX (LCF_OPE_OUTCOMES_N + 2) /* every estimator, and what was logged */

typedef struct work {
    const lcf_ope_log *log;
    const lcf_ope_options *options;
    lcf_pool *pool;
    lcf_ope_result *out;
    double *weight; /* [rows_n] */
    lcf_ope_sample sample;
    lcf_reward_model model;
    bool deterministic; /* every target probability is 0 or 1 */
    bool has_slates;    /* some request has several rows */
    lcf_ope_groups groups;
    double *room; /* terms of the estimator at work */
    lcf_ope_terms terms;
    lcf_ope_sums *sums; /* [SUMS_MAX, users_n], filled one after the other */
    lcf_ope_estimate
        *estimates[SUMS_MAX]; /* where the intervals of each go: value, or value, lift */
    bool has_lift[SUMS_MAX];
    size_t sums_n;
} work;

static bool is_deterministic(const lcf_ope_log *log)
{
    for (size_t i = 0; i < log->rows_n; i++)
        if (log->target[i] > 0 && log->target[i] < 1)
            return false;
    return true;
}

static lcf_status prepare(work *w, lcf_err *err)
{
    const lcf_ope_log *log = w->log;
    size_t sums_n;

    w->weight = lcf_alloc(log->rows_n, sizeof(*w->weight));
    w->room = lcf_alloc(log->rows_n, 4 * sizeof(*w->room));
    w->sums = lcf_mul_size(&sums_n, SUMS_MAX, log->users_n)
                  ? lcf_alloc_zero(sums_n, sizeof(*w->sums))
                  : NULL;
    if (!w->weight || !w->room || !w->sums)
        return LCF_FAIL(err, LCF_ENOMEM, "evaluation of %zu rows of %zu users", log->rows_n,
                        log->users_n);
    w->terms = (lcf_ope_terms){w->room, w->room + log->rows_n, w->room + 2 * log->rows_n,
                               w->room + 3 * log->rows_n};
    for (size_t i = 0; i < log->rows_n; i++)
        w->weight[i] = log->target[i] / log->propensity[i];
    w->sample = (lcf_ope_sample){log->rows_n, log->reward, log->target, w->weight, NULL, NULL};
    w->deterministic = log->has_targets && is_deterministic(log);
    w->has_slates = log->has_requests && log->requests_n < log->rows_n;
    return LCF_OK;
}

static lcf_status fit_model(work *w, lcf_err *err)
{
    lcf_status status;

    if (!w->log->has_targets || !w->log->has_sets || w->log->users_n < 2)
        return LCF_OK;
    status = lcf_reward_model_fit(&w->model, w->log, w->pool, &w->options->model, err);
    if (status)
        return status;
    w->sample.q_logged = w->model.q_logged;
    w->sample.q_target = w->model.q_target;
    w->out->has_model = true;
    w->out->model_log_loss = w->model.log_loss;
    w->out->model_log_loss_constant = w->model.log_loss_constant;
    return LCF_OK;
}

/* NULL, or why an estimator cannot be used on this log. */
static const char *missing(const work *w, int needs, bool targets)
{
    if (targets && !w->log->has_targets)
        return "the log has no target probabilities";
    if ((needs & LCF_OPE_NEEDS_DETERMINISTIC) && !w->deterministic)
        return "the target policy draws among actions";
    if ((needs & LCF_OPE_NEEDS_MODEL) && !w->log->has_sets)
        return "the log does not say what else could be shown";
    if ((needs & LCF_OPE_NEEDS_MODEL) && !w->out->has_model)
        return "a reward model needs two users";
    if ((needs & LCF_OPE_NEEDS_TARGET_POSITIONS) && !w->log->has_target_positions)
        return "the log does not say where the target puts what was shown";
    if ((needs & LCF_OPE_NEEDS_TARGET_POSITIONS) && !w->out->examination)
        return "the examination of the positions could not be estimated";
    return NULL;
}

/* Sums of the terms at hand, and the normal intervals that follow; the bootstrap does the rest. */
static void conclude(work *w, lcf_ope_estimate *estimates, bool lift, const double *reward,
                     const uint32_t *user, size_t n)
{
    lcf_ope_sums *sums = w->sums + w->sums_n * w->log->users_n;

    lcf_ope_sum_clusters(sums, w->log->users_n, &w->terms, reward, user, n);
    estimates[LCF_OPE_VALUE] = lcf_ope_normal(sums, w->log->users_n, LCF_OPE_VALUE);
    if (lift)
        estimates[LCF_OPE_LIFT] = lcf_ope_normal(sums, w->log->users_n, LCF_OPE_LIFT);
    w->estimates[w->sums_n] = estimates;
    w->has_lift[w->sums_n++] = lift;
}

static lcf_status estimate_rows(work *w, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t e = 0; LCF_OPE_ESTIMATORS[e] && !status; e++) {
        const lcf_ope_estimator *estimator = LCF_OPE_ESTIMATORS[e];
        lcf_ope_outcome *o = &w->out->outcomes[w->out->outcomes_n++];
        *o = (lcf_ope_outcome){.name = estimator->name,
                               .title = estimator->title,
                               .absent = missing(w, estimator->needs, true),
                               .tuned = estimator->shrink};
        if (o->absent)
            continue;
        status = lcf_ope_tune(&o->lambda, estimator, &w->sample, w->options->tuning, err);
        if (status)
            break;
        estimator->terms(&w->terms, &w->sample, o->lambda);
        o->ess = lcf_ope_ess(w->terms.weight, w->log->rows_n);
        conclude(w, o->estimate, true, w->log->reward, w->log->user, w->log->rows_n);
        if (isnan(o->estimate[LCF_OPE_VALUE].value))
            o->absent = "the target policy would show nothing of what was logged";
    }
    return status;
}

/* A failure to estimate the examination is no failure of the other estimators. */
static lcf_status examine(work *w, lcf_err *err)
{
    lcf_err reason = LCF_ERR_INIT;
    lcf_status status;

    w->out->positions_n = w->log->positions_n;
    w->out->examination = lcf_alloc(w->log->positions_n, sizeof(double));
    if (!w->out->examination)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu positions", w->log->positions_n);
    status = lcf_position_bias(w->out->examination, w->log, w->options->position_bias,
                               w->options->model.l2, &reason);
    if (!status)
        return LCF_OK;
    free(w->out->examination);
    w->out->examination = NULL;
    if (status != LCF_EINVAL)
        return LCF_FAIL(err, status, "%s", reason.text);
    lcf_buf_printf(&w->out->warnings, "no examination by position: %s\n", reason.text);
    return LCF_OK;
}

/* Rows whose requests are no lists can still be evaluated one by one. */
static lcf_status group(work *w, lcf_err *err)
{
    lcf_err reason = LCF_ERR_INIT;
    lcf_status status = lcf_ope_groups_init(&w->groups, w->log, &reason);

    if (!status)
        return LCF_OK;
    if (status != LCF_EFORMAT)
        return LCF_FAIL(err, status, "%s", reason.text);
    w->has_slates = false;
    lcf_buf_printf(&w->out->warnings, "no lists: %s\n", reason.text);
    return LCF_OK;
}

static lcf_status estimate_slates(work *w, lcf_err *err)
{
    lcf_ope_slates s = {&w->groups, w->log, w->sample, w->model.q_later, NULL};
    lcf_status status = LCF_OK;

    if (w->log->positions_n > 1)
        status = examine(w, err);
    if (!status && w->has_slates)
        status = group(w, err);
    s.examination = w->out->examination;
    for (size_t e = 0; LCF_OPE_SLATE_ESTIMATORS[e] && w->has_slates && !status; e++) {
        const lcf_ope_slate_estimator *estimator = LCF_OPE_SLATE_ESTIMATORS[e];
        lcf_ope_outcome *o = &w->out->outcomes[w->out->outcomes_n++];
        *o = (lcf_ope_outcome){
            .name = estimator->name,
            .title = estimator->title,
            .slate = true,
            .absent = missing(w, estimator->needs, estimator->needs & LCF_OPE_NEEDS_TARGETS)};
        if (o->absent)
            continue;
        estimator->terms(&w->terms, &s);
        o->ess = lcf_ope_ess(w->terms.weight, w->groups.n);
        conclude(w, o->estimate, true, w->groups.reward, w->groups.user, w->groups.n);
    }
    return status;
}

/* The mean logged reward has the form of an estimator, too. */
static void estimate_logged(work *w, lcf_ope_estimate *out, const double *reward,
                            const uint32_t *user, size_t n)
{
    memset(w->terms.correction, 0, n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        w->terms.base[i] = reward[i];
        w->terms.norm[i] = 1;
    }
    conclude(w, out, false, reward, user, n);
}

static lcf_status bootstrap(work *w, lcf_err *err)
{
    lcf_ope_estimate all[SUMS_MAX][LCF_OPE_QUANTITIES_N] = {0};
    lcf_status status = lcf_ope_bootstrap(&all[0][0], w->sums, w->sums_n, w->log->users_n, w->pool,
                                          &w->options->bootstrap, err);

    for (size_t e = 0; e < w->sums_n && !status; e++)
        for (size_t q = 0; q < (w->has_lift[e] ? LCF_OPE_QUANTITIES_N : 1); q++) {
            w->estimates[e][q].bootstrap_low = all[e][q].bootstrap_low;
            w->estimates[e][q].bootstrap_high = all[e][q].bootstrap_high;
        }
    return status;
}

/* The target's mass on actions that nobody was ever shown, mean over the rows. */
static lcf_status find_unseen(work *w, lcf_err *err)
{
    const lcf_ope_log *log = w->log;
    uint8_t *seen;
    double mass = 0;

    w->out->unseen_mass = NAN;
    if (!log->has_sets || !log->has_targets)
        return LCF_OK;
    seen = lcf_alloc_zero(log->actions_n, 1);
    if (!seen)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu actions", log->actions_n);
    for (size_t i = 0; i < log->rows_n; i++)
        seen[log->action[i]] = 1;
    for (size_t i = 0; i < log->rows_n; i++)
        for (uint64_t c = log->set_first[log->set[i]]; c < log->set_first[log->set[i] + 1]; c++)
            mass += seen[log->candidate[c]] ? 0 : log->candidate_target[c];
    w->out->unseen_mass = mass / (double)log->rows_n;
    free(seen);
    return LCF_OK;
}

static lcf_status weigh(work *w, lcf_err *err)
{
    lcf_status status = find_unseen(w, err);

    if (!status && w->log->has_targets)
        status = lcf_ope_weigh(&w->out->weights, w->weight, w->log->user, w->log->rows_n,
                               w->log->users_n, err);
    return status;
}

lcf_status lcf_ope_evaluate(lcf_ope_result *out, const lcf_ope_log *log, lcf_pool *pool,
                            const lcf_ope_options *options, lcf_err *err)
{
    work w = {.log = log, .options = options, .pool = pool, .out = out};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = prepare(&w, err);
    if (!status)
        status = fit_model(&w, err);
    if (!status)
        status = estimate_rows(&w, err);
    if (!status)
        status = estimate_slates(&w, err);
    if (!status) {
        estimate_logged(&w, &out->logged, log->reward, log->user, log->rows_n);
        if (w.has_slates)
            estimate_logged(&w, &out->logged_slate, w.groups.reward, w.groups.user, w.groups.n);
        status = bootstrap(&w, err);
    }
    if (!status)
        status = weigh(&w, err);
    if (!status)
        lcf_ope_warn(out, log);
    if (!status && out->warnings.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "warnings");
    lcf_ope_groups_dispose(&w.groups);
    lcf_reward_model_dispose(&w.model);
    free(w.weight);
    free(w.room);
    free(w.sums);
    if (status)
        lcf_ope_result_dispose(out);
    return status;
}

void lcf_ope_result_dispose(lcf_ope_result *result)
{
    free(result->examination);
    lcf_buf_dispose(&result->warnings);
    memset(result, 0, sizeof(*result));
}

const lcf_ope_outcome *lcf_ope_find(const lcf_ope_result *result, const char *name)
{
    for (size_t e = 0; e < result->outcomes_n; e++)
        if (!strcmp(result->outcomes[e].name, name))
            return &result->outcomes[e];
    return NULL;
}

static void add_outcome(lcf_figures *out, const char *name, const lcf_ope_outcome *o)
{
    const lcf_ope_estimate none = {NAN, NAN, NAN, NAN, NAN, NAN};
    bool there = o && !o->absent;
    const lcf_ope_estimate *value = there ? &o->estimate[LCF_OPE_VALUE] : &none;
    const lcf_ope_estimate *lift = there ? &o->estimate[LCF_OPE_LIFT] : &none;

    lcf_figures_add(out, name, "", value->value);
    lcf_figures_add(out, name, "_low", value->bootstrap_low);
    lcf_figures_add(out, name, "_high", value->bootstrap_high);
    lcf_figures_add(out, name, "_lift", lift->value);
    lcf_figures_add(out, name, "_lift_low", lift->bootstrap_low);
    lcf_figures_add(out, name, "_lift_high", lift->bootstrap_high);
    lcf_figures_add(out, name, "_ess", there ? o->ess : NAN);
}

void lcf_ope_figures(lcf_figures *out, const lcf_ope_result *result)
{
    bool weights = result && result->weights.n;

    out->n = 0;
    for (size_t e = 0; LCF_OPE_ESTIMATORS[e]; e++)
        add_outcome(out, LCF_OPE_ESTIMATORS[e]->name,
                    result ? lcf_ope_find(result, LCF_OPE_ESTIMATORS[e]->name) : NULL);
    for (size_t e = 0; LCF_OPE_SLATE_ESTIMATORS[e]; e++)
        add_outcome(out, LCF_OPE_SLATE_ESTIMATORS[e]->name,
                    result ? lcf_ope_find(result, LCF_OPE_SLATE_ESTIMATORS[e]->name) : NULL);
    lcf_figures_add(out, "logged", "", result ? result->logged.value : NAN);
    lcf_figures_add(out, "weight", "_mean", weights ? result->weights.mean : NAN);
    lcf_figures_add(out, "weight", "_max", weights ? result->weights.max : NAN);
    lcf_figures_add(out, "weight", "_top_share", weights ? result->weights.top_share : NAN);
    lcf_figures_add(out, "ess", "", weights ? result->weights.ess : NAN);
}
