/* LayerNorm and L2 normalisation on the tape. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <math.h>

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
