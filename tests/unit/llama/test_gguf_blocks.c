/*
 * Block formats: widening is held bit for bit to an independent statement of every format and to
 * reference blocks, narrowing to reference files; both to what any rounding must keep.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/gguf.h"
#include "tests/unit/llama/blocks_golden.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

enum { CASES_N = sizeof(BLOCKS_GOLDEN) / sizeof(*BLOCKS_GOLDEN) };

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static lcf_gguf_type type_named(const char *name)
{
    lcf_gguf_type type;

    assert_true(lcf_gguf_type_parse(&type, name));
    assert_string_equal(lcf_gguf_type_name(type), name);
    return type;
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES_N; c++) {
        const struct blocks_case *g = &BLOCKS_GOLDEN[c];
        lcf_gguf_type type = type_named(g->type);
        size_t block = lcf_gguf_type_block(type);
        float *out = lcf_alloc(g->n, sizeof(*out)), part[256];
        uint8_t *odd = lcf_alloc(g->bytes_n + 1, 1); /* any alignment */
        lcf_gguf_tensor t = {.type = type, .data = odd + 1, .n = g->n};
        assert_non_null(out);
        assert_non_null(odd);
        assert_true(lcf_gguf_type_readable(type));
        assert_int_equal(lcf_gguf_type_bytes(type, g->n), g->bytes_n);
        memcpy(odd + 1, g->raw, g->bytes_n);
        lcf_gguf_widen(out, type, odd + 1, g->n);
        for (size_t i = 0; i < g->n; i++)
            if (memcmp(&out[i], &g->values[i], sizeof(*out)))
                fail_msg("%s value %zu: %a", g->type, i, (double)out[i]);
        lcf_gguf_dequantize(part, &t, g->n - block, block);
        assert_memory_equal(part, out + g->n - block, block * sizeof(*part));
        free(out);
        free(odd);
    }
}

static void expect_values(const char *name, const uint8_t *raw, const float *wanted, size_t n)
{
    float out[256];

    lcf_gguf_widen(out, type_named(name), raw, n);
    for (size_t i = 0; i < n; i++)
        if (out[i] != wanted[i])
            fail_msg("%s value %zu: %g, not %g", name, i, (double)out[i], (double)wanted[i]);
}

/* Byte j of 16 holds j and above it 15 - j; fifth bits are set of the values 0, 16 and 31. */
static void test_by_hand(void **state)
{
    uint8_t q4_1[20] = {0x00, 0x38, 0x00, 0xbd};                   /* times 0.5, minus 1.25 */
    uint8_t q5_0[22] = {0x00, 0x34, 0x01, 0x00, 0x01, 0x80};       /* less 16, times 0.25 */
    uint8_t q5_1[24] = {0x00, 0x40, 0x00, 0x3c, 0x01, 0, 1, 0x80}; /* times 2, plus 1 */
    float low[32], fifth[32], wanted[32];

    (void)state;
    for (size_t j = 0; j < 16; j++) {
        q4_1[4 + j] = q5_0[6 + j] = q5_1[8 + j] = (uint8_t)(j | (15 - j) << 4);
        low[j] = fifth[j] = (float)j;
        low[16 + j] = fifth[16 + j] = (float)(15 - j);
    }
    fifth[0] = 16; /* of 0 */
    fifth[16] = 31;
    fifth[31] = 16;
    for (size_t i = 0; i < 32; i++)
        wanted[i] = 0.5f * low[i] - 1.25f;
    expect_values("Q4_1", q4_1, wanted, 32);
    for (size_t i = 0; i < 32; i++)
        wanted[i] = 0.25f * (fifth[i] - 16);
    expect_values("Q5_0", q5_0, wanted, 32);
    for (size_t i = 0; i < 32; i++)
        wanted[i] = 2 * fifth[i] + 1;
    expect_values("Q5_1", q5_1, wanted, 32);
}

/* Sub-blocks of 32 with scales 1 2 3 63 20 33 48 63 halves and minima 0 1 2 63 5 17 32 63 quarters;
 * the codes are 10 in even sub-blocks and 3 in odd ones, and 16 more in all of the first values
 * and, of the second, in sub-blocks 0 and 5. */
static void test_q5_k_by_hand(void **state)
{
    static const float VALUES[8][3] = {
        /* the first, the second, all others */
        {13, 13, 5},
        {18.75f, 2.75f, 2.75f},
        {38.5f, 14.5f, 14.5f},
        {582.75f, 78.75f, 78.75f},
        {258.75f, 98.75f, 98.75f},
        {309.25f, 309.25f, 45.25f},
        {616, 232, 232},
        {582.75f, 78.75f, 78.75f},
    };
    uint8_t raw[176] = {0x00, 0x38, 0x00, 0x34, /* 0.5 and 0.25 */
                        0x41, 0x82, 0xc3, 0xff, 0x00, 0x41, 0x82,
                        0xff, 0x54, 0x11, 0x00, 0xff, 0xff, 0x21};
    float wanted[256];

    (void)state;
    memset(raw + 48, 0x3a, 128);
    for (size_t i = 0; i < 256; i++)
        wanted[i] = VALUES[i / 32][i % 32 < 2 ? i % 32 : 2];
    expect_values("Q5_K", raw, wanted, 256);
}

/* The shared data's raw blocks with their values; those are of another implementation. */
static void test_reference(void **state)
{
    static const char *const NAMES[] = {"F32",  "F16",  "BF16", "Q4_0",
                                        "Q5_0", "Q8_0", "Q4_K", "Q6_K"};
    size_t seen_n = 0;

    (void)state;
    for (size_t c = 0; c < sizeof(NAMES) / sizeof(*NAMES); c++) {
        char name[64];
        char *raw_path, *value_path;
        lcf_buf raw = LCF_BUF_INIT, values = LCF_BUF_INIT;
        lcf_err err = LCF_ERR_INIT;
        lcf_gguf_type type = type_named(NAMES[c]);
        float *out;
        snprintf(name, sizeof(name), "quant/%s.raw", NAMES[c]);
        raw_path = fixture_data(name);
        snprintf(name, sizeof(name), "quant/%s.f32", NAMES[c]);
        value_path = fixture_data(name);
        if (raw_path && value_path) {
            size_t n;
            must(lcf_file_read(&raw, raw_path, 1 << 20, &err), &err);
            must(lcf_file_read(&values, value_path, 1 << 20, &err), &err);
            n = values.len / sizeof(*out);
            assert_int_equal(lcf_gguf_type_bytes(type, n), raw.len);
            out = lcf_alloc(n, sizeof(*out));
            assert_non_null(out);
            lcf_gguf_widen(out, type, raw.data, n);
            assert_memory_equal(out, values.data, values.len);
            free(out);
            seen_n++;
        }
        lcf_buf_dispose(&raw);
        lcf_buf_dispose(&values);
        free(raw_path);
        free(value_path);
    }
    if (!seen_n)
        skip();
}

/* Within half a step of what it was; a constant and a zero block survive; nothing is undefined for
 * values that are not finite. */
static void test_narrow(void **state)
{
    static const struct {
        const char *name;
        float step; /* of a block from -1 to 1 */
    } TYPES[] = {{"Q4_0", 1 / 8.f},
                 {"Q4_1", 2 / 15.f},
                 {"Q5_0", 1 / 16.f},
                 {"Q5_1", 2 / 31.f},
                 {"Q8_0", 1 / 127.f}};
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 3, 0);
    for (size_t c = 0; c < sizeof(TYPES) / sizeof(*TYPES); c++) {
        lcf_gguf_type type = type_named(TYPES[c].name);
        float x[64] = {0}, back[64];
        uint8_t raw[64 * 4];
        assert_true(lcf_gguf_type_writable(type));
        for (size_t i = 0; i < 32; i++)
            x[i] = lcf_rng_f32(&rng) * 2 - 1;
        x[5] = -1;
        x[9] = 1;
        lcf_gguf_quantize(raw, type, x, 64);
        lcf_gguf_widen(back, type, raw, 64);
        for (size_t i = 0; i < 32; i++) {
            /* symmetric types have no code for the far end of the other sign */
            float bound = (x[i] > 1 - TYPES[c].step ? 1.01f : .51f) * TYPES[c].step;
            if (!(fabsf(back[i] - x[i]) <= bound))
                fail_msg("%s: %g became %g", TYPES[c].name, (double)x[i], (double)back[i]);
        }
        for (size_t i = 32; i < 64; i++)
            assert_true(back[i] == 0);
        for (size_t i = 0; i < 64; i++)
            x[i] = i % 3 ? NAN : i % 2 ? INFINITY : -INFINITY;
        lcf_gguf_quantize(raw, type, x, 64);
    }
}

/* Root mean square of what a type changes. */
static double error_of(const char *name, const float *x, size_t n)
{
    lcf_gguf_type type = type_named(name);
    float *back = lcf_alloc(n, sizeof(*back));
    uint8_t *raw = lcf_alloc(lcf_gguf_type_bytes(type, n), 1);
    double sum = 0;

    assert_non_null(back);
    assert_non_null(raw);
    lcf_gguf_quantize(raw, type, x, n);
    lcf_gguf_widen(back, type, raw, n);
    for (size_t i = 0; i < n; i++)
        sum += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
    free(back);
    free(raw);
    return sqrt(sum / (double)n);
}

/* Normal weights whose spread changes from sub-block to sub-block, as in a model: the K types lose
 * less than the plain ones of their width, about a step's share; what a type can express exactly, a
 * zero and a constant block come back; nothing is undefined for values that are not finite. */
static void test_narrow_k(void **state)
{
    enum { N = 256 * 64 };
    static const char *const TYPES[] = {"Q4_K", "Q5_K", "Q6_K"};
    static float x[N], codes[256], same[256];
    uint8_t raw[256];
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(lcf_rng_normal(&rng) * (1 + (double)(i / 32 % 7) / 3) / 2 + 0.1);
    assert_true(error_of("Q4_K", x, N) < 0.95 * error_of("Q4_0", x, N));
    assert_true(error_of("Q5_K", x, N) < 0.95 * error_of("Q5_0", x, N));
    assert_true(error_of("Q5_K", x, N) < 0.6 * error_of("Q4_K", x, N));
    assert_true(error_of("Q6_K", x, N) < 0.6 * error_of("Q5_K", x, N));
    assert_true(error_of("Q6_K", x, N) > error_of("Q8_0", x, N));
    for (size_t c = 0; c < sizeof(TYPES) / sizeof(*TYPES); c++) {
        float zeros[256] = {0};
        assert_true(error_of(TYPES[c], zeros, 256) == 0);
        for (size_t i = 0; i < 256; i++)
            same[i] = -0.75f;
        assert_true(error_of(TYPES[c], same, 256) < 1e-3);
        for (size_t i = 0; i < 256; i++) /* every code of the narrowest type in every sub-block */
            codes[i] = (float)(i % 16) / 16 - 0.5f;
        assert_true(error_of(TYPES[c], codes, 256) < 2e-3);
        for (size_t i = 0; i < 256; i++)
            same[i] = i % 3 ? NAN : i % 2 ? INFINITY : -INFINITY;
        lcf_gguf_quantize(raw, type_named(TYPES[c]), same, 256);
    }
}

/* Every tensor of a reference file, made from the f32 file's values, bit for bit. */
static size_t compare_file(const lcf_gguf *f32, const char *name)
{
    char *path = fixture_data(name);
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    size_t compared_n = 0;

    assert_non_null(path);
    must(lcf_gguf_open(&g, path, &err), &err);
    for (size_t i = 0; i < lcf_gguf_tensors_n(g); i++) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        const lcf_gguf_tensor *source = lcf_gguf_tensor_find(f32, t->name);
        uint8_t *raw = lcf_alloc(t->bytes_n, 1);
        assert_non_null(source);
        assert_non_null(raw);
        lcf_gguf_quantize(raw, t->type, source->data, t->n);
        if (memcmp(raw, t->data, t->bytes_n))
            fail_msg("%s: %s differs", name, t->name);
        compared_n += t->type != LCF_GGUF_F32;
        free(raw);
    }
    lcf_gguf_close(g);
    free(path);
    return compared_n;
}

static void test_reference_files(void **state)
{
    static const char *const NAMES[] = {"stories260k-f16-v3.gguf", "stories260k-bf16-v3.gguf",
                                        "stories260k-q8_0-v3.gguf", "stories260k-q4_0-v3.gguf"};
    char *path = fixture_data("stories260k-f32-v3.gguf");
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *f32;

    (void)state;
    if (!path)
        skip();
    must(lcf_gguf_open(&f32, path, &err), &err);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(*NAMES); i++)
        assert_int_equal(compare_file(f32, NAMES[i]), 37);
    lcf_gguf_close(f32);
    free(path);
}

static void test_names(void **state)
{
    lcf_gguf_type type;

    (void)state;
    assert_true(lcf_gguf_type_parse(&type, "q8_0"));
    assert_int_equal(type, LCF_GGUF_Q8_0);
    assert_false(lcf_gguf_type_parse(&type, "Q8"));
    assert_false(lcf_gguf_type_parse(&type, ""));
    assert_null(lcf_gguf_type_name((lcf_gguf_type)4));
    assert_null(lcf_gguf_type_name((lcf_gguf_type)1000));
    assert_false(lcf_gguf_type_readable((lcf_gguf_type)10));
    assert_true(lcf_gguf_type_writable(LCF_GGUF_Q6_K));
    assert_false(lcf_gguf_type_writable((lcf_gguf_type)10));
    assert_int_equal(lcf_gguf_file_type(LCF_GGUF_Q8_0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_narrow_k),
        cmocka_unit_test(test_by_hand),         cmocka_unit_test(test_q5_k_by_hand),
        cmocka_unit_test(test_reference),       cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_reference_files), cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
