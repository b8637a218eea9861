/*
 * What one Adam step over a large table costs: dense, as torch.optim.Adam does it; sparse, of the
 * rows looked up alone; and the least that an exact lazy form would cost, which makes up for the
 * steps that a row missed when it is next looked up: as many updates as dense makes, of values that
 * stay in the first-level cache.
 *
 *     bench_table_updates [ROWS [LOOKED_UP]]      CSV on stdout: name,value,unit (best of five)
 */
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/math/kernels.h"

#include <stdio.h>
#include <stdlib.h>

#define WIDTH 32
#define ROUNDS 5
#define HOT_ROWS 16 /* replayed together, so that one row's wait is another's work */

typedef struct table {
    float *values, *m, *v;
    uint32_t *rows; /* [looked_up] */
    size_t rows_n, looked_up;
    lcf_rng rng;
} table;

static const lcf_adam_scalars step_scalars = {.beta1 = 0.9f,
                                              .one_minus_beta1 = 0.1f,
                                              .beta2 = 0.999f,
                                              .one_minus_beta2 = 0.001f,
                                              .step_size = 1e-3f,
                                              .root_bias2 = 0.99f,
                                              .eps = 1e-8f,
                                              .shrink = 1.0f,
                                              .l2 = 1e-5f,
                                              .grad_scale = 1.0f};

static void draw(table *t)
{
    for (size_t i = 0; i < t->looked_up; i++)
        t->rows[i] = (uint32_t)lcf_rng_below(&t->rng, t->rows_n);
}

static void dense(table *t)
{
    lcf_adam_kernel(t->values, t->m, t->v, NULL, t->rows_n * WIDTH, &step_scalars);
}

static void sparse(table *t)
{
    static const float grad[WIDTH] = {1e-3f};

    for (size_t i = 0; i < t->looked_up; i++) {
        const size_t at = (size_t)t->rows[i] * WIDTH;

        lcf_adam_kernel(t->values + at, t->m + at, t->v + at, grad, WIDTH, &step_scalars);
    }
}

/* A row looked up has missed rows_n / looked_up steps on average. */
static void replay(table *t)
{
    const size_t missed = t->rows_n / t->looked_up;

    for (size_t i = 0; i < t->looked_up; i += HOT_ROWS)
        for (size_t j = 0; j < missed; j++)
            lcf_adam_kernel(t->values, t->m, t->v, NULL, HOT_ROWS * WIDTH, &step_scalars);
}

static void measure(const char *name, void (*update)(table *t), table *t)
{
    double best = 1e30;

    for (int i = 0; i < ROUNDS; i++) {
        double seconds;

        draw(t);
        seconds = lcf_clock_s();
        update(t);
        seconds = lcf_clock_s() - seconds;
        best = seconds < best ? seconds : best;
    }
    printf("%s,%.2f,ms\n", name, best * 1e3);
}

int main(int argc, char **argv)
{
    table t = {.rows_n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000,
               .looked_up = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000};
    int code = 1;

    if (argc > 3 || t.looked_up < 1 || t.rows_n < t.looked_up || t.rows_n < HOT_ROWS ||
        t.rows_n > UINT32_MAX) {
        fputs("usage: bench_table_updates [ROWS [LOOKED_UP]]\n", stderr);
        return 2;
    }
    t.values = lcf_alloc_zero(t.rows_n * WIDTH, sizeof(float));
    t.m = lcf_alloc_zero(t.rows_n * WIDTH, sizeof(float));
    t.v = lcf_alloc_zero(t.rows_n * WIDTH, sizeof(float));
    t.rows = lcf_alloc(t.looked_up, sizeof(*t.rows));
    if (t.values && t.m && t.v && t.rows) {
        lcf_flush_denormals();
        lcf_rng_seed(&t.rng, 1, 0);
        for (size_t i = 0; i < t.rows_n * WIDTH; i++)
            t.values[i] = 0.01f * lcf_rng_f32(&t.rng);
        puts("name,value,unit");
        measure("table_dense", dense, &t);
        measure("table_sparse", sparse, &t);
        measure("table_replay_at_least", replay, &t);
        code = 0;
    }
    free(t.values);
    free(t.m);
    free(t.v);
    free(t.rows);
    return code;
}
