/*
 * Linear maps on the tape: y = x w^T with what stands around it, in f32 or with operands in bf16.
 *
 * Whichever it is, results and gradients are f32 and every sum is one in f32: with bf16 the factors
 * of a product are rounded to nearest and nothing else.
 */
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/product.h"
#include "common/nn/tape_internal.h"

#include <string.h>

/* Above this many rows, putting the weights in order for the product costs less than it saves. */
#define PACK_ROWS_MIN 32

/* What a linear map does beside its product. in[2] of its node: the bias, or what it adds to. */
typedef enum linear_kind { LINEAR_PLAIN, LINEAR_RELU, LINEAR_ONTO } linear_kind;

/* ---- bf16 ---- */

#define BF16_WIDTH_MIN 32 /* narrower maps would leave half of a panel empty */
#define BF16_ROWS 96      /* rounded at a time, in the first-level cache */
#define BF16_DEEP 384 /* rows of a sum over rows: what is rounded stays in the second-level one */

static bool takes_bf16(const lcf_tape *t, size_t rows, size_t in, size_t out)
{
    return tape_precision(t) == LCF_PRECISION_BF16 && rows >= PACK_ROWS_MIN &&
           in >= BF16_WIDTH_MIN && out >= BF16_WIDTH_MIN;
}

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rounded operands of a product. */
typedef struct bf16_room {
    uint16_t *left, *panels;
    size_t left_ld;
} bf16_room;

/* Floats of a room for `rows` rows of `wide` and for panels of [k, n]. */
static size_t bf16_room_n(size_t rows, size_t wide, size_t k, size_t n)
{
    return (rows * lcf_left_ld(wide) + lcf_right_n(LCF_PRECISION_BF16, k, n) + 1) / 2;
}

static bf16_room bf16_room_at(float *memory, size_t wide, size_t k, size_t n)
{
    uint16_t *panels = (uint16_t *)memory;

    return (bf16_room){panels + lcf_right_n(LCF_PRECISION_BF16, k, n), panels, lcf_left_ld(wide)};
}

/* c [rows, n] = x [rows, k] times the room's panels, or that is added. */
static void bf16_rows(const bf16_room *room, float *c, const float *x, size_t rows, size_t k,
                      size_t n, bool add)
{
    lcf_left(LCF_PRECISION_BF16, room->left, room->left_ld, x, k, rows, k);
    lcf_product(LCF_PRECISION_BF16, c, n, room->left, room->left_ld, room->panels, rows, n, k, add);
}

static void bf16_forward(lcf_tape *t, float *y, const lcf_tensor *x, const lcf_tensor *w,
                         const lcf_tensor *third, linear_kind kind)
{
    const size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    float *memory = tape_scratch(t, bf16_room_n(BF16_ROWS, in, in, out));
    bf16_room room;

    if (!memory)
        return;
    room = bf16_room_at(memory, in, in, out);
    lcf_right(LCF_PRECISION_BF16, room.panels, w->data, in, true, in, out);
    for (size_t r = 0; r < rows; r += BF16_ROWS) {
        const size_t n = lesser(BF16_ROWS, rows - r);
        float *at = y + r * out;

        if (kind == LINEAR_ONTO)
            memcpy(at, third->data + r * out, n * out * sizeof(*at));
        for (size_t i = 0; i < n && third && kind != LINEAR_ONTO; i++)
            memcpy(at + i * out, third->data, out * sizeof(*at));
        bf16_rows(&room, at, x->data + r * in, n, in, out, third != NULL);
        if (kind == LINEAR_RELU)
            lcf_relu(at, at, n * out);
    }
}

/* c [a_n, b_n] = a^T b, or that is added: a [rows, a_n], b [rows, b_n]. */
static void bf16_across(const bf16_room *room, float *c, const float *a, size_t a_n, const float *b,
                        size_t b_n, size_t rows, bool add)
{
    lcf_left_transposed(LCF_PRECISION_BF16, room->left, room->left_ld, 0, a, a_n, rows, a_n);
    lcf_right(LCF_PRECISION_BF16, room->panels, b, b_n, false, rows, b_n);
    lcf_product(LCF_PRECISION_BF16, c, b_n, room->left, room->left_ld, room->panels, a_n, b_n, rows,
                add);
}

/* What linear_backward finds: dx, dw and db as of tape_grad, y that of ReLU; NULL where there is
 * none. */
typedef struct bf16_gradients {
    float *dx, *dw, *db, *dy;
    const float *y;
    bool add_x, add_w;
} bf16_gradients;

/*
 * Some rows at a time, which stay in the second-level cache from the mask of ReLU to the last
 * product. Of x and dy the narrower is the one to be turned for dw, which costs more than panels
 * do: the product may then be dw's transpose.
 */
static void bf16_backward(lcf_tape *t, const bf16_gradients *g, const lcf_tensor *x,
                          const lcf_tensor *w)
{
    const size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    const bool turned = in < out;
    const size_t narrow = lesser(in, out), wide = in + out - narrow;
    const size_t rows_n = bf16_room_n(BF16_ROWS, out, out, in);
    const size_t across_n = bf16_room_n(narrow, BF16_DEEP, BF16_DEEP, wide);
    float *memory = tape_scratch(t, rows_n + across_n + in * out), *dwt;
    bf16_room by_rows, across;

    if (!memory)
        return;
    by_rows = bf16_room_at(memory, out, out, in);
    across = bf16_room_at(memory + rows_n, BF16_DEEP, BF16_DEEP, wide);
    dwt = memory + rows_n + across_n;
    if (g->dx)
        lcf_right(LCF_PRECISION_BF16, by_rows.panels, w->data, in, false, out, in);
    for (size_t r = 0; r < rows; r += BF16_DEEP) {
        const size_t n = lesser(BF16_DEEP, rows - r);
        float *dy = g->dy + r * out;
        const float *xr = x->data + r * in;

        if (g->db || g->y)
            lcf_bias_backward(g->db, dy, g->y ? g->y + r * out : NULL, n, out);
        for (size_t i = 0; g->dx && i < n; i += BF16_ROWS)
            bf16_rows(&by_rows, g->dx + (r + i) * in, dy + i * out, lesser(BF16_ROWS, n - i), out,
                      in, g->add_x);
        if (g->dw && turned)
            bf16_across(&across, dwt, xr, in, dy, out, n, r > 0);
        else if (g->dw)
            bf16_across(&across, g->dw, dy, out, xr, in, n, g->add_w || r > 0);
    }
    for (size_t i = 0; g->dw && turned && i < out; i++)
        for (size_t j = 0; j < in; j++)
            g->dw[i * in + j] = dwt[j * out + i] + (g->add_w ? g->dw[i * in + j] : 0.0f);
}

/* ---- backward ---- */

static void linear_backward(lcf_tape *t, tape_node *node)
{
    lcf_tensor *x = node->in[0], *w = node->in[1];
    size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    const linear_kind kind = *(const linear_kind *)node->extra;
    const float *y = kind == LINEAR_RELU ? node->out->data : NULL;
    float *dy = node->out->grad, *dx, *dw;
    float *db = kind == LINEAR_ONTO ? NULL : tape_grad_zeroed(t, node->in[2]);
    bool fresh_x, fresh_w;

    dx = tape_grad(t, x, &fresh_x);
    dw = tape_grad(t, w, &fresh_w);
    if (takes_bf16(t, rows, in, out)) {
        const bf16_gradients g = {dx, dw, db, dy, y, !fresh_x, !fresh_w};

        bf16_backward(t, &g, x, w);
    } else {
        /* In place: the result's gradient is not needed again. */
        if (db || y)
            lcf_bias_backward(db, dy, y, rows, out);
        if (dx)
            lcf_gemm(dx, dy, w->data, false, false, rows, in, out, 1.0f, fresh_x ? 0.0f : 1.0f, out,
                     in, in);
        if (dw)
            lcf_gemm(dw, dy, x->data, true, false, out, in, rows, 1.0f, fresh_w ? 0.0f : 1.0f, out,
                     in, in);
    }
    if (kind == LINEAR_ONTO)
        tape_grad_pass(t, node->in[2], node->out);
}

/* ---- forward ---- */

static void linear_forward(lcf_tape *t, float *y, const lcf_tensor *x, const lcf_tensor *w,
                           const lcf_tensor *third, linear_kind kind)
{
    const float *bias = third && kind != LINEAR_ONTO ? third->data : NULL;
    static const unsigned flags[] = {
        [LINEAR_PLAIN] = 0, [LINEAR_RELU] = LCF_PACKED_RELU, [LINEAR_ONTO] = LCF_PACKED_ADD};
    const size_t in = w->dims[1], out = w->dims[0], rows = x->n / in;
    const size_t packed_n = lcf_packed_n(in, out);
    float *packed;

    if (takes_bf16(t, rows, in, out)) {
        bf16_forward(t, y, x, w, third, kind);
        return;
    }
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
    lcf_tensor *y;
    linear_kind *note;

    memcpy(dims, x->dims, sizeof(dims));
    dims[x->dims_n - 1] = out;
    LCF_ASSERT(tape_failed(t) || (w->dims_n == 2 && tensor_last_dim(x) == in && x->n > 0));
    LCF_ASSERT(tape_failed(t) || !third ||
               third->n == (kind == LINEAR_ONTO ? x->n / in * out : out));
    y = tape_tensor(t, dims, x->dims_n, tape_needs(t, x, w, third));
    note = tape_note(t, linear_backward, y, x, w, third, sizeof(*note));
    if (note)
        *note = kind;
    if (!tape_failed(t))
        linear_forward(t, y->data, x, w, third, kind);
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
