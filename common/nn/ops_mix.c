/*
 * Operations that mix and weigh rows: products of two tensors, groups of small linear maps, weights
 * per row, softmax, leaky ReLU.
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* ---- products ---- */

static void matmul_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *a = node->in[0], *b = node->in[1];
    const size_t m = a->dims[0], k = a->dims[1], n = b->dims[1];
    const float *dy = node->out->grad;
    bool fresh;
    float *da = tape_grad(t, a, &fresh), *db;

    if (da)
        lcf_gemm(da, dy, b->data, false, true, m, k, n, 1.0f, fresh ? 0.0f : 1.0f, n, n, k);
    db = tape_grad(t, b, &fresh);
    if (db)
        lcf_gemm(db, a->data, dy, true, false, k, n, m, 1.0f, fresh ? 0.0f : 1.0f, k, n, n);
}

lcf_tensor *lcf_op_matmul(lcf_tape *t, lcf_tensor *a, lcf_tensor *b)
{
    const size_t dims[2] = {a->dims[0], b->dims[1]}, k = a->dims[1];
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, a, b, NULL));

    LCF_ASSERT(tape_failed(t) || (a->dims_n == 2 && b->dims_n == 2 && b->dims[0] == k));
    tape_note(t, matmul_backward, y, a, b, NULL, 0);
    if (!tape_failed(t))
        lcf_gemm(y->data, a->data, b->data, false, false, dims[0], dims[1], k, 1.0f, 0.0f, k,
                 dims[1], dims[1]);
    return y;
}

typedef struct groups_note {
    size_t groups;
} groups_note;

static void linear_groups_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *w = node->in[1];
    const size_t groups = ((const groups_note *)node->extra)->groups, in = w->dims[1];
    const size_t wide_in = groups * in, wide_out = w->dims[0], out = wide_out / groups;
    const size_t rows = x->n / wide_in;
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, w);

    for (size_t g = 0; g < groups && !tape_failed(t); g++) {
        const float *dy = node->out->grad + g * out;

        if (dx)
            lcf_gemm(dx + g * in, dy, w->data + g * out * in, false, false, rows, in, out, 1.0f,
                     1.0f, wide_out, in, wide_in);
        if (dw)
            lcf_gemm(dw + g * out * in, dy, x->data + g * in, true, false, out, in, rows, 1.0f,
                     1.0f, wide_out, wide_in, in);
    }
}

lcf_tensor *lcf_op_linear_groups(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, size_t groups)
{
    const size_t in = w->dims[1], wide_in = groups * in, out = w->dims[0] / groups;
    const size_t rows = x->n / wide_in, dims[2] = {rows, w->dims[0]};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, w, NULL));
    groups_note *note = tape_note(t, linear_groups_backward, y, x, w, NULL, sizeof(*note));

    LCF_ASSERT(tape_failed(t) || (tensor_last_dim(x) == wide_in && w->dims[0] == out * groups));
    if (note)
        note->groups = groups;
    for (size_t g = 0; g < groups && !tape_failed(t); g++)
        lcf_gemm(y->data + g * out, x->data + g * in, w->data + g * out * in, false, true, rows,
                 out, in, 1.0f, 0.0f, wide_in, in, dims[1]);
    return y;
}

/* ---- rows ---- */

static void scale_rows_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *s = node->in[1];
    const size_t d = x->n / s->n;
    float *dx = tape_grad_zeroed(t, x), *ds = tape_grad_zeroed(t, s);

    for (size_t i = 0; i < s->n && !tape_failed(t); i++) {
        const float *dy = node->out->grad + i * d;

        if (dx)
            lcf_axpy(dx + i * d, s->data[i], dy, d);
        if (ds)
            ds[i] += lcf_dot(x->data + i * d, dy, d);
    }
}

lcf_tensor *lcf_op_scale_rows(lcf_tape *t, lcf_tensor *x, lcf_tensor *s)
{
    const size_t d = s->n ? x->n / s->n : 0; /* 0 on a failed tape only */
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, s, NULL));

    LCF_ASSERT(tape_failed(t) || x->n == s->n * d);
    tape_note(t, scale_rows_backward, y, x, s, NULL, 0);
    for (size_t i = 0; i < s->n && !tape_failed(t); i++)
        for (size_t j = i * d; j < (i + 1) * d; j++)
            y->data[j] = s->data[i] * x->data[j];
    return y;
}

static void add_bias_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *bias = node->in[1];
    float *db = tape_grad_zeroed(t, bias);

    for (size_t i = 0; db && i < node->out->n; i += bias->n)
        lcf_axpy(db, 1.0f, node->out->grad + i, bias->n);
    tape_grad_pass(t, node->in[0], node->out);
}

lcf_tensor *lcf_op_add_bias(lcf_tape *t, lcf_tensor *x, lcf_tensor *bias)
{
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, bias, NULL));

    LCF_ASSERT(tape_failed(t) || tensor_last_dim(x) == bias->n);
    tape_note(t, add_bias_backward, y, x, bias, NULL, 0);
    for (size_t i = 0; i < y->n && !tape_failed(t); i += bias->n)
        for (size_t j = 0; j < bias->n; j++)
            y->data[i + j] = x->data[i + j] + bias->data[j];
    return y;
}

static void softmax_backward(lcf_tape *t, tape_node *node)
{
    const size_t d = tensor_last_dim(node->out);
    float *dx = tape_grad_zeroed(t, node->in[0]);

    for (size_t i = 0; dx && i < node->out->n; i += d) {
        const float *y = node->out->data + i, *dy = node->out->grad + i;
        const float mean = lcf_dot(y, dy, d);

        for (size_t j = 0; j < d; j++)
            dx[i + j] += y[j] * (dy[j] - mean);
    }
}

lcf_tensor *lcf_op_softmax(lcf_tape *t, lcf_tensor *x)
{
    const size_t d = tensor_last_dim(x);
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));

    tape_note(t, softmax_backward, y, x, NULL, NULL, 0);
    if (tape_failed(t))
        return y;
    memcpy(y->data, x->data, x->n * sizeof(float));
    lcf_softmax(y->data, x->n / d, d);
    return y;
}

/* ---- elementwise ---- */

static void leaky_relu_backward(lcf_tape *t, tape_node *node)
{
    const float slope = *(const float *)node->extra, *y = node->out->data;
    float *dy = node->out->grad;

    for (size_t i = 0; i < node->out->n; i++) /* in place, as relu_backward */
        dy[i] = y[i] > 0.0f ? dy[i] : slope * dy[i];
    tape_grad_pass(t, node->in[0], node->out);
}

lcf_tensor *lcf_op_leaky_relu(lcf_tape *t, lcf_tensor *x, float slope)
{
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));
    float *note = tape_note(t, leaky_relu_backward, y, x, NULL, NULL, sizeof(*note));

    LCF_ASSERT(slope > 0.0f); /* the sign of the result tells that of x */
    if (note)
        *note = slope;
    for (size_t i = 0; i < y->n && !tape_failed(t); i++)
        y->data[i] = x->data[i] > 0.0f ? x->data[i] : slope * x->data[i];
    return y;
}
