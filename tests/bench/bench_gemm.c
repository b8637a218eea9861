/*
 * Our matrix product against OpenBLAS's, one thread, at the shapes that the networks here use:
 * forward (y = x w^T), gradient of the input (dx = dy w) and of the weight (dw += dy^T x). Where
 * lcf_gemm draws its line between the two.
 *
 *     bench_gemm [ROUNDS]     CSV on stdout: rows,in,out,product,GFLOP/s by OpenBLAS,GFLOP/s by
 * ours
 *
 * The best of the rounds counts: the machine may be shared.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/math/simd.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    size_t rows, in, out;
} shape;

static const shape shapes[] = {{32, 192, 512}, {512, 192, 512}, {512, 192, 4096},
                               {3328, 32, 64}, {256, 200, 80},  {64, 64, 64}};

enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, PRODUCTS };
static const char *const product_names[PRODUCTS] = {"forward", "input_gradient", "weight_gradient"};

static void by_blas(float *x, float *w, float *y, int product, const shape *s)
{
    blasint n = (blasint)s->rows, in = (blasint)s->in, out = (blasint)s->out;

    if (product == FORWARD)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, out, in, 1, x, in, w, in, 0, y,
                    out);
    else if (product == INPUT_GRADIENT)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, in, out, 1, y, out, w, in, 0, x,
                    in);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, n, 1, y, out, x, in, 1, w,
                    in);
}

static void by_ours(float *x, float *w, float *y, int product, const shape *s)
{
    const lcf_simd *simd = lcf_simd_get();

    if (product == FORWARD)
        simd->gemm(y, s->out, x, s->in, 1, w, 1, s->in, s->rows, s->out, s->in, 1, false);
    else if (product == INPUT_GRADIENT)
        simd->gemm(x, s->in, y, s->out, 1, w, s->in, 1, s->rows, s->in, s->out, 1, false);
    else
        simd->gemm(w, s->in, y, 1, s->out, x, s->in, 1, s->out, s->in, s->rows, 1, true);
}

static void report(const char *name, void (*run)(float *, float *, float *, int, const shape *),
                   float *x, float *w, float *y, int product, const shape *s, size_t rounds)
{
    double best = 0;
    size_t i;

    for (i = 0; i < rounds; i++) {
        double start = lcf_clock_s(), rate;

        run(x, w, y, product, s);
        rate = 2e-9 * (double)s->rows * (double)s->in * (double)s->out / (lcf_clock_s() - start);
        best = rate > best ? rate : best;
    }
    printf("gemm_%s_%zux%zux%zu_%s,%.1f,GFLOP/s\n", product_names[product], s->rows, s->in, s->out,
           name, best);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20, room = (size_t)1 << 22, i;
    float *x, *w, *y;
    int product;

    lcf_cli_start(argc, argv);
    x = lcf_alloc_aligned(room, sizeof(*x));
    w = lcf_alloc_aligned(room, sizeof(*w));
    y = lcf_alloc_aligned(room, sizeof(*y));
    if (!x || !w || !y) {
        fputs("bench_gemm: out of memory\n", stderr);
        return 1;
    }
    memset(x, 0, room * sizeof(*x));
    memset(w, 0, room * sizeof(*w));
    memset(y, 0, room * sizeof(*y));
    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (product = 0; product < PRODUCTS; product++) {
            report("openblas", by_blas, x, w, y, product, &shapes[i], rounds);
            report("ours", by_ours, x, w, y, product, &shapes[i], rounds);
        }
    free(x);
    free(w);
    free(y);
    return 0;
}
