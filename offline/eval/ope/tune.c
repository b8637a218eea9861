/* Hyper-parameters by a bound on the mean squared error: see tune.h. */
#include "offline/eval/ope/tune.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Both bounds of the grid come from the weights alone. */
static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* grid [LCF_OPE_GRID_N], ascending; sorts `weights`. */
static void fill_grid(double *grid, double *weights, size_t n, bool squared)
{
    size_t zeros = 0, last = LCF_OPE_GRID_N - 2;
    double low = 1, high = 1;

    qsort(weights, n, sizeof(*weights), ascending);
    while (zeros < n && weights[zeros] <= 0)
        zeros++;
    if (zeros < n) {
        low = weights[zeros + (size_t)(0.05 * (double)(n - 1 - zeros))];
        high = weights[n - 1];
    }
    if (squared) {
        low = 0.01 * low * low;
        high = 100 * high * high;
    }
    for (size_t k = 0; k <= last; k++)
        grid[k] = low * pow(high / low, (double)k / (double)last);
    grid[last] = high;
    grid[last + 1] = INFINITY;
}

/* Mean of (w - w') (r - q), and where wanted Bernstein's allowance. */
static double bias_bound(const lcf_ope_estimator *e, const lcf_ope_sample *s, double lambda,
                         lcf_ope_tuning rule)
{
    double n = (double)s->n, bias = 0, squares = 0, largest = 0;
    double log_delta = log(2 / LCF_OPE_TUNE_DELTA);
    bool model = e->needs & LCF_OPE_NEEDS_MODEL;

    for (size_t i = 0; i < s->n; i++) {
        double w = s->weight[i], q = model ? s->q_logged[i] : 0;
        bias += (w - e->shrink(w, lambda)) * (s->reward[i] - q);
        squares += w * w;
        largest = w > largest ? w : largest;
    }
    if (rule == LCF_OPE_TUNE_DIRECT)
        return fabs(bias / n);
    return fabs(bias / n) + sqrt(2 * squares / n * log_delta / n) +
           2 * largest * log_delta / (3 * n);
}

/* The bound on the mean squared error at one lambda. t: room for n units. */
static double mse_bound(const lcf_ope_estimator *e, const lcf_ope_sample *s, double lambda,
                        lcf_ope_tuning rule, const lcf_ope_terms *t)
{
    double n = (double)s->n, mean = 0, variance = 0, bias = bias_bound(e, s, lambda, rule);

    e->terms(t, s, lambda);
    for (size_t i = 0; i < s->n; i++)
        mean += t->base[i] + t->correction[i];
    mean /= n;
    for (size_t i = 0; i < s->n; i++) {
        double d = t->base[i] + t->correction[i] - mean;
        variance += d * d;
    }
    return variance / n / n + bias * bias;
}

lcf_status lcf_ope_tune(double *lambda, const lcf_ope_estimator *e, const lcf_ope_sample *s,
                        lcf_ope_tuning rule, lcf_err *err)
{
    double *room, grid[LCF_OPE_GRID_N], smallest = INFINITY;
    lcf_ope_terms t;

    *lambda = INFINITY;
    if (!e->shrink)
        return LCF_OK;
    room = lcf_alloc(s->n, 4 * sizeof(*room));
    if (!room)
        return LCF_FAIL(err, LCF_ENOMEM, "tuning over %zu rows", s->n);
    memcpy(room, s->weight, s->n * sizeof(*room));
    fill_grid(grid, room, s->n, e->lambda_squared);
    t = (lcf_ope_terms){room, room + s->n, room + 2 * s->n, room + 3 * s->n};
    for (size_t k = 0; k < LCF_OPE_GRID_N; k++) {
        double bound = mse_bound(e, s, grid[k], rule, &t);
        if (bound <= smallest) {
            smallest = bound;
            *lambda = grid[k];
        }
    }
    free(room);
    return LCF_OK;
}
