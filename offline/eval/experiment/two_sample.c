/* Welch, CUPED, and the chi-squared test of the split. */
#include "offline/eval/experiment/two_sample.h"

#include "offline/eval/distributions.h"

#include <math.h>

static void fill_moments(lcf_two_sample *t, const double *values, const uint8_t *arm, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        t->n[arm[i]]++;
        t->mean[arm[i]] += values[i];
    }
    for (int a = 0; a < 2; a++)
        t->mean[a] /= t->n[a];
    for (size_t i = 0; i < n; i++) {
        double d = values[i] - t->mean[arm[i]];
        t->variance[arm[i]] += d * d;
    }
    for (int a = 0; a < 2; a++)
        t->variance[a] = t->n[a] > 1 ? t->variance[a] / (t->n[a] - 1) : NAN;
}

lcf_two_sample lcf_two_sample_compute(const double *values, const uint8_t *arm, size_t n,
                                      double confidence)
{
    lcf_two_sample t = {{0, 0}, {0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    double part[2], half, relative_se;

    fill_moments(&t, values, arm, n);
    for (int a = 0; a < 2; a++)
        part[a] = t.variance[a] / t.n[a];
    t.lift = t.mean[1] - t.mean[0];
    t.se = sqrt(part[0] + part[1]);
    t.df = (part[0] + part[1]) * (part[0] + part[1]) /
           (part[0] * part[0] / (t.n[0] - 1) + part[1] * part[1] / (t.n[1] - 1));
    half = lcf_student_quantile((1 + confidence) / 2, t.df) * t.se;
    t.low = t.lift - half;
    t.high = t.lift + half;
    t.p = lcf_student_p(t.lift / t.se, t.df);
    t.relative = t.lift / t.mean[0];
    relative_se = sqrt(part[1] + part[0] * (t.mean[1] / t.mean[0]) * (t.mean[1] / t.mean[0])) /
                  fabs(t.mean[0]);
    half = lcf_normal_quantile((1 + confidence) / 2) * relative_se;
    t.relative_low = t.relative - half;
    t.relative_high = t.relative + half;
    return t;
}

lcf_cuped lcf_cuped_compute(double *scratch, const double *values, const double *before,
                            const uint8_t *arm, size_t n, double confidence)
{
    double mean_y = 0, mean_x = 0, xx = 0, xy = 0, yy = 0;
    lcf_cuped c;

    for (size_t i = 0; i < n; i++) {
        mean_y += values[i];
        mean_x += before[i];
    }
    mean_y /= (double)n;
    mean_x /= (double)n;
    for (size_t i = 0; i < n; i++) {
        xx += (before[i] - mean_x) * (before[i] - mean_x);
        xy += (before[i] - mean_x) * (values[i] - mean_y);
        yy += (values[i] - mean_y) * (values[i] - mean_y);
    }
    c.theta = xx > 0 ? xy / xx : 0;
    c.explained = xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 0;
    for (size_t i = 0; i < n; i++)
        scratch[i] = values[i] - c.theta * (before[i] - mean_x);
    c.adjusted = lcf_two_sample_compute(scratch, arm, n, confidence);
    return c;
}

double lcf_ratio_mismatch_p(double n0, double n1, double share1)
{
    double n = n0 + n1, e1 = n * share1, e0 = n - e1;

    return lcf_chi2_sf((n0 - e0) * (n0 - e0) / e0 + (n1 - e1) * (n1 - e1) / e1, 1);
}
