/*
 * Attention of segments of rows to keys of the same segment in one or two tensors: a token that
 * looks at its own sequence, at another sequence of the segment, or at both.
 *
 * Invariant: a query sees a prefix of its segment's keys, all parts counted as one list; so self
 * attention, a prefix that a causal text sees, and cross-attention are one operation.
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <math.h>
#include <string.h>

#define PARTS_MAX 2

typedef struct attend_note {
    lcf_tensor *x;
    lcf_attend_keys parts[PARTS_MAX];
    size_t parts_n, heads, dim, n;
    const uint32_t *offsets;
    bool causal;
    float *weights; /* of every segment and head [queries, keys], one after another */
} attend_note;

static size_t rows_of(const uint32_t *offsets, size_t segment)
{
    return offsets[segment + 1] - offsets[segment];
}

static size_t keys_of(const attend_note *a, size_t segment)
{
    size_t n = 0;

    for (size_t p = 0; p < a->parts_n; p++)
        n += rows_of(a->parts[p].offsets, segment);
    return n;
}

/* Floats of the weights of all segments, and of the largest one's single head. */
static size_t weights_n(size_t *largest, const attend_note *a)
{
    size_t sum = 0;

    *largest = 0;
    for (size_t i = 0; i < a->n; i++) {
        const size_t one = rows_of(a->offsets, i) * keys_of(a, i);

        sum += one * a->heads;
        *largest = one > *largest ? one : *largest;
    }
    return sum;
}

/* Keys that query `row` of a segment of so many keys, `own` of them in the last part, sees. */
static size_t visible(const attend_note *a, size_t row, size_t keys, size_t own)
{
    return a->causal ? keys - own + row + 1 : keys;
}

/* In place: scores [rows, keys] to weights, zero where a query does not look. */
static void mask_and_softmax(float *w, const attend_note *a, size_t rows, size_t keys, size_t own)
{
    for (size_t i = 0; i < rows; i++) {
        const size_t seen = visible(a, i, keys, own);

        lcf_softmax(w + i * keys, 1, seen);
        memset(w + i * keys + seen, 0, (keys - seen) * sizeof(*w));
    }
}

static void head_forward(float *y, float *w, const attend_note *a, size_t segment, size_t head)
{
    const size_t rows = rows_of(a->offsets, segment), keys = keys_of(a, segment);
    const size_t width = a->dim / a->heads, ldx = tensor_last_dim(a->x);
    const float *q = a->x->data + a->offsets[segment] * ldx + head * width;
    float *out = y + a->offsets[segment] * a->dim + head * width;

    for (size_t p = 0, at = 0; p < a->parts_n; at += rows_of(a->parts[p].offsets, segment), p++) {
        const lcf_attend_keys *k = &a->parts[p];
        const size_t ld = tensor_last_dim(k->x), first = k->offsets[segment] * ld + head * width;

        lcf_gemm(w + at, q, k->x->data + first + k->key, false, true, rows,
                 rows_of(k->offsets, segment), width, 1.0f / sqrtf((float)width), 0.0f, ldx, ld,
                 keys);
    }
    mask_and_softmax(w, a, rows, keys, rows_of(a->parts[a->parts_n - 1].offsets, segment));
    for (size_t p = 0, at = 0; p < a->parts_n; at += rows_of(a->parts[p].offsets, segment), p++) {
        const lcf_attend_keys *k = &a->parts[p];
        const size_t ld = tensor_last_dim(k->x), first = k->offsets[segment] * ld + head * width;

        lcf_gemm(out, w + at, k->x->data + first + k->value, false, false, rows, width,
                 rows_of(k->offsets, segment), 1.0f, p ? 1.0f : 0.0f, keys, ld, a->dim);
    }
}

/* The gradient of scores from that of their softmax w, in place. */
static void scores_backward(float *dw, const float *w, size_t rows, size_t keys)
{
    for (size_t i = 0; i < rows * keys; i += keys) {
        const float mean = lcf_dot(w + i, dw + i, keys);

        for (size_t j = i; j < i + keys; j++)
            dw[j] = w[j] * (dw[j] - mean);
    }
}

/* dx, dkeys[p]: gradients of the tensors, NULL where none is wanted. */
static void head_backward(float *dx, float *const *dkeys, float *dw, const float *dy,
                          const float *w, const attend_note *a, size_t segment, size_t head)
{
    const size_t rows = rows_of(a->offsets, segment), keys = keys_of(a, segment);
    const size_t width = a->dim / a->heads, ldx = tensor_last_dim(a->x);
    const size_t at_q = a->offsets[segment] * ldx + head * width;
    const float scale = 1.0f / sqrtf((float)width);
    const float *dout = dy + a->offsets[segment] * a->dim + head * width;

    for (size_t p = 0, at = 0; p < a->parts_n; at += rows_of(a->parts[p].offsets, segment), p++) {
        const lcf_attend_keys *k = &a->parts[p];
        const size_t n = rows_of(k->offsets, segment), ld = tensor_last_dim(k->x);
        const size_t first = k->offsets[segment] * ld + head * width;

        lcf_gemm(dw + at, dout, k->x->data + first + k->value, false, true, rows, n, width, 1.0f,
                 0.0f, a->dim, ld, keys);
        if (dkeys[p])
            lcf_gemm(dkeys[p] + first + k->value, w + at, dout, true, false, n, width, rows, 1.0f,
                     1.0f, keys, a->dim, ld);
    }
    scores_backward(dw, w, rows, keys);
    for (size_t p = 0, at = 0; p < a->parts_n; at += rows_of(a->parts[p].offsets, segment), p++) {
        const lcf_attend_keys *k = &a->parts[p];
        const size_t n = rows_of(k->offsets, segment), ld = tensor_last_dim(k->x);
        const size_t first = k->offsets[segment] * ld + head * width;

        if (dx)
            lcf_gemm(dx + at_q, dw + at, k->x->data + first + k->key, false, false, rows, width, n,
                     scale, 1.0f, keys, ld, ldx);
        if (dkeys[p])
            lcf_gemm(dkeys[p] + first + k->key, dw + at, a->x->data + at_q, true, false, n, width,
                     rows, scale, 1.0f, keys, ldx, ld);
    }
}

static void attend_backward(lcf_tape *t, tape_node *node)
{
    const attend_note *a = node->extra;
    float *dx = tape_grad_zeroed(t, a->x), *dkeys[PARTS_MAX], *dw;
    const float *w = a->weights;
    size_t largest;

    for (size_t p = 0; p < a->parts_n; p++)
        dkeys[p] = tape_grad_zeroed(t, a->parts[p].x);
    weights_n(&largest, a);
    dw = lcf_tape_alloc(t, largest, sizeof(*dw));
    for (size_t i = 0; i < a->n && !tape_failed(t); i++)
        for (size_t h = 0; h < a->heads; h++) {
            head_backward(dx, dkeys, dw, node->out->grad, w, a, i, h);
            w += rows_of(a->offsets, i) * keys_of(a, i);
        }
}

static void check_shapes(const attend_note *a)
{
    LCF_ASSERT(a->parts_n >= 1 && a->dim % a->heads == 0 && tensor_last_dim(a->x) >= a->dim);
    LCF_ASSERT(a->offsets[a->n] * tensor_last_dim(a->x) == a->x->n);
    for (size_t p = 0; p < a->parts_n; p++) {
        const lcf_attend_keys *k = &a->parts[p];

        LCF_ASSERT(k->offsets[a->n] * tensor_last_dim(k->x) == k->x->n);
        LCF_ASSERT(k->key + a->dim <= tensor_last_dim(k->x) &&
                   k->value + a->dim <= tensor_last_dim(k->x));
    }
    for (size_t i = 0; i < a->n; i++)
        LCF_ASSERT(keys_of(a, i) > 0 || rows_of(a->offsets, i) == 0);
}

lcf_tensor *lcf_op_attend(lcf_tape *t, lcf_tensor *x, size_t dim, size_t heads,
                          const uint32_t *offsets, size_t n, const lcf_attend_keys *parts,
                          size_t parts_n, bool causal)
{
    const size_t dims[2] = {tape_failed(t) ? 1 : offsets[n], dim};
    attend_note a = {x, {{0}}, parts_n, heads, dim, n, offsets, causal, NULL}, *note;
    bool needs = tape_needs(t, x, NULL, NULL);
    lcf_tensor *y;
    size_t largest = 0, all;

    LCF_ASSERT(parts_n <= PARTS_MAX);
    for (size_t p = 0; p < parts_n; p++) {
        a.parts[p] = parts[p];
        needs = needs || tape_needs(t, parts[p].x, NULL, NULL);
    }
    y = tape_tensor(t, dims, 2, needs);
    note = tape_note(t, attend_backward, y, NULL, NULL, NULL, sizeof(*note));
    if (tape_failed(t))
        return y;
    check_shapes(&a);
    all = weights_n(&largest, &a);
    a.weights = lcf_tape_alloc(t, note ? all : largest, sizeof(*a.weights));
    if (note)
        *note = a;
    for (size_t i = 0; i < n && !tape_failed(t); i++)
        for (size_t h = 0; h < heads; h++) {
            head_forward(y->data, a.weights, &a, i, h);
            a.weights += note ? rows_of(offsets, i) * keys_of(&a, i) : 0;
        }
    return y;
}
