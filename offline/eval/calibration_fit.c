/* Newton's method on two parameters; the step is halved until the likelihood does not fall. */
#include "offline/eval/calibration_fit.h"

#include "offline/eval/log_loss.h"

#include <math.h>
#include <stdbool.h>

#define STEPS_MAX 100
/* The error after a step is of the order of the step squared: what is left after this is rounding,
 * which the likelihood no longer sees. */
#define STEP_MIN 1e-7
#define HALVINGS_MAX 40
#define SLOPE_MAX 1e6

static double log_odds(float score)
{
    double p = score;

    p = p < LCF_LOG_LOSS_CLIP ? LCF_LOG_LOSS_CLIP : p;
    p = p > 1 - LCF_LOG_LOSS_CLIP ? 1 - LCF_LOG_LOSS_CLIP : p;
    return log(p) - log1p(-p);
}

typedef struct derivatives {
    double loss;
    double g0, g1;        /* gradient of the loss: intercept, slope */
    double h00, h01, h11; /* its second derivatives */
} derivatives;

static derivatives derive(lcf_calibration_fit at, const float *scores, const uint8_t *labels,
                          size_t n)
{
    derivatives d = {0};

    for (size_t i = 0; i < n; i++) {
        double x = log_odds(scores[i]), z = at.intercept + at.slope * x;
        double e = exp(-fabs(z)), p = z > 0 ? 1 / (1 + e) : e / (1 + e), w = p * (1 - p);
        double residual = p - (labels[i] != 0);
        d.loss += (labels[i] ? (z > 0 ? 0 : -z) : (z > 0 ? z : 0)) + log1p(e);
        d.g0 += residual;
        d.g1 += residual * x;
        d.h00 += w;
        d.h01 += w * x;
        d.h11 += w * x * x;
    }
    return d;
}

/* One step; false when the likelihood gains no more. */
static bool improve(lcf_calibration_fit *at, derivatives *d, const float *scores,
                    const uint8_t *labels, size_t n)
{
    double det = d->h00 * d->h11 - d->h01 * d->h01;
    double step0 = (d->h11 * d->g0 - d->h01 * d->g1) / det;
    double step1 = (d->h00 * d->g1 - d->h01 * d->g0) / det, scale = 1;

    if (fabs(step0) <= STEP_MIN * (1 + fabs(at->intercept)) &&
        fabs(step1) <= STEP_MIN * (1 + fabs(at->slope))) {
        at->slope -= step1;
        at->intercept -= step0;
        return false;
    }
    for (int i = 0; i < HALVINGS_MAX; i++, scale /= 2) {
        lcf_calibration_fit next = {at->slope - scale * step1, at->intercept - scale * step0};
        derivatives there = derive(next, scores, labels, n);
        if (there.loss <= d->loss) {
            *at = next;
            *d = there;
            return true;
        }
    }
    return false;
}

static bool all_equal(const float *scores, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (scores[i] != scores[0])
            return false;
    return true;
}

/* Is every positive at or above every negative, or every negative at or above every positive? */
static bool separated(const float *scores, const uint8_t *labels, size_t n)
{
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};

    for (size_t i = 0; i < n; i++) {
        size_t class = labels[i] != 0;
        low[class] = scores[i] < low[class] ? scores[i] : low[class];
        high[class] = scores[i] > high[class] ? scores[i] : high[class];
    }
    return low[1] >= high[0] || low[0] >= high[1];
}

lcf_calibration_fit lcf_calibration_fit_compute(const float *scores, const uint8_t *labels,
                                                size_t n)
{
    const lcf_calibration_fit none = {NAN, NAN};
    lcf_calibration_fit at = {1, 0};
    derivatives d;

    if (all_equal(scores, n) || separated(scores, labels, n))
        return none;
    d = derive(at, scores, labels, n);
    for (int i = 0; i < STEPS_MAX && improve(&at, &d, scores, labels, n); i++)
        if (!(fabs(at.slope) < SLOPE_MAX))
            return none;
    return at;
}
