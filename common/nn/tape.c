/*
 * The tape itself: memory, nodes, the backward walk.
 *
 * Tensors, nodes and gradients live in one arena that is reset with the tape. Gradient memory is
 * taken when the backward walk first reaches a tensor and given back to a list by size as soon as
 * the tensor's own step has run, so that the gradients of a step stay in a few hot buffers.
 *
 * Invariant: when a node's step runs, out->grad is complete, for every consumer of `out` was noted
 * after it.
 */
#include "common/nn/tape_internal.h"

#include "common/math/kernels.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)4 << 20)
#define SIZES_MAX 48    /* sizes of gradients that are reused; more of them are not given back */
#define SPARE_TENSORS 8 /* what operations return when there is no memory at all */

typedef struct free_list {
    size_t n;    /* floats */
    void *first; /* linked through the first bytes of each buffer */
} free_list;

typedef struct rope_table {
    const uint32_t *positions;
    size_t n, head_dim;
    float theta;
    float *angles; /* NULL: no table yet */
} rope_table;

struct lcf_tape {
    lcf_arena *arena;
    bool record;
    lcf_precision precision;
    lcf_status status;
    tape_node *last;
    free_list free_grads[SIZES_MAX];
    size_t free_grads_n;
    rope_table rope;
    float *scratch;
    size_t scratch_n;
    lcf_tensor spare[SPARE_TENSORS];
    size_t spare_next;
};

lcf_status lcf_tape_create(lcf_tape **out, lcf_err *err)
{
    lcf_tape *t = lcf_alloc_zero(1, sizeof(*t));

    *out = NULL;
    if (!t || lcf_arena_create(&t->arena, BLOCK_BYTES)) {
        free(t);
        return LCF_FAIL(err, LCF_ENOMEM, "tape");
    }
    *out = t;
    return LCF_OK;
}

void lcf_tape_free(lcf_tape *tape)
{
    if (!tape)
        return;
    lcf_arena_free(tape->arena);
    free(tape);
}

void lcf_tape_reset(lcf_tape *tape, bool record)
{
    lcf_arena_reset(tape->arena);
    tape->record = record;
    tape->status = LCF_OK;
    tape->last = NULL;
    tape->free_grads_n = 0;
    tape->rope.angles = NULL;
    tape->scratch_n = 0;
}

void lcf_tape_set_precision(lcf_tape *tape, lcf_precision precision)
{
    tape->precision = precision;
}

lcf_status lcf_tape_status(const lcf_tape *tape)
{
    return tape->status;
}

void *lcf_tape_alloc(lcf_tape *tape, size_t n, size_t size)
{
    void *p = tape->status ? NULL : lcf_arena_alloc(tape->arena, n, size);

    if (!p)
        tape->status = LCF_ENOMEM;
    return p;
}

bool tape_failed(const lcf_tape *t)
{
    return t->status != LCF_OK;
}

bool tape_records(const lcf_tape *t)
{
    return t->record;
}

lcf_precision tape_precision(const lcf_tape *t)
{
    return t->precision;
}

/* ---- tensors ---- */

/* A header without data; of the spare ones, zeroed, when memory is out. */
static lcf_tensor *tensor_header(lcf_tape *t, const size_t *dims, uint32_t dims_n)
{
    lcf_tensor *x = lcf_tape_alloc(t, 1, sizeof(*x));
    uint32_t d;

    LCF_ASSERT(dims_n >= 1 && dims_n <= LCF_TENSOR_DIMS_MAX);
    if (!x)
        x = &t->spare[t->spare_next++ % SPARE_TENSORS];
    memset(x, 0, sizeof(*x));
    x->dims_n = dims_n;
    x->n = 1;
    for (d = 0; d < dims_n; d++) {
        x->dims[d] = dims[d];
        x->n *= dims[d];
    }
    return x;
}

lcf_tensor *tape_tensor(lcf_tape *t, const size_t *dims, uint32_t dims_n, bool needs_grad)
{
    lcf_tensor *x = tensor_header(t, dims, dims_n);

    x->needs_grad = needs_grad;
    x->data = lcf_tape_alloc(t, x->n, sizeof(float));
    return x;
}

lcf_tensor *tape_view(lcf_tape *t, lcf_tensor *x, const size_t *dims, uint32_t dims_n)
{
    lcf_tensor *view = tensor_header(t, dims, dims_n);

    view->needs_grad = tape_needs(t, x, NULL, NULL);
    view->data = x->data;
    return view;
}

lcf_tensor *lcf_tape_input(lcf_tape *tape, const float *data, const size_t *dims, uint32_t dims_n)
{
    lcf_tensor *x = tensor_header(tape, dims, dims_n);

    x->data = (float *)data; /* operations never write their inputs' data */
    return x;
}

lcf_tensor *lcf_tape_variable(lcf_tape *tape, const float *data, float *grad, const size_t *dims,
                              uint32_t dims_n)
{
    lcf_tensor *x = lcf_tape_input(tape, data, dims, dims_n);

    if (tape->record) {
        x->needs_grad = x->fixed_grad = true;
        x->grad = grad;
    }
    return x;
}

lcf_tensor *lcf_tape_param(lcf_tape *tape, const lcf_params *params, lcf_grads *grads, size_t idx)
{
    const lcf_param *param = &params->list[idx];
    lcf_tensor *x = tensor_header(tape, param->dims, param->dims_n);

    LCF_ASSERT(grads || !tape->record);
    x->data = lcf_params_value(params, idx);
    x->row0_zero = param->row0_zero;
    if (tape->record) {
        x->needs_grad = true;
        x->fixed_grad = true;
        if (grads->tables && grads->tables[idx].width)
            x->row_grads = &grads->tables[idx];
        else
            x->grad = grads->values + param->offset;
    }
    return x;
}

/* ---- notes ---- */

bool tape_needs(const lcf_tape *t, const lcf_tensor *a, const lcf_tensor *b, const lcf_tensor *c)
{
    return t->record && (a->needs_grad || (b && b->needs_grad) || (c && c->needs_grad));
}

void *tape_note(lcf_tape *t, tape_backward backward, lcf_tensor *out, lcf_tensor *a, lcf_tensor *b,
                lcf_tensor *c, size_t extra_bytes)
{
    tape_node *node;

    if (!out->needs_grad || tape_failed(t))
        return NULL;
    node = lcf_tape_alloc(t, 1, sizeof(*node) + extra_bytes);
    if (!node)
        return NULL;
    memset(node, 0, sizeof(*node) + extra_bytes);
    node->backward = backward;
    node->out = out;
    node->in[0] = a;
    node->in[1] = b;
    node->in[2] = c;
    node->extra = node + 1;
    node->previous = t->last;
    t->last = node;
    return node->extra;
}

/* ---- gradient memory ---- */

static free_list *list_of_size(lcf_tape *t, size_t n)
{
    size_t i;

    for (i = 0; i < t->free_grads_n; i++)
        if (t->free_grads[i].n == n)
            return &t->free_grads[i];
    if (t->free_grads_n == SIZES_MAX)
        return NULL;
    t->free_grads[t->free_grads_n] = (free_list){n, NULL};
    return &t->free_grads[t->free_grads_n++];
}

static float *grad_take(lcf_tape *t, size_t n)
{
    free_list *list = list_of_size(t, n);
    void *p = list ? list->first : NULL;

    if (!p)
        return lcf_tape_alloc(t, n < 2 ? 2 : n, sizeof(float)); /* room for the list's pointer */
    memcpy(&list->first, p, sizeof(list->first));
    return p;
}

static void grad_give_back(lcf_tape *t, lcf_tensor *x)
{
    free_list *list = list_of_size(t, x->n);

    if (list) {
        memcpy(x->grad, &list->first, sizeof(list->first));
        list->first = x->grad;
    }
    x->grad = NULL;
}

float *tape_grad(lcf_tape *t, lcf_tensor *x, bool *fresh)
{
    *fresh = false;
    if (!x || !x->needs_grad)
        return NULL;
    LCF_ASSERT(!x->row_grads); /* a table is differentiated by rows: tape_grad_row */
    if (!x->grad) {
        x->grad = grad_take(t, x->n);
        *fresh = true;
    }
    return x->grad;
}

float *tape_grad_zeroed(lcf_tape *t, lcf_tensor *x)
{
    bool fresh;
    float *grad = tape_grad(t, x, &fresh);

    if (grad && fresh)
        memset(grad, 0, x->n * sizeof(*grad));
    return grad;
}

float *tape_grad_row(lcf_tape *t, lcf_tensor *table, uint32_t row)
{
    float *grad;

    if (!table->row_grads) {
        grad = tape_grad_zeroed(t, table);
        return grad ? grad + row * table->dims[1] : NULL;
    }
    grad = lcf_row_grads_at(table->row_grads, row);
    if (!grad)
        t->status = LCF_ENOMEM;
    return grad;
}

void tape_grad_pass(lcf_tape *t, lcf_tensor *x, lcf_tensor *out)
{
    (void)t;
    if (!x->needs_grad)
        return;
    LCF_ASSERT(!x->row_grads);
    if (x->grad) {
        lcf_axpy(x->grad, 1.0f, out->grad, x->n);
        return;
    }
    x->grad = out->grad;
    out->grad = NULL;
}

void lcf_tape_backward(lcf_tape *tape, lcf_tensor *loss)
{
    tape_node *node;

    LCF_ASSERT(tape->record);
    if (tape_failed(tape) || !loss->needs_grad)
        return;
    LCF_ASSERT(loss->n == 1 && !loss->fixed_grad);
    loss->grad = grad_take(tape, 1);
    if (!loss->grad)
        return;
    loss->grad[0] = 1.0f;
    for (node = tape->last; node && !tape_failed(tape); node = node->previous) {
        if (!node->out->grad)
            continue; /* the loss does not depend on it */
        node->backward(tape, node);
        if (node->out->grad)
            grad_give_back(tape, node->out);
    }
    tape->last = NULL; /* the notes are used up */
}

float *tape_scratch(lcf_tape *t, size_t n)
{
    if (n > t->scratch_n) {
        t->scratch = lcf_tape_alloc(t, n, sizeof(*t->scratch));
        t->scratch_n = t->scratch ? n : 0;
    }
    return t->scratch_n ? t->scratch : NULL;
}

/* ---- RoPE angles ---- */

const float *tape_rope_angles(lcf_tape *t, const uint32_t *positions, size_t n, size_t period,
                              size_t head_dim, float theta)
{
    rope_table *r = &t->rope;
    size_t i;

    if (!positions)
        n = period;
    if (r->angles && r->positions == positions && r->n == n && r->head_dim == head_dim &&
        r->theta == theta)
        return r->angles;
    *r = (rope_table){positions, n, head_dim, theta, lcf_tape_alloc(t, n * head_dim, 4)};
    for (i = 0; i < n && r->angles; i++)
        lcf_rope_angles(r->angles + i * head_dim, head_dim, positions ? positions[i] : i, theta);
    return r->angles;
}
