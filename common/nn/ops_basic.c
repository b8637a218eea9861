/*
 * Operations that every network uses: elementwise, shape and row operations.
 *
 * Each is a pair: lcf_op_x computes and notes, x_backward reads node->out->grad. A failed tape
 * computes nothing, and shapes are then not checked (a spare tensor may have been overwritten).
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

static bool same_shape(const lcf_tensor *a, const lcf_tensor *b)
{
    return a->dims_n == b->dims_n && memcmp(a->dims, b->dims, a->dims_n * sizeof(a->dims[0])) == 0;
}

/* ---- elementwise: the loops stand alone so that the compiler vectorises them ---- */

static void add_all(float *restrict y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void sub_all(float *restrict y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] - b[i];
}

static void mul_all(float *restrict y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void scale_all(float *restrict y, const float *a, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * factor;
}

static void add_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *out = node->out, *a = node->in[0], *b = node->in[1];
    bool fresh;
    float *db;

    /* b first: it copies, then a takes the memory over. */
    db = tape_grad(t, b, &fresh);
    if (db && fresh)
        memcpy(db, out->grad, out->n * sizeof(float));
    else if (db)
        lcf_axpy(db, 1.0f, out->grad, out->n);
    tape_grad_pass(t, a, out);
}

lcf_tensor *lcf_op_add(lcf_tape *t, lcf_tensor *a, lcf_tensor *b)
{
    lcf_tensor *y;

    LCF_ASSERT(tape_failed(t) || same_shape(a, b));
    y = tape_tensor(t, a->dims, a->dims_n, tape_needs(t, a, b, NULL));
    tape_note(t, add_backward, y, a, b, NULL, 0);
    if (!tape_failed(t))
        add_all(y->data, a->data, b->data, y->n);
    return y;
}

static void sub_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *out = node->out;
    float *db = tape_grad_zeroed(t, node->in[1]);

    if (db)
        lcf_axpy(db, -1.0f, out->grad, out->n);
    tape_grad_pass(t, node->in[0], out);
}

lcf_tensor *lcf_op_sub(lcf_tape *t, lcf_tensor *a, lcf_tensor *b)
{
    lcf_tensor *y;

    LCF_ASSERT(tape_failed(t) || same_shape(a, b));
    y = tape_tensor(t, a->dims, a->dims_n, tape_needs(t, a, b, NULL));
    tape_note(t, sub_backward, y, a, b, NULL, 0);
    if (!tape_failed(t))
        sub_all(y->data, a->data, b->data, y->n);
    return y;
}

static void sum_products(float *restrict sum, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += a[i] * b[i];
}

/* x's gradient += a * b */
static void add_product(lcf_tape *t, lcf_tensor *x, const float *a, const float *b)
{
    bool fresh;
    float *dx = tape_grad(t, x, &fresh);

    if (dx && fresh)
        mul_all(dx, a, b, x->n);
    else if (dx)
        sum_products(dx, a, b, x->n);
}

static void mul_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *out = node->out, *a = node->in[0], *b = node->in[1];

    add_product(t, a, out->grad, b->data);
    add_product(t, b, out->grad, a->data);
}

lcf_tensor *lcf_op_mul(lcf_tape *t, lcf_tensor *a, lcf_tensor *b)
{
    lcf_tensor *y;

    LCF_ASSERT(tape_failed(t) || same_shape(a, b));
    y = tape_tensor(t, a->dims, a->dims_n, tape_needs(t, a, b, NULL));
    tape_note(t, mul_backward, y, a, b, NULL, 0);
    if (!tape_failed(t))
        mul_all(y->data, a->data, b->data, y->n);
    return y;
}

static void scale_backward(lcf_tape *t, tape_node *node)
{
    float *dx = tape_grad_zeroed(t, node->in[0]);

    if (dx)
        lcf_axpy(dx, *(const float *)node->extra, node->out->grad, node->out->n);
}

lcf_tensor *lcf_op_scale(lcf_tape *t, lcf_tensor *a, float factor)
{
    lcf_tensor *y = tape_tensor(t, a->dims, a->dims_n, tape_needs(t, a, NULL, NULL));
    float *note = tape_note(t, scale_backward, y, a, NULL, NULL, sizeof(*note));

    if (note)
        *note = factor;
    if (!tape_failed(t))
        scale_all(y->data, a->data, factor, y->n);
    return y;
}

/* The result of an operation on each element of x, to be filled unless the tape failed. */
static lcf_tensor *of_each(lcf_tape *t, lcf_tensor *x, tape_backward backward)
{
    lcf_tensor *y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));

    tape_note(t, backward, y, x, NULL, NULL, 0);
    return y;
}

static void relu_backward(lcf_tape *t, tape_node *node)
{
    const float *y = node->out->data;
    float *dy = node->out->grad;
    size_t n = node->out->n, i;

    /* In place: the result's gradient is not needed again, and most inputs take it over as it is.
     */
    for (i = 0; i < n; i++)
        dy[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    tape_grad_pass(t, node->in[0], node->out);
}

lcf_tensor *lcf_op_relu(lcf_tape *t, lcf_tensor *x)
{
    lcf_tensor *y = of_each(t, x, relu_backward);

    if (!tape_failed(t))
        lcf_relu(y->data, x->data, y->n);
    return y;
}

static void sigmoid_backward(lcf_tape *t, tape_node *node)
{
    const float *y = node->out->data, *dy = node->out->grad;
    float *dx = tape_grad_zeroed(t, node->in[0]);
    size_t i;

    for (i = 0; dx && i < node->out->n; i++)
        dx[i] += dy[i] * y[i] * (1.0f - y[i]);
}

lcf_tensor *lcf_op_sigmoid(lcf_tape *t, lcf_tensor *x)
{
    lcf_tensor *y = of_each(t, x, sigmoid_backward);

    if (!tape_failed(t))
        lcf_sigmoid(y->data, x->data, x->n);
    return y;
}

static void reciprocal_backward(lcf_tape *t, tape_node *node)
{
    const float *y = node->out->data, *dy = node->out->grad;
    float *dx = tape_grad_zeroed(t, node->in[0]);

    for (size_t i = 0; dx && i < node->out->n; i++)
        dx[i] -= dy[i] * y[i] * y[i];
}

lcf_tensor *lcf_op_reciprocal(lcf_tape *t, lcf_tensor *x)
{
    lcf_tensor *y = of_each(t, x, reciprocal_backward);

    for (size_t i = 0; i < y->n && !tape_failed(t); i++)
        y->data[i] = 1.0f / x->data[i];
    return y;
}

static void gelu_backward(lcf_tape *t, tape_node *node)
{
    float *dx = tape_grad_zeroed(t, node->in[0]);

    if (dx)
        lcf_gelu_backward(dx, node->out->grad, node->in[0]->data, node->out->n);
}

lcf_tensor *lcf_op_gelu(lcf_tape *t, lcf_tensor *x)
{
    lcf_tensor *y = of_each(t, x, gelu_backward);

    if (!tape_failed(t))
        lcf_gelu(y->data, x->data, x->n);
    return y;
}

static void tanh_backward(lcf_tape *t, tape_node *node)
{
    const float *y = node->out->data, *dy = node->out->grad;
    float *dx = tape_grad_zeroed(t, node->in[0]);
    size_t i;

    for (i = 0; dx && i < node->out->n; i++)
        dx[i] += dy[i] * (1.0f - y[i] * y[i]);
}

lcf_tensor *lcf_op_tanh(lcf_tape *t, lcf_tensor *x)
{
    lcf_tensor *y = of_each(t, x, tanh_backward);

    if (!tape_failed(t))
        lcf_tanh(y->data, x->data, x->n);
    return y;
}

static void sign_backward(lcf_tape *t, tape_node *node)
{
    tape_grad_pass(t, node->in[0], node->out);
}

lcf_tensor *lcf_op_sign(lcf_tape *t, lcf_tensor *x, float share, lcf_rng *rng)
{
    const bool all = share >= 1.0f || !tape_records(t);
    lcf_tensor *y = of_each(t, x, sign_backward);

    for (size_t i = 0; !tape_failed(t) && i < y->n; i++)
        y->data[i] = !all && lcf_rng_f32(rng) >= share ? x->data[i]
                     : x->data[i] >= 0.0f              ? 1.0f
                                                       : -1.0f;
    return y;
}

typedef struct dropout_note {
    const float *kept; /* [n] 0 or 1 / (1 - p) */
} dropout_note;

static void dropout_backward(lcf_tape *t, tape_node *node)
{
    const dropout_note *note = node->extra;

    add_product(t, node->in[0], node->out->grad, note->kept);
}

lcf_tensor *lcf_op_dropout(lcf_tape *t, lcf_tensor *x, float p, lcf_rng *rng)
{
    const float share = 1.0f / (1.0f - p);
    dropout_note *note;
    lcf_tensor *y;
    float *kept;

    LCF_ASSERT(p >= 0.0f && p < 1.0f);
    if (p == 0.0f || !tape_records(t))
        return x;
    y = tape_tensor(t, x->dims, x->dims_n, tape_needs(t, x, NULL, NULL));
    kept = lcf_tape_alloc(t, x->n, sizeof(*kept));
    note = tape_note(t, dropout_backward, y, x, NULL, NULL, sizeof(*note));
    if (note)
        note->kept = kept;
    if (tape_failed(t))
        return y;
    lcf_rng_f32_fill(kept, rng, y->n);
    for (size_t i = 0; i < y->n; i++)
        kept[i] = kept[i] < p ? 0.0f : share;
    mul_all(y->data, x->data, kept, y->n);
    return y;
}

/* ---- shape ---- */

static void reshape_backward(lcf_tape *t, tape_node *node)
{
    tape_grad_pass(t, node->in[0], node->out);
}

lcf_tensor *lcf_op_reshape(lcf_tape *t, lcf_tensor *x, const size_t *dims, uint32_t dims_n)
{
    lcf_tensor *y = tape_view(t, x, dims, dims_n);

    LCF_ASSERT(tape_failed(t) || y->n == x->n);
    tape_note(t, reshape_backward, y, x, NULL, NULL, 0);
    return y;
}

typedef struct concat_parts {
    lcf_tensor **parts;
    size_t parts_n;
} concat_parts;

static void concat_backward(lcf_tape *t, tape_node *node)
{
    const concat_parts *note = node->extra;
    size_t width = tensor_last_dim(node->out), rows = node->out->n / width, column = 0, part, i;

    for (part = 0; part < note->parts_n; part++) {
        lcf_tensor *x = note->parts[part];
        size_t d = tensor_last_dim(x);
        float *dx = tape_grad_zeroed(t, x);

        for (i = 0; dx && i < rows; i++)
            lcf_axpy(dx + i * d, 1.0f, node->out->grad + i * width + column, d);
        column += d;
    }
}

lcf_tensor *lcf_op_concat(lcf_tape *t, lcf_tensor *const *parts, size_t parts_n)
{
    size_t dims[LCF_TENSOR_DIMS_MAX], width = 0, rows, column = 0, part, i;
    lcf_tensor **kept = lcf_tape_alloc(t, parts_n, sizeof(*kept)), *y;
    concat_parts *note;
    bool needs = false;

    LCF_ASSERT(parts_n > 0);
    rows = tensor_last_dim(parts[0]) ? parts[0]->n / tensor_last_dim(parts[0]) : 0;
    for (part = 0; part < parts_n; part++) {
        size_t d = tensor_last_dim(parts[part]);

        LCF_ASSERT(tape_failed(t) ||
                   (parts[part]->dims_n == parts[0]->dims_n && parts[part]->n == rows * d));
        width += d;
        needs = needs || tape_needs(t, parts[part], NULL, NULL);
    }
    memcpy(dims, parts[0]->dims, sizeof(dims));
    dims[parts[0]->dims_n - 1] = width;
    y = tape_tensor(t, dims, parts[0]->dims_n, needs);
    note = tape_note(t, concat_backward, y, NULL, NULL, NULL, sizeof(*note));
    if (note)
        *note = (concat_parts){kept, parts_n};
    for (part = 0; !tape_failed(t) && part < parts_n; part++) {
        size_t d = tensor_last_dim(parts[part]);

        kept[part] = parts[part];
        for (i = 0; i < rows; i++)
            memcpy(y->data + i * width + column, parts[part]->data + i * d, d * sizeof(float));
        column += d;
    }
    return y;
}

static void stack_backward(lcf_tape *t, tape_node *node)
{
    const concat_parts *note = node->extra;
    const float *dy = node->out->grad;

    for (size_t i = 0; i < note->parts_n; i++) {
        float *dx = tape_grad_zeroed(t, note->parts[i]);

        if (dx)
            lcf_axpy(dx, 1.0f, dy, note->parts[i]->n);
        dy += note->parts[i]->n;
    }
}

lcf_tensor *lcf_op_stack(lcf_tape *t, lcf_tensor *const *parts, size_t parts_n)
{
    lcf_tensor **kept = lcf_tape_alloc(t, parts_n, sizeof(*kept)), *y;
    size_t dims[2] = {0, tensor_last_dim(parts[0])}, at = 0;
    concat_parts *note;
    bool needs = false;

    for (size_t i = 0; i < parts_n; i++) {
        LCF_ASSERT(tape_failed(t) || tensor_last_dim(parts[i]) == dims[1]);
        dims[0] += parts[i]->n / dims[1];
        needs = needs || tape_needs(t, parts[i], NULL, NULL);
    }
    y = tape_tensor(t, dims, 2, needs);
    note = tape_note(t, stack_backward, y, NULL, NULL, NULL, sizeof(*note));
    if (note)
        *note = (concat_parts){kept, parts_n};
    for (size_t i = 0; i < parts_n && !tape_failed(t); i++) {
        kept[i] = parts[i];
        memcpy(y->data + at, parts[i]->data, parts[i]->n * sizeof(float));
        at += parts[i]->n;
    }
    return y;
}

/* ---- rows ---- */

static void weighted_sum_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *weights = node->in[1];
    size_t b, l, length = x->dims[1], d = x->dims[2];
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, weights);

    for (b = 0; b < x->dims[0] && !tape_failed(t); b++)
        for (l = 0; l < length; l++) {
            size_t at = b * length + l;

            if (dx)
                lcf_axpy(dx + at * d, weights->data[at], node->out->grad + b * d, d);
            if (dw)
                dw[at] += lcf_dot(x->data + at * d, node->out->grad + b * d, d);
        }
}

lcf_tensor *lcf_op_weighted_sum(lcf_tape *t, lcf_tensor *x, lcf_tensor *weights)
{
    size_t batch = x->dims[0], length = x->dims[1], d = x->dims[2], dims[2] = {batch, d}, b, l;
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, weights, NULL));

    LCF_ASSERT(tape_failed(t) || (x->dims_n == 3 && weights->n == batch * length));
    tape_note(t, weighted_sum_backward, y, x, weights, NULL, 0);
    for (b = 0; !tape_failed(t) && b < batch; b++) {
        memset(y->data + b * d, 0, d * sizeof(float));
        for (l = 0; l < length; l++)
            lcf_axpy(y->data + b * d, weights->data[b * length + l], x->data + (b * length + l) * d,
                     d);
    }
    return y;
}
