/*
 * What this machine can do at best, so that other figures can be read against it: multiply-adds
 * from registers in f32, int8 (VNNI) and bf16, on one thread, and bytes read from memory on one
 * thread and on two. Without AVX-512, VNNI or BF16 the line is left out.
 *
 *     bench_ceilings      CSV on stdout: name,value,unit (best of several)
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, ROUNDS = 1000000, REPEATS = 7 };

#if defined(__x86_64__)

#define CHAIN_LOOP _Pragma("GCC unroll 12") for (size_t i = 0; i < CHAINS; i++)
/* The compiler must neither join the rounds and chains nor move the sums to memory. */
#define ROUND_ENDS(s)                                                                        \
    __asm__ volatile(""                                                                      \
                     : "+v"((s)[0]), "+v"((s)[1]), "+v"((s)[2]), "+v"((s)[3]), "+v"((s)[4]), \
                       "+v"((s)[5]), "+v"((s)[6]), "+v"((s)[7]), "+v"((s)[8]), "+v"((s)[9]), \
                       "+v"((s)[10]), "+v"((s)[11]))

__attribute__((target("avx512f"))) static float f32_rounds(void)
{
    const __m512 x = _mm512_set1_ps(1.0f), y = _mm512_set1_ps(1e-9f);
    __m512 sums[CHAINS], total = _mm512_setzero_ps();

    CHAIN_LOOP
    sums[i] = y;
    for (size_t r = 0; r < ROUNDS; r++) {
        CHAIN_LOOP
        sums[i] = _mm512_fmadd_ps(x, y, sums[i]);
        ROUND_ENDS(sums);
    }
    CHAIN_LOOP
    total = _mm512_add_ps(total, sums[i]);
    return _mm512_reduce_add_ps(total);
}

__attribute__((target("avx512f,avx512vnni"))) static float i8_rounds(void)
{
    const __m512i x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x01010101);
    __m512i sums[CHAINS], total = _mm512_setzero_si512();

    CHAIN_LOOP
    sums[i] = y;
    for (size_t r = 0; r < ROUNDS; r++) {
        CHAIN_LOOP
        sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
        ROUND_ENDS(sums);
    }
    CHAIN_LOOP
    total = _mm512_add_epi32(total, sums[i]);
    return (float)_mm512_reduce_add_epi32(total);
}

__attribute__((target("avx512f,avx512bf16"))) static float bf16_rounds(void)
{
    const __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    const __m512bh y = (__m512bh)_mm512_set1_epi32(0x20002000);
    __m512 sums[CHAINS], total = _mm512_setzero_ps();

    CHAIN_LOOP
    sums[i] = total;
    for (size_t r = 0; r < ROUNDS; r++) {
        CHAIN_LOOP
        sums[i] = _mm512_dpbf16_ps(sums[i], x, y);
        ROUND_ENDS(sums);
    }
    CHAIN_LOOP
    total = _mm512_add_ps(total, sums[i]);
    return _mm512_reduce_add_ps(total);
}

static volatile float sink;

static void products(const char *name, float (*rounds)(void), double operations)
{
    double best = 0;

    for (size_t r = 0; r < REPEATS; r++) {
        double start = lcf_clock_s(), speed;
        sink = rounds();
        speed = operations * CHAINS * ROUNDS / (lcf_clock_s() - start) * 1e-9;
        best = speed > best ? speed : best;
    }
    printf("ceiling_%s,%.0f,Gop/s per core\n", name, best);
}

static void all_products(void)
{
    if (__builtin_cpu_supports("avx512f"))
        products("f32", f32_rounds, 32);
    if (__builtin_cpu_supports("avx512vnni"))
        products("int8", i8_rounds, 128);
    if (__builtin_cpu_supports("avx512bf16"))
        products("bf16", bf16_rounds, 64);
}

#else

static void all_products(void)
{
}

#endif

/* ---- memory ---- */

enum { PARTS = 64, AHEAD = 1024 };                   /* AHEAD in words of eight bytes */
static const size_t BLOCK_BYTES = (size_t)512 << 20; /* far beyond the caches */

typedef struct reading {
    const unsigned char *bytes;
    uint64_t sums[PARTS];
} reading;

static void read_part(void *arg, size_t part, size_t member)
{
    reading *r = arg;
    const uint64_t *at = (const uint64_t *)(r->bytes + part * (BLOCK_BYTES / PARTS));
    uint64_t sums[8] = {0};

    (void)member;
    for (size_t i = 0; i < BLOCK_BYTES / PARTS / 8; i += 8) {
        __builtin_prefetch(at + i + AHEAD, 0, 2);
        for (size_t j = 0; j < 8; j++)
            sums[j] += at[i + j];
    }
    for (size_t j = 0; j < 8; j++)
        r->sums[part] += sums[j];
}

static int memory(size_t threads)
{
    reading r = {.bytes = lcf_alloc_aligned(BLOCK_BYTES, 1)};
    lcf_team *team = NULL;
    double best = 0;

    if (!r.bytes || lcf_team_create(&team, threads, NULL)) {
        free((void *)r.bytes);
        return 1;
    }
    memset((void *)r.bytes, 1, BLOCK_BYTES);
    for (size_t i = 0; i < REPEATS; i++) {
        double start = lcf_clock_s(), speed;
        lcf_team_run(team, PARTS, read_part, &r);
        speed = (double)BLOCK_BYTES / (lcf_clock_s() - start) * 1e-9;
        best = speed > best ? speed : best;
    }
    printf("ceiling_memory_%zu,%.1f,GB/s\n", threads, best);
    lcf_team_free(team);
    free((void *)r.bytes);
    return 0;
}

int main(int argc, char **argv)
{
    lcf_cli_start(argc, argv);
    all_products();
    return memory(1) || memory(2);
}
