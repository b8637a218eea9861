/* Operations of interacting fields by the rig: FM, CIN, attention within segments, and the row
 * operations that mixtures are made of. */
#include "tests/unit/nn/op_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- products ---- */

static lcf_tensor *build_matmul(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_matmul(t, in[0], in[1]);
}

static double naive_matmul(lcf_tensor **in, size_t i)
{
    const size_t k = in[0]->dims[1], n = in[1]->dims[1];
    double sum = 0;

    for (size_t j = 0; j < k; j++)
        sum += (double)in[0]->data[i / n * k + j] * (double)in[1]->data[j * n + i % n];
    return sum;
}

#define GROUPS 3

static lcf_tensor *build_groups(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear_groups(t, in[0], in[1], GROUPS);
}

static double naive_groups(lcf_tensor **in, size_t i)
{
    const size_t width = in[1]->dims[1], out = in[1]->dims[0] / GROUPS;
    const size_t row = i / (GROUPS * out), o = i % (GROUPS * out), group = o / out;
    double sum = 0;

    for (size_t j = 0; j < width; j++)
        sum += (double)in[1]->data[o * width + j] *
               (double)in[0]->data[row * GROUPS * width + group * width + j];
    return sum;
}

static void test_products(void **state)
{
    (void)state;
    check(&(op_case){build_matmul, naive_matmul, NULL, 2, {SHAPE(3, 5), SHAPE(5, 7)}});
    check(&(op_case){build_matmul, naive_matmul, NULL, 2, {SHAPE(1, 6), SHAPE(6, 40)}});
    check(&(op_case){build_groups, naive_groups, NULL, 2, {SHAPE(5, 12), SHAPE(6, 4)}});
    check(&(op_case){build_groups, naive_groups, NULL, 2, {SHAPE(4, 12), SHAPE(12, 4)}});
}

/* ---- rows ---- */

static lcf_tensor *build_scale_rows(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_scale_rows(t, in[0], in[1]);
}

static double naive_scale_rows(lcf_tensor **in, size_t i)
{
    return (double)in[0]->data[i] * (double)in[1]->data[i / (in[0]->n / in[1]->n)];
}

static lcf_tensor *build_add_bias(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_add_bias(t, in[0], in[1]);
}

static double naive_add_bias(lcf_tensor **in, size_t i)
{
    return (double)in[0]->data[i] + (double)in[1]->data[i % in[1]->n];
}

static lcf_tensor *build_softmax(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_softmax(t, in[0]);
}

static double naive_softmax(lcf_tensor **in, size_t i)
{
    const size_t d = in[0]->dims[in[0]->dims_n - 1], begin = i / d * d;
    double sum = 0;

    for (size_t j = begin; j < begin + d; j++)
        sum += exp((double)in[0]->data[j]);
    return exp((double)in[0]->data[i]) / sum;
}

/* Shifted away from the kink, where differences would see both slopes. */
static lcf_tensor *build_leaky(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_leaky_relu(t, lcf_op_mul(t, in[0], lcf_op_mul(t, in[0], in[0])), 0.1f);
}

static double naive_leaky(lcf_tensor **in, size_t i)
{
    const double x = pow((double)in[0]->data[i], 3);

    return x > 0 ? x : 0.1 * x;
}

static void test_rows(void **state)
{
    (void)state;
    check(&(op_case){build_scale_rows, naive_scale_rows, NULL, 2, {SHAPE(4, 6), SHAPE(4, 1)}});
    check(&(op_case){build_scale_rows, naive_scale_rows, NULL, 2, {SHAPE(4, 6), SHAPE(4, 2)}});
    check(&(op_case){build_add_bias, naive_add_bias, NULL, 2, {SHAPE(5, 6), SHAPE(6)}});
    check(&(op_case){build_softmax, naive_softmax, NULL, 1, {SHAPE(5, 7)}});
    check(&(op_case){build_leaky, naive_leaky, NULL, 1, {SHAPE(5, 7)}});
}

/* ---- fields ---- */

#define WIDTH 5

static lcf_tensor *build_fm(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_fm(t, in[0], WIDTH);
}

/* All pairs, one by one. */
static double naive_fm(lcf_tensor **in, size_t i)
{
    const size_t row = in[0]->dims[1], fields = row / WIDTH;
    const float *x = in[0]->data + i * row;
    double sum = 0;

    for (size_t a = 0; a < fields; a++)
        for (size_t b = a + 1; b < fields; b++)
            for (size_t j = 0; j < WIDTH; j++)
                sum += (double)x[a * WIDTH + j] * (double)x[b * WIDTH + j];
    return sum;
}

static lcf_tensor *build_cin(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_cin(t, in[0], in[1], in[2]);
}

static double naive_cin(lcf_tensor **in, size_t i)
{
    const size_t columns = in[1]->dims[1], m = in[1]->dims[0], k = in[2]->dims[1];
    const size_t column = i % columns;
    const float *w = in[2]->data + i / columns * k;
    double sum = (double)w[k - 1];

    for (size_t a = 0; a < (k - 1) / m; a++)
        for (size_t b = 0; b < m; b++)
            sum += (double)w[a * m + b] * (double)in[0]->data[a * columns + column] *
                   (double)in[1]->data[b * columns + column];
    return sum;
}

static lcf_tensor *build_cin_first(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_cin(t, in[0], in[0], in[1]);
}

static double naive_cin_first(lcf_tensor **in, size_t i)
{
    lcf_tensor *all[3] = {in[0], in[0], in[1]};

    return naive_cin(all, i);
}

/* The first layer, a later one of whose maps a part counts, and more columns than a block. */
static void test_fields(void **state)
{
    (void)state;
    check(&(op_case){build_fm, naive_fm, NULL, 1, {SHAPE(4, 3 * WIDTH)}});
    check(&(op_case){build_fm, naive_fm, NULL, 1, {SHAPE(2, WIDTH)}});
    check(&(op_case){build_cin_first, naive_cin_first, NULL, 2, {SHAPE(3, 20), SHAPE(4, 10)}});
    check(&(op_case){
        build_cin, naive_cin, NULL, 3, {SHAPE(6, 20), SHAPE(3, 20), SHAPE(4, 2 * 3 + 1)}});
    check(&(op_case){
        build_cin, naive_cin, NULL, 3, {SHAPE(2, 1030), SHAPE(2, 1030), SHAPE(2, 2 * 2 + 1)}});
}

/* ---- attention ---- */

#define HEADS 2
static const uint32_t segments[5] = {0, 3, 3, 4, 9};

static lcf_tensor *build_attention(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_segment_attention(t, in[0], HEADS, segments, 4);
}

static double naive_attention(lcf_tensor **in, size_t i)
{
    const size_t row = in[0]->dims[1], dim = row / 3, head = dim / HEADS;
    const size_t token = i / dim, first = i % dim / head * head;
    const float *x = in[0]->data;
    double sum = 0, mixed = 0;
    size_t s = 0;

    while (segments[s + 1] <= token)
        s++;
    for (size_t other = segments[s]; other < segments[s + 1]; other++) {
        double score = 0;

        for (size_t j = first; j < first + head; j++)
            score += (double)x[token * row + j] * (double)x[other * row + dim + j];
        sum += exp(score / sqrt((double)head));
        mixed += exp(score / sqrt((double)head)) * (double)x[other * row + 2 * dim + i % dim];
    }
    return mixed / sum;
}

static void test_attention(void **state)
{
    (void)state;
    check(&(op_case){build_attention, naive_attention, NULL, 1, {SHAPE(9, 3 * 8)}});
    check(&(op_case){build_attention, naive_attention, NULL, 1, {SHAPE(9, 3 * 2)}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
