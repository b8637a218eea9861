/* Student's t, McNemar's test, power. */
#include "offline/eval/paired_tests.h"

#include "offline/eval/distributions.h"
#include "offline/eval/stats.h"

#include <math.h>

lcf_t_test lcf_paired_t(const double *differences, size_t n, double confidence)
{
    double mean = lcf_stats_mean(differences, n), std = lcf_stats_std(differences, n), se, half;
    lcf_t_test out = {NAN, (double)n - 1, NAN, NAN, NAN};

    if (!(std > 0))
        return out;
    se = std / sqrt((double)n);
    half = lcf_student_quantile((1 + confidence) / 2, out.df) * se;
    out.t = mean / se;
    out.p = lcf_student_p(out.t, out.df);
    out.low = mean - half;
    out.high = mean + half;
    return out;
}

void lcf_mcnemar_add(lcf_mcnemar *m, double *sums, const float *a, const float *b,
                     const uint8_t *labels, const uint32_t *users, size_t n, float threshold)
{
    for (size_t i = 0; i < n; i++) {
        int right_a = (a[i] >= threshold) == (labels[i] != 0);
        int right_b = (b[i] >= threshold) == (labels[i] != 0);
        m->only_a += right_a && !right_b;
        m->only_b += right_b && !right_a;
        sums[users[i]] += right_b - right_a;
    }
}

void lcf_mcnemar_finish(lcf_mcnemar *m, const double *sums, size_t users_n)
{
    double squares = 0;

    for (size_t u = 0; u < users_n; u++)
        squares += sums[u] * sums[u];
    m->p_rows = lcf_coin_p(m->only_b, m->only_a + m->only_b);
    m->z_users = squares > 0 ? (m->only_b - m->only_a) / sqrt(squares) : NAN;
    m->p_users = lcf_normal_p(m->z_users);
}

static double sum_of_quantiles(double confidence, double power)
{
    return lcf_normal_quantile((1 + confidence) / 2) + lcf_normal_quantile(power);
}

double lcf_detectable(double se, double confidence, double power)
{
    return sum_of_quantiles(confidence, power) * se;
}

double lcf_users_needed(double difference, double se, double users_n, double confidence,
                        double power)
{
    double ratio = lcf_detectable(se, confidence, power) / difference;

    return difference != 0 ? ceil(users_n * ratio * ratio) : NAN;
}
