/*
 * The emulation of tile instructions: shapes, the order and the rounding of their sums, and what
 * becomes of denormals, against cases worked by hand; and where the processor has the instructions,
 * these against the emulation: bytes to the bit, bf16 to rounding, which is the processor's own.
 */
#include "common/base/rng.h"
#include "common/math/amx.h"
#include "common/math/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { M = 3, K = 2, N = 4 }; /* c [3, 4] += a [3, 2 groups] b [2 groups, 4] */

static const lcf_tile_config CONFIG = {
    .palette = 1, .row_bytes = {4 * N, 4 * K, 4 * N}, .rows = {M, M, K}};

static uint16_t bf16(float x)
{
    return lcf_bf16_narrow(x);
}

static void test_memory(void **state)
{
    unsigned char from[M][20], to[M][24];

    (void)state;
    for (size_t i = 0; i < sizeof(from); i++)
        (&from[0][0])[i] = (unsigned char)i;
    memset(to, 0xee, sizeof(to));
    lcf_tile_configure(&CONFIG);
    lcf_tile_load(0, from, sizeof(from[0]));
    lcf_tile_store(0, to, sizeof(to[0]));
    for (size_t m = 0; m < M; m++)
        for (size_t i = 0; i < sizeof(to[0]); i++)
            assert_int_equal(to[m][i], i < 4 * N ? from[m][i] : 0xee);
    lcf_tile_zero(0);
    lcf_tile_store(0, to, sizeof(to[0]));
    assert_int_equal(to[M - 1][4 * N - 1], 0);
    assert_int_equal(to[M - 1][4 * N], 0xee);
    lcf_tile_release();
}

static void test_bytes(void **state)
{
    int8_t a[M][4 * K];
    uint8_t b[K][N][4];
    int32_t c[M][N];

    (void)state;
    for (size_t i = 0; i < sizeof(a); i++)
        (&a[0][0])[i] = (int8_t)(i * 97 + 128);
    for (size_t i = 0; i < sizeof(b); i++)
        (&b[0][0][0])[i] = (uint8_t)(255 - i * 31);
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            c[m][n] = (int32_t)(1000 * m + n);
    lcf_tile_configure(&CONFIG);
    lcf_tile_load(0, c, sizeof(c[0]));
    lcf_tile_load(1, a, sizeof(a[0]));
    lcf_tile_load(2, b, sizeof(b[0]));
    lcf_tile_dot_bytes(0, 1, 2);
    lcf_tile_store(0, c, sizeof(c[0]));
    lcf_tile_release();
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            int32_t sum = (int32_t)(1000 * m + n);

            for (size_t i = 0; i < 4 * K; i++)
                sum += a[m][i] * b[i / 4][n][i % 4];
            assert_int_equal(c[m][n], sum);
        }
}

/* One element of C: two pairs of products and what is there. */
static float dot(const float x[4], const float y[4], float c)
{
    static const lcf_tile_config one = {.palette = 1, .row_bytes = {4, 8, 4}, .rows = {1, 1, 2}};
    uint16_t a[4], b[4];

    for (size_t i = 0; i < 4; i++) {
        a[i] = bf16(x[i]);
        b[i] = bf16(y[i]);
    }
    lcf_tile_configure(&one);
    lcf_tile_load(0, &c, sizeof(c));
    lcf_tile_load(1, a, sizeof(a));
    lcf_tile_load(2, b, 2 * sizeof(*b));
    lcf_tile_dot_bf16(0, 1, 2);
    lcf_tile_store(0, &c, sizeof(c));
    lcf_tile_release();
    return c;
}

/* Even products and odd ones are summed apart, both from 0; c comes last. */
static void test_order(void **state)
{
    const float big = 0x1p24f, ones[4] = {1, 1, 1, 1};

    (void)state;
    assert_true(dot((float[4]){2, 3, 5, 7}, (float[4]){11, 13, 17, 19}, 1) == 280);
    /* one chain would give (big + 1) + 1 = big, big + (1 + 1) is exact */
    assert_true(dot((float[4]){big, 1, 0, 1}, ones, 0) == big + 2);
    assert_true(dot((float[4]){big, 0, 1, 1}, ones, 0) == big);     /* each 1 meets big alone */
    assert_true(dot((float[4]){1, 0, 1, 0}, ones, big) == big + 2); /* and not c one by one */
    assert_true(dot((float[4]){big, -big, 1, 0}, ones, 0) == 0);    /* the 1 is lost in its chain */
    assert_true(dot((float[4]){big, 0, -big, 1}, ones, 1) == 2);
}

/* Denormals are 0 as operands, as sums on the way, and as results, and keep their sign. */
static void test_denormals(void **state)
{
    const float least = 0x1p-126f, half = 0x1p-127f, zeros[4] = {0};
    const float large[4] = {0x1p100f, 0x1p100f, 1, 1};

    (void)state;
    assert_true(dot((float[4]){half, 0, 0, 0}, large, 0) == 0);
    assert_true(dot((float[4]){least, 0, 0, 0}, large, 0) == 0x1p-26f);
    assert_true(dot((float[4]){least, 0, 0, 0}, (float[4]){0.5f, 0, 0, 0}, 0) == 0);
    /* two halves of the least normal: either is lost before the other comes */
    assert_true(dot((float[4]){least, 0, least, 0}, (float[4]){0.5f, 0, 0.5f, 0}, 0) == 0);
    assert_true(dot(zeros, large, half) == 0);
    assert_true(dot(zeros, large, least) == least);
    assert_int_equal(
        lcf_bits_of_float(dot((float[4]){-least, 0, 0, 0}, (float[4]){1.5f, 0, 0, 0}, least)),
        0x80000000u);
}

/* ---- against the processor ---- */

#if defined(__x86_64__)
static const lcf_tile_config FULL = {.palette = 1, .row_bytes = {64, 64, 64}, .rows = {13, 13, 16}};

__attribute__((noinline)) static void by_processor(void *c, const void *a, const void *b,
                                                   bool bytes)
{
    TILE_CONFIGURE(&FULL);
    TILE_LOAD(0, c, 64);
    TILE_LOAD(1, a, 64);
    TILE_LOAD(2, b, 64);
    if (bytes)
        TILE_DOT_BYTES(0, 1, 2);
    else
        TILE_DOT_BF16(0, 1, 2);
    TILE_STORE(0, c, 64);
    TILE_RELEASE();
}

static void by_emulation(void *c, const void *a, const void *b, bool bytes)
{
    lcf_tile_configure(&FULL);
    lcf_tile_load(0, c, 64);
    lcf_tile_load(1, a, 64);
    lcf_tile_load(2, b, 64);
    if (bytes)
        lcf_tile_dot_bytes(0, 1, 2);
    else
        lcf_tile_dot_bf16(0, 1, 2);
    lcf_tile_store(0, c, 64);
    lcf_tile_release();
}

/* Numbers of all magnitudes, those that meet denormals too, but no NaN. */
static void fill(uint32_t *words, lcf_rng *rng, bool floats)
{
    const uint32_t spread = (uint32_t)lcf_rng_below(rng, 256);

    for (size_t i = 0; i < 16 * 16; i++) {
        words[i] = (uint32_t)lcf_rng_below(rng, UINT32_MAX);
        if (floats) { /* both halves have an exponent of at most 190 */
            const uint32_t least = spread < 60 ? 0 : 40;
            const uint32_t high = least + (uint32_t)lcf_rng_below(rng, 150 - least);
            const uint32_t low = least + (uint32_t)lcf_rng_below(rng, 150 - least);

            words[i] = (words[i] & 0x807f807fu) | high << 23 | low << 7;
        }
    }
}

static double half_of(uint32_t word, size_t which)
{
    return (double)lcf_bf16_widen((uint16_t)(word >> 16 * which));
}

/* Sums of products of a row of a and a column of b, and what was there before, are within 1e-5 of
 * the sum of their magnitudes; the rest is for denormals. */
static void check_floats(const uint32_t *got, const uint32_t *wanted, const uint32_t *before,
                         const uint32_t *a, const uint32_t *b)
{
    for (size_t i = 0; i < 13 * 16; i++) {
        double size = fabs((double)lcf_float_of_bits(before[i]));

        for (size_t k = 0; k < 16; k++)
            for (size_t which = 0; which < 2; which++)
                size +=
                    fabs(half_of(a[i / 16 * 16 + k], which) * half_of(b[k * 16 + i % 16], which));
        assert_true(fabs((double)lcf_float_of_bits(got[i]) -
                         (double)lcf_float_of_bits(wanted[i])) <= 1e-5 * size + 0x1p-120);
    }
}

static void test_processor(void **state)
{
    _Alignas(64) uint32_t a[256], b[256], c[3][256];
    lcf_rng rng;

    (void)state;
    if (!lcf_amx_ready())
        skip();
    lcf_rng_seed(&rng, 3, 0);
    for (size_t i = 0; i < 400; i++) {
        const bool bytes = i % 2;

        fill(a, &rng, !bytes);
        fill(b, &rng, !bytes);
        fill(c[0], &rng, !bytes);
        memcpy(c[1], c[0], sizeof(c[1]));
        memcpy(c[2], c[0], sizeof(c[2]));
        by_processor(c[0], a, b, bytes);
        by_emulation(c[1], a, b, bytes);
        if (bytes)
            assert_memory_equal(c[0], c[1], sizeof(c[0]));
        else
            check_floats(c[0], c[1], c[2], a, b);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_denormals),
#if defined(__x86_64__)
        cmocka_unit_test(test_processor),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
