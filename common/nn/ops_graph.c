/* Convolutions over a graph. Invariant: the gradient is the forward pass over the gradient, for the
 * matrix is symmetric. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

typedef struct propagate_note {
    const lcf_bipartite *graph;
    size_t layers_n;
} propagate_note;

/* Adds rows of dx to the gradient of x, all but that of padding. */
static void add_rows(lcf_tape *t, lcf_tensor *x, const float *dx)
{
    const size_t first = x->row0_zero ? x->dims[1] : 0;
    float *grad = tape_grad_zeroed(t, x);

    if (grad)
        lcf_axpy(grad + first, 1.0f, dx + first, x->n - first);
}

static void propagate_backward(lcf_tape *t, tape_node *node)
{
    const propagate_note *note = node->extra;
    lcf_tensor *left = node->in[0], *right = node->in[1];
    const float *dy = node->out->grad;
    float *room = tape_scratch(t, 2 * node->out->n), *dx;

    if (!room)
        return;
    dx = lcf_bipartite_propagate(room, room + node->out->n, note->graph, dy, dy + left->n,
                                 left->dims[1], note->layers_n);
    add_rows(t, left, dx);
    add_rows(t, right, dx + left->n);
}

lcf_tensor *lcf_op_propagate(lcf_tape *t, lcf_tensor *left, lcf_tensor *right,
                             const lcf_bipartite *graph, size_t layers_n)
{
    const size_t d = left->dims[1], dims[2] = {left->dims[0] + right->dims[0], d};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, left, right, NULL));
    propagate_note *note = tape_note(t, propagate_backward, y, left, right, NULL, sizeof(*note));
    float *room = lcf_tape_alloc(t, y->n, sizeof(*room));

    LCF_ASSERT(tape_failed(t) || (right->dims[1] == d && left->dims[0] == graph->by_left.rows_n &&
                                  right->dims[0] == graph->by_right.rows_n));
    if (note)
        *note = (propagate_note){graph, layers_n};
    if (!tape_failed(t)) /* whichever of the two it ends in */
        y->data =
            lcf_bipartite_propagate(y->data, room, graph, left->data, right->data, d, layers_n);
    return y;
}
