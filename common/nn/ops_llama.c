/* Operations of a transformer: RMSNorm, SwiGLU, RoPE, attention. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* ---- RMSNorm ---- */

static void rmsnorm_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *w = node->in[1];
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, w);

    if (!tape_failed(t))
        lcf_rmsnorm_backward(dx, dw, node->out->grad, x->data, w->data, x->n / w->n, w->n,
                             *(const float *)node->extra);
}

lcf_tensor *lcf_op_rmsnorm(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, float eps)
{
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, w, NULL));
    float *note = tape_note(t, rmsnorm_backward, y, x, w, NULL, sizeof(*note));

    LCF_ASSERT(tape_failed(t) || (w->n == tensor_last_dim(x) && w->n > 0));
    if (note)
        *note = eps;
    if (!tape_failed(t))
        lcf_rmsnorm(y->data, x->data, w->data, x->n / w->n, w->n, eps);
    return y;
}

/* ---- SwiGLU ---- */

static void swiglu_backward(lcf_tape *t, tape_node *node)
{
    const lcf_tensor *x = node->in[0], *y = node->out;
    const size_t d = tensor_last_dim(y);
    bool fresh;
    float *dx = tape_grad(t, node->in[0], &fresh);

    for (size_t i = 0; dx && i < y->n; i += d) {
        if (fresh)
            memset(dx + 2 * i, 0, 2 * d * sizeof(*dx));
        lcf_swiglu_backward(dx + 2 * i, dx + 2 * i + d, y->grad + i, x->data + 2 * i,
                            x->data + 2 * i + d, d);
    }
}

lcf_tensor *lcf_op_swiglu(lcf_tape *t, lcf_tensor *x)
{
    const size_t d = tensor_last_dim(x) / 2;
    size_t dims[LCF_TENSOR_DIMS_MAX];
    lcf_tensor *y;

    memcpy(dims, x->dims, sizeof(dims));
    dims[x->dims_n - 1] = d;
    y = tape_tensor(t, dims, x->dims_n, tape_needs(t, x, NULL, NULL));
    LCF_ASSERT(tape_failed(t) || tensor_last_dim(x) == 2 * d);
    tape_note(t, swiglu_backward, y, x, NULL, NULL, 0);
    for (size_t i = 0; i < y->n && !tape_failed(t); i += d)
        lcf_swiglu(y->data + i, x->data + 2 * i, x->data + 2 * i + d, d);
    return y;
}

/* ---- RoPE: a rotation, so the gradient is turned back by the same angles ---- */

typedef struct rope_note {
    const float *angles; /* [period, head_dim]; token i has row i % period */
    size_t period;
} rope_note;

static void rope_rotate_all(float *x, const lcf_tensor *shape, const rope_note *note, bool inverse)
{
    size_t heads = shape->dims[2], hd = shape->dims[3], i;
    size_t tokens = shape->dims[0] * shape->dims[1];

    for (i = 0; i < tokens; i++)
        lcf_rope_rotate(x + i * heads * hd, heads, hd, note->angles + i % note->period * hd,
                        inverse);
}

static void rope_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *out = node->out;

    rope_rotate_all(out->grad, out, node->extra, true);
    tape_grad_pass(t, node->in[0], out);
}

lcf_tensor *lcf_op_rope(lcf_tape *t, lcf_tensor *x, const uint32_t *positions, float theta)
{
    size_t tokens = x->dims[0] * x->dims[1], hd = x->dims[3];
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));
    rope_note *note = tape_note(t, rope_backward, y, x, NULL, NULL, sizeof(*note)), own;

    LCF_ASSERT(tape_failed(t) || (x->dims_n == 4 && hd % 2 == 0));
    if (tape_failed(t))
        return y;
    own.period = positions ? tokens : x->dims[1];
    own.angles = tape_rope_angles(t, positions, tokens, x->dims[1], hd, theta);
    if (tape_failed(t))
        return y;
    if (note)
        *note = own;
    memcpy(y->data, x->data, x->n * sizeof(float));
    rope_rotate_all(y->data, y, &own, false);
    return y;
}

/* ---- attention ---- */

typedef struct attention_note {
    lcf_attention_shape shape;
    float *lse, *scratch;
} attention_note;

static void attention_backward(lcf_tape *t, tape_node *node)
{
    const attention_note *note = node->extra;
    lcf_tensor *q = node->in[0], *k = node->in[1], *v = node->in[2], *out = node->out;
    float *dq = tape_grad_zeroed(t, q), *dk = tape_grad_zeroed(t, k), *dv = tape_grad_zeroed(t, v);

    if (!tape_failed(t))
        lcf_attention_backward(dq, dk, dv, out->grad, out->data, note->lse, q->data, k->data,
                               v->data, &note->shape, note->scratch);
}

lcf_tensor *lcf_op_attention(lcf_tape *t, lcf_tensor *q, lcf_tensor *k, lcf_tensor *v,
                             const uint32_t *segments)
{
    lcf_attention_shape shape = {q->dims[0], q->dims[1], q->dims[2],       k->dims[2],
                                 q->dims[3], segments,   LCF_PRECISION_F32};
    lcf_tensor *y = tape_tensor(t, q->dims, q->dims_n, tape_needs(t, q, k, v));
    attention_note *note = tape_note(t, attention_backward, y, q, k, v, sizeof(*note));
    float *lse = lcf_tape_alloc(t, shape.batch * shape.heads * shape.t, sizeof(*lse)), *scratch;

    if (tape_failed(t))
        return y;
    LCF_ASSERT(q->dims_n == 4 && k->dims_n == 4 && v->dims_n == 4 && k->n == v->n);
    LCF_ASSERT(k->dims[0] == shape.batch && k->dims[1] == shape.t && k->dims[3] == shape.head_dim);
    LCF_ASSERT(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0);
    scratch = lcf_tape_alloc(t, lcf_attention_scratch_n(&shape), sizeof(*scratch));
    if (!scratch)
        return y;
    if (note)
        *note = (attention_note){shape, lse, scratch};
    lcf_attention(y->data, lse, q->data, k->data, v->data, &shape, scratch);
    return y;
}
