/*
 * Attention of a decoder over short sequences, with its rotations: one pass over what the layer's
 * product of queries, keys and values gave.
 */
#include "common/math/kernels.h"
#include "common/math/short_attention.h"
#include "common/nn/tape_internal.h"

typedef struct short_note {
    lcf_short_attention shape;
    float *kept, *scratch;
} short_note;

/* Where to write the gradient of x: its own memory when nobody has used it yet, else memory
 * beside, which `added` adds. */
static float *overwritten(lcf_tape *t, lcf_tensor *x, bool *fresh)
{
    float *grad = tape_grad(t, x, fresh);

    return grad && !*fresh ? lcf_tape_alloc(t, x->n, sizeof(*grad)) : grad;
}

static void added(lcf_tensor *x, const float *grad, bool fresh)
{
    if (!fresh)
        lcf_axpy(x->grad, 1.0f, grad, x->n);
}

static void short_backward(lcf_tape *t, tape_node *node)
{
    const short_note *note = node->extra;
    lcf_tensor *kv = node->in[0], *q = node->in[1];
    const size_t dim = tensor_last_dim(node->out);
    const float *queries = q ? q->data : kv->data, *keys = kv->data + (q ? 0 : dim);
    bool kv_fresh, q_fresh = true;
    float *dkv = overwritten(t, kv, &kv_fresh), *dq = q ? overwritten(t, q, &q_fresh) : dkv;
    float *dk;

    if (!dkv || !dq || tape_failed(t))
        return;
    dk = dkv + (q ? 0 : dim);
    lcf_short_attention_backward(dq, dk, dk + dim, node->out->grad, note->kept, queries, keys,
                                 keys + dim, &note->shape, note->scratch);
    added(kv, dkv, kv_fresh);
    if (q)
        added(q, dq, q_fresh);
}

lcf_tensor *lcf_op_short_attention(lcf_tape *t, lcf_tensor *q, lcf_tensor *kv, size_t heads,
                                   size_t tokens, size_t step, const uint32_t *padding, float theta)
{
    const size_t width = tensor_last_dim(kv), dim = width / (q ? 2 : 3);
    const size_t batch = kv->n / width / tokens;
    const size_t queries = lcf_short_attention_queries(tokens, step);
    const size_t dims[3] = {batch, queries, dim};
    lcf_tensor *y = tape_tensor(t, dims, 3, tape_needs(t, kv, q, NULL));
    short_note *note = tape_note(t, short_backward, y, kv, q, NULL, sizeof(*note)), own;
    const float *keys = kv->data + (q ? 0 : dim);

    LCF_ASSERT(tape_failed(t) || ((q || step == 1) && kv->n == batch * tokens * width));
    LCF_ASSERT(tape_failed(t) || !q || q->n == batch * queries * dim);
    own.shape = (lcf_short_attention){.batch = batch,
                                      .tokens = tokens,
                                      .heads = heads,
                                      .head_dim = dim / heads,
                                      .step = step,
                                      .padding = padding,
                                      .ldq = q ? dim : width,
                                      .ldk = width};
    own.shape.angles = tape_rope_angles(t, NULL, tokens, tokens, dim / heads, theta);
    own.kept = lcf_tape_alloc(t, lcf_short_attention_kept_n(&own.shape), sizeof(float));
    own.scratch = lcf_tape_alloc(t, lcf_short_attention_scratch_n(&own.shape), sizeof(float));
    if (tape_failed(t))
        return y;
    if (note)
        *note = own;
    lcf_short_attention_forward(y->data, own.kept, q ? q->data : kv->data, keys, keys + dim,
                                &own.shape, own.scratch);
    return y;
}
