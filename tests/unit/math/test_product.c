/*
 * Products of training: operands in either order, any shape, f32 and bf16; the fast bf16 kernels
 * against the portable ones, and both against sums in double of what the operands hold.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/bf16_layer.h"
#include "common/math/product.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX 150

static lcf_rng rng;
static float a[MAX * MAX], b[MAX * MAX], b_t[MAX * MAX], a_t[MAX * MAX];
static float a_held[MAX * MAX], b_held[MAX * MAX]; /* what operands hold of a and b */

static float widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;

    memcpy(&y, &bits, sizeof(y));
    return y;
}

/* What an operand holds of x. */
static float held(lcf_precision precision, float x)
{
    uint16_t y[2];

    if (precision == LCF_PRECISION_F32)
        return x;
    lcf_left(precision, y, 2, &x, 1, 1, 1);
    return widen(y[0]);
}

static void fill(size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < m * k; i++)
        a[i] = (float)lcf_rng_normal(&rng);
    for (size_t i = 0; i < k * n; i++)
        b[i] = (float)lcf_rng_normal(&rng);
    for (size_t i = 0; i < m; i++)
        for (size_t p = 0; p < k; p++)
            a_t[p * m + i] = a[i * k + p];
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++)
            b_t[j * k + p] = b[p * n + j];
}

/* A left operand of x [rows, cols]; what is not written would be NaN. free() releases it. */
static void *left_operand(lcf_precision precision, const float *x, size_t rows, size_t cols)
{
    const size_t ld = lcf_left_ld(cols);
    void *left = lcf_alloc_aligned(rows * ld, sizeof(float));

    assert_non_null(left);
    memset(left, 0xff, rows * ld * sizeof(float));
    lcf_left(precision, left, ld, x, cols, rows, cols);
    return left;
}

/* C = A B, A from its columns: turned in two parts, as threads do. */
static void product_turned(float *c, lcf_precision precision, const void *right, size_t m, size_t n,
                           size_t k, bool add)
{
    const size_t elements = lcf_turned_n(precision, k, m), ld = lcf_left_ld(m);
    const size_t first = k / 4 * 2, half = m / 2 / 32 * 32;
    char *rows = left_operand(precision, a_t, k, m);
    void *turned = lcf_alloc_aligned(elements, lcf_operand_bytes(precision));

    assert_non_null(turned);
    memset(turned, 0xff, elements * lcf_operand_bytes(precision));
    lcf_turned_rows(precision, turned, k, 0, rows, ld, first, m);
    lcf_turned_rows(precision, turned, k, first, rows + first * ld * lcf_operand_bytes(precision),
                    ld, k - first, m);
    lcf_product_turned(precision, c, n, turned, right, half, n, k, add);
    lcf_product_turned(precision, c + half * n, n, lcf_turned_at(precision, turned, k, half), right,
                       m - half, n, k, add);
    free(rows);
    free(turned);
}

/* Panels of B from rows of a left operand are those from its values. */
static void check_right_of_left(lcf_precision precision, const void *right, size_t n, size_t k)
{
    const size_t bytes = lcf_right_n(precision, k, n) * lcf_operand_bytes(precision);
    void *rows = left_operand(precision, b, k, n), *panels = lcf_alloc_aligned(bytes, 1);

    assert_non_null(panels);
    lcf_right_of_left(precision, panels, rows, lcf_left_ld(n), k, n);
    assert_memory_equal(panels, right, bytes);
    free(rows);
    free(panels);
}

/* C = A B with each operand made from either order; c [m, n]. */
static void product(float *c, lcf_precision precision, size_t m, size_t n, size_t k, bool a_turned,
                    bool b_turned, bool add)
{
    void *left = left_operand(precision, a, m, k);
    void *right = lcf_alloc_aligned(lcf_right_n(precision, k, n), sizeof(float));

    assert_non_null(right);
    lcf_right(precision, right, b_turned ? b_t : b, b_turned ? k : n, b_turned, k, n);
    check_right_of_left(precision, right, n, k);
    if (a_turned)
        product_turned(c, precision, right, m, n, k, add);
    else
        lcf_product(precision, c, n, left, lcf_left_ld(k), right, m, n, k, add);
    free(left);
    free(right);
}

/* What an element may be off, of the sum of magnitudes: how AMX rounds on the way is its own. */
static double tolerance_of(lcf_precision precision)
{
    return precision == LCF_PRECISION_BF16 && lcf_bf16_in_use() == LCF_BF16_AMX ? 1e-5 : 1e-6;
}

static void check(lcf_precision precision, size_t m, size_t n, size_t k)
{
    static float c[MAX * MAX], first[MAX * MAX];

    fill(m, n, k);
    for (size_t i = 0; i < m * k; i++)
        a_held[i] = held(precision, a[i]);
    for (size_t i = 0; i < k * n; i++)
        b_held[i] = held(precision, b[i]);
    for (size_t turned = 0; turned < 4; turned++) {
        const bool add = turned % 2;

        for (size_t i = 0; i < m * n; i++)
            c[i] = add ? 1.0f : NAN;
        product(c, precision, m, n, k, turned & 1, turned & 2, add);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                double want = add, size = 1;

                for (size_t p = 0; p < k; p++) {
                    const double x = (double)a_held[i * k + p] * b_held[p * n + j];

                    want += x;
                    size += fabs(x);
                }
                assert_true(fabs(want - c[i * n + j]) < tolerance_of(precision) * size);
            }
        if (turned == 0)
            memcpy(first, c, m * n * sizeof(*c));
        if (turned == 2) /* how an operand was made does not matter, to the bit */
            assert_memory_equal(first, c, m * n * sizeof(*c));
    }
}

static size_t size_up_to(size_t n)
{
    return 1 + (size_t)lcf_rng_below(&rng, n);
}

static void check_all(lcf_precision precision)
{
    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < 30; i++)
        check(precision, size_up_to(40), size_up_to(MAX), size_up_to(MAX));
    check(precision, 96, 64, 64);
}

static void test_products(void **state)
{
    (void)state;
    check_all(LCF_PRECISION_F32);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++)
        if (lcf_bf16_has((lcf_bf16_unit)unit)) {
            lcf_bf16_force((lcf_bf16_unit)unit);
            check_all(LCF_PRECISION_BF16);
        }
    lcf_bf16_force_none();
}

/* A row's products alone are those that it has among others, to the bit. */
static void test_rows(void **state)
{
    enum { M = 70, N = 45, K = 77, LD = 96 };
    static uint16_t left[M * LD], right[64 * (K + 1)];
    static float all[M * N], some[M * N];

    (void)state;
    lcf_rng_seed(&rng, 8, 0);
    fill(M, N, K);
    lcf_left(LCF_PRECISION_BF16, left, LD, a, K, M, K);
    lcf_right(LCF_PRECISION_BF16, right, b, N, false, K, N);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++) {
        if (!lcf_bf16_has((lcf_bf16_unit)unit))
            continue;
        lcf_bf16_force((lcf_bf16_unit)unit);
        lcf_product(LCF_PRECISION_BF16, all, N, left, LD, right, M, N, K, false);
        for (size_t m = 1; m < M; m++) {
            const size_t from = (m * 29) % (M - m);

            lcf_product(LCF_PRECISION_BF16, some, N, left + from * LD, LD, right, m, N, K, false);
            assert_memory_equal(some, all + from * N, m * N * sizeof(*some));
        }
    }
    lcf_bf16_force_none();
}

/* What is asked for ahead changes no result, and is asked for once, row after row. */
static void test_ahead(void **state)
{
    enum { M = 70, N = 45, K = 77, LD = 96 };
    static uint16_t left[M * LD], right[64 * (K + 1)];
    static float all[M * N], some[M * N];

    (void)state;
    lcf_rng_seed(&rng, 9, 0);
    fill(M, N, K);
    lcf_left(LCF_PRECISION_BF16, left, LD, a, K, M, K);
    lcf_right(LCF_PRECISION_BF16, right, b, N, false, K, N);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++) {
        lcf_ahead ahead = {(const char *)a, M, K * sizeof(*a), K * sizeof(*a), 0};

        if (!lcf_bf16_has((lcf_bf16_unit)unit))
            continue;
        lcf_bf16_force((lcf_bf16_unit)unit);
        lcf_product(LCF_PRECISION_BF16, all, N, left, LD, right, M, N, K, false);
        for (size_t i = 0; i < M; i++) {
            const size_t before = ahead.rows;

            lcf_product_ahead(LCF_PRECISION_BF16, some, N, left, LD, right, M, N, K, false, &ahead);
            assert_memory_equal(some, all, sizeof(all));
            assert_true(unit == LCF_BF16_AVX512 ? ahead.rows < before || !before : ahead.rows == M);
            assert_true(!ahead.rows ||
                        ahead.row == (const char *)a + (M - ahead.rows) * ahead.stride);
        }
    }
    lcf_bf16_force_none();
}

/* ---- what layers are made of ---- */

/* Panels of x [k, n], made of the rows of a left operand; free() releases them. */
static uint16_t *panels_of(const float *x, size_t k, size_t n)
{
    const size_t elements = lcf_right_n(LCF_PRECISION_BF16, k, n);
    uint16_t *left = left_operand(LCF_PRECISION_BF16, x, k, n),
             *panels = lcf_alloc_aligned(2 * elements, sizeof(*panels));

    assert_non_null(panels);
    lcf_bf16_panels_of_left(panels, left, lcf_left_ld(n), k, n);
    lcf_right(LCF_PRECISION_BF16, panels + elements, x, n, false, k, n);
    assert_memory_equal(panels, panels + elements, elements * sizeof(*panels));
    free(left);
    return panels;
}

/* What becomes of a product's sums, against the same done to the sums alone. */
static void check_end(size_t m, size_t n, size_t k)
{
    static float sums[MAX * MAX], c[MAX * MAX], bias[MAX], onto[MAX * MAX];
    const size_t ld = lcf_left_ld(n);
    uint16_t *mask, *written = lcf_alloc_aligned(m * ld, sizeof(*written)), *left, *right;

    fill(m, n, k);
    left = left_operand(LCF_PRECISION_BF16, a, m, k);
    right = panels_of(b, k, n);
    for (size_t i = 0; i < m * n; i++)
        onto[i] = (float)lcf_rng_normal(&rng);
    memcpy(bias, onto + m * n / 2, n * sizeof(*bias));
    mask = left_operand(LCF_PRECISION_BF16, onto, m, n);
    lcf_product(LCF_PRECISION_BF16, sums, n, left, lcf_left_ld(k), right, m, n, k, false);
    for (unsigned parts = 0; parts < 32; parts++) {
        const lcf_bf16_end end = {.bias = parts & 1 ? bias : NULL,
                                  .onto = parts & 2 ? onto : NULL,
                                  .onto_ld = n,
                                  .relu = parts & 4,
                                  .mask = parts & 8 ? mask : NULL,
                                  .mask_ld = ld,
                                  .c = parts & 16 ? NULL : c,
                                  .c_ld = n,
                                  .left = written,
                                  .left_ld = ld};

        memset(written, 0xff, m * ld * sizeof(*written));
        lcf_bf16_product(&end, left, lcf_left_ld(k), right, m, n, k);
        for (size_t i = 0; i < m * n; i++) {
            float want = sums[i] + (end.bias ? bias[i % n] : 0.0f);

            want = end.onto ? onto[i] + want : want;
            want = end.relu && !(want > 0.0f) ? 0.0f : want;
            want = end.mask && !(held(LCF_PRECISION_BF16, onto[i]) > 0.0f) ? 0.0f : want;
            assert_true(!end.c || c[i] == want);
            assert_true(widen(written[i / n * ld + i % n]) == held(LCF_PRECISION_BF16, want));
        }
        for (size_t i = 0; i < m && n % 2; i++)
            assert_int_equal(written[i * ld + n], 0);
    }
    free(left);
    free(right);
    free(mask);
    free(written);
}

/* A^T B and sums of columns from panels, against sums in double of what these hold. */
static void check_across(size_t m, size_t n, size_t k)
{
    static float c[MAX * MAX], sums[MAX];
    uint16_t *left, *right;

    fill(m, n, k);
    left = panels_of(a_t, k, m);
    right = panels_of(b, k, n);
    for (int add = 0; add < 2; add++) {
        for (size_t i = 0; i < m * n; i++)
            c[i] = add ? 1.0f : NAN;
        lcf_bf16_across(c, n, left, right, m, n, k, add);
        for (size_t i = 0; i < m * n; i++) {
            double want = add, size = 1;

            for (size_t p = 0; p < k; p++) {
                const double x = (double)held(LCF_PRECISION_BF16, a_t[p * m + i / n]) *
                                 held(LCF_PRECISION_BF16, b[p * n + i % n]);

                want += x;
                size += fabs(x);
            }
            assert_true(fabs(want - c[i]) < tolerance_of(LCF_PRECISION_BF16) * size);
        }
    }
    for (size_t j = 0; j < n; j++)
        sums[j] = 1.0f;
    lcf_bf16_column_sums(sums, right, k, n);
    for (size_t j = 0; j < n; j++) {
        double want = 1, size = 1;

        for (size_t p = 0; p < k; p++) {
            want += held(LCF_PRECISION_BF16, b[p * n + j]);
            size += fabsf(b[p * n + j]);
        }
        assert_true(fabs(want - sums[j]) < 1e-6 * size);
    }
    free(left);
    free(right);
}

static void test_layers(void **state)
{
    (void)state;
    lcf_rng_seed(&rng, 9, 0);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++) {
        if (!lcf_bf16_has((lcf_bf16_unit)unit))
            continue;
        lcf_bf16_force((lcf_bf16_unit)unit);
        for (size_t i = 0; i < 6; i++) {
            check_end(size_up_to(120), size_up_to(100), size_up_to(100));
            check_across(size_up_to(100), size_up_to(100), size_up_to(MAX));
        }
        check_end(96, 64, 64);
        check_end(109, 33, 66); /* more rows than AMX has room for */
        check_across(64, 96, 128);
        check_across(33, 35, 601); /* deeper than AMX turns at a time */
    }
    lcf_bf16_force_none();
}

/* Rounding to bf16 is the portable one's, to the bit; denormals are zero. */
static void test_rounding(void **state)
{
    enum { N = 4000 };
    static float x[N];
    static uint16_t fast[N], portable[N];

    (void)state;
    lcf_rng_seed(&rng, 6, 0);
    for (size_t i = 0; i < N; i++) {
        uint32_t bits = (uint32_t)lcf_rng_below(&rng, UINT32_MAX);
        memcpy(&x[i], &bits, sizeof(bits));
    }
    x[0] = 0.0f, x[1] = -0.0f, x[2] = INFINITY, x[3] = -INFINITY, x[4] = 1e-40f, x[5] = 3.4e38f;
    lcf_left(LCF_PRECISION_BF16, fast, N, x, N, 1, N);
    lcf_bf16_force(LCF_BF16_PORTABLE);
    lcf_left(LCF_PRECISION_BF16, portable, N, x, N, 1, N);
    lcf_bf16_force_none();
    for (size_t i = 0; i < N; i++) {
        if (isnan(x[i])) {
            assert_true(isnan(widen(fast[i])) && isnan(widen(portable[i])));
            continue;
        }
        assert_int_equal(fast[i], portable[i]);
        if (isnormal(x[i]) && isfinite(widen(fast[i])))
            assert_true(fabsf(widen(fast[i]) - x[i]) <= ldexpf(fabsf(x[i]), -8));
    }
}

/* ---- softmax ---- */

/* A row's softmax from three parts, against the same in double. */
static void check_softmax(lcf_precision precision)
{
    enum { N = 123, PARTS = 3, TARGET = 70 };
    static const size_t begins[PARTS + 1] = {0, 41, 90, N};
    const double within = precision == LCF_PRECISION_F32 ? 1e-6 : 0x1p-8;
    char kept[N * sizeof(float)], left[(N + 1) * sizeof(float)];
    float x[N], used[N], part[PARTS];
    double whole = 0;

    for (size_t i = 0; i < N; i++) {
        x[i] = 4.0f * (float)lcf_rng_normal(&rng);
        whole += exp(x[i]);
    }
    whole = log(whole);
    memcpy(used, x, sizeof(used));
    for (size_t p = 0; p < PARTS; p++)
        part[p] = lcf_softmax_keep(precision, kept + begins[p] * lcf_operand_bytes(precision),
                                   used + begins[p], begins[p + 1] - begins[p]);
    for (size_t p = 0; p < PARTS; p++) {
        const size_t n = begins[p + 1] - begins[p];
        double sum = 0;

        lcf_softmax_left(precision, left, kept + begins[p] * lcf_operand_bytes(precision), n,
                         part[p], (float)whole, TARGET - begins[p]);
        for (size_t i = 0; i < n; i++) {
            const double want = exp(x[begins[p] + i] - whole);
            const bool target = begins[p] + i == TARGET;
            const float y = precision == LCF_PRECISION_F32 ? ((const float *)(void *)left)[i]
                                                           : widen(((uint16_t *)(void *)left)[i]);

            sum += exp(x[begins[p] + i]);
            assert_true(fabs(want - target - y) < within * (want + target) + 1e-9);
        }
        assert_true(fabs(log(sum) - part[p]) < 1e-5);
        if (precision == LCF_PRECISION_BF16 && n % 2)
            assert_int_equal(((uint16_t *)(void *)left)[n], 0);
    }
}

/* One logit that is none, or infinite, is seen in the log sum and in every gradient. */
static void check_broken(lcf_precision precision, float broken)
{
    enum { N = 45 };
    float x[N], part;
    char kept[N * sizeof(float)], left[(N + 1) * sizeof(float)];

    for (size_t at = 0; at < N; at++) {
        for (size_t i = 0; i < N; i++)
            x[i] = i == at ? broken : (float)lcf_rng_normal(&rng);
        part = lcf_softmax_keep(precision, kept, x, N);
        assert_false(isfinite(part));
        lcf_softmax_left(precision, left, kept, N, part, part, N);
        for (size_t i = 0; i < N; i++)
            assert_true(isnan(precision == LCF_PRECISION_F32
                                  ? ((const float *)(void *)left)[i]
                                  : widen(((uint16_t *)(void *)left)[i])));
    }
}

static void check_all_softmax(lcf_precision precision)
{
    check_softmax(precision);
    check_broken(precision, NAN);
    check_broken(precision, INFINITY);
}

static void test_softmax(void **state)
{
    (void)state;
    lcf_rng_seed(&rng, 10, 0);
    check_all_softmax(LCF_PRECISION_F32);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++)
        if (lcf_bf16_has((lcf_bf16_unit)unit)) {
            lcf_bf16_force((lcf_bf16_unit)unit);
            check_all_softmax(LCF_PRECISION_BF16);
        }
    lcf_bf16_force_none();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_rows), cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_layers),   cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_softmax),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
