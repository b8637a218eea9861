/* The randomised SVD against a dense eigendecomposition of A^T A. */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/encode/lapack.h"
#include "offline/encode/svd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 90, COLS = 70, DIM = 12 };

typedef struct matrix {
    double dense[ROWS * COLS];
    uint64_t begin[ROWS + 1];
    uint32_t col[ROWS * COLS];
    float value[ROWS * COLS];
    lcf_sparse a;
} matrix;

/* A sparse matrix of rank `rank` or less: rows are scaled copies of few sparse rows. */
static void matrix_init(matrix *m, size_t rank, uint64_t seed)
{
    lcf_rng rng;
    uint64_t n = 0;

    memset(m, 0, sizeof(*m));
    lcf_rng_seed(&rng, seed, 0);
    for (size_t r = 0; r < ROWS; r++) {
        m->begin[r] = n;
        for (size_t c = 0; c < COLS; c++) {
            lcf_rng entry;
            double scale = 1.0 + (double)(r / rank) * 0.25;
            lcf_rng_seed(&entry, seed + 1 + (r % rank), c);
            if (lcf_rng_f64(&entry) > 0.3)
                continue;
            m->col[n] = (uint32_t)c;
            /* falling scale of the base rows: a decaying spectrum */
            m->value[n] = (float)(scale * lcf_rng_normal(&entry) / (1.0 + (double)(r % rank)));
            m->dense[r * COLS + c] = m->value[n++];
        }
    }
    m->begin[ROWS] = n;
    m->a = (lcf_sparse){ROWS, COLS, m->begin, m->col, m->value};
}

/* Singular values by the eigenvalues of A^T A, falling. */
static void dense_sigma(double sigma[COLS], const matrix *m)
{
    double gram[COLS * COLS], values[COLS], work[4 * COLS];
    int n = COLS, size = 4 * COLS, info = 1;

    for (size_t i = 0; i < COLS; i++)
        for (size_t j = 0; j < COLS; j++) {
            double sum = 0;
            for (size_t r = 0; r < ROWS; r++)
                sum += m->dense[r * COLS + i] * m->dense[r * COLS + j];
            gram[i * COLS + j] = sum;
        }
    dsyev_("N", "U", &n, gram, &n, values, work, &size, &info, 1, 1);
    assert_int_equal(info, 0);
    for (size_t i = 0; i < COLS; i++)
        sigma[i] = sqrt(values[COLS - 1 - i] > 0 ? values[COLS - 1 - i] : 0);
}

static double column_dot(const float *v, size_t i, size_t j)
{
    double sum = 0;

    for (size_t c = 0; c < COLS; c++)
        sum += (double)v[c * DIM + i] * v[c * DIM + j];
    return sum;
}

static void test_against_dense(void **state)
{
    static matrix m;
    float v[COLS * DIM], sigma[DIM];
    double want[COLS], captured = 0, best = 0;
    lcf_pool *pool;

    (void)state;
    matrix_init(&m, 60, 3);
    dense_sigma(want, &m);
    assert_int_equal(lcf_pool_create(&pool, 2, NULL), LCF_OK);
    assert_int_equal(lcf_svd_truncated(v, sigma, &m.a, DIM, 4, 1, pool, NULL), LCF_OK);
    for (size_t j = 0; j < DIM; j++) {
        assert_true(fabs(sigma[j] - want[j]) < 2e-3 * want[0]);
        for (size_t i = 0; i <= j; i++)
            assert_true(fabs(column_dot(v, i, j) - (i == j)) < 1e-4);
    }
    /* the subspace: |A V|^2 is what the best one captures */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t j = 0; j < DIM; j++) {
            double sum = 0;
            for (size_t c = 0; c < COLS; c++)
                sum += m.dense[r * COLS + c] * v[c * DIM + j];
            captured += sum * sum;
        }
    for (size_t j = 0; j < DIM; j++)
        best += want[j] * want[j];
    assert_true(captured > 0.999 * best && captured < 1.0001 * best);
    lcf_pool_free(pool);
}

static void test_low_rank(void **state)
{
    static matrix m;
    float v[COLS * DIM], sigma[DIM];
    lcf_pool *pool;

    (void)state;
    matrix_init(&m, 5, 8);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    assert_int_equal(lcf_svd_truncated(v, sigma, &m.a, DIM, 2, 1, pool, NULL), LCF_OK);
    for (size_t j = 0; j < DIM; j++) {
        assert_int_equal(sigma[j] > 0, j < 5);
        assert_true(fabs(column_dot(v, j, j) - (j < 5)) < 1e-4);
    }
    lcf_pool_free(pool);
}

static void test_threads_change_nothing(void **state)
{
    static matrix m;
    float a[COLS * DIM], b[COLS * DIM], sigma[DIM];
    lcf_pool *one, *three;

    (void)state;
    matrix_init(&m, 40, 5);
    assert_int_equal(lcf_pool_create(&one, 1, NULL), LCF_OK);
    assert_int_equal(lcf_pool_create(&three, 3, NULL), LCF_OK);
    assert_int_equal(lcf_svd_truncated(a, sigma, &m.a, DIM, 2, 1, one, NULL), LCF_OK);
    assert_int_equal(lcf_svd_truncated(b, sigma, &m.a, DIM, 2, 1, three, NULL), LCF_OK);
    assert_memory_equal(a, b, sizeof(a));
    lcf_pool_free(one);
    lcf_pool_free(three);
}

static void test_out_of_memory(void **state)
{
    static matrix m;
    float v[COLS * DIM], sigma[DIM];
    lcf_pool *pool;
    lcf_status status;
    uint64_t n = 0;

    (void)state;
    matrix_init(&m, 40, 5);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    do {
        lcf_alloc_fail_at(++n);
        status = lcf_svd_truncated(v, sigma, &m.a, DIM, 1, 1, pool, NULL);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    } while (status && n < 100);
    assert_int_equal(status, LCF_OK);
    assert_true(n > 5);
    lcf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_dense),
        cmocka_unit_test(test_low_rank),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
