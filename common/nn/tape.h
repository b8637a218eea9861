/*
 * Tape autograd: tensors, parameters, and operations that record how to differentiate themselves.
 *
 * A model is a function that builds tensors on a tape: operations compute at once and, when the
 * tape records, note their backward step. lcf_tape_backward runs the notes in reverse.
 * lcf_tape_reset frees every tensor of the step in O(1) and keeps the memory, so that after the
 * first step nothing is allocated.
 *
 * Errors are sticky: an operation that cannot get memory returns a tensor of the right shape that
 * must not be used, and lcf_tape_status says so; a model checks once per step. Wrong shapes are a
 * bug in the program: LCF_ASSERT.
 *
 * A tape belongs to one thread. Parameters may be shared by many tapes: values are read only during
 * a step, and each tape adds gradients into the lcf_grads that it was given. Sums run in a fixed
 * order: same inputs, same bits.
 */
#ifndef LCF_COMMON_NN_TAPE_H
#define LCF_COMMON_NN_TAPE_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/math/product.h"
#include "common/math/sparse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_TENSOR_DIMS_MAX 4

struct lcf_row_grads;

typedef struct lcf_tensor {
    float *data;
    /* For a parameter: where its gradient is added. Else taken when the backward pass first reaches
     * the tensor and given back once it was handed on; NULL outside of that. */
    float *grad;
    bool needs_grad;                 /* a gradient flows here */
    bool fixed_grad;                 /* a parameter: grad is never taken or given back */
    bool row0_zero;                  /* see lcf_param */
    struct lcf_row_grads *row_grads; /* a table's, in place of grad; NULL for all else */
    size_t n;                        /* elements */
    uint32_t dims_n;
    size_t dims[LCF_TENSOR_DIMS_MAX];
} lcf_tensor;

/* ---- parameters: one table of names and shapes; values in one flat block ---- */

typedef enum lcf_init {
    LCF_INIT_ZERO,
    LCF_INIT_ONE,
    LCF_INIT_NORMAL,        /* mean 0, standard deviation `scale` */
    LCF_INIT_UNIFORM,       /* in [-scale, scale] */
    LCF_INIT_XAVIER_UNIFORM /* by fan-in and fan-out of the last two dims */
} lcf_init;

#define LCF_PARAM_NAME_MAX                                                 \
    58 /* with the NUL; "param.<name>" is the name of an array in a bundle \
        */

typedef struct lcf_param {
    char name[LCF_PARAM_NAME_MAX];
    uint32_t dims_n;
    size_t dims[LCF_TENSOR_DIMS_MAX];
    size_t n;       /* elements */
    size_t offset;  /* into values, in elements; multiples of 16 */
    float rate;     /* times the learning rate; 1 to begin with */
    bool decay;     /* weight decay applies */
    bool row0_zero; /* an embedding table whose row 0 is padding: stays zero, gets no gradient */
    bool table;     /* gradients reach it through gather and gather_mean alone: see lcf_grads */
} lcf_param;

typedef struct lcf_params {
    lcf_param *list;
    size_t list_n, list_capacity;
    float *values;   /* [values_n], 64-byte aligned; NULL until lcf_params_seal */
    size_t values_n; /* with the gaps of alignment */
} lcf_params;

void lcf_params_init(lcf_params *p);
void lcf_params_dispose(lcf_params *p);
/* Declares a parameter and returns its index in *idx (may be NULL). Before seal. errors: ENOMEM,
 * ELIMIT too large. */
lcf_status lcf_params_add(size_t *idx, lcf_params *p, const char *name, const size_t *dims,
                          uint32_t dims_n, bool decay, lcf_err *err);
/* Allocates the values (zeros). No parameter may be added afterwards. */
lcf_status lcf_params_seal(lcf_params *p, lcf_err *err);
/* errors: EFORMAT a value is no finite number (named) */
lcf_status lcf_params_check_finite(const lcf_params *p, lcf_err *err);
/* Fills one parameter; each parameter draws from its own stream (seed, idx). */
void lcf_params_fill(lcf_params *p, size_t idx, lcf_init init, float scale, uint64_t seed);
/* Marks an embedding table whose row 0 is padding, and zeroes that row. After fill. */
void lcf_params_zero_row0(lcf_params *p, size_t idx);
/* (size_t)-1 when there is none. */
size_t lcf_params_find(const lcf_params *p, const char *name);
float *lcf_params_value(const lcf_params *p, size_t idx);

/* The gradient of one table: its rows that were looked up, in the order of their first use. */
typedef struct lcf_row_grads {
    size_t width, rows_n; /* of the table; width 0 where the parameter's gradient is dense */
    uint32_t *slot;       /* [rows_n] place in row and values, plus 1; 0: not looked up */
    uint32_t *row;        /* [capacity] */
    float *values;        /* [capacity, width] */
    size_t n, capacity;
} lcf_row_grads;

/*
 * Gradients of all parameters. Dense: a block laid out like the values. By rows: the same, but
 * tables (lcf_param.table) hold nothing in the block; their rows stand in `tables`, so that a step
 * costs what it looked up and not what there is.
 */
typedef struct lcf_grads {
    float *values;
    size_t values_n;
    const lcf_params *params;
    lcf_row_grads *tables; /* [params->list_n] or NULL: dense */
} lcf_grads;
lcf_status lcf_grads_init(lcf_grads *g, const lcf_params *p, lcf_err *err);
lcf_status lcf_grads_init_by_rows(lcf_grads *g, const lcf_params *p, lcf_err *err);
void lcf_grads_dispose(lcf_grads *g);
void lcf_grads_zero(lcf_grads *g);
/* Where the gradient of one row of a table is added (zeros at first); NULL when out of memory. */
float *lcf_row_grads_at(lcf_row_grads *rows, uint32_t row);
/* Both dense or both by rows. errors: ENOMEM, `sum` is then of no use; never when dense. */
lcf_status lcf_grads_add(lcf_grads *sum, const lcf_grads *g);
double lcf_grads_norm(const lcf_grads *g); /* L2, summed in double; not finite when a value is */

/* ---- tape ---- */

typedef struct lcf_tape lcf_tape;

lcf_status lcf_tape_create(lcf_tape **out, lcf_err *err);
void lcf_tape_free(lcf_tape *tape);
/* Starts a step. record = false for inference: nothing is noted and no gradient memory is taken. */
void lcf_tape_reset(lcf_tape *tape, bool record);
/* What the products of linear maps multiply, forward and backward, until it is set again (f32 to
 * begin with). Maps too narrow to gain by it, and all other operations, stay in f32. Gradients of
 * biases are then sums of gradients as the products took them; the order of sums is that of the
 * unit in use (product.h), so that bytes are the same on processors of one kind. */
void lcf_tape_set_precision(lcf_tape *tape, lcf_precision precision);
lcf_status lcf_tape_status(const lcf_tape *tape);
/* d loss / d everything on the tape; loss is a scalar. Parameter gradients are ADDED to their
 * lcf_grads. */
void lcf_tape_backward(lcf_tape *tape, lcf_tensor *loss);
/* Memory that lives until the next reset, for index arrays of a step; NULL when out of memory. */
void *lcf_tape_alloc(lcf_tape *tape, size_t n, size_t size);

/* ---- leaves ---- */

/* Data from outside, not copied, no gradient; it must outlive the step. */
lcf_tensor *lcf_tape_input(lcf_tape *tape, const float *data, const size_t *dims, uint32_t dims_n);
/* The same with a gradient, which is ADDED to grad [elements of data]: a result of another tape.
 * On a tape that does not record: lcf_tape_input. */
lcf_tensor *lcf_tape_variable(lcf_tape *tape, const float *data, float *grad, const size_t *dims,
                              uint32_t dims_n);
/* A parameter; grads may be NULL on a tape that does not record. */
lcf_tensor *lcf_tape_param(lcf_tape *tape, const lcf_params *params, lcf_grads *grads, size_t idx);

/* ---- operations; [..] are shapes; all return a new tensor unless said otherwise ---- */

lcf_tensor *lcf_op_linear(lcf_tape *t, lcf_tensor *x /* [..., in] */, lcf_tensor *w /* [out, in] */,
                          lcf_tensor *bias /* [out] or NULL */);
/* max(0, linear): one pass over the result, and one over its gradient. */
lcf_tensor *lcf_op_linear_relu(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias);
/* w2 max(0, w1 x + b1) + b2: x [N, in], w1 [hidden, in], w2 [out, hidden] -> [N, out]. In bf16 some
 * rows at a time go through both maps, and what stands between is never written in f32. */
lcf_tensor *lcf_op_mlp(lcf_tape *t, lcf_tensor *x, lcf_tensor *w1, lcf_tensor *b1, lcf_tensor *w2,
                       lcf_tensor *b2);
/* before + linear without a bias, before [..., out]: a residual connection in one pass. */
lcf_tensor *lcf_op_linear_onto(lcf_tape *t, lcf_tensor *before, lcf_tensor *x, lcf_tensor *w);
lcf_tensor *lcf_op_add(lcf_tape *t, lcf_tensor *a, lcf_tensor *b); /* same shape */
lcf_tensor *lcf_op_sub(lcf_tape *t, lcf_tensor *a, lcf_tensor *b);
lcf_tensor *lcf_op_mul(lcf_tape *t, lcf_tensor *a, lcf_tensor *b);
lcf_tensor *lcf_op_scale(lcf_tape *t, lcf_tensor *a, float factor);
lcf_tensor *lcf_op_reciprocal(lcf_tape *t, lcf_tensor *x); /* 1 / x */
lcf_tensor *lcf_op_relu(lcf_tape *t, lcf_tensor *x);
lcf_tensor *lcf_op_sigmoid(lcf_tape *t, lcf_tensor *x);
lcf_tensor *lcf_op_tanh(lcf_tape *t, lcf_tensor *x);
/* 1 where x is at least 0, else -1; the gradient passes as if it were x (straight through). On a
 * tape that records, an element is so with probability `share` alone, else x; rng may be NULL where
 * share is 1. */
lcf_tensor *lcf_op_sign(lcf_tape *t, lcf_tensor *x, float share, lcf_rng *rng);
/* silu(gate) * up, of gates and ups side by side: x [..., 2 D] -> [..., D]. */
lcf_tensor *lcf_op_swiglu(lcf_tape *t, lcf_tensor *x);
/* x times the standard normal's distribution function at x. source: Hendrycks and Gimpel 2016 */
lcf_tensor *lcf_op_gelu(lcf_tape *t, lcf_tensor *x);
/* Kept values are scaled by 1 / (1 - p); the identity when p = 0 or the tape does not record. */
lcf_tensor *lcf_op_dropout(lcf_tape *t, lcf_tensor *x, float p, lcf_rng *rng);
/* The same elements under another shape; no copy. */
lcf_tensor *lcf_op_reshape(lcf_tape *t, lcf_tensor *x, const size_t *dims, uint32_t dims_n);
/* [N, d1], [N, d2], ... -> [N, d1 + d2 + ...] along the last dim; leading dims must agree. */
lcf_tensor *lcf_op_concat(lcf_tape *t, lcf_tensor *const *parts, size_t parts_n);
/* Matrices [n1, D], [n2, D], ... one below the other: maps of the same input in one product. */
lcf_tensor *lcf_op_stack(lcf_tape *t, lcf_tensor *const *parts, size_t parts_n);
/* [N, D] x ids [n] -> [n, D]; also embedding lookup. ids must outlive the step. */
lcf_tensor *lcf_op_gather(lcf_tape *t, lcf_tensor *table, const uint32_t *ids, size_t n);
/* Row i = mean of table rows ids[offsets[i] .. offsets[i + 1]); zeros when empty. -> [n, D] */
lcf_tensor *lcf_op_gather_mean(lcf_tape *t, lcf_tensor *table, const uint32_t *ids,
                               const uint32_t *offsets, size_t n);
/* Lookups side by side: [n, sum of the tables' widths], part p of row i being row ids[i] of its
 * table (ids NULL: row i), or with offsets the mean of rows ids[offsets[i] .. offsets[i + 1]). What
 * gathers and their concatenation would give, in one pass. ids and offsets must outlive the step.
 */
typedef struct lcf_lookup {
    lcf_tensor *table; /* [N, D] */
    const uint32_t *ids, *offsets;
} lcf_lookup;
lcf_tensor *lcf_op_lookup(lcf_tape *t, const lcf_lookup *parts, size_t parts_n, size_t n);
/* [N, D] repeated: row i of the result is x row of[i]. (gather with x in place of a table; the same
 * code.) */
/* x [B, L, D], weights [B, L] -> [B, D]: sum over L of weights * x. */
lcf_tensor *lcf_op_weighted_sum(lcf_tape *t, lcf_tensor *x, lcf_tensor *weights);
/* Row i = sum of weights * x over rows [offsets[i], offsets[i + 1]) of x [N, D], weights [N] or
 * [N, 1] -> [n, D]; zeros when empty. offsets [n + 1] must outlive the step. */
lcf_tensor *lcf_op_segment_sum(lcf_tape *t, lcf_tensor *x, lcf_tensor *weights,
                               const uint32_t *offsets, size_t n);
/* a, b [N, D] -> [N, 1]: the inner product of each pair of rows. */
lcf_tensor *lcf_op_row_dot(lcf_tape *t, lcf_tensor *a, lcf_tensor *b);
/* Rows [begin, begin + n) of x [N, D] -> [n, D]; no copy. Not of a table whose gradient is by rows.
 */
lcf_tensor *lcf_op_slice(lcf_tape *t, lcf_tensor *x, size_t begin, size_t n);
lcf_tensor *lcf_op_rmsnorm(lcf_tape *t, lcf_tensor *x /* [..., D] */, lcf_tensor *w /* [D] */,
                           float eps);
lcf_tensor *lcf_op_layernorm(lcf_tape *t, lcf_tensor *x /* [..., D] */, lcf_tensor *w /* [D] */,
                             lcf_tensor *bias /* [D] */, float eps);
/*
 * Batch normalisation of the columns of x [N, D]: (x - mean) / sqrt(variance + eps) * w + bias. On
 * a tape that records, by the mean and the variance of these rows, and running [D] of each moves by
 * `momentum` of the way to them at once (the variance of rows as of a sample, N - 1; left alone
 * where N is 1): all rows of a batch must stand on one tape. Else by the running ones. Those get no
 * gradient.
 * source: Ioffe and Szegedy 2015; torch.nn.BatchNorm1d
 */
typedef struct lcf_batch_norm {
    lcf_tensor *w, *bias, *mean, *variance; /* [D], the last two running */
    float momentum, eps;
} lcf_batch_norm;
lcf_tensor *lcf_op_batch_norm(lcf_tape *t, lcf_tensor *x, const lcf_batch_norm *norm);
/* Rows of unit L2 norm: x [..., D] / max(norm, 1e-12), as torch.nn.functional.normalize. */
lcf_tensor *lcf_op_normalize(lcf_tape *t, lcf_tensor *x);
/* x [B, T, H, hd], positions [B * T] (NULL: 0 .. T - 1 in every sequence): interleaved pairs, as
 * lcf_rope_rotate. */
lcf_tensor *lcf_op_rope(lcf_tape *t, lcf_tensor *x, const uint32_t *positions, float theta);
/*
 * Causal grouped-query attention: q [B, T, H, hd], k and v [B, T, KV, hd], H a multiple of KV ->
 * [B, T, H, hd]. segments [B * T] or NULL: a token sees only earlier tokens of its own segment
 * (short rows packed into one sequence). Scores are scaled by 1 / sqrt(hd).
 */
lcf_tensor *lcf_op_attention(lcf_tape *t, lcf_tensor *q, lcf_tensor *k, lcf_tensor *v,
                             const uint32_t *segments);
/*
 * The same, with its rotations, over many short sequences of `tokens` tokens each: q NULL, and kv
 * [B * tokens, 3 D] queries, keys and values side by side; or q [B * queries, D] and kv [B *
 * tokens, 2 D] -> [B, queries, D]. Queries are the tokens that stand a multiple of step before the
 * last one (q NULL: step 1, all). padding [B], or NULL: so many tokens at the beginning of a
 * sequence are not there, and what is said of them is zeros. padding must outlive the step.
 */
lcf_tensor *lcf_op_short_attention(lcf_tape *t, lcf_tensor *q, lcf_tensor *kv, size_t heads,
                                   size_t tokens, size_t step, const uint32_t *padding,
                                   float theta);

/*
 * Attention within segments, every token seeing all of its own: qkv [N, 3 D] = queries, keys,
 * values of `heads` heads each, segments of rows [offsets[i], offsets[i + 1]), offsets [n + 1] from
 * 0 to N
 * -> [N, D]. Scores are scaled by 1 / sqrt(D / heads). offsets must outlive the step.
 */
lcf_tensor *lcf_op_segment_attention(lcf_tape *t, lcf_tensor *qkv, size_t heads,
                                     const uint32_t *offsets, size_t n);
/* Keys and values of segments: rows [offsets[i], offsets[i + 1]) of x [M, width] are segment i's,
 * their keys in the columns [key, key + dim), their values in [value, value + dim). */
typedef struct lcf_attend_keys {
    lcf_tensor *x;
    size_t key, value;
    const uint32_t *offsets; /* [n + 1] from 0 to M */
} lcf_attend_keys;
/*
 * Attention of rows [offsets[i], offsets[i + 1]) of x [N, width], whose queries are its first `dim`
 * columns, to the keys of segment i in 1 or 2 parts, which count as one list -> [N, dim]. A query
 * sees all of them; when causal, query number j sees those of the first part and the first j + 1 of
 * the last (of the only one, where there is one). Parts may be x itself. Scores are scaled by 1 /
 * sqrt(dim / heads). offsets must outlive the step.
 */
lcf_tensor *lcf_op_attend(lcf_tape *t, lcf_tensor *x, size_t dim, size_t heads,
                          const uint32_t *offsets, size_t n, const lcf_attend_keys *parts,
                          size_t parts_n, bool causal);
/* The largest element of every block of height x width: x [R * height, C * width] -> [R, C]; the
 * gradient goes to the first of the largest. */
lcf_tensor *lcf_op_block_max(lcf_tape *t, lcf_tensor *x, size_t height, size_t width);
/* a [m, k] times b [k, n] -> [m, n]. */
lcf_tensor *lcf_op_matmul(lcf_tape *t, lcf_tensor *a, lcf_tensor *b);
/* A linear map for each of `groups` parts of a row: x [N, groups * in], w [groups * out, in] -> [N,
 * groups * out]. */
lcf_tensor *lcf_op_linear_groups(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, size_t groups);
/* Rows of x, of x->n / s->n elements, times the element of s. */
lcf_tensor *lcf_op_scale_rows(lcf_tape *t, lcf_tensor *x, lcf_tensor *s);
lcf_tensor *lcf_op_add_bias(lcf_tape *t, lcf_tensor *x /* [..., D] */, lcf_tensor *bias /* [D] */);
lcf_tensor *lcf_op_softmax(lcf_tape *t, lcf_tensor *x); /* over the last dim */
lcf_tensor *lcf_op_leaky_relu(lcf_tape *t, lcf_tensor *x, float slope /* above 0 */);
/* The sum over all pairs of a row's fields of their inner products: x [N, fields * width] -> [N,
 * 1]. source: Rendle 2010 (FM), equation 5 */
lcf_tensor *lcf_op_fm(lcf_tape *t, lcf_tensor *x, size_t width);
/*
 * A layer of the compressed interaction network, maps and fields first: x [H, C], of whose rows the
 * first h count, x0 [m, C], w [maps, h * m + 1] -> [maps, C]; column c of it is w times the h * m
 * products x[i, c] x0[j, c] (i outer) and a 1, so that the last column of w is the bias.
 * source: Lian et al. 2018 (xDeepFM), equation 6
 */
lcf_tensor *lcf_op_cin(lcf_tape *t, lcf_tensor *x, lcf_tensor *x0, lcf_tensor *w);

/*
 * States of a GRU that reads the rows [offsets[s], offsets[s + 1]) of x one after another, from a
 * zero state: x [N, 3 D] (inputs mapped, gates in the order r, z, n), w [3 D, D], bias [3 D],
 * offsets [n + 1] -> [N, D]. offsets need not outlive the call.
 */
lcf_tensor *lcf_op_gru(lcf_tape *t, lcf_tensor *x, lcf_tensor *w, lcf_tensor *bias,
                       const uint32_t *offsets, size_t n);
/* One update: x, h [N, 3 D] (input and state mapped), before [N, D] -> [N, D]. */
lcf_tensor *lcf_op_gru_cell(lcf_tape *t, lcf_tensor *x, lcf_tensor *h, lcf_tensor *before);

/*
 * Light graph convolution (lcf_bipartite_propagate) over the rows of two tables, left [L, D] and
 * right [R, D], each with a dense gradient -> [L + R, D], the left ones first. graph must outlive
 * the step.
 */
lcf_tensor *lcf_op_propagate(lcf_tape *t, lcf_tensor *left, lcf_tensor *right,
                             const lcf_bipartite *graph, size_t layers_n);

/* ---- losses: scalars [1] ---- */

/* sum_i weight_i * BCE(sigmoid(logit_i), label_i) / normaliser; weights NULL = 1. */
lcf_tensor *lcf_op_bce_with_logits(lcf_tape *t, lcf_tensor *logits /* [N] or [N, 1] */,
                                   const float *labels, const float *weights, float normaliser);
/* sum over rows with target >= 0 of -log softmax(logits)[target] / normaliser. -> [1] */
lcf_tensor *lcf_op_cross_entropy(lcf_tape *t, lcf_tensor *logits /* [N, V] */,
                                 const int32_t *targets, float normaliser);
/* The same with label smoothing: the target has 1 - smoothing + smoothing / V, all else smoothing /
 * V. source: Szegedy et al. 2016, as torch.nn.functional.cross_entropy */
lcf_tensor *lcf_op_smooth_cross_entropy(lcf_tape *t, lcf_tensor *logits /* [N, V] */,
                                        const int32_t *targets, float smoothing, float normaliser);
/*
 * Contrast of n pairs: the mean of lcf_op_smooth_cross_entropy over the rows and over the columns
 * of scores [n, n], the diagonal being the targets. skip [n, n] or NULL: elements of 1 off the
 * diagonal are no negatives, and left out of their row and column. source: Oord et al. 2018
 * (InfoNCE)
 */
lcf_tensor *lcf_op_contrast(lcf_tape *t, lcf_tensor *scores, const uint8_t *skip, float smoothing);
/* sum_i weight_i * (1 - cos(x_i, y_i)) / normaliser over rows; y is data [N, D], no gradient;
 * weights NULL = 1. */
lcf_tensor *lcf_op_cosine_loss(lcf_tape *t, lcf_tensor *x /* [N, D] */, const float *y,
                               const float *weights, float normaliser);

#endif
