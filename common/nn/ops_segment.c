/* Sums over ragged segments of rows: pooling of histories of different lengths without padding. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

typedef struct segment_note {
    const uint32_t *offsets;
} segment_note;

static void segment_sum_backward(lcf_tape *t, tape_node *node)
{
    const uint32_t *offsets = ((const segment_note *)node->extra)->offsets;
    lcf_tensor *x = node->in[0], *weights = node->in[1];
    const size_t d = x->dims[1];
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, weights);

    for (size_t i = 0; i < node->out->dims[0] && !tape_failed(t); i++) {
        const float *dy = node->out->grad + i * d;

        for (size_t j = offsets[i]; j < offsets[i + 1]; j++) {
            if (dx)
                lcf_axpy(dx + j * d, weights->data[j], dy, d);
            if (dw)
                dw[j] += lcf_dot(x->data + j * d, dy, d);
        }
    }
}

lcf_tensor *lcf_op_segment_sum(lcf_tape *t, lcf_tensor *x, lcf_tensor *weights,
                               const uint32_t *offsets, size_t n)
{
    const size_t d = x->dims[1], dims[2] = {n, d};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, weights, NULL));
    segment_note *note = tape_note(t, segment_sum_backward, y, x, weights, NULL, sizeof(*note));

    LCF_ASSERT(tape_failed(t) ||
               (x->dims_n == 2 && weights->n == x->dims[0] && offsets[n] == x->dims[0]));
    if (note)
        note->offsets = offsets;
    if (tape_failed(t))
        return y;
    memset(y->data, 0, y->n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        for (size_t j = offsets[i]; j < offsets[i + 1]; j++)
            lcf_axpy(y->data + i * d, weights->data[j], x->data + j * d, d);
    return y;
}
