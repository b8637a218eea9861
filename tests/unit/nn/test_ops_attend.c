/*
 * What a Q-Former takes beside the other operations: attention to keys elsewhere, GELU, rows of
 * unit norm, block maxima, smoothed and contrastive losses; by the rig.
 */
#include "tests/unit/nn/op_rig.h"

#include "common/base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- elementwise ---- */

static lcf_tensor *build_gelu(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_gelu(t, in[0]);
}
static double naive_gelu(lcf_tensor **in, size_t i)
{
    return 0.5 * in[0]->data[i] * (1 + erf(in[0]->data[i] / sqrt(2.0)));
}
/* Away from 0, where it has no value. */
static lcf_tensor *build_reciprocal(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_reciprocal(t, lcf_op_add(t, lcf_op_sigmoid(t, in[0]), lcf_op_sigmoid(t, in[1])));
}
static double naive_reciprocal(lcf_tensor **in, size_t i)
{
    return 1 / (1 / (1 + exp(-(double)in[0]->data[i])) + 1 / (1 + exp(-(double)in[1]->data[i])));
}
static lcf_tensor *build_normalize(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_normalize(t, in[0]);
}
static double naive_normalize(lcf_tensor **in, size_t i)
{
    const size_t d = in[0]->dims[1];
    double sum = 0;

    for (size_t j = i / d * d; j < i / d * d + d; j++)
        sum += (double)in[0]->data[j] * in[0]->data[j];
    return in[0]->data[i] / sqrt(sum);
}

static void test_elementwise(void **state)
{
    (void)state;
    check(&(op_case){build_gelu, naive_gelu, NULL, 1, {SHAPE(3, 11)}});
    check(&(op_case){build_reciprocal, naive_reciprocal, NULL, 2, {SHAPE(9), SHAPE(9)}});
    check(&(op_case){build_normalize, naive_normalize, NULL, 1, {SHAPE(4, 7)}});
}

/* ---- attention: segments of 2, 0 and 3 rows with queries, keys and values side by side (heads of
 * 2), further keys of 1, 2 and 2 rows whose values stand first ---- */

#define DIM 4
#define HEADS 2
static const uint32_t ROWS[4] = {0, 2, 2, 5}, OTHERS[4] = {0, 1, 3, 5},
                      EACH_ONE[6] = {0, 1, 2, 3, 4, 5};

typedef struct attend_case {
    bool own, other, causal;
} attend_case;
static attend_case attending;

static lcf_tensor *build_attend(lcf_tape *t, lcf_tensor **in)
{
    lcf_attend_keys parts[2];
    size_t n = 0;

    if (attending.other)
        parts[n++] = (lcf_attend_keys){in[1], DIM + 1, 0, OTHERS};
    if (attending.own)
        parts[n++] = (lcf_attend_keys){in[0], DIM, 2 * DIM, ROWS};
    return lcf_op_attend(t, in[0], DIM, HEADS, ROWS, 3, parts, n, attending.causal);
}

/* Key (or value) element `at` of key number j that row `row` of segment s sees; false behind the
 * last. */
static bool key_of(double *key, double *value, lcf_tensor **in, size_t s, size_t row, size_t j,
                   size_t at)
{
    const size_t others = attending.other ? OTHERS[s + 1] - OTHERS[s] : 0;
    size_t own = attending.own ? ROWS[s + 1] - ROWS[s] : 0;

    if (attending.causal)
        own = row - ROWS[s] + 1;
    if (j >= others + own)
        return false;
    if (j < others) {
        const float *x = in[1]->data + (OTHERS[s] + j) * in[1]->dims[1];

        *key = x[DIM + 1 + at];
        *value = x[at];
    } else {
        const float *x = in[0]->data + (ROWS[s] + j - others) * in[0]->dims[1];

        *key = x[DIM + at];
        *value = x[2 * DIM + at];
    }
    return true;
}

static double naive_attend(lcf_tensor **in, size_t i)
{
    const size_t row = i / DIM, head = i % DIM / 2 * 2, s = row < 2 ? 0 : 2;
    const float *q = in[0]->data + row * in[0]->dims[1];
    double sum = 0, weighted = 0, k0, k1, v, skip;

    for (size_t j = 0; key_of(&k0, &skip, in, s, row, j, head); j++) {
        double w;

        key_of(&k1, &skip, in, s, row, j, head + 1);
        key_of(&skip, &v, in, s, row, j, i % DIM);
        w = exp((q[head] * k0 + q[head + 1] * k1) / sqrt(2.0));
        sum += w;
        weighted += w * v;
    }
    return weighted / sum;
}

static void test_attend(void **state)
{
    static const attend_case CASES[] = {{true, false, false},
                                        {true, false, true},
                                        {false, true, false},
                                        {true, true, false},
                                        {true, true, true}};

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        attending = CASES[i];
        check(&(op_case){
            build_attend, naive_attend, NULL, 2, {SHAPE(5, 3 * DIM), SHAPE(5, 2 * DIM + 1)}});
    }
}

/* Over one key each the result is the value, whatever the queries. */
static lcf_tensor *build_one_key(lcf_tape *t, lcf_tensor **in)
{
    const lcf_attend_keys key = {in[1], 0, DIM, EACH_ONE};

    return lcf_op_attend(t, in[0], DIM, HEADS, EACH_ONE, 5, &key, 1, false);
}
static double naive_one_key(lcf_tensor **in, size_t i)
{
    return in[1]->data[i / DIM * 2 * DIM + DIM + i % DIM];
}

static void test_one_key(void **state)
{
    (void)state;
    check(&(op_case){build_one_key, naive_one_key, NULL, 2, {SHAPE(5, DIM), SHAPE(5, 2 * DIM)}});
}

/* ---- block maxima ---- */

static lcf_tensor *build_block_max(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_block_max(t, in[0], 2, 3);
}
static double naive_block_max(lcf_tensor **in, size_t i)
{
    double best = -INFINITY;

    for (size_t row = i / 2 * 2; row < i / 2 * 2 + 2; row++)
        for (size_t column = i % 2 * 3; column < i % 2 * 3 + 3; column++)
            best = fmax(best, in[0]->data[row * 6 + column]);
    return best;
}

static void test_block_max(void **state)
{
    (void)state;
    check(&(op_case){build_block_max, naive_block_max, NULL, 1, {SHAPE(4, 6)}});
}

/* ---- losses ---- */

static double log_sum(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp(x[i]);
    return log(sum);
}

static double smooth(const double *x, size_t target, size_t n, double smoothing)
{
    double loss = 0;

    for (size_t i = 0; i < n; i++)
        loss -=
            (smoothing / (double)n + (i == target ? 1 - smoothing : 0)) * (x[i] - log_sum(x, n));
    return loss;
}

static const int32_t TARGETS[4] = {2, -1, 0, 4};

static lcf_tensor *build_smooth(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_smooth_cross_entropy(t, in[0], TARGETS, 0.1f, 2.0f);
}
static double naive_smooth(lcf_tensor **in, size_t i)
{
    double sum = 0, row[5];

    (void)i;
    for (size_t r = 0; r < 4; r++) {
        for (size_t j = 0; j < 5; j++)
            row[j] = in[0]->data[r * 5 + j];
        sum += TARGETS[r] < 0 ? 0 : smooth(row, (size_t)TARGETS[r], 5, 0.1);
    }
    return sum / 2;
}

static const uint8_t SKIP[16] = {0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0};
static const uint8_t *skipping;

static lcf_tensor *build_contrast(lcf_tape *t, lcf_tensor **in)
{
    return lcf_op_contrast(t, in[0], skipping, 0.1f);
}
static double naive_contrast(lcf_tensor **in, size_t i)
{
    double sum = 0;

    (void)i;
    for (size_t r = 0; r < 8; r++) {
        double row[4];
        size_t n = 0, target = 0;

        for (size_t j = 0; j < 4; j++) {
            const size_t at = r < 4 ? r * 4 + j : j * 4 + r - 4;

            if (j == r % 4)
                target = n;
            if (j == r % 4 || !skipping || !skipping[at])
                row[n++] = in[0]->data[at];
        }
        sum += smooth(row, target, n, 0.1);
    }
    return sum / 8;
}

static void test_losses(void **state)
{
    (void)state;
    check(&(op_case){build_smooth, naive_smooth, NULL, 1, {SHAPE(4, 5)}});
    check(&(op_case){build_contrast, naive_contrast, NULL, 1, {SHAPE(4, 4)}});
    skipping = SKIP;
    check(&(op_case){build_contrast, naive_contrast, NULL, 1, {SHAPE(4, 4)}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_attend),
        cmocka_unit_test(test_one_key),     cmocka_unit_test(test_block_max),
        cmocka_unit_test(test_losses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
