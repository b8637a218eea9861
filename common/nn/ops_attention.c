/*
 * Attention within segments of tokens, every token seeing all of its segment: fields of a row, or a
 * short history with its target, without padding.
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <math.h>

typedef struct attention_note {
    const uint32_t *offsets;
    size_t n, heads;
    float *weights; /* of every segment and head [T, T], one after another */
} attention_note;

/* Floats of the weights of all segments, and of the largest one's single head. */
static size_t weights_n(size_t *largest, const uint32_t *offsets, size_t n, size_t heads)
{
    size_t sum = 0;

    *largest = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t tokens = offsets[i + 1] - offsets[i], square = tokens * tokens;

        sum += square * heads;
        *largest = square > *largest ? square : *largest;
    }
    return sum;
}

/* The gradient of scores from that of their softmax w, in place: dw [tokens, tokens]. */
static void scores_backward(float *dw, const float *w, size_t tokens)
{
    for (size_t i = 0; i < tokens * tokens; i += tokens) {
        const float mean = lcf_dot(w + i, dw + i, tokens);

        for (size_t j = i; j < i + tokens; j++)
            dw[j] = w[j] * (dw[j] - mean);
    }
}

/* One head of one segment; qkv, dqkv [tokens, 3 dim], dy [tokens, dim] begin at the head's columns.
 */
static void head_backward(float *dqkv, float *dw, const float *dy, const float *qkv, const float *w,
                          size_t tokens, size_t dim, size_t head)
{
    const size_t ld = 3 * dim;
    const float scale = 1.0f / sqrtf((float)head);

    lcf_gemm(dqkv + 2 * dim, w, dy, true, false, tokens, head, tokens, 1.0f, 1.0f, tokens, dim, ld);
    lcf_gemm(dw, dy, qkv + 2 * dim, false, true, tokens, tokens, head, 1.0f, 0.0f, dim, ld, tokens);
    scores_backward(dw, w, tokens);
    lcf_gemm(dqkv, dw, qkv + dim, false, false, tokens, head, tokens, scale, 1.0f, tokens, ld, ld);
    lcf_gemm(dqkv + dim, dw, qkv, true, false, tokens, head, tokens, scale, 1.0f, tokens, ld, ld);
}

static void attention_backward(lcf_tape *t, tape_node *node)
{
    const attention_note *note = node->extra;
    const size_t dim = tensor_last_dim(node->out), head = dim / note->heads;
    float *dqkv = tape_grad_zeroed(t, node->in[0]), *dw;
    const float *w = note->weights;
    size_t largest;

    weights_n(&largest, note->offsets, note->n, note->heads);
    dw = lcf_tape_alloc(t, largest, sizeof(*dw));
    for (size_t i = 0; i < note->n && dqkv && !tape_failed(t); i++) {
        const size_t at = note->offsets[i], tokens = note->offsets[i + 1] - at;

        for (size_t h = 0; h < note->heads; h++, w += tokens * tokens)
            head_backward(dqkv + at * 3 * dim + h * head, dw, node->out->grad + at * dim + h * head,
                          node->in[0]->data + at * 3 * dim + h * head, w, tokens, dim, head);
    }
}

static void head_forward(float *y, float *w, const float *qkv, size_t tokens, size_t dim,
                         size_t head)
{
    const size_t ld = 3 * dim;

    lcf_gemm(w, qkv, qkv + dim, false, true, tokens, tokens, head, 1.0f / sqrtf((float)head), 0.0f,
             ld, ld, tokens);
    lcf_softmax(w, tokens, tokens);
    lcf_gemm(y, w, qkv + 2 * dim, false, false, tokens, head, tokens, 1.0f, 0.0f, tokens, ld, dim);
}

lcf_tensor *lcf_op_segment_attention(lcf_tape *t, lcf_tensor *qkv, size_t heads,
                                     const uint32_t *offsets, size_t n)
{
    const size_t dim = tensor_last_dim(qkv) / 3, head = dim / heads;
    const size_t dims[2] = {qkv->n / (3 * dim), dim};
    lcf_tensor *y = tape_tensor(t, dims, 2, tape_needs(t, qkv, NULL, NULL));
    attention_note *note = tape_note(t, attention_backward, y, qkv, NULL, NULL, sizeof(*note));
    size_t largest = 0, all = tape_failed(t) ? 0 : weights_n(&largest, offsets, n, heads);
    float *w = lcf_tape_alloc(t, note ? all : largest, sizeof(*w));

    LCF_ASSERT(tape_failed(t) || (dim == head * heads && offsets[0] == 0 && offsets[n] == dims[0]));
    if (note)
        *note = (attention_note){offsets, n, heads, w};
    for (size_t i = 0; i < n && !tape_failed(t); i++) {
        const size_t at = offsets[i], tokens = offsets[i + 1] - at;

        for (size_t h = 0; h < heads; h++, w += note ? tokens * tokens : 0)
            head_forward(y->data + at * dim + h * head, w, qkv->data + at * 3 * dim + h * head,
                         tokens, dim, head);
    }
    return y;
}
