/* Linear maps on the tape by the rig, in f32 and in bf16. */
#include "tests/unit/nn/op_rig.h"

#include "common/math/reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static lcf_tensor *build_linear(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear(t, in[0], in[1], in[2]);
}
static void whole_linear(float *out, lcf_tensor **in)
{
    lcf_ref_linear(out, in[0]->data, in[1]->data, in[2]->data, in[0]->n / in[1]->dims[1],
                   in[1]->dims[1], in[1]->dims[0]);
}
static lcf_tensor *build_linear_plain(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear(t, in[0], in[1], NULL);
}
static void whole_linear_plain(float *out, lcf_tensor **in)
{
    lcf_ref_linear(out, in[0]->data, in[1]->data, NULL, in[0]->n / in[1]->dims[1], in[1]->dims[1],
                   in[1]->dims[0]);
}

/* The composition that it stands for. */
static lcf_tensor *build_linear_relu(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear_relu(t, in[0], in[1], in[2]);
}
static void whole_linear_relu(float *out, lcf_tensor **in)
{
    const size_t n = in[0]->n / in[1]->dims[1] * in[1]->dims[0];

    whole_linear(out, in);
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] > 0 ? out[i] : 0;
}
static lcf_tensor *build_linear_then_relu(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_relu(t, lcf_op_linear(t, in[0], in[1], in[2]));
}

static void check_linear_relu(size_t rows, size_t in, size_t out)
{
    const op_case fused = {build_linear_relu,
                           NULL,
                           whole_linear_relu,
                           3,
                           {SHAPE(rows, in), SHAPE(out, in), SHAPE(out)}};
    op_case composed = fused;
    float a[8192] = {0}, b[8192] = {0};

    composed.build = build_linear_then_relu;
    gradients_of(a, &fused);
    gradients_of(b, &composed);
    for (size_t i = 0; i < sizeof(a) / sizeof(*a); i++)
        assert_true(fabsf(a[i] - b[i]) <= 1e-5f * (1.0f + fabsf(b[i])));
}

static void test_linear_relu(void **state)
{
    (void)state;
    check_linear_relu(5, 7, 9); /* few rows */
    check_linear_relu(33, 17, 41);
    check_linear_relu(64, 40, 64);
}

static lcf_tensor *build_linear_onto(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_linear_onto(t, in[2], in[0], in[1]);
}
static void whole_linear_onto(float *out, lcf_tensor **in)
{
    whole_linear_plain(out, in);
    for (size_t i = 0; i < in[2]->n; i++)
        out[i] += in[2]->data[i];
}

/* Eighths of small whole numbers: bf16 holds them, and f32 sums of their products. */
static void to_eighths(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = roundf(8.0f * x[i]) / 8.0f;
}

/* Results and gradients of a case at some precision, one behind the other. */
static void all_of(float *result, float *grads, const op_case *c, lcf_precision precision,
                   bool eighths)
{
    lcf_tensor *in[PARAMS_MAX], *out;
    rig r;

    rig_open(&r, c);
    check_value(&r);
    lcf_tape_set_precision(r.tape, precision);
    if (eighths) {
        to_eighths(r.params.values, r.params.values_n);
        to_eighths(r.projection, c->params[0].dims[0] * c->params[1].dims[0]);
    }
    backward(&r);
    memcpy(grads, r.grads.values, r.grads.values_n * sizeof(*grads));
    out = run(&r, false, in);
    memcpy(result, out->data, out->n * sizeof(*result));
    rig_close(&r);
}

/* Where rounding loses nothing bf16 gives what f32 gives, to the bit; else something near it. */
static void check_bf16(const op_case *c, double tolerance)
{
    static float f32[2][1 << 17], bf16[2][1 << 17];
    double off = 0, all = 0;

    memset(f32, 0, sizeof(f32));
    memset(bf16, 0, sizeof(bf16));
    all_of(f32[0], f32[1], c, LCF_PRECISION_F32, true);
    all_of(bf16[0], bf16[1], c, LCF_PRECISION_BF16, true);
    assert_memory_equal(f32, bf16, sizeof(f32));
    all_of(f32[0], f32[1], c, LCF_PRECISION_F32, false);
    all_of(bf16[0], bf16[1], c, LCF_PRECISION_BF16, false);
    for (size_t i = 0; i < sizeof(f32[0]) / sizeof(float); i++)
        for (size_t k = 0; k < 2; k++) {
            off += (double)(f32[k][i] - bf16[k][i]) * (double)(f32[k][i] - bf16[k][i]);
            all += (double)f32[k][i] * (double)f32[k][i];
        }
    assert_true(off > 0 && sqrt(off / all) < tolerance);
}

static void test_linear_bf16(void **state)
{
    static const size_t sizes[][3] = {{200, 33, 64}, {33, 96, 40}, {401, 128, 32}, {32, 32, 65}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const size_t rows = sizes[i][0], in = sizes[i][1], out = sizes[i][2];

        check_bf16(
            &(op_case){
                build_linear_plain, NULL, whole_linear_plain, 2, {SHAPE(rows, in), SHAPE(out, in)}},
            4e-3);
        check_bf16(&(op_case){build_linear_relu,
                              NULL,
                              whole_linear_relu,
                              3,
                              {SHAPE(rows, in), SHAPE(out, in), SHAPE(out)}},
                   0.1); /* a few results cross 0 */
        check_bf16(&(op_case){build_linear_onto,
                              NULL,
                              whole_linear_onto,
                              3,
                              {SHAPE(rows, in), SHAPE(out, in), SHAPE(rows, out)}},
                   4e-3);
    }
}

/* ---- two maps ---- */

#define SHARE 0.125f /* of the inputs: results stay so small that the rig's tolerance holds */

static lcf_tensor *build_mlp(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_mlp(t, lcf_op_scale(t, in[0], SHARE), in[1], in[2], lcf_op_scale(t, in[3], SHARE),
                      in[4]);
}
static lcf_tensor *build_maps(lcf_tape *t, lcf_tensor **in)
{
    lcf_tensor *hidden = lcf_op_linear_relu(t, lcf_op_scale(t, in[0], SHARE), in[1], in[2]);

    return lcf_op_linear(t, hidden, lcf_op_scale(t, in[3], SHARE), in[4]);
}
static double naive_mlp(lcf_tensor **in, size_t i)
{
    const size_t n = in[0]->dims[1], hidden = in[1]->dims[0], out = in[3]->dims[0];
    const float *x = in[0]->data + i / out * n, *w = in[3]->data + i % out * hidden;
    double y = in[4]->data[i % out];

    for (size_t h = 0; h < hidden; h++) {
        double sum = in[2]->data[h];

        for (size_t j = 0; j < n; j++)
            sum += (double)(SHARE * x[j]) * in[1]->data[h * n + j];
        y += sum > 0 ? sum * (double)(SHARE * w[h]) : 0;
    }
    return y;
}

/* Two maps at once give what they give one after the other, to the bit. */
static void check_mlp(size_t rows, size_t in, size_t hidden, size_t out, lcf_precision precision)
{
    static float results[2][1 << 16], grads[2][1 << 17];
    op_case c = {
        build_mlp,
        naive_mlp,
        NULL,
        5,
        {SHAPE(rows, in), SHAPE(hidden, in), SHAPE(hidden), SHAPE(out, hidden), SHAPE(out)}};

    memset(grads, 0, sizeof(grads));
    for (size_t i = 0; i < 2; i++) {
        c.build = i ? build_maps : build_mlp;
        all_of(results[i], grads[i], &c, precision, false);
    }
    assert_memory_equal(results[0], results[1], rows * out * sizeof(float));
    assert_memory_equal(grads[0], grads[1], sizeof(grads[0]));
}

static void test_mlp(void **state)
{
    (void)state;
    for (int precision = LCF_PRECISION_F32; precision <= LCF_PRECISION_BF16; precision++) {
        check_mlp(7, 5, 9, 3, (lcf_precision)precision);
        check_mlp(300, 33, 65, 40, (lcf_precision)precision);
        check_mlp(264, 64, 96, 32, (lcf_precision)precision);
    }
}

static void test_linear(void **state)
{
    (void)state;
    check(&(op_case){build_linear, NULL, whole_linear, 3, {SHAPE(7, 5), SHAPE(4, 5), SHAPE(4)}});
    check(&(op_case){
        build_linear, NULL, whole_linear, 3, {SHAPE(5, 9, 17), SHAPE(33, 17), SHAPE(33)}});
    check(
        &(op_case){build_linear_plain, NULL, whole_linear_plain, 2, {SHAPE(2, 3, 6), SHAPE(8, 6)}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_relu),
        cmocka_unit_test(test_linear_bf16),
        cmocka_unit_test(test_mlp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
