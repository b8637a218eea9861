/*
 * Linear maps on the tape: y = x w^T with what stands around it, in f32 or, by linear_bf16.c, with
 * operands in bf16. Results and gradients are f32 and every sum is one in f32.
 */
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/nn/linear_bf16.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* Above this many rows, putting the weights in order for the product costs less than it saves. */
#define PACK_ROWS_MIN 32

/* What a linear map does beside its product. in[2] of its node: the bias, or what it adds to. */
typedef enum linear_kind { LINEAR_PLAIN, LINEAR_RELU, LINEAR_ONTO } linear_kind;

typedef struct linear_note {
    linear_kind kind;
    uint16_t *kept; /* x in bf16, where the products are */
} linear_note;

#define BF16_WIDTH_MIN 32 /* narrower maps would leave half of a panel empty */

static bool takes_bf16(const lcf_tape *t, const lcf_tensor *x, const lcf_tensor *w)
{
    return tape_precision(t) == LCF_PRECISION_BF16 && x->n / tensor_last_dim(x) >= PACK_ROWS_MIN &&
           w->dims[0] >= BF16_WIDTH_MIN && w->dims[1] >= BF16_WIDTH_MIN;
}

/* ---- backward ---- */

static void linear_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *w = node->in[1];
    const size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    const linear_note *note = node->extra;
    const float *y = note->kind == LINEAR_RELU ? node->out->data : NULL;
    float *dy = node->out->grad, *dx, *dw;
    float *db = note->kind == LINEAR_ONTO ? NULL : tape_grad_zeroed(t, node->in[2]);
    const bool bf16 = note->kept != NULL;
    bool fresh_x, fresh_w;

    dx = tape_grad(t, x, &fresh_x);
    dw = tape_grad(t, w, &fresh_w);
    if (tape_failed(t))
        return;
    /* In place: the result's gradient is not needed again. */
    if (y || (db && !bf16))
        lcf_bias_backward(bf16 ? NULL : db, dy, y, rows, out);
    if (bf16) {
        const bf16_map map = {w, note->kept, dw, db, !fresh_w};

        bf16_map_backward(t, &map, dx, !fresh_x, dy, rows);
    }
    if (dx && !bf16)
        lcf_gemm(dx, dy, w->data, false, false, rows, in, out, 1.0f, fresh_x ? 0.0f : 1.0f, out, in,
                 in);
    if (dw && !bf16)
        lcf_gemm(dw, dy, x->data, true, false, out, in, rows, 1.0f, fresh_w ? 0.0f : 1.0f, out, in,
                 in);
    if (note->kind == LINEAR_ONTO)
        tape_grad_pass(t, node->in[2], node->out);
}

/* ---- forward ---- */

static void bf16_forward(lcf_tape *t, float *y, const lcf_tensor *x, const lcf_tensor *w,
                         const lcf_tensor *third, linear_kind kind, uint16_t *kept)
{
    const size_t in = w->dims[1], out = w->dims[0];
    const bf16_map map = {.w = w, .x = kept};
    lcf_bf16_end end = {.c = y, .c_ld = out, .onto_ld = out, .relu = kind == LINEAR_RELU};

    *(kind == LINEAR_ONTO ? &end.onto : &end.bias) = third ? third->data : NULL;
    bf16_map_forward(t, &map, &end, x->data, x->n / in);
}

static void f32_forward(lcf_tape *t, float *y, const lcf_tensor *x, const lcf_tensor *w,
                        const lcf_tensor *third, linear_kind kind)
{
    const float *bias = third && kind != LINEAR_ONTO ? third->data : NULL;
    static const unsigned flags[] = {
        [LINEAR_PLAIN] = 0, [LINEAR_RELU] = LCF_PACKED_RELU, [LINEAR_ONTO] = LCF_PACKED_ADD};
    const size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    const size_t packed_n = lcf_packed_n(in, out);
    float *packed;

    if (rows < PACK_ROWS_MIN) {
        lcf_linear(y, x->data, w->data, bias, rows, in, out);
        if (kind == LINEAR_RELU)
            lcf_relu(y, y, rows * out);
        if (kind == LINEAR_ONTO)
            lcf_axpy(y, 1.0f, third->data, rows * out);
        return;
    }
    packed = tape_scratch(t, packed_n);
    if (!packed)
        return;
    if (out % LCF_PANEL)
        memset(packed + out / LCF_PANEL * LCF_PANEL * in, 0, LCF_PANEL * in * sizeof(*packed));
    lcf_pack(packed, w->data, in, 0, in, out);
    if (kind == LINEAR_ONTO)
        memcpy(y, third->data, rows * out * sizeof(*y));
    lcf_packed_linear(y, out, x->data, in, packed, bias, rows, in, out, flags[kind]);
}

static lcf_tensor *linear(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *third,
                          linear_kind kind)
{
    size_t dims[LCF_TENSOR_DIMS_MAX], in = w->dims[1], out = w->dims[0];
    const bool bf16 = takes_bf16(t, x, w);
    uint16_t *kept = NULL;
    lcf_tensor *y;
    linear_note *note;

    memcpy(dims, x->dims, sizeof(dims));
    dims[x->dims_n - 1] = out;
    LCF_ASSERT(tape_failed(t) || (w->dims_n == 2 && tensor_last_dim(x) == in && x->n > 0));
    LCF_ASSERT(tape_failed(t) || !third ||
               third->n == (kind == LINEAR_ONTO ? x->n / in * out : out));
    y = tape_tensor(t, dims, x->dims_n, tape_needs(t, x, w, third));
    note = tape_note(t, linear_backward, y, x, w, third, sizeof(*note));
    if (note && bf16)
        kept = bf16_map_keep(t, x->n / in, w);
    if (note)
        *note = (linear_note){kind, kept};
    if (tape_failed(t))
        return y;
    if (bf16)
        bf16_forward(t, y->data, x, w, third, kind, kept);
    else
        f32_forward(t, y->data, x, w, third, kind);
    return y;
}

lcf_tensor *lcf_op_linear(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias)
{
    return linear(t, x, w, bias, LINEAR_PLAIN);
}

lcf_tensor *lcf_op_linear_relu(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias)
{
    return linear(t, x, w, bias, LINEAR_RELU);
}

lcf_tensor *lcf_op_linear_onto(lcf_tape *t, lcf_tensor *before, lcf_tensor *x, lcf_tensor *w)
{
    return linear(t, x, w, before, LINEAR_ONTO);
}

/* ---- two maps ---- */

typedef struct mlp_note {
    lcf_tensor *w[2], *bias[2];
    uint16_t *kept[2];
} mlp_note;

static void mlp_backward(lcf_tape *t, tape_node *node)
{
    const mlp_note *note = node->extra;
    lcf_tensor *x = node->in[0];
    bf16_map maps[2];
    bool fresh_x;
    float *dx = tape_grad(t, x, &fresh_x);

    for (size_t i = 0; i < 2; i++) {
        bool fresh_w;
        float *dw = tape_grad(t, note->w[i], &fresh_w);

        maps[i] =
            (bf16_map){note->w[i], note->kept[i], dw, tape_grad_zeroed(t, note->bias[i]), !fresh_w};
    }
    if (!tape_failed(t))
        bf16_mlp_backward(t, maps, dx, !fresh_x, node->out->grad, x->n / note->w[0]->dims[1]);
}

static lcf_tensor *mlp(lcf_tape *t, lcf_tensor *x, const mlp_note *parts)
{
    const size_t rows = x->n / parts->w[0]->dims[1], dims[2] = {rows, parts->w[1]->dims[0]};
    const bool needs = tape_needs(t, x, parts->w[0], parts->bias[0]) ||
                       tape_needs(t, parts->w[1], parts->bias[1], NULL);
    lcf_tensor *y = tape_tensor(t, dims, 2, needs);
    mlp_note *note = tape_note(t, mlp_backward, y, x, NULL, NULL, sizeof(*note)), own = *parts;

    for (size_t i = 0; i < 2 && note; i++)
        own.kept[i] = bf16_map_keep(t, rows, own.w[i]);
    if (note)
        *note = own;
    if (!tape_failed(t))
        bf16_mlp_forward(
            t, (bf16_map[2]){{.w = own.w[0], .x = own.kept[0]}, {.w = own.w[1], .x = own.kept[1]}},
            y->data, x->data, own.bias[0]->data, own.bias[1]->data, rows);
    return y;
}

lcf_tensor *lcf_op_mlp(lcf_tape *t, lcf_tensor *x, lcf_tensor *w1, lcf_tensor *b1, lcf_tensor *w2,
                       lcf_tensor *b2)
{
    LCF_ASSERT(tape_failed(t) ||
               (x->dims_n == 2 && x->dims[1] == w1->dims[1] && w1->dims[0] == w2->dims[1] &&
                b1->n == w1->dims[0] && b2->n == w2->dims[0]));
    if (takes_bf16(t, x, w1) && takes_bf16(t, x, w2) && !tape_failed(t))
        return mlp(t, x, &(mlp_note){{w1, w2}, {b1, b2}, {NULL, NULL}});
    return lcf_op_linear(t, lcf_op_linear_relu(t, x, w1, b1), w2, b2);
}
