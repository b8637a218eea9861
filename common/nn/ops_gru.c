/*
 * Gated recurrent units: a whole ragged batch of sequences as one operation, and one update alone
 * (for graphs, where "the state before" is no earlier token).
 *
 *     r = sigmoid(xr + hr)   z = sigmoid(xz + hz)   n = tanh(xn + r hn)   h' = (1 - z) n + z h
 *
 * with x = W_in input + b_in and h* = W h + b, each [r, z, n] one after another.
 *
 * Invariant: sequences are walked by falling length, so that those that still run at step t are the
 * first ones; rows of step t stand together in the operation's own memory ("by time").
 *
 * source   Cho et al. 2014; the form and order of gates of torch.nn.GRU
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* One row: the new state [d], and r, z, n, hn in saved [4 d]. */
static void update(float *out, float *saved, const float *x, const float *h, const float *before,
                   size_t d)
{
    float *r = saved, *z = saved + d, *n = saved + 2 * d, *hn = saved + 3 * d;

    for (size_t i = 0; i < 2 * d; i++)
        saved[i] = x[i] + h[i];
    lcf_sigmoid(saved, saved, 2 * d);
    memcpy(hn, h + 2 * d, d * sizeof(*hn));
    for (size_t i = 0; i < d; i++)
        n[i] = x[2 * d + i] + r[i] * hn[i];
    lcf_tanh(n, n, d);
    for (size_t i = 0; i < d; i++)
        out[i] = n[i] + z[i] * (before[i] - n[i]);
}

/* Gradients of one row, from that of its new state: dx, dh [3 d], dbefore [d] (through z alone). */
static void update_backward(float *restrict dx, float *restrict dh, float *restrict dbefore,
                            const float *dout, const float *saved, const float *before, size_t d)
{
    const float *r = saved, *z = saved + d, *n = saved + 2 * d, *hn = saved + 3 * d;

    for (size_t i = 0; i < d; i++) {
        const float dn = dout[i] * (1.0f - z[i]) * (1.0f - n[i] * n[i]);

        dx[i] = dh[i] = dn * hn[i] * r[i] * (1.0f - r[i]);
        dx[d + i] = dh[d + i] = dout[i] * (before[i] - n[i]) * z[i] * (1.0f - z[i]);
        dx[2 * d + i] = dn;
        dh[2 * d + i] = dn * r[i];
        dbefore[i] = dout[i] * z[i];
    }
}

/* ---- one update ---- */

static void cell_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *h = node->in[1], *before = node->in[2];
    const size_t d = tensor_last_dim(before), rows = before->n / d;
    const float *saved = *(float *const *)node->extra;
    float *dx = tape_grad_zeroed(t, x), *dh = tape_grad_zeroed(t, h);
    float *dbefore = tape_grad_zeroed(t, before), *own = lcf_tape_alloc(t, 7 * d, sizeof(*own));

    for (size_t i = 0; i < rows && own && !tape_failed(t); i++) {
        update_backward(own, own + 3 * d, own + 6 * d, node->out->grad + i * d, saved + i * 4 * d,
                        before->data + i * d, d);
        if (dx)
            lcf_axpy(dx + i * 3 * d, 1.0f, own, 3 * d);
        if (dh)
            lcf_axpy(dh + i * 3 * d, 1.0f, own + 3 * d, 3 * d);
        if (dbefore)
            lcf_axpy(dbefore + i * d, 1.0f, own + 6 * d, d);
    }
}

lcf_tensor *lcf_op_gru_cell(lcf_tape *t, lcf_tensor *x, lcf_tensor *h, lcf_tensor *before)
{
    const size_t d = tensor_last_dim(before), rows = before->n / d;
    lcf_tensor *y = tape_tensor(t, before->dims, before->dims_n, tape_needs(t, x, h, before));
    float **note = tape_note(t, cell_backward, y, x, h, before, sizeof(*note));
    float *saved = lcf_tape_alloc(t, rows * 4 * d, sizeof(*saved));

    LCF_ASSERT(tape_failed(t) || (x->n == 3 * before->n && h->n == 3 * before->n));
    if (note)
        *note = saved;
    for (size_t i = 0; i < rows && !tape_failed(t); i++)
        update(y->data + i * d, saved + i * 4 * d, x->data + i * 3 * d, h->data + i * 3 * d,
               before->data + i * d, d);
    return y;
}

/* ---- sequences ---- */

typedef struct gru_walk {
    size_t d, tokens_n, steps_n;
    uint32_t *token;   /* [tokens_n] by time: the row of x */
    uint32_t *step_at; /* [steps_n + 1] rows of step t: [step_at[t], step_at[t + 1]) */
    float *before;     /* [tokens_n, d] by time: the state that a token finds */
    float *saved;      /* [tokens_n, 4 d] by time */
} gru_walk;

/* Sequences by falling length, a counting sort; equal lengths keep their order. */
static void sort_by_length(uint32_t *order, uint32_t *begin, const uint32_t *offsets, size_t n,
                           size_t longest)
{
    memset(begin, 0, (longest + 2) * sizeof(*begin));
    for (size_t s = 0; s < n; s++)
        begin[longest - (offsets[s + 1] - offsets[s]) + 1]++;
    for (size_t l = 0; l <= longest; l++)
        begin[l + 1] += begin[l];
    for (size_t s = 0; s < n; s++)
        order[begin[longest - (offsets[s + 1] - offsets[s])]++] = (uint32_t)s;
}

/* Where every token stands by time; false when out of memory. */
static bool plan(gru_walk *w, lcf_tape *t, const uint32_t *offsets, size_t n)
{
    uint32_t *order = lcf_tape_alloc(t, n, sizeof(*order)), *begin, at = 0;

    for (size_t s = 0; s < n; s++)
        if (offsets[s + 1] - offsets[s] > w->steps_n)
            w->steps_n = offsets[s + 1] - offsets[s];
    begin = lcf_tape_alloc(t, w->steps_n + 2, sizeof(*begin));
    w->token = lcf_tape_alloc(t, w->tokens_n, sizeof(*w->token));
    w->step_at = lcf_tape_alloc(t, w->steps_n + 1, sizeof(*w->step_at));
    w->before = lcf_tape_alloc(t, w->tokens_n * w->d, sizeof(*w->before));
    w->saved = lcf_tape_alloc(t, w->tokens_n * 4 * w->d, sizeof(*w->saved));
    if (tape_failed(t))
        return false;
    sort_by_length(order, begin, offsets, n, w->steps_n);
    for (size_t step = 0; step < w->steps_n; step++) {
        w->step_at[step] = at;
        for (size_t i = 0; i < n && offsets[order[i]] + step < offsets[order[i] + 1]; i++)
            w->token[at++] = (uint32_t)(offsets[order[i]] + step);
    }
    w->step_at[w->steps_n] = at;
    return true;
}

static void gru_backward(lcf_tape *t, tape_node *node)
{
    const gru_walk *walk = node->extra;
    lcf_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
    const size_t d = walk->d;
    float *dx = tape_grad_zeroed(t, x), *dw = tape_grad_zeroed(t, w);
    float *dbias = tape_grad_zeroed(t, bias);
    float *dh = lcf_tape_alloc(t, walk->tokens_n * 3 * d, sizeof(*dh));
    float *dstate = lcf_tape_alloc(t, walk->tokens_n * d, sizeof(*dstate)); /* of before, by time */
    float *own = lcf_tape_alloc(t, 4 * d, sizeof(*own));

    if (tape_failed(t))
        return;
    for (size_t step = walk->steps_n; step-- > 0;) {
        const size_t first = walk->step_at[step], end = walk->step_at[step + 1];
        const size_t running = step + 1 < walk->steps_n ? walk->step_at[step + 2] - end : 0;

        for (size_t i = first; i < end; i++) {
            memcpy(own, node->out->grad + walk->token[i] * d, d * sizeof(*own));
            if (i - first < running) /* the same sequence one step on */
                lcf_axpy(own, 1.0f, dstate + (end + i - first) * d, d);
            update_backward(own + d, dh + i * 3 * d, dstate + i * d, own, walk->saved + i * 4 * d,
                            walk->before + i * d, d);
            if (dx)
                lcf_axpy(dx + walk->token[i] * 3 * d, 1.0f, own + d, 3 * d);
        }
        lcf_gemm(dstate + first * d, dh + first * 3 * d, w->data, false, false, end - first, d,
                 3 * d, 1.0f, 1.0f, 3 * d, d, d);
    }
    if (dw)
        lcf_gemm(dw, dh, walk->before, true, false, 3 * d, d, walk->tokens_n, 1.0f, 1.0f, 3 * d, d,
                 d);
    for (size_t i = 0; dbias && i < walk->tokens_n; i++)
        lcf_axpy(dbias, 1.0f, dh + i * 3 * d, 3 * d);
}

lcf_tensor *lcf_op_gru(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias,
                       const uint32_t *offsets, size_t n)
{
    const size_t d = w->dims[1], tokens_n = x->dims[0], dims[2] = {tokens_n, d};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, x, w, bias));
    gru_walk *note = tape_note(t, gru_backward, y, x, w, bias, sizeof(*note));
    gru_walk walk = {.d = d, .tokens_n = tokens_n};
    float *h = lcf_tape_alloc(t, n * 3 * d, sizeof(*h));

    LCF_ASSERT(tape_failed(t) || (x->dims_n == 2 && x->dims[1] == 3 * d && w->dims[0] == 3 * d &&
                                  bias->n == 3 * d && offsets[n] == tokens_n));
    if (tape_failed(t) || !plan(&walk, t, offsets, n))
        return y;
    if (note)
        *note = walk;
    for (size_t step = 0; step < walk.steps_n; step++) {
        const size_t first = walk.step_at[step], end = walk.step_at[step + 1];
        const size_t running = step + 1 < walk.steps_n ? walk.step_at[step + 2] - end : 0;

        if (!step)
            memset(walk.before, 0, end * d * sizeof(*walk.before));
        lcf_linear(h, walk.before + first * d, w->data, bias->data, end - first, d, 3 * d);
        for (size_t i = first; i < end; i++) {
            float *state = y->data + walk.token[i] * d;

            update(state, walk.saved + i * 4 * d, x->data + walk.token[i] * 3 * d,
                   h + (i - first) * 3 * d, walk.before + i * d, d);
            if (i - first < running)
                memcpy(walk.before + (end + i - first) * d, state, d * sizeof(*state));
        }
    }
    return y;
}
