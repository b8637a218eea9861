/*
 * Randomised truncated SVD. Invariant: every entry of every product is summed by one task in one
 * order, so that the number of threads changes nothing.
 */
#include "offline/encode/svd.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/kernels.h"
#include "offline/encode/lapack.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OVERSAMPLE = 16,
    ROWS_PER_TASK = 64,
    COLS_PER_TASK = 512,
    GRAM_ROWS = 2048, /* rows turned to double at a time */
};
#define RANK_TOLERANCE 1e-5 /* of the largest singular value: f32 products resolve no more */

typedef struct svd {
    const lcf_sparse *a;
    /* The same by columns. */
    uint64_t *col_begin;
    uint32_t *row;
    float *value;
    size_t width; /* columns of the random matrix */
    float *x;     /* [cols, width] */
    float *y;     /* [rows, width] */
    uint64_t seed;
    lcf_pool *pool;
} svd;

static size_t tasks_of(size_t n, size_t per_task)
{
    return (n + per_task - 1) / per_task;
}

static lcf_status transpose(svd *s, lcf_err *err)
{
    const lcf_sparse *a = s->a;
    size_t nonzeros = (size_t)a->begin[a->rows];
    uint64_t *at;

    s->col_begin = lcf_alloc_zero(a->cols + 2, sizeof(*s->col_begin));
    s->row = lcf_alloc(nonzeros + 1, sizeof(*s->row));
    s->value = lcf_alloc(nonzeros + 1, sizeof(*s->value));
    if (!s->col_begin || !s->row || !s->value)
        return LCF_FAIL(err, LCF_ENOMEM, "sparse matrix of %zu entries", nonzeros);
    at = s->col_begin + 1; /* counts, then beginnings, then ends: shifted by one in the end */
    for (size_t i = 0; i < nonzeros; i++)
        at[a->col[i] + 1]++;
    for (size_t c = 0; c < a->cols; c++)
        at[c + 1] += at[c];
    for (size_t r = 0; r < a->rows; r++)
        for (uint64_t i = a->begin[r]; i < a->begin[r + 1]; i++) {
            uint64_t to = at[a->col[i]]++;
            s->row[to] = (uint32_t)r;
            s->value[to] = a->value[i];
        }
    return LCF_OK;
}

static lcf_status random_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    svd *s = arg;
    size_t begin = task * COLS_PER_TASK, end = begin + COLS_PER_TASK;
    lcf_rng rng;

    (void)worker;
    (void)err;
    lcf_rng_seed(&rng, s->seed, task);
    end = end < s->a->cols ? end : s->a->cols;
    for (size_t i = begin * s->width; i < end * s->width; i++)
        s->x[i] = (float)lcf_rng_normal(&rng);
    return LCF_OK;
}

/* y = A x */
static lcf_status times_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    svd *s = arg;
    size_t begin = task * ROWS_PER_TASK, end = begin + ROWS_PER_TASK;

    (void)worker;
    (void)err;
    end = end < s->a->rows ? end : s->a->rows;
    for (size_t r = begin; r < end; r++) {
        float *to = s->y + r * s->width;
        memset(to, 0, s->width * sizeof(*to));
        for (uint64_t i = s->a->begin[r]; i < s->a->begin[r + 1]; i++)
            lcf_axpy(to, s->a->value[i], s->x + s->a->col[i] * s->width, s->width);
    }
    return LCF_OK;
}

/* x = A^T y */
static lcf_status transposed_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    svd *s = arg;
    size_t begin = task * COLS_PER_TASK, end = begin + COLS_PER_TASK;

    (void)worker;
    (void)err;
    end = end < s->a->cols ? end : s->a->cols;
    for (size_t c = begin; c < end; c++) {
        float *to = s->x + c * s->width;
        memset(to, 0, s->width * sizeof(*to));
        for (uint64_t i = s->col_begin[c]; i < s->col_begin[c + 1]; i++)
            lcf_axpy(to, s->value[i], s->y + s->row[i] * s->width, s->width);
    }
    return LCF_OK;
}

static lcf_status times(svd *s, lcf_err *err)
{
    return lcf_pool_run(s->pool, tasks_of(s->a->rows, ROWS_PER_TASK), times_task, s, err);
}

static lcf_status times_transposed(svd *s, lcf_err *err)
{
    return lcf_pool_run(s->pool, tasks_of(s->a->cols, COLS_PER_TASK), transposed_task, s, err);
}

/* Replaces the columns of y by an orthonormal basis of their span. y [rows, width] by row is a
 * width x rows matrix by column, whose rows an LQ factorisation makes orthonormal. */
static lcf_status orthonormalize(svd *s, lcf_err *err)
{
    int m = (int)s->width, n = (int)s->a->rows, info = 0, query = -1, size;
    float *tau = lcf_alloc(s->width, sizeof(*tau)), *work = NULL, best[2] = {0, 0};
    lcf_status status = LCF_OK;

    sgelqf_(&m, &n, s->y, &m, tau, &best[0], &query, &info);
    sorglq_(&m, &n, &m, s->y, &m, tau, &best[1], &query, &info);
    size = (int)(best[0] > best[1] ? best[0] : best[1]) + m;
    work = lcf_alloc((size_t)size, sizeof(*work));
    if (!tau || !work) {
        status = LCF_FAIL(err, LCF_ENOMEM, "LQ factorisation of %d x %d", m, n);
        goto done;
    }
    sgelqf_(&m, &n, s->y, &m, tau, work, &size, &info);
    if (!info)
        sorglq_(&m, &n, &m, s->y, &m, tau, work, &size, &info);
    if (info)
        status = LCF_FAIL(err, LCF_EINVAL, "LQ factorisation of %d x %d: info %d", m, n, info);
done:
    free(tau);
    free(work);
    return status;
}

/* gram [width, width] = x^T x, in double. */
static lcf_status gram_of(double *gram, const svd *s, lcf_err *err)
{
    int width = (int)s->width;
    double *block = lcf_alloc(s->width * GRAM_ROWS, sizeof(*block));

    if (!block)
        return LCF_FAIL(err, LCF_ENOMEM, "Gram matrix of width %d", width);
    memset(gram, 0, s->width * s->width * sizeof(*gram));
    for (size_t at = 0; at < s->a->cols; at += GRAM_ROWS) {
        size_t n = s->a->cols - at < GRAM_ROWS ? s->a->cols - at : GRAM_ROWS;
        for (size_t i = 0; i < n * s->width; i++)
            block[i] = (double)s->x[at * s->width + i];
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, width, width, (int)n, 1.0, block,
                    width, block, width, 1.0, gram, width);
    }
    free(block);
    return LCF_OK;
}

static lcf_status eigen(double *vectors, double *values, size_t width, lcf_err *err)
{
    int n = (int)width, info = 0, size = -1;
    double best = 0, *work;

    dsyev_("V", "U", &n, vectors, &n, values, &best, &size, &info, 1, 1);
    size = (int)best + 3 * n;
    work = lcf_alloc((size_t)size, sizeof(*work));
    if (!work)
        return LCF_FAIL(err, LCF_ENOMEM, "eigenvectors of %d x %d", n, n);
    dsyev_("V", "U", &n, vectors, &n, values, work, &size, &info, 1, 1);
    free(work);
    return info ? LCF_FAIL(err, LCF_EINVAL, "eigenvectors of %d x %d: info %d", n, n, info)
                : LCF_OK;
}

static void fix_signs(float *v, size_t cols, size_t dim)
{
    for (size_t j = 0; j < dim; j++) {
        float most = 0;
        for (size_t c = 0; c < cols; c++)
            if (fabsf(v[c * dim + j]) > fabsf(most))
                most = v[c * dim + j];
        for (size_t c = 0; most < 0 && c < cols; c++)
            v[c * dim + j] = -v[c * dim + j];
    }
}

/* With x = A^T Q: A ~ Q x^T, and x^T x = W diag(sigma^2) W^T gives V = x W diag(1 / sigma). */
static lcf_status right_vectors(float *v, float *sigma, const svd *s, size_t dim, lcf_err *err)
{
    size_t width = s->width;
    double *gram = lcf_alloc(width * width, sizeof(*gram));
    double *values = lcf_alloc(width, sizeof(*values)), largest;
    float *rotation = lcf_alloc_zero(width * dim, sizeof(*rotation));
    lcf_status status;

    if (!gram || !values || !rotation) {
        status = LCF_FAIL(err, LCF_ENOMEM, "rotation of width %zu", width);
        goto done;
    }
    status = gram_of(gram, s, err);
    if (!status)
        status = eigen(gram, values, width, err);
    if (status)
        goto done;
    largest = sqrt(values[width - 1] > 0 ? values[width - 1] : 0);
    memset(sigma, 0, dim * sizeof(*sigma));
    for (size_t j = 0; j < dim && j < width; j++) { /* eigenvalues ascend */
        size_t from = width - 1 - j;
        double value = sqrt(values[from] > 0 ? values[from] : 0);
        if (value <= RANK_TOLERANCE * largest)
            break;
        sigma[j] = (float)value;
        for (size_t i = 0; i < width; i++)
            rotation[i * dim + j] = (float)(gram[from * width + i] / value);
    }
    lcf_gemm(v, s->x, rotation, false, false, s->a->cols, dim, width, 1, 0, width, dim, dim);
    fix_signs(v, s->a->cols, dim);
done:
    free(gram);
    free(values);
    free(rotation);
    return status;
}

static lcf_status prepare(svd *s, size_t dim, lcf_err *err)
{
    const lcf_sparse *a = s->a;
    size_t smaller = a->rows < a->cols ? a->rows : a->cols, x_n, y_n;

    if (!smaller || !dim || a->rows > INT_MAX || a->cols > INT_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "SVD of a %zu x %zu matrix in %zu dimensions", a->rows,
                        a->cols, dim);
    s->width = dim + OVERSAMPLE < smaller ? dim + OVERSAMPLE : smaller;
    if (lcf_mul_size(&x_n, a->cols, s->width) && lcf_mul_size(&y_n, a->rows, s->width)) {
        s->x = lcf_alloc_aligned(x_n, sizeof(*s->x));
        s->y = lcf_alloc_aligned(y_n, sizeof(*s->y));
    }
    if (!s->x || !s->y)
        return LCF_FAIL(err, LCF_ENOMEM, "SVD of a %zu x %zu matrix", a->rows, a->cols);
    return transpose(s, err);
}

lcf_status lcf_svd_truncated(float *v, float *sigma, const lcf_sparse *a, size_t dim,
                             size_t iterations, uint64_t seed, lcf_pool *pool, lcf_err *err)
{
    svd s = {.a = a, .seed = seed, .pool = pool};
    lcf_status status = prepare(&s, dim, err);

    if (!status)
        status = lcf_pool_run(pool, tasks_of(a->cols, COLS_PER_TASK), random_task, &s, err);
    for (size_t i = 0; i <= iterations && !status; i++) {
        status = times(&s, err);
        if (!status)
            status = orthonormalize(&s, err);
        if (!status)
            status = times_transposed(&s, err);
    }
    if (!status)
        status = right_vectors(v, sigma, &s, dim, err);
    free(s.col_begin);
    free(s.row);
    free(s.value);
    free(s.x);
    free(s.y);
    return status;
}
