/* Attention over short sequences, a residual layer, stacked matrices and SwiGLU of pairs by the
 * rig, at every instruction set. */
#include "common/math/kernels.h"
#include "tests/unit/nn/op_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define THETA 100.0f
#define TOKENS_MAX 34
#define DIM_MAX 32

/* Sequences of the case at hand. */
static size_t batch, tokens, heads, step;
static const uint32_t *padding;

static lcf_tensor *build_attention(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_short_attention(t, step ? in[1] : NULL, in[0], heads, tokens, step ? step : 1,
                                  padding, THETA);
}

/* Element i of a head's vector at a token, turned. */
static double turned(const float *x, size_t i, size_t dim, size_t at)
{
    const size_t pair = i / 2 * 2;
    const double angle = (double)at * pow(THETA, -(double)pair / (double)dim);
    const double a = x[pair], b = x[pair + 1];

    return i % 2 ? b * cos(angle) + a * sin(angle) : a * cos(angle) - b * sin(angle);
}

/* One head of one query: q, k, v at the head's columns, k and v of the sequence's first token. */
static void attend(float *out, const float *q, const float *k, const float *v, size_t ld,
                   size_t dim, size_t first, size_t at)
{
    double weights[TOKENS_MAX], sum = 0;

    for (size_t j = first; j <= at; j++) {
        double score = 0;

        for (size_t i = 0; i < dim; i++)
            score += turned(q, i, dim, at) * turned(k + j * ld, i, dim, j);
        weights[j] = exp(score / sqrt((double)dim));
        sum += weights[j];
    }
    for (size_t i = 0; i < dim; i++) {
        double y = 0;

        for (size_t j = first; j <= at; j++)
            y += weights[j] / sum * v[j * ld + i];
        out[i] = (float)y;
    }
}

static void whole_attention(float *out, lcf_tensor **in)
{
    const size_t ld = in[0]->dims[1], d = ld / (step ? 2 : 3), dim = d / heads;
    const size_t apart = step ? step : 1, queries = (tokens - 1) / apart + 1;

    for (size_t row = 0; row < batch * queries; row++) {
        const size_t b = row / queries, at = tokens - 1 - (queries - 1 - row % queries) * apart;
        const float *keys = in[0]->data + b * tokens * ld + (step ? 0 : d);
        const float *q = step ? in[1]->data + row * d : keys - d + at * ld;
        const size_t first = padding ? padding[b] : 0;

        for (size_t h = 0; h < d; h += dim) {
            memset(out + row * d + h, 0, dim * sizeof(*out));
            if (at >= first)
                attend(out + row * d + h, q + h, keys + h, keys + d + h, ld, dim, first, at);
        }
    }
}

/* `apart` 0: queries, keys and values in one tensor. */
static void check_attention(size_t sequences, size_t length, size_t d, size_t heads_n, size_t apart,
                            const uint32_t *empty)
{
    const size_t queries = (length - 1) / (apart ? apart : 1) + 1;

    assert_true(length <= TOKENS_MAX && d <= DIM_MAX);
    batch = sequences;
    tokens = length;
    heads = heads_n;
    step = apart;
    padding = empty;
    if (apart)
        check(&(op_case){build_attention,
                         NULL,
                         whole_attention,
                         2,
                         {SHAPE(sequences * length, 2 * d), SHAPE(sequences * queries, d)}});
    else
        check(&(op_case){
            build_attention, NULL, whole_attention, 1, {SHAPE(sequences * length, 3 * d)}});
}

static void test_attention(void **state)
{
    static const uint32_t empty[3] = {3, 0, 6}, all_but_last[2] = {0, 12};

    (void)state;
    for (int level = LCF_SIMD_BASELINE; level <= (int)lcf_simd_best(); level++) {
        lcf_simd_force((lcf_simd_level)level);
        check_attention(2, 13, 32, 2, 0, NULL); /* the usual decoder */
        check_attention(2, 13, 32, 2, 3, all_but_last);
        check_attention(3, 7, 12, 2, 3, empty);
        check_attention(3, 7, 12, 2, 0, empty);
        check_attention(3, 7, 4, 1, 7, empty); /* the last query alone */
        check_attention(1, 34, 8, 1, 5, NULL); /* more tokens than lanes */
        check_attention(2, 1, 2, 1, 0, NULL);
    }
    lcf_simd_force(lcf_simd_best());
}

static lcf_tensor *build_onto(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear_onto(t, in[0], in[1], in[2]);
}

static double naive_onto(lcf_tensor **in, size_t i)
{
    const size_t out = in[2]->dims[0], n = in[2]->dims[1];
    double sum = in[0]->data[i];

    for (size_t j = 0; j < n; j++)
        sum += (double)in[1]->data[i / out * n + j] * in[2]->data[i % out * n + j];
    return sum;
}

static lcf_tensor *build_stack(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_stack(t, in, 3);
}

static double naive_stack(lcf_tensor **in, size_t i)
{
    for (size_t part = 0;; i -= in[part++]->n)
        if (i < in[part]->n)
            return in[part]->data[i];
}

static lcf_tensor *build_pair(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_swiglu(t, in[0]);
}

static double naive_pair(lcf_tensor **in, size_t i)
{
    const size_t d = in[0]->dims[1] / 2;
    const float *x = in[0]->data + i / d * 2 * d + i % d;

    return x[0] / (1 + exp(-(double)x[0])) * x[d];
}

static void test_parts_of_a_layer(void **state)
{
    (void)state;
    check(&(op_case){build_onto, naive_onto, NULL, 3, {SHAPE(5, 7), SHAPE(5, 3), SHAPE(7, 3)}});
    check(&(op_case){build_onto, naive_onto, NULL, 3, {SHAPE(40, 7), SHAPE(40, 3), SHAPE(7, 3)}});
    check(&(op_case){build_stack, naive_stack, NULL, 3, {SHAPE(2, 3), SHAPE(1, 3), SHAPE(4, 3)}});
    check(&(op_case){build_pair, naive_pair, NULL, 1, {SHAPE(3, 22)}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_parts_of_a_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
