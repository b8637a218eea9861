/*
 * Weights of the features of rationales, fitted on one half of the prompts and measured on the
 * other; see rationale.h. The loss is convex: Newton's steps from zero reach its one minimum.
 */
#include "offline/recgen/rationale.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "offline/recgen/score.h"
#include "offline/recgen/score_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F LCF_RATIONALE_N
#define FILE_BYTES_MAX ((size_t)1 << 30)
#define TEXTS_MAX 64   /* of one prompt */
#define PENALTY 0.01   /* of half the squared weights, beside the mean loss of a pair */
#define NEWTON_STEPS 7 /* from zero; the last ones change nothing that is printed */
#define PROMPTS_MIN 8

typedef struct rationale {
    double x[F];
    double reward, unfitted; /* logged; the score without weights */
} rationale;

typedef struct prompt { /* texts [begin, begin + n), the best reward first */
    size_t begin, n;
} prompt;

typedef struct measuring {
    const lcf_rationale_options *o;
    rationale *texts;
    size_t texts_n, texts_capacity;
    prompt *prompts;
    size_t prompts_n, prompts_capacity;
    uint32_t *order; /* [prompts_n] shuffled: the first fit_n fit */
    size_t fit_n;
    lcf_score_weights scale; /* mean and spread of the features over those */
    json_t *reasons;         /* texts by reason of rejection */
} measuring;

typedef struct accuracy { /* pairs in the right order; a tie is half of one */
    double right, pairs;
} accuracy;

/* ---- reading ---- */

static int by_reward(const void *a, const void *b)
{
    const rationale *x = a, *y = b;

    return (x->reward < y->reward) - (x->reward > y->reward);
}

static lcf_status count_reason(measuring *m, const char *reason, lcf_err *err)
{
    const char *name = *reason ? reason : "kept";
    json_int_t n = json_integer_value(json_object_get(m->reasons, name));

    return json_object_set_new(m->reasons, name, json_integer(n + 1))
               ? LCF_FAIL(err, LCF_ENOMEM, "counts of reasons")
               : LCF_OK;
}

/* The decision is not logged: that the item was liked is taken for granted. */
static lcf_status add_text(measuring *m, lcf_str prompt_text, lcf_str title, const json_t *cot,
                           lcf_err *err)
{
    const char *text;
    rationale *r;
    lcf_cot_score score;
    lcf_cot_subject subject = {prompt_text, title, 1};
    lcf_status status = lcf_json_str(&text, cot, "text", err);

    if (!status && lcf_grow((void **)&m->texts, &m->texts_capacity, m->texts_n + 1, sizeof(*r)))
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu texts", m->texts_n + 1);
    if (status)
        return status;
    r = &m->texts[m->texts_n];
    status = lcf_json_f64(&r->reward, cot, "reward", err);
    if (status)
        return status;
    lcf_rationale_features(r->x, (lcf_str){text, strlen(text)}, prompt_text, subject.label);
    score = lcf_cot_score_of((lcf_str){text, strlen(text)}, true, &subject);
    r->unfitted = score.score;
    m->texts_n++;
    return count_reason(m, score.reject_reason, err);
}

static lcf_status add_prompt(measuring *m, const json_t *line, lcf_err *err)
{
    const json_t *cots = json_object_get(line, "cots");
    const char *text, *item = json_string_value(json_object_get(line, "item"));
    size_t n = json_array_size(cots);
    prompt p = {m->texts_n, n};
    lcf_status status = lcf_json_str(&text, line, "prompt", err);

    if (!status && (n < 2 || n > TEXTS_MAX))
        status = LCF_FAIL(err, LCF_EFORMAT, "'cots' must hold 2 to %d texts", TEXTS_MAX);
    for (size_t i = 0; i < n && !status; i++)
        status = add_text(m, (lcf_str){text, strlen(text)},
                          (lcf_str){item ? item : "", item ? strlen(item) : 0},
                          json_array_get(cots, i), err);
    if (status)
        return status;
    if (lcf_grow((void **)&m->prompts, &m->prompts_capacity, m->prompts_n + 1, sizeof(p)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu prompts", m->prompts_n + 1);
    qsort(m->texts + p.begin, n, sizeof(*m->texts), by_reward);
    m->prompts[m->prompts_n++] = p;
    return LCF_OK;
}

static lcf_status read_lines(measuring *m, const lcf_buf *file, lcf_err *err)
{
    const char *at = lcf_buf_text(file), *end = at + file->len;
    lcf_status status = LCF_OK;

    for (size_t line_n = 1; at < end && !status; line_n++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        json_t *line = NULL;
        if (n) {
            status = lcf_json_parse(&line, at, n, "line", err);
            if (!status)
                status = add_prompt(m, line, err);
            if (status)
                lcf_err_prefix(err, "%s:%zu", m->o->input, line_n);
        }
        json_decref(line);
        at += n + 1;
        if (!status && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped");
    }
    return status;
}

/* ---- fitting ---- */

static double value(const measuring *m, const rationale *r, size_t f)
{
    return lcf_score_feature(&m->scale, f, r->x[f]);
}

/* Mean and spread of the features over the texts that fit. */
static void standardise(measuring *m)
{
    for (size_t f = 0; f < F; f++) {
        double sum = 0.0, squares = 0.0, n = 0.0;
        for (size_t i = 0; i < m->fit_n; i++) {
            const prompt *p = &m->prompts[m->order[i]];
            for (size_t k = p->begin; k < p->begin + p->n; k++) {
                sum += m->texts[k].x[f];
                squares += m->texts[k].x[f] * m->texts[k].x[f];
                n += 1.0;
            }
        }
        m->scale.mean[f] = sum / n;
        m->scale.spread[f] = sqrt(fmax(0.0, squares / n - sum / n * (sum / n)));
    }
}

/* Adds a pair to gradient and Hessian of the loss log(1 + exp(-w d)). */
static void add_pair(double *gradient, double hessian[F][F], const double *w, const double *d)
{
    double s = 0.0, p;

    for (size_t f = 0; f < F; f++)
        s += w[f] * d[f];
    p = 1.0 / (1.0 + exp(s));
    for (size_t f = 0; f < F; f++) {
        gradient[f] -= p * d[f];
        for (size_t g = 0; g <= f; g++)
            hessian[f][g] += p * (1.0 - p) * d[f] * d[g];
    }
}

/* The sums over all pairs that fit; features that are off stay zero. */
static double add_pairs(double *gradient, double hessian[F][F], const measuring *m, const double *w,
                        const bool *on)
{
    double pairs = 0.0, d[F];

    for (size_t i = 0; i < m->fit_n; i++) {
        const prompt *p = &m->prompts[m->order[i]];
        const rationale *t = m->texts + p->begin;
        for (size_t a = 0; a < p->n / 2; a++)
            for (size_t b = p->n - p->n / 2; b < p->n; b++) {
                if (!(t[a].reward > t[b].reward))
                    continue;
                for (size_t f = 0; f < F; f++)
                    d[f] = on[f] ? value(m, &t[a], f) - value(m, &t[b], f) : 0.0;
                add_pair(gradient, hessian, w, d);
                pairs += 1.0;
            }
    }
    return pairs;
}

/* Solves the symmetric positive definite system h x = g in place: Cholesky on the lower half. */
static void solve(double h[F][F], double *g)
{
    for (size_t j = 0; j < F; j++) {
        for (size_t k = 0; k < j; k++)
            h[j][j] -= h[j][k] * h[j][k];
        h[j][j] = sqrt(h[j][j]);
        for (size_t i = j + 1; i < F; i++) {
            for (size_t k = 0; k < j; k++)
                h[i][j] -= h[i][k] * h[j][k];
            h[i][j] /= h[j][j];
        }
    }
    for (size_t i = 0; i < F; i++) {
        for (size_t k = 0; k < i; k++)
            g[i] -= h[i][k] * g[k];
        g[i] /= h[i][i];
    }
    for (size_t i = F; i-- > 0;) {
        for (size_t k = i + 1; k < F; k++)
            g[i] -= h[k][i] * g[k];
        g[i] /= h[i][i];
    }
}

static void fit(double *w, const measuring *m, const bool *on)
{
    memset(w, 0, F * sizeof(*w));
    for (int step = 0; step < NEWTON_STEPS; step++) {
        double gradient[F] = {0.0}, hessian[F][F] = {{0.0}};
        double pairs = add_pairs(gradient, hessian, m, w, on);
        for (size_t f = 0; f < F; f++) {
            gradient[f] += PENALTY * pairs * w[f];
            hessian[f][f] += PENALTY * pairs;
        }
        solve(hessian, gradient);
        for (size_t f = 0; f < F; f++)
            w[f] -= gradient[f];
    }
}

/* ---- measuring ---- */

static double score_of(const measuring *m, const rationale *r, const double *w)
{
    double s = 0.0;

    for (size_t f = 0; w && f < F; f++)
        s += w[f] * value(m, r, f);
    return w ? s : r->unfitted;
}

/* The better half of a prompt's texts against the worse; extremes: the best against the worst. */
static accuracy of_prompt(const measuring *m, const prompt *p, const double *w, bool extremes)
{
    const rationale *t = m->texts + p->begin;
    size_t half = extremes ? 1 : p->n / 2;
    accuracy out = {0.0, 0.0};

    for (size_t a = 0; a < half; a++)
        for (size_t b = p->n - half; b < p->n; b++) {
            double better, worse;
            if (!(t[a].reward > t[b].reward))
                continue;
            better = score_of(m, &t[a], w);
            worse = score_of(m, &t[b], w);
            out.right += better > worse ? 1.0 : better < worse ? 0.0 : 0.5;
            out.pairs += 1.0;
        }
    return out;
}

/* Over the half that was not fitted. */
static double measure(const measuring *m, const double *w, bool extremes)
{
    accuracy sum = {0.0, 0.0};

    for (size_t i = m->fit_n; i < m->prompts_n; i++) {
        accuracy one = of_prompt(m, &m->prompts[m->order[i]], w, extremes);
        sum.right += one.right;
        sum.pairs += one.pairs;
    }
    return sum.pairs > 0.0 ? sum.right / sum.pairs : (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Percentile bootstrap over prompts. */
static lcf_status interval(double out[2], const measuring *m, const double *w, lcf_err *err)
{
    size_t begin = m->fit_n, n = m->prompts_n - begin, replicates_n = m->o->replicates_n;
    accuracy *of = lcf_alloc(n, sizeof(*of));
    double *values = lcf_alloc(replicates_n, sizeof(*values));
    lcf_rng rng;

    lcf_rng_seed(&rng, m->o->seed, 1);
    for (size_t i = 0; of && i < n; i++)
        of[i] = of_prompt(m, &m->prompts[m->order[begin + i]], w, false);
    for (size_t r = 0; of && values && r < replicates_n; r++) {
        accuracy sum = {0.0, 0.0};
        for (size_t i = 0; i < n; i++) {
            const accuracy *one = &of[lcf_rng_below(&rng, n)];
            sum.right += one->right;
            sum.pairs += one->pairs;
        }
        values[r] = sum.pairs > 0.0 ? sum.right / sum.pairs : 0.0;
    }
    if (of && values) {
        qsort(values, replicates_n, sizeof(*values), by_value);
        out[0] = values[replicates_n / 40];
        out[1] = values[replicates_n - 1 - replicates_n / 40];
    }
    free(of);
    free(values);
    return of && values ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "bootstrap of %zu prompts", n);
}

static void halve(measuring *m, size_t split)
{
    lcf_rng rng;

    for (size_t i = 0; i < m->prompts_n; i++)
        m->order[i] = (uint32_t)i;
    lcf_rng_seed(&rng, m->o->seed, 2 + split);
    lcf_rng_shuffle_u32(&rng, m->order, m->prompts_n);
    m->fit_n = m->prompts_n / 2;
    standardise(m);
}

/* Mean accuracy over all halvings with the features that are on. */
static double mean_accuracy(measuring *m, const bool *on, bool extremes)
{
    double sum = 0.0, w[F];

    for (size_t split = 0; split < m->o->splits_n; split++) {
        halve(m, split);
        fit(w, m, on);
        sum += measure(m, w, extremes);
    }
    return sum / (double)m->o->splits_n;
}

/* ---- the report ---- */

/* Weights for use, from all prompts; what they are worth was measured on halves. */
static lcf_status save_weights(measuring *m, double accuracy_of_splits, lcf_err *err)
{
    bool on[F];

    memset(on, true, sizeof(on));
    halve(m, 0);
    m->fit_n = m->prompts_n;
    standardise(m);
    fit(m->scale.weight, m, on);
    m->scale.prompts_n = m->prompts_n;
    m->scale.accuracy = accuracy_of_splits;
    return lcf_score_weights_save(m->o->weights_out, &m->scale, err);
}

static json_t *ablations(measuring *m, bool alone)
{
    json_t *out = json_object();
    bool on[F];

    for (size_t f = 0; f < F; f++) {
        for (size_t g = 0; g < F; g++)
            on[g] = (g == f) == alone;
        json_object_set_new(out, lcf_rationale_name((lcf_rationale_feature)f),
                            json_real(mean_accuracy(m, on, false)));
    }
    return out;
}

static json_t *weights_of(const double *w)
{
    json_t *out = json_object();

    for (size_t f = 0; f < F; f++)
        json_object_set_new(out, lcf_rationale_name((lcf_rationale_feature)f), json_real(w[f]));
    return out;
}

static lcf_status report_of(json_t **report, measuring *m, lcf_err *err)
{
    double w[F], bounds[2] = {0.0, 0.0}, accuracy_first, extremes, unfitted;
    bool on[F];
    lcf_status status;

    memset(on, true, sizeof(on));
    halve(m, 0);
    fit(w, m, on);
    accuracy_first = measure(m, w, false);
    extremes = measure(m, w, true);
    unfitted = measure(m, NULL, false);
    if (!isfinite(accuracy_first))
        return LCF_FAIL(err, LCF_EINVAL, "%s: no two texts of a prompt differ in reward",
                        m->o->input);
    status = interval(bounds, m, w, err);
    if (status)
        return status;
    *report = json_pack("{s:I, s:I, s:f, s:[f, f], s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:O}",
                        "prompts", (json_int_t)m->prompts_n, "texts", (json_int_t)m->texts_n,
                        "accuracy", accuracy_first, "interval", bounds[0], bounds[1],
                        "best_against_worst", extremes, "unfitted", unfitted, "accuracy_of_splits",
                        mean_accuracy(m, on, false), "best_against_worst_of_splits",
                        mean_accuracy(m, on, true), "weights", weights_of(w), "without",
                        ablations(m, false), "alone", ablations(m, true), "reasons", m->reasons);
    return *report ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "report");
}

lcf_status lcf_rationale_measure(json_t **report, const lcf_rationale_options *options,
                                 lcf_err *err)
{
    measuring m = {.o = options, .reasons = json_object()};
    lcf_buf file = LCF_BUF_INIT;
    lcf_status status = m.reasons ? lcf_file_read(&file, options->input, FILE_BYTES_MAX, err)
                                  : LCF_FAIL(err, LCF_ENOMEM, "counts of reasons");

    *report = NULL;
    if (!status)
        status = read_lines(&m, &file, err);
    if (!status && m.prompts_n < PROMPTS_MIN)
        status = LCF_FAIL(err, LCF_EINVAL, "%s: %zu prompts; at least %d are needed",
                          options->input, m.prompts_n, PROMPTS_MIN);
    if (!status && !(m.order = lcf_alloc(m.prompts_n, sizeof(*m.order))))
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu prompts", m.prompts_n);
    if (!status)
        status = report_of(report, &m, err);
    if (!status && options->weights_out)
        status =
            save_weights(&m, json_real_value(json_object_get(*report, "accuracy_of_splits")), err);
    if (status) {
        json_decref(*report);
        *report = NULL;
    }
    json_decref(m.reasons);
    lcf_buf_dispose(&file);
    free(m.texts);
    free(m.prompts);
    free(m.order);
    return status;
}
