/* Running moments by Welford's method; boundaries from the papers' closed forms. */
#include "offline/eval/experiment/sequential.h"

#include <math.h>

void lcf_sequential_init(lcf_sequential *s, double share1, double planned_n, double confidence)
{
    double l = -2 * log(1 - confidence);

    *s = (lcf_sequential){.share1 = share1,
                          .confidence = confidence,
                          .rho2 = (l + log(l) + 1) / planned_n,
                          .lift = NAN,
                          .low = NAN,
                          .high = NAN,
                          .p = 1};
}

static void add(double *n, double *mean, double *square, double value)
{
    double d = value - *mean;

    ++*n;
    *mean += d / *n;
    *square += d * (value - *mean);
}

/* The effect as this user alone tells it, given the arms' means before him. */
static double robust_score(const lcf_sequential *s, double outcome, uint8_t arm)
{
    double chance = arm ? s->share1 : 1 - s->share1;
    double correction = (outcome - s->mean[arm]) / chance;

    return s->mean[1] - s->mean[0] + (arm ? correction : -correction);
}

static void update_interval(lcf_sequential *s)
{
    double t = s->scores_n, v = t * s->rho2 + 1, alpha = 1 - s->confidence;
    double std = sqrt(s->score_square / t);
    double half = std * sqrt(2 * v / (t * t * s->rho2) * log(sqrt(v) / alpha));

    s->lift = s->score_mean;
    s->low = s->lift - half;
    s->high = s->lift + half;
}

/* The mixture's variance is such that the test is about as sharp as the interval at the plan. */
static void update_p(lcf_sequential *s)
{
    double variance = s->square[0] / (s->n[0] * s->n[0]) + s->square[1] / (s->n[1] * s->n[1]);
    double mixture = variance * s->scores_n * s->rho2;
    double lift = s->mean[1] - s->mean[0], p;

    if (!(variance > 0))
        return;
    p = sqrt((variance + mixture) / variance) *
        exp(-mixture * lift * lift / (2 * variance * (variance + mixture)));
    s->p = p < s->p ? p : s->p;
}

void lcf_sequential_add(lcf_sequential *s, double outcome, uint8_t arm)
{
    add(&s->scores_n, &s->score_mean, &s->score_square, robust_score(s, outcome, arm));
    add(&s->n[arm], &s->mean[arm], &s->square[arm], outcome);
    if (s->scores_n < LCF_SEQUENTIAL_FIRST || !s->n[0] || !s->n[1])
        return;
    update_interval(s);
    update_p(s);
}
