/*
 * Every kernel against its reference twin, at every instruction set this processor has, over random
 * shapes with tails. Tolerances: relative to the magnitude of the sum that a value comes from.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/columns.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/reference.h"
#include "common/math/rows.h"

#include <dirent.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 25

static lcf_rng rng;

static float *numbers(size_t n)
{
    float *x = lcf_alloc(n ? n : 1, sizeof(*x));
    size_t i;

    assert_non_null(x);
    for (i = 0; i < n; i++)
        x[i] = (float)lcf_rng_normal(&rng);
    return x;
}

static float *copy_of(const float *x, size_t n)
{
    float *copy = lcf_alloc(n ? n : 1, sizeof(*copy));

    assert_non_null(copy);
    memcpy(copy, x, n * sizeof(*x));
    return copy;
}

static size_t size_up_to(size_t max)
{
    return 1 + (size_t)lcf_rng_below(&rng, max);
}

static void assert_close(const float *got, const float *want, size_t n, double tolerance)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * (1.0 + fabs(want[i]))))
            fail_msg("element %zu of %zu: %.9g, the reference has %.9g", i, n, got[i], want[i]);
}

/* A product of k terms of size 1: rounding grows with the root of k. */
#define PRODUCT_TOLERANCE 3e-5

/* Runs `body` at every level, several rounds each, from the same seed. */
static void at_every_level(void (*body)(void))
{
    int level, round;

    for (level = LCF_SIMD_BASELINE; level <= (int)lcf_simd_best(); level++) {
        lcf_simd_force((lcf_simd_level)level);
        lcf_rng_seed(&rng, 7, 0);
        for (round = 0; round < ROUNDS; round++)
            body();
    }
}

static void gemm_once(void)
{
    bool ta = lcf_rng_below(&rng, 2), tb = lcf_rng_below(&rng, 2);
    size_t m = size_up_to(90), n = size_up_to(70), k = size_up_to(350),
           pad = lcf_rng_below(&rng, 3);
    size_t lda = (ta ? m : k) + pad, ldb = (tb ? k : n) + pad, ldc = n + pad;
    float alpha = lcf_rng_below(&rng, 2) ? 1.0f : 0.5f, beta = (float)lcf_rng_below(&rng, 2);
    float *a = numbers((ta ? k : m) * lda), *b = numbers((tb ? n : k) * ldb), *c = numbers(m * ldc);
    float *want = copy_of(c, m * ldc);

    lcf_gemm(c, a, b, ta, tb, m, n, k, alpha, beta, lda, ldb, ldc);
    lcf_ref_gemm(want, a, b, ta, tb, m, n, k, alpha, beta, lda, ldb, ldc);
    assert_close(c, want, m * ldc, PRODUCT_TOLERANCE); /* the padding too: it must be untouched */
    free(a);
    free(b);
    free(c);
    free(want);
}

static void linear_once(void)
{
    size_t n = size_up_to(70), in = size_up_to(80), out = size_up_to(40);
    float *x = numbers(n * in), *w = numbers(out * in), *bias = numbers(out);
    float *y = numbers(n * out), *want = numbers(n * out);
    const float *maybe = lcf_rng_below(&rng, 2) ? bias : NULL;

    lcf_linear(y, x, w, maybe, n, in, out);
    lcf_ref_linear(want, x, w, maybe, n, in, out);
    assert_close(y, want, n * out, PRODUCT_TOLERANCE);
    free(x);
    free(w);
    free(bias);
    free(y);
    free(want);
}

static void vectors_once(void)
{
    size_t n = size_up_to(200);
    float *a = numbers(n), *b = numbers(n), *c = copy_of(b, n), want, got;
    double sums[LCF_SQUARE_SUMS] = {1.0}, wanted[LCF_SQUARE_SUMS] = {1.0};

    want = lcf_ref_dot(a, b, n);
    got = lcf_dot(a, b, n);
    assert_close(&got, &want, 1, 2e-5);
    lcf_axpy(b, 0.3f, a, n);
    lcf_ref_axpy(c, 0.3f, a, n);
    assert_close(b, c, n, 1e-6);
    lcf_square_sums(sums, a, n);
    lcf_ref_square_sums(wanted, a, n);
    assert_memory_equal(sums, wanted, sizeof(sums));
    lcf_normalize(b, n);
    lcf_ref_normalize(c, n);
    assert_close(b, c, n, 1e-6);
    memset(b, 0, n * sizeof(*b));
    lcf_normalize(b, n);
    assert_true(b[0] == 0.0f && b[n - 1] == 0.0f);
    free(a);
    free(b);
    free(c);
}

/* A random matrix of some 3 elements a row, empty rows among them. */
static void sparse_once(void)
{
    const size_t rows = size_up_to(20), columns = size_up_to(20), d = size_up_to(80);
    uint32_t begin[21] = {0}, column[20 * 6];
    float *value = numbers(20 * 6), *x = numbers(rows * d), *z = numbers(columns * d);
    float *y = numbers(rows * d), *want = numbers(rows * d);
    const lcf_csr a = {rows, begin, column, value};

    for (size_t i = 0; i < rows; i++) {
        begin[i + 1] = begin[i] + (uint32_t)lcf_rng_below(&rng, 7);
        for (uint32_t e = begin[i]; e < begin[i + 1]; e++)
            column[e] = (uint32_t)lcf_rng_below(&rng, columns);
    }
    lcf_csr_multiply_add(y, &a, x, z, d);
    lcf_ref_csr_multiply_add(want, &a, x, z, d);
    assert_close(y, want, rows * d, 1e-5);
    free(value);
    free(x);
    free(z);
    free(y);
    free(want);
}

static void hamming_once(void)
{
    const size_t n = lcf_rng_below(&rng, 40), bytes = size_up_to(lcf_rng_below(&rng, 2) ? 8 : 40);
    uint8_t codes[40 * 40], code[40];
    uint32_t got[40], want[40];

    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t)lcf_rng_below(&rng, 256);
    for (size_t i = 0; i < bytes; i++)
        code[i] = (uint8_t)lcf_rng_below(&rng, 256);
    if (n)
        memcpy(code, codes, bytes); /* one that is the same */
    lcf_hamming(got, code, codes, n, bytes);
    lcf_ref_hamming(want, code, codes, n, bytes);
    assert_memory_equal(got, want, n * sizeof(*got));
    assert_true(!n || got[0] == 0);
}

static void elementwise_once(void)
{
    static void (*const fast[])(float *, const float *, size_t) = {lcf_exp, lcf_sigmoid, lcf_tanh,
                                                                   lcf_relu};
    static void (*const reference[])(float *, const float *, size_t) = {
        lcf_ref_exp, lcf_ref_sigmoid, lcf_ref_tanh, lcf_ref_relu};
    size_t n = size_up_to(300), f, i;
    float *x = numbers(n), *y = numbers(n), *want = numbers(n);

    for (i = 0; i < n; i++)
        x[i] *= 12.0f;
    for (f = 0; f < sizeof(fast) / sizeof(fast[0]); f++) {
        fast[f](y, x, n);
        reference[f](want, x, n);
        assert_close(y, want, n, 4e-7);
    }
    free(x);
    free(y);
    free(want);
}

static void softmax_once(void)
{
    size_t rows = size_up_to(4), n = size_up_to(150), i;
    float *x = numbers(rows * n), *want;

    for (i = 0; i < rows * n; i++)
        x[i] *= 5.0f;
    want = copy_of(x, rows * n);
    lcf_softmax(x, rows, n);
    lcf_ref_softmax(want, rows, n);
    assert_close(x, want, rows * n, 1e-6);
    free(x);
    free(want);
}

static void rmsnorm_once(void)
{
    size_t rows = size_up_to(5), n = size_up_to(100);
    float *x = numbers(rows * n), *w = numbers(n), *dy = numbers(rows * n);
    float *y = numbers(rows * n), *want = numbers(rows * n);
    float *dx = numbers(rows * n), *dw = numbers(n), *dx2 = copy_of(dx, rows * n),
          *dw2 = copy_of(dw, n);

    lcf_rmsnorm(y, x, w, rows, n, 1e-5f);
    lcf_ref_rmsnorm(want, x, w, rows, n, 1e-5f);
    assert_close(y, want, rows * n, 1e-6);
    lcf_rmsnorm_backward(dx, NULL, dy, x, w, rows, n, 1e-5f);
    lcf_rmsnorm_backward(NULL, dw, dy, x, w, rows, n, 1e-5f);
    lcf_ref_rmsnorm_backward(dx2, dw2, dy, x, w, rows, n, 1e-5f);
    assert_close(dx, dx2, rows * n, 3e-5);
    assert_close(dw, dw2, n, 1e-5);
    free(x);
    free(w);
    free(dy);
    free(y);
    free(want);
    free(dx);
    free(dw);
    free(dx2);
    free(dw2);
}

static void layernorm_once(void)
{
    size_t rows = size_up_to(5), n = 1 + size_up_to(100);
    float *x = numbers(rows * n), *w = numbers(n), *bias = numbers(n), *dy = numbers(rows * n);
    float *y = numbers(rows * n), *want = numbers(rows * n), *dx = numbers(rows * n),
          *dw = numbers(n), *db = numbers(n);
    float *dx2 = copy_of(dx, rows * n), *dw2 = copy_of(dw, n), *db2 = copy_of(db, n);

    lcf_layernorm(y, x, w, bias, rows, n, 0.1f);
    lcf_ref_layernorm(want, x, w, bias, rows, n, 0.1f);
    assert_close(y, want, rows * n, 1e-5);
    lcf_layernorm_backward(dx, NULL, NULL, dy, x, w, rows, n, 0.1f);
    lcf_layernorm_backward(NULL, dw, NULL, dy, x, w, rows, n, 0.1f);
    lcf_layernorm_backward(NULL, NULL, db, dy, x, w, rows, n, 0.1f);
    lcf_ref_layernorm_backward(dx2, dw2, db2, dy, x, w, rows, n, 0.1f);
    assert_close(dx, dx2, rows * n, 3e-5);
    assert_close(dw, dw2, n, 1e-5);
    assert_close(db, db2, n, 1e-5);
    free(x);
    free(w);
    free(bias);
    free(dy);
    free(y);
    free(want);
    free(dx);
    free(dw);
    free(db);
    free(dx2);
    free(dw2);
    free(db2);
}

static void dropout_once(void)
{
    size_t n = size_up_to(400), split = (size_t)lcf_rng_below(&rng, n + 1);
    float *x = numbers(n), *want = numbers(n);
    uint64_t key = lcf_rng_u64(&rng);
    uint32_t first = (uint32_t)lcf_rng_u64(&rng);

    lcf_ref_dropout(want, x, n, key, first, 0.25);
    lcf_dropout(x, x, split, key, first, 1u << 30, 1.0f / 0.75f);
    lcf_dropout(x + split, x + split, n - split, key, first + (uint32_t)split, 1u << 30,
                1.0f / 0.75f);
    assert_close(x, want, n, 1e-6);
    free(x);
    free(want);
}

/* Lots of one key are even and do not follow each other; those of two keys are not alike. */
static void test_dropout_lots(void **state)
{
    enum { N = 200000, KEYS = 4, AHEAD = 70 };
    const uint64_t keys[KEYS] = {0, 1, 1ull << 32, 0x123456789abcdef0u};
    const double p = 0.3, bound = 5 / sqrt(N); /* five standard errors of a correlation */
    float *x = calloc(N, sizeof(*x)), *y = calloc((size_t)KEYS * N, sizeof(*y));

    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = 1.0f;
    for (size_t k = 0; k < KEYS; k++) {
        lcf_dropout(y + k * N, x, N, keys[k], 0, (uint32_t)(p * 4294967296.0), 1.0f);
        for (size_t i = 0; i < N; i++)
            y[k * N + i] = (float)((y[k * N + i] - (1 - p)) / sqrt(p * (1 - p)));
    }
    for (size_t k = 0; k < KEYS; k++) {
        double mean = 0;
        for (size_t i = 0; i < N; i++)
            mean += y[k * N + i] / N;
        assert_true(fabs(mean) < bound);
        for (size_t ahead = 1; ahead <= AHEAD; ahead++)
            assert_true(fabs(lcf_dot(y + k * N, y + k * N + ahead, N - ahead)) < bound * N);
        for (size_t other = 0; other < k; other++)
            assert_true(fabs(lcf_dot(y + k * N, y + other * N, N)) < bound * N);
    }
    free(x);
    free(y);
}

static void swiglu_once(void)
{
    size_t n = size_up_to(200);
    float *gate = numbers(n), *up = numbers(n), *dy = numbers(n), *y = numbers(n),
          *want = numbers(n);
    float *dg = numbers(n), *du = numbers(n), *dg2 = copy_of(dg, n), *du2 = copy_of(du, n);
    float *dg3 = copy_of(dg, n), *du3 = copy_of(du, n);

    lcf_swiglu(y, gate, up, n);
    lcf_ref_swiglu(want, gate, up, n);
    assert_close(y, want, n, 1e-6);
    lcf_ref_swiglu_backward(dg2, du2, dy, gate, up, n);
    lcf_swiglu_backward(dg, du, dy, gate, up, n);
    assert_close(dg, dg2, n, 2e-6);
    assert_close(du, du2, n, 2e-6);
    lcf_swiglu_backward(dg3, NULL, dy, gate, up, n);
    lcf_swiglu_backward(NULL, du3, dy, gate, up, n);
    assert_close(dg3, dg2, n, 2e-6);
    assert_close(du3, du2, n, 2e-6);
    free(gate);
    free(up);
    free(dy);
    free(y);
    free(want);
    free(dg);
    free(du);
    free(dg2);
    free(du2);
    free(dg3);
    free(du3);
}

static void cross_entropy_once(void)
{
    size_t n = size_up_to(400), target = (size_t)lcf_rng_below(&rng, n);
    float *x = numbers(n), *grad = numbers(n), *want = numbers(n), loss, loss2, loss3;

    loss = lcf_cross_entropy(grad, x, target, n, 0.25f);
    loss2 = lcf_cross_entropy(NULL, x, target, n, 0.25f);
    loss3 = lcf_ref_cross_entropy(want, x, target, n, 0.25f);
    assert_close(&loss, &loss3, 1, 2e-6);
    assert_close(&loss2, &loss3, 1, 2e-6);
    assert_close(grad, want, n, 1e-6);
    free(x);
    free(grad);
    free(want);
}

static void rope_once(void)
{
    size_t heads = size_up_to(5), hd = 2 * size_up_to(20), position = lcf_rng_below(&rng, 500), i;
    float *x = numbers(heads * hd), *want = copy_of(x, heads * hd), *back = copy_of(x, heads * hd);
    float angles[40];

    lcf_rope_angles(angles, hd, position, 10000.0f);
    lcf_rope_rotate(x, heads, hd, angles, false);
    lcf_ref_rope(want, heads, hd, position, 10000.0f);
    assert_close(x, want, heads * hd, 1e-6);
    lcf_rope_rotate(x, heads, hd, angles, true);
    for (i = 0; i < heads * hd; i++)
        assert_true(fabsf(x[i] - back[i]) < 1e-5f);
    free(x);
    free(want);
    free(back);
}

/* None; in runs; scattered; or two that take turns, so that a later row of a block sees further
 * back than an earlier one. */
static uint32_t *segments_of(size_t batch, size_t t)
{
    uint32_t *segments = lcf_alloc(batch * t, sizeof(*segments)), segment = 0;
    uint64_t kind = lcf_rng_below(&rng, 4);
    size_t period = 15 + (size_t)lcf_rng_below(&rng, 15), i;

    assert_non_null(segments);
    for (i = 0; i < batch * t; i++) {
        segment += lcf_rng_below(&rng, 8) == 0;
        segments[i] = kind == 1 ? segment : (uint32_t)lcf_rng_below(&rng, 3);
        if (kind == 3)
            segments[i] = (uint32_t)(i % t / period % 2);
    }
    if (kind == 0) {
        free(segments);
        return NULL;
    }
    return segments;
}

/* precision bf16: operands are rounded, and so are probabilities and their gradients. */
static void attention_in(lcf_precision precision)
{
    const bool bf16 = precision == LCF_PRECISION_BF16;
    size_t group = size_up_to(3), kv = size_up_to(3), hd = 4 * size_up_to(10);
    lcf_attention_shape s = {size_up_to(2), size_up_to(75), kv * group, kv, hd, NULL, precision};
    size_t q_n = s.batch * s.t * s.heads * hd, kv_n = s.batch * s.t * kv * hd;
    uint32_t *segments = segments_of(s.batch, s.t);
    float *q = numbers(q_n), *k = numbers(kv_n), *v = numbers(kv_n), *dout = numbers(q_n);
    float *out = numbers(q_n), *want = numbers(q_n), *lse = numbers(s.batch * s.heads * s.t);
    float *dq = numbers(q_n), *dk = numbers(kv_n), *dv = numbers(kv_n);
    float *dq2 = copy_of(dq, q_n), *dk2 = copy_of(dk, kv_n), *dv2 = copy_of(dv, kv_n);
    float *scratch = numbers(lcf_attention_scratch_n(&s));

    s.segments = segments;
    lcf_attention(out, lse, q, k, v, &s, scratch);
    lcf_ref_attention(want, q, k, v, &s);
    assert_close(out, want, q_n, bf16 ? 2e-2 : 1e-5);
    lcf_attention_backward(dq, dk, dv, dout, out, lse, q, k, v, &s, scratch);
    lcf_ref_attention_backward(dq2, dk2, dv2, dout, q, k, v, &s);
    assert_close(dq, dq2, q_n, bf16 ? 3e-2 : 5e-5);
    assert_close(dk, dk2, kv_n, bf16 ? 3e-2 : 5e-5);
    assert_close(dv, dv2, kv_n, bf16 ? 3e-2 : 5e-5);
    free(segments);
    free(q);
    free(k);
    free(v);
    free(dout);
    free(out);
    free(want);
    free(lse);
    free(dq);
    free(dk);
    free(dv);
    free(dq2);
    free(dk2);
    free(dv2);
    free(scratch);
}

static void attention_once(void)
{
    attention_in(LCF_PRECISION_F32);
}

static void test_attention_bf16(void **state)
{
    (void)state;
    lcf_rng_seed(&rng, 7, 0);
    for (int unit = LCF_BF16_PORTABLE; unit <= LCF_BF16_AMX; unit++) {
        if (!lcf_bf16_has((lcf_bf16_unit)unit))
            continue;
        lcf_bf16_force((lcf_bf16_unit)unit);
        for (size_t round = 0; round < ROUNDS / 4; round++)
            attention_in(LCF_PRECISION_BF16);
    }
    lcf_bf16_force_none();
}

static void bias_backward_once(void)
{
    const size_t rows = size_up_to(40), n = size_up_to(150);
    float *dy = numbers(rows * n), *dy2 = copy_of(dy, rows * n), *y = numbers(rows * n);
    float *db = numbers(n), *db2 = copy_of(db, n);
    const bool relu = lcf_rng_below(&rng, 2), bias = lcf_rng_below(&rng, 4);

    lcf_bias_backward(bias ? db : NULL, dy, relu ? y : NULL, rows, n);
    lcf_ref_bias_backward(bias ? db2 : NULL, dy2, relu ? y : NULL, rows, n);
    assert_close(dy, dy2, rows * n, 0);
    assert_close(db, db2, n, 1e-5);
    free(dy);
    free(dy2);
    free(y);
    free(db);
    free(db2);
}

static void adam_once(void)
{
    size_t n = size_up_to(100), i;
    lcf_adam_scalars s = {0.9f, 0.1f, 0.999f, 0.001f, 0.01f, 0.5f, 1e-8f, 0.99f, 0.01f, 0.7f};
    float *p = numbers(n), *m = numbers(n), *v = numbers(n), *g = numbers(n);
    float *p2 = copy_of(p, n), *m2 = copy_of(m, n), *v2;

    for (i = 0; i < n; i++)
        v[i] = fabsf(v[i]);
    v2 = copy_of(v, n);
    lcf_adam_kernel(p, m, v, g, n, &s);
    lcf_ref_adam_kernel(p2, m2, v2, g, n, &s);
    assert_close(p, p2, n, 1e-6);
    assert_close(m, m2, n, 1e-6);
    assert_close(v, v2, n, 1e-6);
    free(p);
    free(m);
    free(v);
    free(g);
    free(p2);
    free(m2);
    free(v2);
}

static void rounded_products_once(void)
{
    const size_t in = 1 + size_up_to(90), out = 1 + size_up_to(11);
    float *x = numbers(in), *w = numbers(out * in), *y = numbers(out), *want = numbers(out);
    float *scale = numbers(out);
    int16_t *rounded = malloc(out * in * sizeof(*rounded));

    for (size_t i = 0; i < out * in; i++) {
        rounded[i] = (int16_t)lrintf(w[i] * 3000);
        w[i] = (float)rounded[i];
    }
    lcf_rounded_products(y, x, rounded, scale, in, out);
    lcf_ref_linear(want, x, w, NULL, 1, in, out);
    for (size_t j = 0; j < out; j++) {
        y[j] /= 3000;
        want[j] *= scale[j] / 3000;
    }
    assert_close(y, want, out, 1e-4);
    free(x);
    free(w);
    free(y);
    free(want);
    free(scale);
    free(rounded);
}

static void rows_sum_once(void)
{
    enum { PARTS = 3, ROWS = 9, IDS = 20 };
    const size_t width = size_up_to(70), ld = width + size_up_to(5), parts_n = size_up_to(PARTS);
    float *tables[PARTS], *y = numbers(IDS * ld), *want = numbers(IDS * width);
    uint32_t ids[PARTS][IDS];
    lcf_rows_part parts[PARTS];

    for (size_t part = 0; part < parts_n; part++) {
        tables[part] = numbers(ROWS * width);
        for (size_t i = 0; i < IDS; i++) {
            ids[part][i] = (uint32_t)lcf_rng_below(&rng, ROWS);
            for (size_t d = 0; d < width; d++)
                want[i * width + d] =
                    tables[part][ids[part][i] * width + d] + (part ? want[i * width + d] : 0.0f);
        }
        parts[part] = (lcf_rows_part){tables[part], ids[part]};
    }
    lcf_rows_sum(y, ld, parts, parts_n, IDS, width);
    for (size_t i = 0; i < IDS; i++)
        assert_close(y + i * ld, want + i * width, width, 0);
    for (size_t part = 0; part < parts_n; part++)
        free(tables[part]);
    free(y);
    free(want);
}

/* ---- columns ---- */

/* A matrix of rows [n, features] as columns with `ld` between its rows, and back. */
static float *turned(const float *rows, size_t n, size_t features, size_t ld)
{
    float *x = numbers(features * ld);

    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < features; f++)
            x[f * ld + i] = rows[i * features + f];
    return x;
}

static void assert_columns(const float *x, size_t ld, const float *rows, size_t n, size_t features,
                           double tolerance)
{
    float *got = numbers(n * features);

    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < features; f++)
            got[i * features + f] = x[f * ld + i];
    assert_close(got, rows, n * features, tolerance);
    free(got);
}

static void columns_linear_once(void)
{
    const size_t n = LCF_COLUMNS * size_up_to(8), in = size_up_to(70), out = size_up_to(60);
    const size_t ld = n + LCF_COLUMNS;
    float *rows = numbers(n * in), *x = turned(rows, n, in, ld), *w = numbers(out * in);
    float *y = numbers((out + 1) * ld), *before = copy_of(y, (out + 1) * ld);
    float *want = numbers(n * out);

    lcf_ref_linear(want, rows, w, NULL, n, in, out);
    lcf_columns_linear(y, ld, x, ld, w, n, in, out, false);
    assert_columns(y, ld, want, n, out, 1e-5);
    lcf_columns_linear(y, ld, x, ld, w, n, in, out, true);
    for (size_t i = 0; i < n * out; i++)
        want[i] *= 2;
    assert_columns(y, ld, want, n, out, 1e-5);
    assert_memory_equal(y + out * ld, before + out * ld, ld * sizeof(*y));
    free(rows);
    free(x);
    free(w);
    free(y);
    free(before);
    free(want);
}

static void columns_rmsnorm_once(void)
{
    const size_t n = LCF_COLUMNS * size_up_to(4), features = size_up_to(50);
    float *rows = numbers(n * features), *x = turned(rows, n, features, n), *w = numbers(features);
    float *want = numbers(n * features);

    lcf_ref_rmsnorm(want, rows, w, n, features, 1e-5f);
    lcf_columns_rmsnorm(x, n, x, n, w, features, n, 1e-5f);
    assert_columns(x, n, want, n, features, 1e-5);
    free(rows);
    free(x);
    free(w);
    free(want);
}

static void columns_gather_once(void)
{
    const size_t features = size_up_to(70), ld = 3 * LCF_COLUMNS;
    float *rows = numbers(LCF_COLUMNS * features), *x = numbers(features * ld);
    float *back = numbers(LCF_COLUMNS * features), *to[LCF_COLUMNS];
    const float *from[LCF_COLUMNS];

    for (size_t c = 0; c < LCF_COLUMNS; c++) {
        from[c] = rows + (c * 5 % LCF_COLUMNS) * features; /* anywhere */
        to[c] = back + (c * 5 % LCF_COLUMNS) * features;
    }
    lcf_columns_gather(x, ld, from, features);
    for (size_t c = 0; c < LCF_COLUMNS; c++)
        for (size_t f = 0; f < features; f++)
            assert_true(x[f * ld + c] == from[c][f]);
    lcf_columns_scatter(to, x, ld, features);
    assert_memory_equal(back, rows, LCF_COLUMNS * features * sizeof(*back));
    free(rows);
    free(x);
    free(back);
}

/* Sequences of t tokens as they lie in columns: token i of case c is column i LCF_COLUMNS + c. */
static float *turned_cases(const float *const *cases, size_t t, size_t width)
{
    float *x = numbers(width * t * LCF_COLUMNS);

    for (size_t c = 0; c < LCF_COLUMNS; c++)
        for (size_t i = 0; i < t; i++)
            for (size_t f = 0; f < width; f++)
                x[f * t * LCF_COLUMNS + i * LCF_COLUMNS + c] = cases[c][i * width + f];
    return x;
}

/* What tokens from `begin` on of case `c` read: head h of the values moved on by `shift` heads. */
static void check_attended(const float *out, const float *q, const float *k, const float *v,
                           const lcf_attention_shape *s, size_t c, size_t begin, size_t shift,
                           bool whole)
{
    const size_t heads = s->heads, hd = s->head_dim, width = heads * hd;
    const size_t ld = s->t * LCF_COLUMNS;
    float *moved = numbers(s->t * width), *want = numbers(s->t * width), got, wanted;

    for (size_t i = 0; i < s->t * heads; i++)
        memcpy(moved + i * hd, v + (i / heads * heads + (i + shift) % heads) * hd,
               hd * sizeof(*moved));
    lcf_ref_attention(want, q, k, moved, s);
    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < hd; d++)
            for (size_t i = begin; i < s->t; i++) {
                const size_t row = whole ? h * width + (h + shift) % heads * hd : h * hd;

                got = out[(row + d) * ld + (i - begin) * LCF_COLUMNS + c];
                wanted = want[i * width + h * hd + d];
                assert_true(fabsf(got - wanted) <= 1e-5f * (1 + fabsf(wanted)));
            }
    free(moved);
    free(want);
}

/* RoPE and attention of the last tokens, against those of each case alone. */
static void columns_attend_once(void)
{
    const size_t heads = size_up_to(3), hd = 2 * size_up_to(10), t = size_up_to(20);
    const size_t width = heads * hd, begin = size_up_to(t) - 1, ld = t * LCF_COLUMNS;
    const lcf_attention_shape s = {1, t, heads, heads, hd, NULL, LCF_PRECISION_F32};
    const lcf_columns_shape all = {heads, hd, 0, t}, asking = {heads, hd, begin, t};
    const bool whole = lcf_rng_below(&rng, 2);
    float *out = numbers(heads * width * ld), *scratch = numbers(ld), *angles = numbers(t * hd);
    float *parts[3][LCF_COLUMNS], *x[3];

    for (size_t part = 0; part < 3; part++) {
        for (size_t c = 0; c < LCF_COLUMNS; c++)
            parts[part][c] = numbers(t * width);
        x[part] = turned_cases((const float *const *)parts[part], t, width);
    }
    for (size_t i = 0; i < t; i++)
        lcf_rope_angles(angles + i * hd, hd, i, 100.0f);
    lcf_columns_rope(x[0] + begin * LCF_COLUMNS, ld, angles, &asking, 1.0f / sqrtf((float)hd));
    lcf_columns_rope(x[1], ld, angles, &all, 1.0f);
    lcf_columns_attend(out, ld, x[0] + begin * LCF_COLUMNS, ld, x[1], ld, x[2], ld, &asking,
                       whole ? width : hd, whole, scratch);
    for (size_t c = 0; c < LCF_COLUMNS; c++) {
        for (size_t i = 0; i < t; i++) {
            lcf_ref_rope(parts[0][c] + i * width, heads, hd, i, 100.0f);
            lcf_ref_rope(parts[1][c] + i * width, heads, hd, i, 100.0f);
        }
        for (size_t shift = 0; shift < (whole ? heads : 1); shift++)
            check_attended(out, parts[0][c], parts[1][c], parts[2][c], &s, c, begin, shift, whole);
    }
    for (size_t part = 0; part < 3; part++) {
        for (size_t c = 0; c < LCF_COLUMNS; c++)
            free(parts[part][c]);
        free(x[part]);
    }
    free(out);
    free(scratch);
    free(angles);
}

/* ---- packed products ---- */

static void check_packed(size_t n, size_t in, size_t out)
{
    float *x = numbers(n * 40), *w = numbers(out * 40), *bias = numbers(out);
    float y[20 * 100], before[20 * 100], packed[96 * 40] = {0};

    for (size_t i = 0; i < sizeof(y) / sizeof(*y); i++)
        y[i] = 7;
    assert_true(lcf_packed_n(in, out) <= sizeof(packed) / sizeof(*packed));
    lcf_pack(packed, w, 40, 0, in, out / 3);
    lcf_pack(packed, w + out / 3 * 40, 40, out / 3, in, out - out / 3);
    for (unsigned flags = 0; flags < 4; flags++) {
        const float *added = lcf_rng_below(&rng, 2) ? bias : NULL;

        memcpy(before, y, sizeof(y));
        lcf_packed_linear(y, 100, x, 40, packed, added, n, in, out, flags);
        for (size_t i = 0; i < n; i++) {
            for (size_t o = 0; o < out; o++) {
                double wanted = flags & LCF_PACKED_ADD ? before[i * 100 + o] : 0;

                wanted += added ? added[o] : 0;
                for (size_t k = 0; k < in; k++)
                    wanted += (double)x[i * 40 + k] * w[o * 40 + k];
                if (flags & LCF_PACKED_RELU && wanted < 0)
                    wanted = 0;
                assert_true(fabs(y[i * 100 + o] - wanted) < 1e-4);
            }
            for (size_t o = out; o < 100; o++)
                assert_true(y[i * 100 + o] == 7);
        }
    }
    free(bias);
    free(x);
    free(w);
}

static void packed_once(void)
{
    static const size_t OUT[] = {1, 8, 31, 32, 33, 48, 64, 90};

    for (size_t n = 1; n <= 20; n += 1 + lcf_rng_below(&rng, 5))
        for (size_t i = 0; i < sizeof(OUT) / sizeof(*OUT); i++)
            check_packed(n, 2 * n - n % 2, OUT[i]);
}

static void gelu_once(void)
{
    const size_t n = 1 + size_up_to(600); /* more than a block */
    float *x = numbers(n), *dy = numbers(n), *y = numbers(n), *want = numbers(n), *dx = numbers(n);
    float *dx2 = copy_of(dx, n);

    for (size_t i = 0; i < n; i++)
        x[i] *= 8.0f;
    lcf_gelu(y, x, n);
    lcf_ref_gelu(want, x, n);
    assert_close(y, want, n, 2e-6);
    lcf_gelu_backward(dx, dy, x, n);
    lcf_ref_gelu_backward(dx2, dy, x, n);
    assert_close(dx, dx2, n, 2e-6);
    free(x);
    free(dy);
    free(y);
    free(want);
    free(dx);
    free(dx2);
}

#define LEVEL_TEST(name)                  \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        at_every_level(name##_once);      \
    }
LEVEL_TEST(gemm)
LEVEL_TEST(linear)
LEVEL_TEST(vectors)
LEVEL_TEST(sparse)
LEVEL_TEST(hamming)
LEVEL_TEST(elementwise)
LEVEL_TEST(softmax)
LEVEL_TEST(rmsnorm)
LEVEL_TEST(layernorm)
LEVEL_TEST(gelu)
LEVEL_TEST(dropout)
LEVEL_TEST(swiglu)
LEVEL_TEST(cross_entropy)
LEVEL_TEST(rope)
LEVEL_TEST(attention)
LEVEL_TEST(adam)
LEVEL_TEST(bias_backward)
LEVEL_TEST(packed)
LEVEL_TEST(rounded_products)
LEVEL_TEST(rows_sum)
LEVEL_TEST(columns_linear)
LEVEL_TEST(columns_rmsnorm)
LEVEL_TEST(columns_gather)
LEVEL_TEST(columns_attend)

static void test_exp_ends(void **state)
{
    float x[6] = {-INFINITY, -1000.0f, 0.0f, 88.0f, NAN, -80.0f}, y[6];
    int level;

    (void)state;
    for (level = 0; level <= (int)lcf_simd_best(); level++) {
        lcf_simd_force((lcf_simd_level)level);
        lcf_exp(y, x, 6);
        assert_true(y[0] == 0.0f && y[1] == 0.0f && y[2] == 1.0f);
        assert_true(fabs(y[3] / exp(88.0) - 1) < 1e-6 && isnan(y[4]));
        assert_true(fabs(y[5] / exp(-80.0) - 1) < 1e-6);
    }
}

/* ctest does not go through lcf_cli_start, so only the name is certain here. */
static void test_blas_core_is_named(void **state)
{
    bool fast;

    (void)state;
    assert_true(strlen(lcf_blas_core(&fast)) > 0);
    assert_string_equal(lcf_blas_core(NULL), lcf_blas_core(&fast));
}

extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int threads);

/* Threads of this process. */
static size_t threads_now(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t n = 0;

    assert_non_null(tasks);
    for (struct dirent *e; (e = readdir(tasks));)
        n += e->d_name[0] != '.';
    closedir(tasks);
    return n;
}

/* A program that links us may have set OpenMP to many threads: a product starts none, and leaves
 * the setting as it was. */
static void test_gemm_starts_no_threads(void **state)
{
    enum { M = 32, N = 512, K = 512 };
    float *a = calloc(M * K, sizeof(*a)), *b = calloc(N * K, sizeof(*b)),
          *c = malloc(M * N * sizeof(*c));
    size_t before = threads_now();
    int setting = omp_get_max_threads();

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    omp_set_num_threads(4);
    lcf_gemm(c, a, b, false, true, M, N, K, 1.0f, 0.0f, K, K, N); /* goes to OpenBLAS */
    assert_int_equal(threads_now(), before);
    assert_int_equal(omp_get_max_threads(), 4);
    omp_set_num_threads(setting);
    free(a);
    free(b);
    free(c);
}

/* Wherever it stands: among those that are looked at together, or behind them. */
static void test_all_finite(void **state)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float x[40] = {0};

    (void)state;
    for (size_t n = 0; n <= 40; n++) {
        for (size_t i = 0; i < n; i++)
            x[i] = i % 3 ? -FLT_MAX : FLT_MAX;
        assert_true(lcf_all_finite(x, n));
        for (size_t i = 0; i < n; i++)
            for (size_t b = 0; b < 4; b++) {
                const float kept = x[i];

                x[i] = bad[b];
                assert_false(lcf_all_finite(x, n));
                x[i] = kept;
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_starts_no_threads),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_hamming),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_dropout_lots),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_bf16),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_bias_backward),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_rounded_products),
        cmocka_unit_test(test_rows_sum),
        cmocka_unit_test(test_columns_linear),
        cmocka_unit_test(test_columns_rmsnorm),
        cmocka_unit_test(test_columns_gather),
        cmocka_unit_test(test_columns_attend),
        cmocka_unit_test(test_exp_ends),
        cmocka_unit_test(test_blas_core_is_named),
        cmocka_unit_test(test_all_finite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
