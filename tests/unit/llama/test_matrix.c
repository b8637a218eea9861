/*
 * Packed products: every level of instructions against the reference, the reference against sums in
 * double, and each row alone against the same row in a batch.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/half.h"
#include "offline/llama/matrix.h"
#include "tests/unit/test.h"

#include <math.h>

enum { IN = 96, OUT = 37, ROWS_MAX = 35 };

typedef struct product { /* a weight, as it comes and packed, and something to multiply it with */
    unsigned char *raw;
    float *wide, *x, *scratch;
    lcf_llama_matrix part;
    const lcf_llama_matrix *parts[2];
    lcf_matrix w;
} product;

static void *some(size_t n, size_t size)
{
    void *p = lcf_alloc_aligned(n, size);

    assert_non_null(p);
    return p;
}

static void setup(product *p, lcf_gguf_type type, size_t in)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    p->wide = some(OUT * in, sizeof(float));
    p->x = some(ROWS_MAX * in, sizeof(float));
    for (size_t i = 0; i < OUT * in; i++)
        p->wide[i] = (float)lcf_rng_normal(&rng);
    for (size_t i = 0; i < ROWS_MAX * in; i++)
        p->x[i] = (float)lcf_rng_normal(&rng);
    memset(p->x + in, 0, 32 * sizeof(float)); /* a block without a scale */
    p->raw = some(lcf_gguf_type_bytes(type, OUT * in), 1);
    lcf_gguf_quantize(p->raw, type, p->wide, OUT * in);
    lcf_gguf_widen(p->wide, type, p->raw, OUT * in);
    p->part = (lcf_llama_matrix){p->raw, type, OUT, in};
    p->parts[0] = &p->part;
    p->parts[1] = NULL;
    p->w = lcf_matrix_of(lcf_matrix_kind_of(p->parts), in, OUT);
    p->w.data = some(lcf_matrix_bytes(&p->w), 1);
    p->scratch = some(lcf_matrix_scratch_n(in), sizeof(float));
    for (size_t i = 0; i < p->w.panels_n; i++)
        lcf_matrix_pack(&p->w, i, p->parts, p->scratch);
}

static void teardown(product *p)
{
    free(p->raw);
    free(p->wide);
    free(p->x);
    free(p->scratch);
    free(p->w.data);
}

static void multiply(float *y, product *p, size_t first, size_t n, bool add)
{
    const size_t bytes = lcf_matrix_tile_bytes(p->w.kind, p->w.in);
    const size_t tile = lcf_matrix_tile_rows(p->w.kind);
    unsigned char *tiles = some((n + tile - 1) / tile, bytes); /* not a byte more */
    lcf_matrix_range job = {y, OUT, &p->w, tiles, n, 0, 1, add};

    for (size_t r = 0; r < n; r += tile)
        lcf_matrix_tile(tiles + r / tile * bytes, &p->w, p->x + (first + r) * p->w.in, p->w.in,
                        n - r < tile ? n - r : tile);
    lcf_matrix_multiply(&job);
    job.begin = 1;
    job.end = p->w.panels_n;
    lcf_matrix_multiply(&job);
    free(tiles);
}

/* What rounding of the activations alone allows for. */
static double tolerance_of(lcf_matrix_kind kind)
{
    switch (kind) {
    case LCF_MATRIX_Q8:
    case LCF_MATRIX_Q4:
        return 0.4;
    case LCF_MATRIX_BF16:
        return 0.1;
    default:
        return 1e-4;
    }
}

static void check_reference(product *p, const float *y)
{
    for (size_t r = 0; r < ROWS_MAX; r++)
        for (size_t o = 0; o < OUT; o++) {
            double wanted = 0;
            for (size_t k = 0; k < p->w.in; k++)
                wanted += (double)p->wide[o * p->w.in + k] * p->x[r * p->w.in + k];
            if (!(fabs(y[r * OUT + o] - wanted) < tolerance_of(p->w.kind)))
                fail_msg("kind %d, row %zu, output %zu: %g, not %g", p->w.kind, r, o,
                         (double)y[r * OUT + o], wanted);
        }
}

/* Levels add in orders of their own; how AMX rounds on the way is the processor's. Integers are the
 * same to the bit. */
static void check_level(const product *p, const float *y, const float *reference)
{
    const size_t in = p->w.in;

    if (p->w.kind == LCF_MATRIX_Q8 || p->w.kind == LCF_MATRIX_Q4)
        assert_memory_equal(y, reference, ROWS_MAX * OUT * sizeof(*y));
    for (size_t i = 0; i < ROWS_MAX * OUT; i++) {
        double size = 0;
        for (size_t k = 0; k < in; k++)
            size += fabs((double)p->x[i / OUT * in + k] * p->wide[i % OUT * in + k]);
        assert_true(fabs((double)y[i] - reference[i]) <= 1e-5 * size);
    }
}

static void check_type(lcf_gguf_type type, size_t in)
{
    float reference[ROWS_MAX * OUT], y[ROWS_MAX * OUT], alone[OUT], twice[OUT];
    product p;

    setup(&p, type, in);
    lcf_matrix_limit(LCF_MATRIX_BASELINE);
    multiply(reference, &p, 0, ROWS_MAX, false);
    check_reference(&p, reference);
    for (int level = LCF_MATRIX_BASELINE; level < LCF_MATRIX_LEVELS_N; level++) {
        if (!lcf_matrix_has(p.w.kind, (lcf_matrix_level)level))
            continue;
        lcf_matrix_limit((lcf_matrix_level)level);
        assert_int_equal(lcf_matrix_level_of(p.w.kind), level);
        multiply(y, &p, 0, ROWS_MAX, false);
        check_level(&p, y, reference);
        for (size_t r = 0; r < ROWS_MAX; r++) { /* alone, and in tiles of other sizes */
            multiply(alone, &p, r, 1, false);
            assert_memory_equal(alone, y + r * OUT, sizeof(alone));
        }
        for (size_t n = 2; n < ROWS_MAX; n++) {
            float some_rows[ROWS_MAX * OUT];
            multiply(some_rows, &p, ROWS_MAX - n, n, false);
            assert_memory_equal(some_rows, y + (ROWS_MAX - n) * OUT, n * sizeof(alone));
        }
        memcpy(twice, alone, sizeof(twice));
        multiply(twice, &p, ROWS_MAX - 1, 1, true);
        for (size_t o = 0; o < OUT; o++)
            assert_true(twice[o] == 2 * alone[o]);
    }
    lcf_matrix_limit(LCF_MATRIX_AMX);
    teardown(&p);
}

static void test_levels(void **state)
{
    (void)state;
    check_type(LCF_GGUF_F32, IN);
    check_type(LCF_GGUF_F32, 45);
    check_type(LCF_GGUF_F16, 45);
    check_type(LCF_GGUF_BF16, IN);
    check_type(LCF_GGUF_BF16, 45); /* half a pair */
    check_type(LCF_GGUF_BF16, 31);
    check_type(LCF_GGUF_Q8_0, IN);
    check_type(LCF_GGUF_Q8_0, 64);
    check_type(LCF_GGUF_Q4_0, IN);
    check_type(LCF_GGUF_Q5_1, IN); /* has no kernel of its own */
}

/* Parts of several matrices in one, with a border inside a panel. */
static void test_parts(void **state)
{
    enum { DIM = 8 };
    float a[5 * DIM], b[20 * DIM], x[DIM], y[25], scratch[4 * DIM];
    lcf_llama_matrix first = {a, LCF_GGUF_F32, 5, DIM}, second = {b, LCF_GGUF_F32, 20, DIM};
    const lcf_llama_matrix *parts[] = {&first, &second, NULL};
    lcf_matrix w = lcf_matrix_of(lcf_matrix_kind_of(parts), DIM, 25);
    unsigned char *tile = some(lcf_matrix_tile_bytes(w.kind, DIM), 1);

    (void)state;
    for (size_t i = 0; i < 25 * DIM; i++)
        *(i < 5 * DIM ? a + i : b + i - 5 * DIM) = (float)(i % 13) - 6;
    for (size_t k = 0; k < DIM; k++)
        x[k] = (float)k;
    w.data = some(lcf_matrix_bytes(&w), 1);
    for (size_t p = 0; p < w.panels_n; p++)
        lcf_matrix_pack(&w, p, parts, scratch);
    lcf_matrix_tile(tile, &w, x, DIM, 1);
    lcf_matrix_multiply(&(lcf_matrix_range){y, 25, &w, tile, 1, 0, w.panels_n, false});
    for (size_t o = 0; o < 25; o++) {
        float wanted = 0;
        for (size_t k = 0; k < DIM; k++)
            wanted += x[k] * ((float)((o * DIM + k) % 13) - 6);
        assert_true(y[o] == wanted);
    }
    first.type = LCF_GGUF_Q4_0; /* a mixture of types is widened, or becomes Q8 */
    assert_int_equal(lcf_matrix_kind_of(parts), LCF_MATRIX_F32);
    first.cols = 64;
    assert_int_equal(lcf_matrix_kind_of(parts), LCF_MATRIX_Q8);
    free(w.data);
    free(tile);
}

/* A full tile, which is made in vectors, holds what single rows hold. */
static void test_full_tiles(void **state)
{
    static const lcf_gguf_type TYPES[] = {LCF_GGUF_F32, LCF_GGUF_BF16, LCF_GGUF_Q8_0};
    enum { WIDE = 53 };

    (void)state;
    lcf_matrix_limit(LCF_MATRIX_AVX512);
    for (size_t i = 0; i < 3; i++) {
        size_t in = TYPES[i] == LCF_GGUF_Q8_0 ? IN : WIDE, bytes;
        unsigned char *full, *one;
        product p;
        setup(&p, TYPES[i], in);
        p.x[5] = NAN;
        p.x[in + 7] = INFINITY;
        bytes = lcf_matrix_tile_bytes(p.w.kind, in);
        full = some(bytes, 1);
        one = some(bytes, 1);
        if (TYPES[i] == LCF_GGUF_Q8_0)
            p.x[5] = p.x[in + 7] = 1;
        lcf_matrix_tile(full, &p.w, p.x, in, LCF_MATRIX_TILE);
        for (size_t r = 0; r < LCF_MATRIX_TILE; r++) {
            lcf_matrix_tile(one, &p.w, p.x + r * in, in, 1);
            for (size_t k = 0; k < bytes / 4 / LCF_MATRIX_TILE; k++)
                assert_memory_equal(full + (k * LCF_MATRIX_TILE + r) * 4, one + k * 4, 4);
        }
        free(full);
        free(one);
        teardown(&p);
    }
    lcf_matrix_limit(LCF_MATRIX_AMX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_full_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
