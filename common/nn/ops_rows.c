/* Operations on rows: inner products row by row, a run of rows as a tensor of its own, and the
 * largest element of every block of a matrix. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

static void row_dot_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *a = node->in[0], *b = node->in[1];
    const size_t d = tensor_last_dim(a), rows = node->out->n;
    float *da = tape_grad_zeroed(t, a), *db = tape_grad_zeroed(t, b);

    for (size_t i = 0; i < rows && !tape_failed(t); i++) {
        if (da)
            lcf_axpy(da + i * d, node->out->grad[i], b->data + i * d, d);
        if (db)
            lcf_axpy(db + i * d, node->out->grad[i], a->data + i * d, d);
    }
}

lcf_tensor *lcf_op_row_dot(lcf_tape *t, lcf_tensor *a, lcf_tensor *b)
{
    const size_t d = tensor_last_dim(a), dims[2] = {a->n / d, 1};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, a, b, NULL));

    LCF_ASSERT(tape_failed(t) || (a->n == b->n && tensor_last_dim(b) == d));
    tape_note(t, row_dot_backward, y, a, b, NULL, 0);
    for (size_t i = 0; i < dims[0] && !tape_failed(t); i++)
        y->data[i] = lcf_dot(a->data + i * d, b->data + i * d, d);
    return y;
}

static void slice_backward(lcf_tape *t, tape_node *node)
{
    const size_t first = *(const size_t *)node->extra;
    float *dx = tape_grad_zeroed(t, node->in[0]);

    if (dx)
        lcf_axpy(dx + first, 1.0f, node->out->grad, node->out->n);
}

lcf_tensor *lcf_op_slice(lcf_tape *t, lcf_tensor *x, size_t begin, size_t n)
{
    const size_t d = x->dims[1], dims[2] = {n, d};
    lcf_tensor *y = tape_view(t, x, dims, 2);
    size_t *note = tape_note(t, slice_backward, y, x, NULL, NULL, sizeof(*note));

    LCF_ASSERT(tape_failed(t) || (x->dims_n == 2 && begin + n <= x->dims[0] && !x->row_grads));
    if (note)
        *note = begin * d;
    if (!tape_failed(t))
        y->data = x->data + begin * d;
    return y;
}

static void block_max_backward(lcf_tape *t, tape_node *node)
{
    const uint32_t *from = *(uint32_t *const *)node->extra;
    float *dx = tape_grad_zeroed(t, node->in[0]);

    for (size_t i = 0; dx && i < node->out->n; i++)
        dx[from[i]] += node->out->grad[i];
}

/* The first of the largest elements of x [height, width] from `first` on; ld: of x. */
static size_t largest(const float *x, size_t first, size_t height, size_t width, size_t ld)
{
    size_t best = first;

    for (size_t i = first; i < first + height * ld; i += ld)
        for (size_t j = i; j < i + width; j++)
            if (x[j] > x[best])
                best = j;
    return best;
}

lcf_tensor *lcf_op_block_max(lcf_tape *t, lcf_tensor *x, size_t height, size_t width)
{
    const size_t ld = tensor_last_dim(x), dims[2] = {x->n / ld / height, ld / width};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, NULL, NULL));
    uint32_t *from = lcf_tape_alloc(t, y->n, sizeof(*from)), **note;

    LCF_ASSERT(x->n == dims[0] * height * ld && ld == dims[1] * width && x->n <= UINT32_MAX);
    note = tape_note(t, block_max_backward, y, x, NULL, NULL, sizeof(*note));
    if (note)
        *note = from;
    for (size_t i = 0; i < y->n && !tape_failed(t); i++) {
        from[i] = (uint32_t)largest(x->data, i / dims[1] * height * ld + i % dims[1] * width,
                                    height, width, ld);
        y->data[i] = x->data[from[i]];
    }
    return y;
}
