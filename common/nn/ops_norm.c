/* LayerNorm on the tape. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

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
