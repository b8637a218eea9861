/* The tape's operations by the rig: value against the definition, gradient against differences. */
#include "tests/unit/nn/op_rig.h"

#include "common/base/mem.h"
#include "common/math/reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the cases ---- */

static lcf_tensor *build_add(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_add(t, in[0], in[1]);
}
static double naive_add(lcf_tensor **in, size_t i)
{
    return (double)in[0]->data[i] + in[1]->data[i];
}
static lcf_tensor *build_sub(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_sub(t, in[0], in[1]);
}
static double naive_sub(lcf_tensor **in, size_t i)
{
    return (double)in[0]->data[i] - in[1]->data[i];
}
static lcf_tensor *build_mul(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_mul(t, in[0], in[1]);
}
static double naive_mul(lcf_tensor **in, size_t i)
{
    return (double)in[0]->data[i] * in[1]->data[i];
}

static void test_add_sub_mul(void **state)
{
    const shape s = SHAPE(3, 7);

    (void)state;
    check(&(op_case){build_add, naive_add, NULL, 2, {s, s}});
    check(&(op_case){build_sub, naive_sub, NULL, 2, {s, s}});
    check(&(op_case){build_mul, naive_mul, NULL, 2, {s, s}});
}

/* One tensor used in many places, also twice in one operation: its gradients add up. */
static lcf_tensor *build_shared(lcf_tape *t, lcf_tensor **in)
{
    lcf_tensor *a = lcf_op_add(t, in[0], in[0]), *b = lcf_op_mul(t, a, a), *c;

    c = lcf_op_sub(t, lcf_op_add(t, a, b), lcf_op_add(t, b, in[0]));
    c = lcf_op_add(t, c, lcf_op_reshape(t, a, a->dims, a->dims_n));
    return lcf_op_sub(t, lcf_op_mul(t, c, b), c);
}
static double naive_shared(lcf_tensor **in, size_t i)
{
    double x = in[0]->data[i], a = 2 * x, b = a * a, c = a + b - (b + x) + a;

    return c * b - c;
}

static void test_shared(void **state)
{
    (void)state;
    check(&(op_case){build_shared, naive_shared, NULL, 1, {SHAPE(3, 5)}});
}

static lcf_tensor *build_scale(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_scale(t, in[0], -1.5f);
}
static double naive_scale(lcf_tensor **in, size_t i)
{
    return -1.5 * in[0]->data[i];
}
static lcf_tensor *build_relu(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_relu(t, in[0]);
}
static double naive_relu(lcf_tensor **in, size_t i)
{
    return in[0]->data[i] > 0 ? in[0]->data[i] : 0;
}
static lcf_tensor *build_sigmoid(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_sigmoid(t, in[0]);
}
static double naive_sigmoid(lcf_tensor **in, size_t i)
{
    return 1 / (1 + exp(-(double)in[0]->data[i]));
}
static lcf_tensor *build_tanh(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_tanh(t, in[0]);
}
static double naive_tanh(lcf_tensor **in, size_t i)
{
    return tanh(in[0]->data[i]);
}
static void test_elementwise(void **state)
{
    (void)state;
    check(&(op_case){build_scale, naive_scale, NULL, 1, {SHAPE(21)}});
    check(&(op_case){build_relu, naive_relu, NULL, 1, {SHAPE(3, 11)}});
    check(&(op_case){build_sigmoid, naive_sigmoid, NULL, 1, {SHAPE(3, 11)}});
    check(&(op_case){build_tanh, naive_tanh, NULL, 1, {SHAPE(3, 11)}});
}

static lcf_tensor *build_concat(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_concat(t, in, 3);
}
static double naive_concat(lcf_tensor **in, size_t i)
{
    size_t row = i / 9, column = i % 9;

    if (column < 2)
        return in[0]->data[row * 2 + column];
    return column < 6 ? in[1]->data[row * 4 + column - 2] : in[2]->data[row * 3 + column - 6];
}

static void test_concat(void **state)
{
    (void)state;
    check(&(op_case){build_concat, naive_concat, NULL, 3, {SHAPE(5, 2), SHAPE(5, 4), SHAPE(5, 3)}});
    check(&(op_case){
        build_concat, naive_concat, NULL, 3, {SHAPE(2, 3, 2), SHAPE(2, 3, 4), SHAPE(2, 3, 3)}});
}

static const uint32_t ids[6] = {3, 0, 3, 2, 1, 3}, offsets[5] = {0, 2, 2, 5, 6};

static lcf_tensor *build_gather(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_gather(t, in[0], ids, 6);
}
static double naive_gather(lcf_tensor **in, size_t i)
{
    return in[0]->data[ids[i / 5] * 5 + i % 5];
}
static lcf_tensor *build_gather_mean(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_gather_mean(t, in[0], ids, offsets, 4);
}
static double naive_gather_mean(lcf_tensor **in, size_t i)
{
    uint32_t from = offsets[i / 5], to = offsets[i / 5 + 1], j;
    double sum = 0;

    for (j = from; j < to; j++)
        sum += in[0]->data[ids[j] * 5 + i % 5];
    return to > from ? sum / (to - from) : 0;
}

/* Three nodes on the left, four on the right; the left 0 and the right 2 have no edge. */
static const uint32_t left_begin[] = {0, 0, 2, 5}, left_column[] = {0, 3, 0, 1, 3},
                      right_begin[] = {0, 2, 3, 3, 5}, right_column[] = {1, 2, 2, 1, 2};
static const float left_value[] = {.5f, .25f, .7f, -.3f, .4f},
                   right_value[] = {.5f, .7f, -.3f, .25f, .4f};
static const lcf_bipartite bipartite = {{3, left_begin, left_column, left_value},
                                        {4, right_begin, right_column, right_value}};

static lcf_tensor *build_propagate(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_propagate(t, in[0], in[1], &bipartite, 3);
}
static lcf_tensor *build_propagate_none(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_propagate(t, in[0], in[1], &bipartite, 0);
}
static void naive_propagate(float *out, lcf_tensor **in)
{
    enum { N = 7 };
    double a[N][N] = {{0}}, layer[N], next[N], sum;
    const size_t d = in[0]->dims[1];

    for (size_t i = 0; i < 3; i++)
        for (uint32_t e = left_begin[i]; e < left_begin[i + 1]; e++)
            a[i][3 + left_column[e]] = a[3 + left_column[e]][i] = left_value[e];
    for (size_t j = 0; j < d; j++) {
        for (size_t i = 0; i < N; i++)
            layer[i] = i < 3 ? in[0]->data[i * d + j] : in[1]->data[(i - 3) * d + j];
        for (size_t i = 0; i < N; i++)
            out[i * d + j] = (float)(layer[i] / 4);
        for (int k = 0; k < 3; k++) {
            for (size_t i = 0; i < N; i++) {
                sum = 0;
                for (size_t m = 0; m < N; m++)
                    sum += a[i][m] * layer[m];
                next[i] = sum;
            }
            memcpy(layer, next, sizeof(layer));
            for (size_t i = 0; i < N; i++)
                out[i * d + j] += (float)(layer[i] / 4);
        }
    }
}
static double naive_propagate_none(lcf_tensor **in, size_t i)
{
    return i < in[0]->n ? in[0]->data[i] : in[1]->data[i - in[0]->n];
}

static void test_propagate(void **state)
{
    (void)state;
    check(&(op_case){build_propagate, NULL, naive_propagate, 2, {SHAPE(3, 5), SHAPE(4, 5)}});
    check(&(op_case){
        build_propagate_none, naive_propagate_none, NULL, 2, {SHAPE(3, 5), SHAPE(4, 5)}});
}

/* Hard, soft, and some of each; off the record all are hard. The gradient is what comes. */
static void test_sign(void **state)
{
    enum { N = 1000 };
    const size_t dims[1] = {N};
    lcf_tape *tape = NULL;
    size_t hard = 0;
    lcf_rng rng;
    float x[N];

    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = ((float)i - N / 2) / N;
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    for (int round = 0; round < 4; round++) {
        const float share = round == 2 ? 0.0f : round == 3 ? 0.3f : 1.0f;
        lcf_tensor *y;

        lcf_rng_seed(&rng, 1, 0);
        lcf_tape_reset(tape, round > 0);
        y = lcf_op_sign(tape, lcf_tape_input(tape, x, dims, 1), share, share < 1.0f ? &rng : NULL);
        hard = 0;
        for (size_t i = 0; i < N; i++) {
            hard += y->data[i] != x[i];
            assert_true(y->data[i] == x[i] || y->data[i] == (x[i] >= 0 ? 1.0f : -1.0f));
        }
        if (round == 3)
            assert_in_range(hard, 250, 350);
        else
            assert_int_equal(hard, round == 2 ? 0 : N);
    }
    lcf_tape_free(tape);
}

/* Single rows, means, and rows as they stand, side by side; against the gathers that it fuses. */
static const uint32_t lookup_ids[] = {3, 0, 1, 3}, lookup_means[] = {2, 2, 0, 1, 3},
                      lookup_offsets[] = {0, 2, 2, 3, 5};

static lcf_tensor *build_lookup(lcf_tape *t, lcf_tensor **in)
{
    const lcf_lookup parts[] = {
        {in[0], lookup_ids, NULL}, {in[1], lookup_means, lookup_offsets}, {in[2], NULL, NULL}};

    return lcf_op_lookup(t, parts, 3, 4);
}
static lcf_tensor *build_gathers(lcf_tape *t, lcf_tensor **in)
{
    lcf_tensor *parts[] = {lcf_op_gather(t, in[0], lookup_ids, 4),
                           lcf_op_gather_mean(t, in[1], lookup_means, lookup_offsets, 4), in[2]};

    return lcf_op_concat(t, parts, 3);
}
static double naive_lookup(lcf_tensor **in, size_t i)
{
    const size_t row = i / 10, column = i % 10;
    double sum = 0;

    if (column < 5)
        return in[0]->data[lookup_ids[row] * 5 + column];
    if (column >= 8)
        return in[2]->data[row * 2 + column - 8];
    for (uint32_t j = lookup_offsets[row]; j < lookup_offsets[row + 1]; j++)
        sum += (double)in[1]->data[lookup_means[j] * 3 + column - 5] /
               (lookup_offsets[row + 1] - lookup_offsets[row]);
    return sum;
}

static void test_lookup(void **state)
{
    const op_case fused = {
        build_lookup, naive_lookup, NULL, 3, {SHAPE(4, 5), SHAPE(4, 3), SHAPE(4, 2)}};
    op_case composed = fused;
    float a[256] = {0}, b[256] = {0};

    (void)state;
    check(&fused);
    composed.build = build_gathers;
    gradients_of(a, &fused);
    gradients_of(b, &composed);
    assert_memory_equal(a, b, sizeof(a));
}

static void test_gather(void **state)
{
    (void)state;
    check(&(op_case){build_gather, naive_gather, NULL, 1, {SHAPE(4, 5)}});
    check(&(op_case){build_gather_mean, naive_gather_mean, NULL, 1, {SHAPE(4, 5)}});
}

/* A padding row is zero from the start and no gradient reaches it. */
static void test_row0(void **state)
{
    const op_case c = {build_gather, naive_gather, NULL, 1, {SHAPE(4, 5)}};
    const op_case mean = {build_gather_mean, naive_gather_mean, NULL, 1, {SHAPE(4, 5)}};
    const op_case *cases[2] = {&c, &mean};
    size_t n, i;

    (void)state;
    for (n = 0; n < 2; n++) {
        rig r;

        rig_open(&r, cases[n]);
        lcf_params_zero_row0(&r.params, 0);
        lcf_params_fill(&r.params, 0, LCF_INIT_ONE, 1.0f, 1);
        check_value(&r);
        backward(&r);
        for (i = 0; i < 5; i++) {
            assert_true(r.params.values[i] == 0.0f && r.grads.values[i] == 0.0f);
            assert_true(r.params.values[5 + i] == 1.0f && r.grads.values[5 + i] != 0.0f);
        }
        rig_close(&r);
    }
}

static lcf_tensor *build_weighted_sum(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_weighted_sum(t, in[0], in[1]);
}
static double naive_weighted_sum(lcf_tensor **in, size_t i)
{
    size_t b = i / 6, d = i % 6, l;
    double sum = 0;

    for (l = 0; l < 4; l++)
        sum += (double)in[0]->data[(b * 4 + l) * 6 + d] * in[1]->data[b * 4 + l];
    return sum;
}

static const uint32_t runs[4] = {0, 3, 3, 7};

static lcf_tensor *build_segment_sum(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_segment_sum(t, in[0], in[1], runs, 3);
}
static double naive_segment_sum(lcf_tensor **in, size_t i)
{
    double sum = 0;
    uint32_t j;

    for (j = runs[i / 6]; j < runs[i / 6 + 1]; j++)
        sum += (double)in[0]->data[j * 6 + i % 6] * in[1]->data[j];
    return sum;
}

static void test_rows(void **state)
{
    (void)state;
    check(
        &(op_case){build_weighted_sum, naive_weighted_sum, NULL, 2, {SHAPE(3, 4, 6), SHAPE(3, 4)}});
    check(&(op_case){build_segment_sum, naive_segment_sum, NULL, 2, {SHAPE(7, 6), SHAPE(7)}});
}

static lcf_tensor *build_rmsnorm(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_rmsnorm(t, in[0], in[1], 1e-5f);
}
static void whole_rmsnorm(float *out, lcf_tensor **in)
{
    lcf_ref_rmsnorm(out, in[0]->data, in[1]->data, in[0]->n / in[1]->n, in[1]->n, 1e-5f);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    check(&(op_case){build_rmsnorm, NULL, whole_rmsnorm, 2, {SHAPE(2, 3, 18), SHAPE(18)}});
}

static lcf_tensor *build_layernorm(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_layernorm(t, in[0], in[1], in[2], 0.01f);
}
static void whole_layernorm(float *out, lcf_tensor **in)
{
    lcf_ref_layernorm(out, in[0]->data, in[1]->data, in[2]->data, in[0]->n / in[1]->n, in[1]->n,
                      0.01f);
}

static void test_layernorm(void **state)
{
    (void)state;
    check(&(op_case){build_layernorm, NULL, whole_layernorm, 3, {SHAPE(5, 9), SHAPE(9), SHAPE(9)}});
    check(&(op_case){
        build_layernorm, NULL, whole_layernorm, 3, {SHAPE(2, 3, 16), SHAPE(16), SHAPE(16)}});
}

static const uint32_t positions[10] = {0, 1, 2, 7, 8, 0, 5, 0, 1, 2};

static lcf_tensor *build_rope(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_rope(t, in[0], positions, 100.0f);
}
static void whole_rope(float *out, lcf_tensor **in)
{
    size_t i;

    memcpy(out, in[0]->data, in[0]->n * sizeof(*out));
    for (i = 0; i < 10; i++)
        lcf_ref_rope(out + i * 12, 2, 6, positions[i], 100.0f);
}
static lcf_tensor *build_rope_plain(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_rope(t, in[0], NULL, 100.0f);
}
static void whole_rope_plain(float *out, lcf_tensor **in)
{
    size_t i;

    memcpy(out, in[0]->data, in[0]->n * sizeof(*out));
    for (i = 0; i < 10; i++)
        lcf_ref_rope(out + i * 12, 2, 6, i % 5, 100.0f);
}

static void test_rope(void **state)
{
    (void)state;
    check(&(op_case){build_rope, NULL, whole_rope, 1, {SHAPE(2, 5, 2, 6)}});
    check(&(op_case){build_rope_plain, NULL, whole_rope_plain, 1, {SHAPE(2, 5, 2, 6)}});
}

static const uint32_t segments[14] = {1, 1, 2, 2, 2, 3, 3, 1, 2, 1, 1, 2, 2, 4};

static lcf_tensor *build_attention(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_attention(t, in[0], in[1], in[2], segments);
}
static lcf_tensor *build_attention_plain(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_attention(t, in[0], in[1], in[2], NULL);
}
static void attention_reference(float *out, lcf_tensor **in, const uint32_t *seg)
{
    const lcf_attention_shape s = {in[0]->dims[0],   in[0]->dims[1], in[0]->dims[2],
                                   in[1]->dims[2],   in[0]->dims[3], seg,
                                   LCF_PRECISION_F32};

    lcf_ref_attention(out, in[0]->data, in[1]->data, in[2]->data, &s);
}
static void whole_attention(float *out, lcf_tensor **in)
{
    attention_reference(out, in, segments);
}
static void whole_attention_plain(float *out, lcf_tensor **in)
{
    attention_reference(out, in, NULL);
}

static void test_attention(void **state)
{
    (void)state;
    check(&(op_case){build_attention,
                     NULL,
                     whole_attention,
                     3,
                     {SHAPE(2, 7, 4, 6), SHAPE(2, 7, 2, 6), SHAPE(2, 7, 2, 6)}});
    check(&(op_case){build_attention_plain,
                     NULL,
                     whole_attention_plain,
                     3,
                     {SHAPE(1, 37, 2, 4), SHAPE(1, 37, 1, 4), SHAPE(1, 37, 1, 4)}});
}

/* ---- losses ---- */

static const float labels[6] = {1, 0, 1, 1, 0, 0}, weights[6] = {1, 2, 0.5f, 0, 1, 3};

static lcf_tensor *build_bce(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_bce_with_logits(t, in[0], labels, weights, 6.0f);
}
static double naive_bce(lcf_tensor **in, size_t i)
{
    double sum = 0;

    for (i = 0; i < 6; i++) {
        double p = naive_sigmoid(in, i);
        sum -= weights[i] * (labels[i] > 0 ? log(p) : log(1 - p));
    }
    return sum / 6;
}

static const int32_t targets[5] = {3, -1, 0, 8, 3};

static lcf_tensor *build_cross_entropy(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_cross_entropy(t, in[0], targets, 4.0f);
}
static double naive_cross_entropy(lcf_tensor **in, size_t i)
{
    double total = 0;
    size_t j;

    for (i = 0; i < 5; i++) {
        double sum = 0;

        if (targets[i] < 0)
            continue;
        for (j = 0; j < 9; j++)
            sum += exp(in[0]->data[i * 9 + j]);
        total += log(sum) - in[0]->data[i * 9 + (size_t)targets[i]];
    }
    return total / 4;
}

static const float wanted[12] = {1, 2, 3, -1, 0, 0, 0, 0, 0.5f, -0.5f, 2, 1};
static const float cosine_weights[3] = {1, 1, 2};

static lcf_tensor *build_cosine(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_cosine_loss(t, in[0], wanted, cosine_weights, 4.0f);
}
static double naive_cosine(lcf_tensor **in, size_t i)
{
    double total = 0;
    size_t d;

    for (i = 0; i < 3; i++) {
        double xx = 0, yy = 0, xy = 0;

        for (d = 0; d < 4; d++) {
            double x = in[0]->data[i * 4 + d], y = wanted[i * 4 + d];
            xx += x * x;
            yy += y * y;
            xy += x * y;
        }
        total += cosine_weights[i] * (1 - (yy > 0 ? xy / sqrt(xx * yy) : 0));
    }
    return total / 4;
}
/* Two losses of one computed tensor in one sum: each must pass on the weight it enters with. */
static lcf_tensor *build_two_losses(lcf_tape *t, lcf_tensor **in)
{
    lcf_tensor *x = lcf_op_scale(t, in[0], 2.0f);

    return lcf_op_add(t, build_cosine(t, &x), lcf_op_scale(t, build_cosine(t, &x), 0.5f));
}
static double naive_two_losses(lcf_tensor **in, size_t i)
{
    return 1.5 * naive_cosine(in, i);
}

static void test_losses(void **state)
{
    (void)state;
    check(&(op_case){build_bce, naive_bce, NULL, 1, {SHAPE(6, 1)}});
    check(&(op_case){build_cross_entropy, naive_cross_entropy, NULL, 1, {SHAPE(5, 9)}});
    check(&(op_case){build_cosine, naive_cosine, NULL, 1, {SHAPE(3, 4)}});
    check(&(op_case){build_two_losses, naive_two_losses, NULL, 1, {SHAPE(3, 4)}});
}

static void test_bce_is_stable(void **state)
{
    const float logits[4] = {200, -200, 200, -200}, wants[4] = {1, 0, 0, 1};
    size_t dims = 4;
    lcf_tape *tape;

    (void)state;
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    lcf_tape_reset(tape, false);
    assert_float_equal(
        lcf_op_bce_with_logits(tape, lcf_tape_input(tape, logits, &dims, 1), wants, NULL, 4)
            ->data[0],
        100.0f, 1e-4f);
    lcf_tape_free(tape);
}

/* ---- dropout: needs its own seed in both passes ---- */

static lcf_tensor *build_dropout(lcf_tape *t, lcf_tensor **in)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 3, 0);
    return lcf_op_dropout(t, in[0], 0.25f, &rng);
}

static void test_dropout(void **state)
{
    const op_case c = {build_dropout, NULL, NULL, 1, {SHAPE(40, 50)}};
    lcf_tensor *in[PARAMS_MAX], *out;
    size_t i, kept = 0;
    rig r;

    (void)state;
    rig_open(&r, &c);
    out = run(&r, false, in);
    assert_ptr_equal(out, in[0]); /* without a record: the identity */
    r.projection = lcf_alloc(2000, sizeof(float));
    assert_non_null(r.projection);
    for (i = 0; i < 2000; i++)
        r.projection[i] = 1.0f;
    backward(&r);
    out = run(&r, true, in);
    for (i = 0; i < 2000; i++) {
        float factor = r.grads.values[i];

        assert_true(factor == 0.0f || fabsf(factor - 4.0f / 3.0f) < 1e-6f);
        assert_true(fabsf(out->data[i] - in[0]->data[i] * factor) < 1e-6f);
        kept += factor != 0.0f;
    }
    assert_true(kept > 1400 && kept < 1600); /* 1500 expected, 5 standard deviations are 97 */
    rig_close(&r);
}

/* ---- memory ---- */

static const int32_t few_targets[6] = {3, -1, 0, 7, 3, 1};

static lcf_tensor *build_many(lcf_tape *t, lcf_tensor **in)
{
    lcf_tensor *x = lcf_op_gather(t, in[0], ids, 6), *parts[2];
    size_t dims[4] = {1, 6, 1, 4}, flat[2] = {6, 4};
    lcf_tensor *heads;

    x = lcf_op_linear(t, lcf_op_rmsnorm(t, x, in[2], 1e-5f), in[1], in[2]);
    heads = lcf_op_rope(t, lcf_op_reshape(t, x, dims, 4), NULL, 10.0f);
    heads = lcf_op_attention(t, heads, heads, heads, NULL);
    parts[0] = x;
    parts[1] = lcf_op_reshape(t, heads, flat, 2);
    parts[0] = lcf_op_swiglu(t, lcf_op_concat(t, parts, 2));
    parts[1] = lcf_op_relu(t, lcf_op_tanh(t, x));
    return lcf_op_cross_entropy(t, lcf_op_concat(t, parts, 2), few_targets, 4.0f);
}

/* Whichever allocation fails: a status, no crash, and the next step works. After the first step
 * nothing is allocated. */
static void test_allocation_failures(void **state)
{
    const op_case c = {build_many, NULL, NULL, 3, {SHAPE(4, 4), SHAPE(4, 4), SHAPE(4)}};
    float *want;
    uint64_t n;
    rig r;

    (void)state;
    rig_open(&r, &c);
    lcf_tape_backward(r.tape, run(&r, true, (lcf_tensor *[PARAMS_MAX]){0}));
    assert_int_equal(lcf_tape_status(r.tape), LCF_OK);
    want = lcf_alloc(r.grads.values_n, sizeof(*want));
    assert_non_null(want);
    memcpy(want, r.grads.values, r.grads.values_n * sizeof(*want));

    lcf_alloc_fail_at(1); /* a second step takes nothing new */
    lcf_grads_zero(&r.grads);
    lcf_tape_backward(r.tape, run(&r, true, (lcf_tensor *[PARAMS_MAX]){0}));
    lcf_alloc_fail_at(0);
    assert_int_equal(lcf_tape_status(r.tape), LCF_OK);
    assert_memory_equal(want, r.grads.values, r.grads.values_n * sizeof(*want));

    for (n = 1;; n++) {
        lcf_tape *tape = NULL;
        lcf_status status;

        lcf_alloc_fail_at(n);
        status = lcf_tape_create(&tape, NULL);
        if (!status) {
            lcf_tape_free(r.tape);
            r.tape = tape;
            lcf_tape_backward(r.tape, run(&r, true, (lcf_tensor *[PARAMS_MAX]){0}));
            status = lcf_tape_status(r.tape);
        }
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    assert_true(n > 3); /* the tape, its arena, a block and its data */
    lcf_grads_zero(&r.grads);
    lcf_tape_backward(r.tape, run(&r, true, (lcf_tensor *[PARAMS_MAX]){0}));
    assert_memory_equal(want, r.grads.values, r.grads.values_n * sizeof(*want));
    free(want);
    rig_close(&r);
}

/* The n-th request for tape memory fails, wherever in a step that is: every tensor its own block.
 */
static void test_failure_inside_a_step(void **state)
{
    enum { rows = 3000, d = 512 }; /* 6 MB: more than a block of the arena */
    const op_case c = {build_shared, NULL, NULL, 1, {SHAPE(rows, d)}};
    const size_t dims[2] = {1, (size_t)rows * d};
    uint64_t n;

    (void)state;
    for (n = 1; n < 60; n += 3) {
        lcf_tensor *in[PARAMS_MAX], *out;
        lcf_status status;
        rig r;

        rig_open(&r, &c);
        r.projection = lcf_alloc_zero(dims[1], sizeof(float));
        assert_non_null(r.projection);
        lcf_alloc_fail_at(n);
        out = run(&r, true, in);
        assert_int_equal(out->n, dims[1]); /* the shape is right even so */
        out = lcf_op_linear(r.tape, lcf_op_reshape(r.tape, out, dims, 2),
                            lcf_tape_input(r.tape, r.projection, dims, 2), NULL);
        lcf_tape_backward(r.tape, out);
        status = lcf_tape_status(r.tape);
        lcf_alloc_fail_at(0);
        rig_close(&r);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    assert_true(n > 10 && n < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_add_sub_mul),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_propagate),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_row0),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_bce_is_stable),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_failure_inside_a_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
