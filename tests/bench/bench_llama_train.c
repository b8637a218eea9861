/*
 * Training speed of LLaMAs on made-up tokens, full-parameter, one batch a step.
 *
 *     bench_llama_train [SHAPE PRECISION [STEPS [THREADS]]]     stdout: name,value,unit
 *
 * SHAPE is demo (192 wide, vocabulary 4096, 16 x 320 tokens), 15m or 110m (vocabulary 32000, 4 x
 * 256 tokens), or 124m (the sizes, vocabulary and number of parameters of GPT-2's smallest and the
 * 4 x 64 tokens of llm.c); PRECISION f32 or bf16. Without them: demo, 15m and 110m in both.
 *
 * Speed is the median over the steps, peak memory the process's (VmHWM). The ceilings are 6
 * floating-point operations per parameter and token (Kaplan et al. 2020; the embedding counts once,
 * as the output matrix) at the speed of a product that stays in the cache, measured here on one
 * thread, times the threads. twin_llama.sh runs PyTorch beside it, train_peers.sh
 * llm.c and llama.cpp.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/math/kernels.h"
#include "offline/llama/llama_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 1
#define STEPS_MAX 200
#define TOKENS_MAX (16 * 320)
#define PRODUCT_M 960
#define PRODUCT_N 128
#define PRODUCT_K 288
#define PRODUCT_ROUNDS 50

typedef struct shape {
    const char *name;
    size_t vocab_n, dim, layers_n, heads_n, kv_heads_n, ffn_dim, seqs, length;
} shape;

static const shape shapes[] = {
    {"demo", 4096, 192, 6, 6, 3, 512, 16, 320},
    {"15m", 32000, 288, 6, 6, 6, 768, 4, 256},
    {"110m", 32000, 768, 12, 12, 12, 2048, 4, 256},
    {"124m", 50257, 768, 12, 12, 12, 2048, 4, 64},
};

static const char *const precisions[] = {"f32", "bf16"};

static void fail(const char *what)
{
    fprintf(stderr, "bench_llama_train: %s\n", what);
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

static void *room(size_t n, size_t size)
{
    void *p = lcf_alloc_aligned(n, size);

    if (!p)
        fail("out of memory");
    memset(p, 0, n * size);
    return p;
}

/* FLOP/s of one thread on a product of training, operands in order. */
static double product_speed(lcf_precision precision)
{
    const size_t ld = lcf_left_ld(PRODUCT_K);
    void *a = room(PRODUCT_M * ld, sizeof(float));
    void *b = room(lcf_right_n(precision, PRODUCT_K, PRODUCT_N), sizeof(float));
    float *c = room((size_t)PRODUCT_M * PRODUCT_N, sizeof(*c));
    double seconds[PRODUCT_ROUNDS];

    for (size_t i = 0; i < PRODUCT_ROUNDS; i++) {
        double start = lcf_clock_s();

        lcf_product(precision, c, PRODUCT_N, a, ld, b, PRODUCT_M, PRODUCT_N, PRODUCT_K, false);
        seconds[i] = lcf_clock_s() - start;
    }
    free(a);
    free(b);
    free(c);
    return 2.0 * PRODUCT_M * PRODUCT_N * PRODUCT_K / median(seconds, PRODUCT_ROUNDS);
}

/* The peak so far, and from now on counted afresh. */
static double peak_mib(void)
{
    FILE *status = fopen("/proc/self/status", "r"), *clear;
    char line[256];
    double kib = 0;

    while (status && fgets(line, sizeof(line), status))
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    if (status)
        fclose(status);
    clear = fopen("/proc/self/clear_refs", "w");
    if (clear) {
        fputs("5", clear);
        fclose(clear);
    }
    return kib / 1024;
}

static double train_speed(lcf_llama_trainer *t, const shape *s, lcf_pool *pool, size_t steps)
{
    static uint32_t tokens[TOKENS_MAX];
    static int32_t targets[TOKENS_MAX];
    lcf_train_seq seqs[16];
    double seconds[STEPS_MAX], loss;
    lcf_rng rng;

    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < s->seqs * s->length; i++) {
        tokens[i] = (uint32_t)lcf_rng_below(&rng, s->vocab_n);
        targets[i] = (int32_t)lcf_rng_below(&rng, s->vocab_n);
    }
    for (size_t i = 0; i < s->seqs; i++)
        seqs[i] =
            (lcf_train_seq){tokens + i * s->length, targets + i * s->length, NULL, NULL, s->length};
    for (size_t step = 0; step < steps + WARM_UP; step++) {
        double start = lcf_clock_s();

        if (lcf_llama_trainer_step(&loss, t, seqs, s->seqs, pool, NULL))
            fail("a step failed");
        if (step >= WARM_UP)
            seconds[step - WARM_UP] = lcf_clock_s() - start;
    }
    return (double)(s->seqs * s->length) / median(seconds, steps);
}

static void measure(const shape *s, lcf_precision precision, size_t steps, lcf_pool *pool)
{
    const lcf_llama_config config = {.vocab_n = s->vocab_n,
                                     .dim = s->dim,
                                     .layers_n = s->layers_n,
                                     .heads_n = s->heads_n,
                                     .kv_heads_n = s->kv_heads_n,
                                     .head_dim = s->dim / s->heads_n,
                                     .ffn_dim = s->ffn_dim,
                                     .context_n = 512,
                                     .rope_theta = 10000.0f,
                                     .norm_eps = 1e-5f,
                                     .tied = true};
    lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    const char *name = precisions[precision];
    lcf_llama_trainer *t;
    size_t all, trained;
    double speed, ceiling;

    peak_mib();
    options.precision = precision;
    if (lcf_llama_trainer_create(&t, &config, &options, NULL))
        fail("out of memory");
    lcf_llama_trainer_count(&all, &trained, t);
    speed = train_speed(t, s, pool, steps);
    ceiling = product_speed(precision) * (double)lcf_pool_threads(pool) / (6.0 * (double)all);
    printf("llama_%s_parameters,%zu,parameters\n", s->name, all);
    printf("llama_%s_%s,%.0f,tokens/s\n", s->name, name, speed);
    printf("llama_%s_%s_ceiling,%.0f,tokens/s\n", s->name, name, ceiling);
    printf("llama_%s_%s_peak,%.0f,MiB\n", s->name, name, peak_mib());
    fflush(stdout);
    lcf_llama_trainer_free(t);
}

int main(int argc, char **argv)
{
    const size_t steps = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;
    const size_t threads = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    const size_t shapes_n = sizeof(shapes) / sizeof(shapes[0]);
    bool any = false;
    lcf_pool *pool;

    lcf_cli_start(argc, argv);
    if (lcf_pool_create(&pool, threads, NULL))
        fail("out of memory");
    for (size_t p = 0; p < 2; p++)
        printf("product_%s,%.1f,GFLOP/s\n", precisions[p], product_speed((lcf_precision)p) * 1e-9);
    printf("llama_threads,%zu,threads\n", lcf_pool_threads(pool));
    for (size_t i = 0; i < shapes_n && steps && steps <= STEPS_MAX; i++)
        for (size_t p = 0; p < 2; p++)
            if (argc > 2 ? !strcmp(argv[1], shapes[i].name) && !strcmp(argv[2], precisions[p])
                         : argc == 1 && i + 1 < shapes_n) {
                measure(&shapes[i], (lcf_precision)p, steps, pool);
                any = true;
            }
    lcf_pool_free(pool);
    if (!any)
        fprintf(stderr,
                "usage: bench_llama_train [demo|15m|110m|124m f32|bf16 [STEPS, 1 to %d "
                "[THREADS]]]\n",
                STEPS_MAX);
    return any ? 0 : 2;
}
