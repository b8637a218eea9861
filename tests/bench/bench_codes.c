/*
 * The two kernels that collaborative codes and graphs are made of, against their references:
 * distances of one code to many, and a light graph convolution.
 *
 *     bench_codes [ROUNDS]        CSV on stdout: name,value,unit (the best of the rounds)
 *
 * Codes of 32 and of 64 bits, 26,000 of them (the examples of amazon-beauty); a graph of its size
 * with 160,000 edges, 32 elements a node.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/math/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 26000, USERS = 22364, ITEMS = 12102, EDGES = 160000, DIM = 32, LAYERS = 2 };

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_codes: no memory\n");
        exit(1);
    }
    return p;
}

static void print(const char *name, double s, double reference_s, double per_s, const char *unit)
{
    printf("%s,%.4g,%s\n%s_reference,%.4g,%s\n%s_speedup,%.2f,x\n", name, per_s / s, unit, name,
           per_s / reference_s, unit, name, reference_s / s);
}

static void bench_hamming(size_t bytes, size_t rounds, lcf_rng *rng)
{
    uint8_t *codes = need(lcf_alloc(CODES + 1, bytes));
    uint32_t *got = need(lcf_alloc(CODES, sizeof(*got)));
    uint32_t *want = need(lcf_alloc(CODES, sizeof(*want)));
    double best = 1e9, best_reference = 1e9;
    char name[32];

    for (size_t i = 0; i < (CODES + 1) * bytes; i++)
        codes[i] = (uint8_t)lcf_rng_below(rng, 256);
    for (size_t round = 0; round < rounds; round++) {
        double start = lcf_clock_s(), s;

        lcf_hamming(got, codes, codes + bytes, CODES, bytes);
        s = lcf_clock_s() - start;
        best = s < best ? s : best;
        start = lcf_clock_s();
        lcf_ref_hamming(want, codes, codes + bytes, CODES, bytes);
        s = lcf_clock_s() - start;
        best_reference = s < best_reference ? s : best_reference;
    }
    if (memcmp(got, want, CODES * sizeof(*got))) {
        fprintf(stderr, "bench_codes: the distances are wrong\n");
        exit(1);
    }
    snprintf(name, sizeof(name), "hamming_%zu", 8 * bytes);
    print(name, best, best_reference, CODES / 1e6, "M codes/s");
    free(codes);
    free(got);
    free(want);
}

/* Random edges, some of them twice: as good for measuring. */
static lcf_csr make_side(size_t rows, size_t columns, lcf_rng *rng)
{
    uint32_t *begin = need(lcf_alloc_zero(rows + 1, sizeof(*begin)));
    uint32_t *column = need(lcf_alloc(EDGES, sizeof(*column)));
    float *value = need(lcf_alloc(EDGES, sizeof(*value)));

    for (size_t e = 0; e < EDGES; e++) {
        begin[1 + lcf_rng_below(rng, rows)]++;
        column[e] = (uint32_t)lcf_rng_below(rng, columns);
        value[e] = 0.1f;
    }
    for (size_t i = 0; i < rows; i++)
        begin[i + 1] += begin[i];
    return (lcf_csr){rows, begin, column, value};
}

static void bench_graph(size_t rounds, lcf_rng *rng)
{
    const lcf_bipartite graph = {make_side(USERS, ITEMS, rng), make_side(ITEMS, USERS, rng)};
    const size_t n = (USERS + ITEMS) * DIM;
    float *x = need(lcf_alloc(n, sizeof(*x))), *a = need(lcf_alloc(n, sizeof(*a)));
    float *b = need(lcf_alloc(n, sizeof(*b)));
    double best = 1e9, best_reference = 1e9;

    for (size_t i = 0; i < n; i++)
        x[i] = (float)lcf_rng_normal(rng);
    for (size_t round = 0; round < rounds; round++) {
        double start = lcf_clock_s(), s;

        lcf_bipartite_propagate(a, b, &graph, x, x + USERS * DIM, DIM, LAYERS);
        s = lcf_clock_s() - start;
        best = s < best ? s : best;
        start = lcf_clock_s();
        for (size_t layer = 0; layer < LAYERS; layer++) {
            lcf_ref_csr_multiply_add(a, &graph.by_left, x, x + USERS * DIM, DIM);
            lcf_ref_csr_multiply_add(a + USERS * DIM, &graph.by_right, x + USERS * DIM, x, DIM);
        }
        s = lcf_clock_s() - start;
        best_reference = s < best_reference ? s : best_reference;
    }
    print("propagate", best, best_reference, LAYERS * 2.0 * EDGES * DIM * 2 / 1e9, "GFLOP/s");
}

int main(int argc, char **argv)
{
    const size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20;
    lcf_rng rng;

    lcf_cli_start(argc, argv);
    if (!rounds) {
        fprintf(stderr, "usage: bench_codes [ROUNDS, at least 1]\n");
        return 2;
    }
    lcf_rng_seed(&rng, 1, 0);
    puts("name,value,unit");
    bench_hamming(4, rounds, &rng);
    bench_hamming(8, rounds, &rng);
    bench_graph(rounds, &rng);
    return 0;
}
