/*
 * Interactions of fields: the second order of a factorization machine, and a layer of the
 * compressed interaction network (CIN).
 *
 * CIN is a product of its weights with all products of two fields. Those are formed for a block of
 * columns at a time, which stays in the cache, and formed again in the backward pass.
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* ---- factorization machine ---- */

typedef struct fm_note {
    size_t width;
    float *sums; /* [N, width] of each row's fields */
} fm_note;

static void fm_backward(lcf_tape *t, tape_node *node)
{
    const fm_note *note = node->extra;
    lcf_tensor *x = node->in[0];
    const size_t row = tensor_last_dim(x), width = note->width;
    float *dx = tape_grad_zeroed(t, x);

    for (size_t i = 0; dx && i < node->out->n; i++) {
        const float dy = node->out->grad[i];

        for (size_t at = i * row; at < (i + 1) * row; at += width) {
            lcf_axpy(dx + at, dy, note->sums + i * width, width);
            lcf_axpy(dx + at, -dy, x->data + at, width);
        }
    }
}

lcf_tensor *lcf_op_fm(lcf_tape *t, lcf_tensor *x, size_t width)
{
    const size_t row = tensor_last_dim(x), dims[2] = {x->n / row, 1};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, NULL, NULL));
    float *sums = lcf_tape_alloc(t, dims[0] * width, sizeof(*sums));
    fm_note *note = tape_note(t, fm_backward, y, x, NULL, NULL, sizeof(*note));

    LCF_ASSERT(tape_failed(t) || row % width == 0);
    if (note)
        *note = (fm_note){width, sums};
    if (tape_failed(t))
        return y;
    memset(sums, 0, dims[0] * width * sizeof(*sums));
    for (size_t i = 0; i < dims[0]; i++) {
        const float *fields = x->data + i * row;
        float *sum = sums + i * width;

        for (size_t at = 0; at < row; at += width)
            lcf_axpy(sum, 1.0f, fields + at, width);
        y->data[i] = 0.5f * (lcf_dot(sum, sum, width) - lcf_dot(fields, fields, row));
    }
    return y;
}

/* ---- CIN ---- */

#define CIN_BLOCK 1024 /* columns; a block's products of 50 by 8 fields are 1.6 MB */

typedef struct cin_shape {
    size_t h, m, columns, k; /* maps of x used, fields, N * D, h * m + 1 */
} cin_shape;

static void multiply(float *restrict y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void add_multiply(float *restrict y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

/* Rows [h * m + 1, n] of z: all products, and ones (for the bias). */
static void cin_products(float *z, const cin_shape *s, const float *x, const float *x0, size_t n)
{
    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->m; j++, z += n)
            multiply(z, x + i * s->columns, x0 + j * s->columns, n);
    for (size_t c = 0; c < n; c++)
        z[c] = 1.0f;
}

/* The gradients of x and x0 (either may be NULL) from that of their products. */
static void cin_products_backward(float *dx, float *dx0, const float *dz, const cin_shape *s,
                                  const float *x, const float *x0, size_t n)
{
    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->m; j++, dz += n) {
            if (dx)
                add_multiply(dx + i * s->columns, dz, x0 + j * s->columns, n);
            if (dx0)
                add_multiply(dx0 + j * s->columns, dz, x + i * s->columns, n);
        }
}

static void cin_backward(lcf_tape *t, tape_node *node)
{
    const cin_shape *s = node->extra;
    lcf_tensor *x = node->in[0], *x0 = node->in[1], *w = node->in[2];
    const size_t maps = w->dims[0];
    float *dx = tape_grad_zeroed(t, x), *dx0 = tape_grad_zeroed(t, x0),
          *dw = tape_grad_zeroed(t, w);
    float *z = lcf_tape_alloc(t, s->k * CIN_BLOCK, sizeof(*z));

    for (size_t at = 0; at < s->columns && !tape_failed(t); at += CIN_BLOCK) {
        const size_t n = s->columns - at < CIN_BLOCK ? s->columns - at : CIN_BLOCK;
        const float *dy = node->out->grad + at;

        cin_products(z, s, x->data + at, x0->data + at, n);
        if (dw)
            lcf_gemm(dw, dy, z, false, true, maps, s->k, n, 1.0f, 1.0f, s->columns, n, s->k);
        lcf_gemm(z, w->data, dy, true, false, s->k, n, maps, 1.0f, 0.0f, s->k, s->columns, n);
        cin_products_backward(dx ? dx + at : NULL, dx0 ? dx0 + at : NULL, z, s, x->data + at,
                              x0->data + at, n);
    }
}

lcf_tensor *lcf_op_cin(lcf_tape *t, lcf_tensor *x, lcf_tensor *x0, lcf_tensor *w)
{
    const size_t columns = x0->dims[1], m = x0->dims[0], maps = w->dims[0];
    const cin_shape s = {(w->dims[1] - 1) / m, m, columns, w->dims[1]};
    const size_t dims[2] = {maps, columns};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, x0, w));
    cin_shape *note = tape_note(t, cin_backward, y, x, x0, w, sizeof(*note));
    float *z = lcf_tape_alloc(t, s.k * CIN_BLOCK, sizeof(*z));

    LCF_ASSERT(tape_failed(t) ||
               (x->dims[1] == columns && s.h * m + 1 == s.k && s.h <= x->dims[0]));
    if (note)
        *note = s;
    for (size_t at = 0; at < columns && !tape_failed(t); at += CIN_BLOCK) {
        const size_t n = columns - at < CIN_BLOCK ? columns - at : CIN_BLOCK;

        cin_products(z, &s, x->data + at, x0->data + at, n);
        lcf_gemm(y->data + at, w->data, z, false, false, maps, n, s.k, 1.0f, 0.0f, s.k, n, columns);
    }
    return y;
}
