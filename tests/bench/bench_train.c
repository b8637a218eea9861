/*
 * Training speed of the default RecGen-LLaMA: 192 wide, 6 layers, 6 heads over 3, ffn 512,
 * vocabulary 4096, 16 sequences of 320 random tokens a step.
 *
 *     bench_train [STEPS [THREADS]]     stdout: name,value,unit (median over the steps)
 *
 * The floor is 6 floating-point operations per parameter and token (Kaplan et al. 2020; the
 * embedding counts once, as the output matrix) at the speed of OpenBLAS measured here on one
 * thread, times the threads.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/math/kernels.h"
#include "offline/llama/llama_train.h"

#include <stdio.h>
#include <stdlib.h>

#define SEQS 16
#define LENGTH 320
#define WARM_UP 2
#define STEPS_MAX 200
#define GEMM_N 768
#define GEMM_ROUNDS 15

static const lcf_llama_config config = {.vocab_n = 4096,
                                        .dim = 192,
                                        .layers_n = 6,
                                        .heads_n = 6,
                                        .kv_heads_n = 3,
                                        .head_dim = 32,
                                        .ffn_dim = 512,
                                        .context_n = 512,
                                        .rope_theta = 10000.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = true};

static void fail(const char *what)
{
    fprintf(stderr, "bench_train: %s\n", what);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[n / 2];
}

/* GFLOP/s of one thread on a square product. */
static double gemm_speed(void)
{
    size_t n = GEMM_N, i;
    float *a = lcf_alloc_aligned(n * n, sizeof(*a)), *b = lcf_alloc_aligned(n * n, sizeof(*b));
    float *c = lcf_alloc_aligned(n * n, sizeof(*c));
    double seconds[GEMM_ROUNDS];

    if (!a || !b || !c)
        fail("out of memory");
    for (i = 0; i < n * n; i++)
        a[i] = b[i] = 1.0f / (float)(1 + i % 97);
    for (i = 0; i < GEMM_ROUNDS; i++) {
        double start = lcf_clock_s();

        lcf_gemm(c, a, b, false, true, n, n, n, 1.0f, 0.0f, n, n, n);
        seconds[i] = lcf_clock_s() - start;
    }
    free(a);
    free(b);
    free(c);
    return 2e-9 * (double)n * (double)n * (double)n / median(seconds, GEMM_ROUNDS);
}

static double train_speed(lcf_llama_trainer *t, lcf_pool *pool, size_t steps)
{
    static uint32_t tokens[SEQS][LENGTH];
    static int32_t targets[SEQS][LENGTH];
    lcf_train_seq seqs[SEQS];
    double seconds[STEPS_MAX], loss;
    size_t step, s, i;
    lcf_rng rng;

    lcf_rng_seed(&rng, 1, 0);
    for (s = 0; s < SEQS; s++) {
        for (i = 0; i < LENGTH; i++) {
            tokens[s][i] = (uint32_t)lcf_rng_below(&rng, config.vocab_n);
            targets[s][i] = (int32_t)lcf_rng_below(&rng, config.vocab_n);
        }
        seqs[s] = (lcf_train_seq){tokens[s], targets[s], NULL, NULL, LENGTH};
    }
    for (step = 0; step < steps + WARM_UP; step++) {
        double start = lcf_clock_s();

        if (lcf_llama_trainer_step(&loss, t, seqs, SEQS, pool, NULL))
            fail("a step failed");
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    return SEQS * LENGTH / median(seconds, steps);
}

int main(int argc, char **argv)
{
    size_t steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *t;
    double gflops, floor_speed, speed;
    lcf_pool *pool;

    lcf_cli_start(argc, argv);
    if (!steps || steps > STEPS_MAX) {
        fprintf(stderr, "usage: bench_train [STEPS, 1 to %d [THREADS]]\n", STEPS_MAX);
        return 2;
    }
    lcf_flush_denormals();
    if (lcf_pool_create(&pool, threads, NULL) ||
        lcf_llama_trainer_create(&t, &config, &options, NULL))
        fail("out of memory");
    gflops = gemm_speed();
    speed = train_speed(t, pool, steps);
    floor_speed = gflops * 1e9 * (double)lcf_pool_threads(pool) /
                  (6.0 * (double)lcf_llama_trainer_params(t)->values_n);
    printf("train_llama_parameters,%zu,parameters\n", lcf_llama_trainer_params(t)->values_n);
    printf("train_llama_threads,%zu,threads\n", lcf_pool_threads(pool));
    printf("sgemm_%d_%s,%.1f,GFLOP/s\n", GEMM_N, lcf_blas_core(NULL), gflops);
    printf("train_llama,%.0f,tokens/s\n", speed);
    printf("train_llama_at_sgemm_speed,%.0f,tokens/s\n", floor_speed);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
    return 0;
}
