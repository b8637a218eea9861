/* Logistic regression by Newton's method with conjugate gradients: see logistic.h. */
#include "offline/eval/ope/logistic.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 100
#define GRADIENT_TOLERANCE 1e-12 /* of its norm at the start */
#define RESOLUTION 1e-11         /* of the objective, a sum over rows */

typedef struct fit {
    const lcf_sparse_rows *x;
    const double *y;
    const uint32_t *rows;
    size_t n, dim; /* rows of the fit; features and the intercept */
    double l2;
    double *linear, *along; /* [n] of the current point and along the direction */
    double *curvature;      /* [n] p (1 - p) */
    double *gradient, *direction, *residual, *conjugate, *product; /* [dim] */
} fit;

double lcf_logistic_mean(double x)
{
    double e = exp(-fabs(x));

    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double lcf_logistic_loss(double z, double y)
{
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z))) - y * z;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* out [n] = X v */
static void multiply(double *out, const fit *f, const double *v)
{
    for (size_t i = 0; i < f->n; i++) {
        uint64_t end = f->x->first[f->rows[i] + 1];
        out[i] = v[f->dim - 1];
        for (uint64_t k = f->x->first[f->rows[i]]; k < end; k++)
            out[i] += f->x->value[k] * v[f->x->index[k]];
    }
}

/* out [dim] = X' v + l2 * penalised, the intercept being free */
static void multiply_transposed(double *out, const fit *f, const double *v, const double *penalised)
{
    for (size_t d = 0; d + 1 < f->dim; d++)
        out[d] = f->l2 * penalised[d];
    out[f->dim - 1] = 0;
    for (size_t i = 0; i < f->n; i++) {
        uint64_t end = f->x->first[f->rows[i] + 1];
        for (uint64_t k = f->x->first[f->rows[i]]; k < end; k++)
            out[f->x->index[k]] += f->x->value[k] * v[i];
        out[f->dim - 1] += v[i];
    }
}

/* The objective at point + step * direction. */
static double objective(const fit *f, const double *point, double step)
{
    double sum = 0, norm = 0;

    for (size_t i = 0; i < f->n; i++)
        sum += lcf_logistic_loss(f->linear[i] + step * f->along[i], f->y[f->rows[i]]);
    for (size_t d = 0; d + 1 < f->dim; d++) {
        double v = point[d] + step * f->direction[d];
        norm += v * v;
    }
    return sum + 0.5 * f->l2 * norm;
}

/* Gradient and curvature at the point; `along` is scratch. */
static void differentiate(fit *f, const double *point)
{
    multiply(f->linear, f, point);
    for (size_t i = 0; i < f->n; i++) {
        double p = lcf_logistic_mean(f->linear[i]);
        f->along[i] = p - f->y[f->rows[i]];
        f->curvature[i] = p * (1 - p);
    }
    multiply_transposed(f->gradient, f, f->along, point);
}

/* direction = - Hessian^-1 gradient, as far as the gradient's own size asks for. */
static void solve_direction(fit *f)
{
    double norm = sqrt(dot(f->gradient, f->gradient, f->dim)), old, new;
    double wanted = norm * fmin(0.1, norm);

    memset(f->direction, 0, f->dim * sizeof(double));
    for (size_t d = 0; d < f->dim; d++)
        f->conjugate[d] = f->residual[d] = -f->gradient[d];
    old = norm * norm;
    for (size_t round = 0; round < 2 * f->dim + 20 && sqrt(old) > wanted; round++) {
        double curvature, step;
        multiply(f->along, f, f->conjugate);
        for (size_t i = 0; i < f->n; i++)
            f->along[i] *= f->curvature[i];
        multiply_transposed(f->product, f, f->along, f->conjugate);
        curvature = dot(f->conjugate, f->product, f->dim);
        if (!(curvature > 0)) /* nothing is left to gain along it */
            break;
        step = old / curvature;
        for (size_t d = 0; d < f->dim; d++) {
            f->direction[d] += step * f->conjugate[d];
            f->residual[d] -= step * f->product[d];
        }
        new = dot(f->residual, f->residual, f->dim);
        for (size_t d = 0; d < f->dim; d++)
            f->conjugate[d] = f->residual[d] + new / old * f->conjugate[d];
        old = new;
    }
}

/* Moves the point along the direction, as far as that gains (Armijo); false when nothing does.
 * Where the gain in sight is below what the objective can resolve, the full step is right. */
static bool step_along(fit *f, double *point)
{
    double slope = dot(f->gradient, f->direction, f->dim), step = 1, here;

    multiply(f->along, f, f->direction);
    here = objective(f, point, 0);
    while (-slope > RESOLUTION * here && objective(f, point, step) > here + 1e-4 * step * slope) {
        step /= 2;
        if (step < 1e-10)
            return false;
    }
    for (size_t d = 0; d < f->dim; d++)
        point[d] += step * f->direction[d];
    return true;
}

static void newton(fit *f, double *point)
{
    double start = 0;

    for (size_t round = 0; round < ROUNDS_MAX; round++) {
        double norm;
        differentiate(f, point);
        norm = sqrt(dot(f->gradient, f->gradient, f->dim));
        start = round ? start : norm;
        if (norm <= GRADIENT_TOLERANCE * (1 + start))
            return;
        solve_direction(f);
        if (!step_along(f, point))
            return;
    }
}

/* true, with the coefficients set, when all rewards of the fit are 0 or all are 1. */
static bool one_class(double *coefficients, const fit *f)
{
    double sum = 0, n = (double)f->n;

    for (size_t i = 0; i < f->n; i++)
        sum += f->y[f->rows[i]];
    if (sum > 0 && sum < n)
        return false;
    memset(coefficients, 0, f->dim * sizeof(double));
    coefficients[f->dim - 1] = log((sum + 0.5) / (n - sum + 0.5));
    return true;
}

lcf_status lcf_logistic_fit(double *coefficients, const lcf_sparse_rows *x, const double *y,
                            const uint32_t *rows, size_t n, double l2, lcf_err *err)
{
    fit f = {.x = x, .y = y, .rows = rows, .n = n, .dim = x->features_n + 1, .l2 = l2};
    double *by_row, *by_feature;
    lcf_status status = LCF_OK;

    if (one_class(coefficients, &f))
        return LCF_OK;
    by_row = lcf_alloc(n, 3 * sizeof(double));
    by_feature = lcf_alloc(f.dim, 5 * sizeof(double));
    if (by_row && by_feature) {
        f.linear = by_row;
        f.along = by_row + n;
        f.curvature = by_row + 2 * n;
        f.gradient = by_feature;
        f.direction = by_feature + f.dim;
        f.residual = by_feature + 2 * f.dim;
        f.conjugate = by_feature + 3 * f.dim;
        f.product = by_feature + 4 * f.dim;
        newton(&f, coefficients);
    } else {
        status =
            LCF_FAIL(err, LCF_ENOMEM, "logistic regression of %zu rows, %zu features", n, f.dim);
    }
    free(by_row);
    free(by_feature);
    return status;
}
