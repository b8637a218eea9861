/*
 * Incomplete beta by Lentz's continued fraction, incomplete gamma by series or continued fraction
 * (Abramowitz and Stegun 26.5.8, 6.5.29, 6.5.31), the normal by erfc. Inverses start from a rough
 * value and are refined on the function itself, so that they agree with it.
 */
#include "offline/eval/distributions.h"

#include <float.h>
#include <math.h>

#define STEPS_MAX 1000
#define EPS 1e-16

double lcf_normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

/* source: Acklam's rational approximation (relative error 1.2e-9), the start of the refinement */
static double rough_quantile(double p)
{
    static const double A[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double B[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double C[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double D[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    double q, r;

    if (p < 0.02425) {
        q = sqrt(-2 * log(p));
        return (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5]) /
               ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1);
    }
    q = p - 0.5;
    r = q * q;
    return (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q /
           (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1);
}

double lcf_normal_quantile(double p)
{
    double x;

    if (!(p >= 0 && p <= 1))
        return NAN;
    if (p == 0 || p == 1)
        return p ? INFINITY : -INFINITY;
    if (p > 0.5)
        return -lcf_normal_quantile(1 - p);
    x = rough_quantile(p);
    for (int i = 0; i < 2; i++) { /* Halley */
        double e = (lcf_normal_cdf(x) - p) * sqrt(2 * M_PI) * exp(x * x / 2);
        x -= e / (1 + x * e / 2);
    }
    return x;
}

static double not_zero(double x)
{
    return fabs(x) < DBL_MIN ? DBL_MIN : x;
}

/* Continued fraction of the incomplete beta. */
static double beta_fraction(double x, double a, double b)
{
    double c = 1, d = 1 / not_zero(1 - (a + b) * x / (a + 1)), f = d;

    for (int m = 1; m <= STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step;
        d = 1 / not_zero(1 + even * d);
        c = not_zero(1 + even / c);
        f *= c * d;
        d = 1 / not_zero(1 + odd * d);
        c = not_zero(1 + odd / c);
        step = c * d;
        f *= step;
        if (fabs(step - 1) < EPS)
            break;
    }
    return f;
}

/* lgamma(x) less its leading terms (x - 1/2) log x - x + log(2 pi) / 2, x >= 16 */
static double stirling_rest(double x)
{
    double r = 1 / (x * x);

    return (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r / 1680))) / x;
}

/* log of Gamma(a + b) / Gamma(a). For large a the two logarithms nearly cancel. */
static double log_gamma_ratio(double a, double b)
{
    if (a < 16)
        return lgamma(a + b) - lgamma(a);
    return (a - 0.5) * log1p(b / a) + b * log(a + b) - b + stirling_rest(a + b) - stirling_rest(a);
}

/* I_x(a, b); `y` is 1 - x, given apart because it may be tiny. */
static double incomplete_beta(double x, double y, double a, double b)
{
    double front;

    if (x <= 0 || y <= 0)
        return x > 0;
    front = exp((a > b ? log_gamma_ratio(a, b) - lgamma(b) : log_gamma_ratio(b, a) - lgamma(a)) +
                a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(y, b, a) / b;
}

double lcf_student_p(double t, double df)
{
    double square = t * t;

    if (isnan(t) || !(df > 0))
        return NAN;
    if (isinf(t))
        return 0;
    return incomplete_beta(df / (df + square), square / (df + square), df / 2, 0.5);
}

double lcf_student_cdf(double x, double df)
{
    double tail = lcf_student_p(x, df) / 2;

    return x > 0 ? 1 - tail : tail;
}

double lcf_student_quantile(double p, double df)
{
    double low = -1, high = 0;

    if (!(p > 0 && p < 1) || !(df > 0))
        return NAN;
    if (p > 0.5)
        return -lcf_student_quantile(1 - p, df);
    while (lcf_student_cdf(low, df) > p && low > -1e150)
        low *= 2;
    for (int i = 0; i < 200 && high - low > fabs(low) * EPS; i++) {
        double middle = (low + high) / 2;
        if (lcf_student_cdf(middle, df) > p)
            high = middle;
        else
            low = middle;
    }
    return (low + high) / 2;
}

static double gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;

    for (int n = 1; n <= STEPS_MAX && fabs(term) > sum * EPS; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * exp(-x + a * log(x) - lgamma(a));
}

static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a, c = 1 / DBL_MIN, d = 1 / b, f = d;

    for (int n = 1; n <= STEPS_MAX; n++) {
        double an = -n * (n - a), step;
        b += 2;
        d = 1 / not_zero(an * d + b);
        c = not_zero(b + an / c);
        step = c * d;
        f *= step;
        if (fabs(step - 1) < EPS)
            break;
    }
    return f * exp(-x + a * log(x) - lgamma(a));
}

double lcf_chi2_sf(double x, double df)
{
    double a = df / 2, half = x / 2;

    if (isnan(x) || !(df > 0))
        return NAN;
    if (x <= 0)
        return 1;
    return half < a + 1 ? 1 - gamma_series(a, half) : gamma_fraction(a, half);
}

double lcf_normal_p(double z)
{
    return erfc(fabs(z) / sqrt(2));
}

double lcf_coin_p(double k, double n)
{
    double fewer = k < n - k ? k : n - k, p;

    if (2 * fewer >= n)
        return 1;
    p = 2 * incomplete_beta(0.5, 0.5, n - fewer, fewer + 1); /* P(X <= fewer) = I_1/2(n-k, k+1) */
    return p < 1 ? p : 1;
}
