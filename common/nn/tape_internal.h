/*
 * What the operations know of the tape: how to make a tensor, note a backward step, and take
 * gradient memory. Private to common/nn.
 */
#ifndef LCF_COMMON_NN_TAPE_INTERNAL_H
#define LCF_COMMON_NN_TAPE_INTERNAL_H

#include "common/base/mem.h"
#include "common/nn/tape.h"

#define NODE_INPUTS_MAX 3

typedef struct tape_node tape_node;
/* Adds to the gradients of the inputs what out->grad (present, complete) says. */
typedef void (*tape_backward)(lcf_tape *t, tape_node *node);

struct tape_node {
    tape_node *previous;
    tape_backward backward;
    lcf_tensor *out;
    lcf_tensor *in[NODE_INPUTS_MAX];
    void *extra; /* the operation's own notes, from the tape */
};

/* True once something failed: operations then compute nothing. */
bool tape_failed(const lcf_tape *t);
/* A tensor of that shape. Check tape_failed before its data is touched. */
lcf_tensor *tape_tensor(lcf_tape *t, const size_t *dims, uint32_t dims_n, bool needs_grad);
/* As tape_tensor, but sharing x's data. */
lcf_tensor *tape_view(lcf_tape *t, lcf_tensor *x, const size_t *dims, uint32_t dims_n);
/*
 * Notes the backward step of `out`, if out needs a gradient; c and b may be NULL. Returns `extra`
 * zeroed, extra_bytes of it (NULL when nothing was noted).
 */
void *tape_note(lcf_tape *t, tape_backward backward, lcf_tensor *out, lcf_tensor *a, lcf_tensor *b,
                lcf_tensor *c, size_t extra_bytes);
/* True when a result of these inputs (b, c may be NULL) must be recorded. */
bool tape_needs(const lcf_tape *t, const lcf_tensor *a, const lcf_tensor *b, const lcf_tensor *c);
/*
 * Where to put the gradient of x: NULL when x needs none (or memory is out). *fresh = true: the
 * memory is not initialised and must be overwritten; false: add to it.
 */
float *tape_grad(lcf_tape *t, lcf_tensor *x, bool *fresh);
/* As tape_grad, with fresh memory zeroed: always add. */
float *tape_grad_zeroed(lcf_tape *t, lcf_tensor *x);
/* Where the gradient of one row of a table is added; NULL when it needs none or memory is out. */
float *tape_grad_row(lcf_tape *t, lcf_tensor *table, uint32_t row);
/* x's gradient += out's, by handing the memory over when x has none yet. out->grad may be NULL
 * afterwards. */
void tape_grad_pass(lcf_tape *t, lcf_tensor *x, lcf_tensor *out);
/* Room that the next call of tape_scratch may hand out again; NULL when memory is out. */
float *tape_scratch(lcf_tape *t, size_t n);
/* The angles of lcf_rope_angles for n positions (NULL: i % period), kept until the next reset:
 * [n, head_dim], or [period, head_dim] without positions. */
const float *tape_rope_angles(lcf_tape *t, const uint32_t *positions, size_t n, size_t period,
                              size_t head_dim, float theta);
bool tape_records(const lcf_tape *t);
lcf_precision tape_precision(const lcf_tape *t);

static inline size_t tensor_last_dim(const lcf_tensor *x)
{
    return x->dims[x->dims_n - 1];
}

#endif
