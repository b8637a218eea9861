/* LayerNorm, batch and L2 normalisation on the tape. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <math.h>
#include <string.h>

static void layernorm_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, w);
    float *dbias = tape_grad_zeroed(t, bias);

    if (!tape_failed(t))
        lcf_layernorm_backward(dx, dw, dbias, node->out->grad, x->data, w->data, x->n / w->n, w->n,
                               *(const float *)node->extra);
}

lcf_tensor *lcf_op_layernorm(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias, float eps)
{
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, w, bias));
    float *note = tape_note(t, layernorm_backward, y, x, w, bias, sizeof(*note));

    LCF_ASSERT(tape_failed(t) || (w->n == tensor_last_dim(x) && w->n > 0 && bias->n == w->n));
    if (note)
        *note = eps;
    if (!tape_failed(t))
        lcf_layernorm(y->data, x->data, w->data, bias->data, x->n / w->n, w->n, eps);
    return y;
}

/* ---- batch ---- */

typedef struct batch_note {
    float *inverse; /* [D] 1 / sqrt(variance + eps) */
    float *normed;  /* [N, D] before w and bias */
    double *sums;   /* [2 D] of the backward pass */
} batch_note;

/* Column sums in double of x, and of x times other (NULL: of x squared), in the order of rows. */
static void column_sums(double *sum, double *products, const float *x, const float *other, size_t n,
                        size_t d)
{
    memset(sum, 0, d * sizeof(*sum));
    memset(products, 0, d * sizeof(*products));
    for (size_t i = 0; i < n; i++, x += d)
        for (size_t j = 0; j < d; j++) {
            sum[j] += (double)x[j];
            products[j] += (double)x[j] * (double)(other ? other[i * d + j] : x[j]);
        }
}

static void batch_norm_backward(lcf_tape *t, tape_node *node)
{
    const batch_note *note = node->extra;
    const lcf_tensor *w = node->in[1];
    const size_t d = w->n, n = node->out->n / d;
    const float *dy = node->out->grad;
    float *dx = tape_grad_zeroed(t, node->in[0]), *dw = tape_grad_zeroed(t, node->in[1]);
    float *dbias = tape_grad_zeroed(t, node->in[2]);
    double *sum = note->sums, *along = note->sums + d;

    if (tape_failed(t))
        return;
    column_sums(sum, along, dy, note->normed, n, d);
    for (size_t j = 0; j < d; j++) {
        if (dw)
            dw[j] += (float)along[j];
        if (dbias)
            dbias[j] += (float)sum[j];
    }
    for (size_t i = 0; i < n && dx; i++)
        for (size_t j = 0; j < d; j++) {
            const size_t at = i * d + j;
            const double shared = (sum[j] + along[j] * (double)note->normed[at]) / (double)n;

            dx[at] += w->data[j] * note->inverse[j] * (float)((double)dy[at] - shared);
        }
}

/* From the rows' sums: mean and 1 / sqrt(variance + eps) of each column; the running ones move. */
static void take_statistics(float *mean, float *inverse, const double *sums,
                            const lcf_batch_norm *norm, size_t n)
{
    const size_t d = norm->w->n;
    const double momentum = (double)norm->momentum;

    for (size_t j = 0; j < d; j++) {
        const double m = sums[j] / (double)n, square = sums[d + j] / (double)n - m * m;
        const double variance = square > 0 ? square : 0;
        float *running[] = {norm->mean->data + j, norm->variance->data + j};

        mean[j] = (float)m;
        inverse[j] = (float)(1.0 / sqrt(variance + (double)norm->eps));
        if (n == 1)
            continue;
        *running[0] = (float)((1 - momentum) * (double)*running[0] + momentum * m);
        *running[1] = (float)((1 - momentum) * (double)*running[1] +
                              momentum * variance * (double)n / (double)(n - 1));
    }
}

lcf_tensor *lcf_op_batch_norm(lcf_tape *t, lcf_tensor *x, const lcf_batch_norm *norm)
{
    const size_t d = norm->w->n, n = x->n / d;
    const bool records = tape_records(t);
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, norm->w, norm->bias));
    batch_note *note = tape_note(t, batch_norm_backward, y, x, norm->w, norm->bias, sizeof(*note));
    float *mean = lcf_tape_alloc(t, d, sizeof(*mean));
    batch_note own = {lcf_tape_alloc(t, d, sizeof(float)), lcf_tape_alloc(t, x->n, sizeof(float)),
                      lcf_tape_alloc(t, 2 * d, sizeof(double))};

    LCF_ASSERT(tape_failed(t) || (tensor_last_dim(x) == d && norm->bias->n == d &&
                                  norm->mean->n == d && norm->variance->n == d));
    if (tape_failed(t))
        return y;
    if (note)
        *note = own;
    if (records) {
        column_sums(own.sums, own.sums + d, x->data, NULL, n, d);
        take_statistics(mean, own.inverse, own.sums, norm, n);
    }
    for (size_t j = 0; j < d && !records; j++) {
        mean[j] = norm->mean->data[j];
        own.inverse[j] = 1.0f / sqrtf(norm->variance->data[j] + norm->eps);
    }
    for (size_t i = 0; i < x->n; i += d)
        for (size_t j = 0; j < d; j++) {
            own.normed[i + j] = (x->data[i + j] - mean[j]) * own.inverse[j];
            y->data[i + j] = own.normed[i + j] * norm->w->data[j] + norm->bias->data[j];
        }
    return y;
}

/* ---- L2 ---- */

static void normalize_backward(lcf_tape *t, tape_node *node)
{
    const lcf_tensor *y = node->out;
    const size_t d = tensor_last_dim(y), rows = y->n / d;
    const float *inverse = node->extra;
    float *dx = tape_grad_zeroed(t, node->in[0]);

    for (size_t i = 0; dx && i < rows; i++) {
        const float *yi = y->data + i * d, *dy = y->grad + i * d;
        const float along = lcf_dot(yi, dy, d);

        for (size_t j = 0; j < d; j++)
            dx[i * d + j] += inverse[i] * (dy[j] - along * yi[j]);
    }
}

lcf_tensor *lcf_op_normalize(lcf_tape *t, lcf_tensor *x)
{
    const size_t d = tensor_last_dim(x), rows = x->n / d;
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));
    float *inverse = tape_note(t, normalize_backward, y, x, NULL, NULL, rows * sizeof(*inverse));

    for (size_t i = 0; i < rows && !tape_failed(t); i++) {
        const float square = lcf_dot(x->data + i * d, x->data + i * d, d);
        const float scale = 1.0f / (square > 1e-24f ? sqrtf(square) : 1e-12f);

        for (size_t j = 0; j < d; j++)
            y->data[i * d + j] = scale * x->data[i * d + j];
        if (inverse)
            inverse[i] = scale;
    }
    return y;
}
