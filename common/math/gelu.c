/*
 * GELU by the error function, and its gradient.
 *
 * Invariant: erf is a polynomial times exp(-x^2 / 2), whose exponential is also the density that
 * the derivative wants; so forward and backward take one exponential each, in blocks that stay in
 * the cache.
 */
#include "common/math/kernels.h"

#include <math.h>

#define BLOCK 256
#define INVERSE_ROOT_2PI 0.39894228f

/* cdf = the standard normal's up to x, density = its density at x. source: Abramowitz and Stegun
 * 7.1.26 */
static void normal(float *cdf, float *density, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        density[i] = -0.5f * x[i] * x[i];
    lcf_exp(density, density, n);
    for (size_t i = 0; i < n; i++) {
        const float s = 1.0f / (1.0f + 0.3275911f * 0.70710678f * fabsf(x[i]));
        const float p =
            ((((1.061405429f * s - 1.453152027f) * s + 1.421413741f) * s - 0.284496736f) * s +
             0.254829592f) *
            s;
        const float tail = 0.5f * p * density[i]; /* beyond |x| on one side */

        cdf[i] = x[i] < 0.0f ? tail : 1.0f - tail;
        density[i] *= INVERSE_ROOT_2PI;
    }
}

void lcf_gelu(float *y, const float *x, size_t n)
{
    float cdf[BLOCK], density[BLOCK];

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t m = n - at < BLOCK ? n - at : BLOCK;

        normal(cdf, density, x + at, m);
        for (size_t i = 0; i < m; i++)
            y[at + i] = x[at + i] * cdf[i];
    }
}

void lcf_gelu_backward(float *dx, const float *dy, const float *x, size_t n)
{
    float cdf[BLOCK], density[BLOCK];

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t m = n - at < BLOCK ? n - at : BLOCK;

        normal(cdf, density, x + at, m);
        for (size_t i = 0; i < m; i++)
            dx[at + i] += dy[at + i] * (cdf[i] + x[at + i] * density[i]);
    }
}
