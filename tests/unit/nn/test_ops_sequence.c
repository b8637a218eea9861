/* Operations of sequence models by the rig: GRU, its single update, inner products of rows, runs of
 * rows. */
#include "tests/unit/nn/op_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define D_MAX 9

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The definition: the state after one input, all in double. */
static void update(double *state, const double *x, const double *h, size_t d)
{
    for (size_t i = 0; i < d; i++) {
        const double r = sigmoid(x[i] + h[i]), z = sigmoid(x[d + i] + h[d + i]);
        const double n = tanh(x[2 * d + i] + r * h[2 * d + i]);

        state[i] = (1 - z) * n + z * state[i];
    }
}

static const uint32_t runs[6] = {0, 2, 2, 6, 7, 10};

static lcf_tensor *build_gru(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_gru(t, in[0], in[1], in[2], runs, 5);
}

static void whole_gru(float *out, lcf_tensor **in)
{
    const size_t d = in[1]->dims[1];
    double state[D_MAX], h[3 * D_MAX], x[3 * D_MAX];

    for (size_t s = 0; s < 5; s++) {
        memset(state, 0, sizeof(state));
        for (size_t token = runs[s]; token < runs[s + 1]; token++) {
            for (size_t i = 0; i < 3 * d; i++) {
                x[i] = in[0]->data[token * 3 * d + i];
                h[i] = in[2]->data[i];
                for (size_t j = 0; j < d; j++)
                    h[i] += in[1]->data[i * d + j] * state[j];
            }
            update(state, x, h, d);
            for (size_t i = 0; i < d; i++)
                out[token * d + i] = (float)state[i];
        }
    }
}

static void test_gru(void **state)
{
    (void)state;
    check(&(op_case){build_gru, NULL, whole_gru, 3, {SHAPE(10, 9), SHAPE(9, 3), SHAPE(9)}});
    check(&(op_case){build_gru, NULL, whole_gru, 3, {SHAPE(10, 27), SHAPE(27, 9), SHAPE(27)}});
}

/* Sequences do not see each other: the last one alone has the same states. */
static void test_gru_sequences_are_apart(void **state)
{
    const op_case c = {build_gru, NULL, whole_gru, 3, {SHAPE(10, 27), SHAPE(27, 9), SHAPE(27)}};
    const uint32_t one[2] = {0, 3};
    lcf_tensor *in[PARAMS_MAX], *all, *alone;
    rig r;

    (void)state;
    rig_open(&r, &c);
    all = run(&r, false, in);
    alone = lcf_op_gru(r.tape, lcf_op_slice(r.tape, in[0], 7, 3), in[1], in[2], one, 1);
    assert_int_equal(lcf_tape_status(r.tape), LCF_OK);
    for (size_t i = 0; i < alone->n; i++)
        assert_float_equal(alone->data[i], all->data[7 * 9 + i], 1e-6);
    rig_close(&r);
}

static lcf_tensor *build_cell(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_gru_cell(t, in[0], in[1], in[2]);
}

static double naive_cell(lcf_tensor **in, size_t i)
{
    const size_t d = in[2]->dims[1], row = i / d;
    double state[D_MAX], x[3 * D_MAX], h[3 * D_MAX];

    for (size_t j = 0; j < d; j++)
        state[j] = in[2]->data[row * d + j];
    for (size_t j = 0; j < 3 * d; j++) {
        x[j] = in[0]->data[row * 3 * d + j];
        h[j] = in[1]->data[row * 3 * d + j];
    }
    update(state, x, h, d);
    return state[i % d];
}

static void test_gru_cell(void **state)
{
    (void)state;
    check(&(op_case){build_cell, naive_cell, NULL, 3, {SHAPE(4, 15), SHAPE(4, 15), SHAPE(4, 5)}});
}

static lcf_tensor *build_row_dot(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_row_dot(t, in[0], in[1]);
}

static double naive_row_dot(lcf_tensor **in, size_t i)
{
    const size_t d = in[0]->dims[1];
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += (double)in[0]->data[i * d + j] * in[1]->data[i * d + j];
    return sum;
}

static lcf_tensor *build_slice(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_slice(t, in[0], 2, 3);
}

static double naive_slice(lcf_tensor **in, size_t i)
{
    return in[0]->data[2 * in[0]->dims[1] + i];
}

static void test_rows(void **state)
{
    (void)state;
    check(&(op_case){build_row_dot, naive_row_dot, NULL, 2, {SHAPE(5, 11), SHAPE(5, 11)}});
    check(&(op_case){build_slice, naive_slice, NULL, 1, {SHAPE(6, 4)}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gru),
        cmocka_unit_test(test_gru_sequences_are_apart),
        cmocka_unit_test(test_gru_cell),
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
