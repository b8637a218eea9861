/*
 * GGUF: what the writer writes the reader reads; damaged files are refused; conversions are exact.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/llama/gguf.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_gguf.gguf"
#define DAMAGED "test_gguf_damaged.gguf"

static const float VALUES[64] = {1.5f, -2.25f, 0.f, 1e-7f, 3e38f, -1e-41f, 65504.f, 7.f};

static lcf_status write_sample(lcf_err *err)
{
    static const lcf_str WORDS[] = {{"one", 3}, {"", 0}, {"tw\0o", 4}};
    static const float FLOATS[] = {0.5f, -1.f};
    static const int32_t INTS[] = {-7, 0, 1 << 30};
    const uint64_t matrix[] = {32, 2}, vector[] = {3};
    lcf_gguf_writer *w = NULL;
    lcf_status status = lcf_gguf_create(&w, PATH, err);

    if (!status)
        status = lcf_gguf_add_string(w, "s", "text", err);
    if (!status)
        status = lcf_gguf_add_u32(w, "u", 4000000000u, err);
    if (!status)
        status = lcf_gguf_add_f32(w, "f", -0.125f, err);
    if (!status)
        status = lcf_gguf_add_bool(w, "b", true, err);
    if (!status)
        status = lcf_gguf_add_strings(w, "words", WORDS, 3, err);
    if (!status)
        status = lcf_gguf_add_f32s(w, "floats", FLOATS, 2, err);
    if (!status)
        status = lcf_gguf_add_i32s(w, "ints", INTS, 3, err);
    if (!status)
        status = lcf_gguf_add_tensor(w, "m.f32", LCF_GGUF_F32, matrix, 2, VALUES, err);
    if (!status)
        status = lcf_gguf_add_tensor(w, "m.f16", LCF_GGUF_F16, vector, 1, VALUES, err);
    if (!status)
        status = lcf_gguf_add_tensor(w, "m.bf16", LCF_GGUF_BF16, vector, 1, VALUES, err);
    if (!status)
        status = lcf_gguf_add_tensor(w, "m.q8", LCF_GGUF_Q8_0, matrix, 2, VALUES, err);
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    return status;
}

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static void test_keys(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    uint64_t u;
    double f;
    bool b;
    lcf_str s;
    const lcf_str *words;
    const float *floats;
    const int32_t *ints;
    size_t n;

    (void)state;
    must(write_sample(&err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    assert_int_equal(lcf_gguf_version(g), 3);
    must(lcf_gguf_u64(&u, g, "u", &err), &err);
    assert_true(u == 4000000000u);
    must(lcf_gguf_f64(&f, g, "f", &err), &err);
    assert_true(f == -0.125);
    must(lcf_gguf_f64(&f, g, "u", &err), &err);
    assert_true(f == 4e9);
    must(lcf_gguf_bool(&b, g, "b", &err), &err);
    assert_true(b);
    must(lcf_gguf_string(&s, g, "s", &err), &err);
    assert_int_equal(s.len, 4);
    assert_memory_equal(s.data, "text", 4);
    must(lcf_gguf_strings(&words, &n, g, "words", &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(words[1].len, 0);
    assert_memory_equal(words[2].data, "tw\0o", 4);
    must(lcf_gguf_f32s(&floats, &n, g, "floats", &err), &err);
    assert_int_equal(n, 2);
    assert_true(floats[1] == -1.f);
    must(lcf_gguf_i32s(&ints, &n, g, "ints", &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(ints[0], -7);
    assert_int_equal(ints[2], 1 << 30);
    assert_string_equal(lcf_gguf_key_at(g, 0), "b"); /* alphabetical */
    assert_null(lcf_gguf_key_at(g, 7));
    assert_int_equal(lcf_gguf_u64(&u, g, "missing", NULL), LCF_ENOTFOUND);
    assert_int_equal(lcf_gguf_u64(&u, g, "s", NULL), LCF_EFORMAT);
    assert_int_equal(lcf_gguf_u64(&u, g, "ints", NULL), LCF_EFORMAT);
    assert_int_equal(lcf_gguf_bool(&b, g, "u", NULL), LCF_EFORMAT);
    assert_int_equal(lcf_gguf_string(&s, g, "words", NULL), LCF_EFORMAT);
    assert_int_equal(lcf_gguf_i32s(&ints, &n, g, "floats", NULL), LCF_EFORMAT);
    lcf_gguf_close(g);
}

static void test_tensors(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    const lcf_gguf_tensor *t;
    float out[64];

    (void)state;
    must(write_sample(&err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    assert_int_equal(lcf_gguf_tensors_n(g), 4);
    assert_string_equal(lcf_gguf_tensor_at(g, 3)->name, "m.q8");
    assert_null(lcf_gguf_tensor_find(g, "m.f64"));
    t = lcf_gguf_tensor_find(g, "m.f32");
    assert_int_equal(t->dims_n, 2);
    assert_int_equal(t->dims[0], 32);
    assert_int_equal((uintptr_t)t->data % 32, 0);
    lcf_gguf_dequantize(out, t, 0, 64);
    assert_memory_equal(out, VALUES, sizeof(out));
    lcf_gguf_dequantize(out, lcf_gguf_tensor_find(g, "m.f16"), 0, 3);
    assert_memory_equal(out, VALUES, 3 * sizeof(*out)); /* all three are exact in f16 and bf16 */
    lcf_gguf_dequantize(out, lcf_gguf_tensor_find(g, "m.bf16"), 0, 3);
    assert_memory_equal(out, VALUES, 3 * sizeof(*out));
    lcf_gguf_dequantize(out, lcf_gguf_tensor_find(g, "m.q8"), 32, 32);
    for (size_t i = 0; i < 32; i++)
        assert_true(out[i] == 0.f);
    lcf_gguf_close(g);
}

/* Every f16 value survives the way to f32 and back, and rounding goes to the nearest, even. */
static void test_f16(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint16_t h = (uint16_t)bits, back;
        lcf_gguf_tensor t = {.type = LCF_GGUF_F16, .data = &h, .n = 1};
        float f;
        lcf_gguf_dequantize(&f, &t, 0, 1);
        lcf_gguf_quantize(&back, LCF_GGUF_F16, &f, 1);
        if ((bits & 0x7c00) == 0x7c00 && (bits & 1023))
            assert_true(isnan(f) && (back & 0x7c00) == 0x7c00 && (back & 1023));
        else
            assert_int_equal(back, bits);
    }
    for (uint32_t bits = 0; bits + 1 < 0x7c00; bits++) { /* half way between neighbours */
        uint16_t pair[2] = {(uint16_t)bits, (uint16_t)(bits + 1)}, back;
        lcf_gguf_tensor t = {.type = LCF_GGUF_F16, .data = pair, .n = 2};
        float f[2], middle;
        lcf_gguf_dequantize(f, &t, 0, 2);
        middle = bits + 1 == 0x7c00 ? 65520.f : (float)(((double)f[0] + f[1]) / 2);
        lcf_gguf_quantize(&back, LCF_GGUF_F16, &middle, 1);
        assert_int_equal(back, bits & 1 ? bits + 1 : bits);
        middle = nextafterf(middle, 0);
        lcf_gguf_quantize(&back, LCF_GGUF_F16, &middle, 1);
        assert_int_equal(back, bits);
    }
}

static void test_rounding(void **state)
{
    float big[] = {65519.f, 65520.f, INFINITY, -INFINITY, NAN};
    float b16[] = {1.00390625f, 1.01171875f, NAN}, q[32] = {0}, back[32];
    uint16_t h[5];
    uint8_t block[34];
    lcf_gguf_tensor t = {.type = LCF_GGUF_Q8_0, .data = block, .n = 32};

    (void)state;
    lcf_gguf_quantize(h, LCF_GGUF_F16, big, 5);
    assert_int_equal(h[0], 0x7bff);
    assert_int_equal(h[1], 0x7c00);
    assert_int_equal(h[2], 0x7c00);
    assert_int_equal(h[3], 0xfc00);
    assert_true((h[4] & 0x7fff) > 0x7c00);
    lcf_gguf_quantize(h, LCF_GGUF_BF16, b16, 3);
    assert_int_equal(h[0], 0x3f80); /* 1 + 2^-8 lies half way: to even */
    assert_int_equal(h[1], 0x3f82);
    assert_true((h[2] & 0x7fff) > 0x7f80);
    for (size_t i = 0; i < 32; i++)
        q[i] = (float)i - 12.5f;
    lcf_gguf_quantize(block, LCF_GGUF_Q8_0, q, 32);
    lcf_gguf_dequantize(back, &t, 0, 32);
    for (size_t i = 0; i < 32; i++)
        assert_true(fabsf(back[i] - q[i]) <= 18.5f / 127 * 0.51f);
}

/* No beginning of a file is a file. */
static void test_truncated(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_buf whole = LCF_BUF_INIT;
    lcf_gguf *g;

    (void)state;
    must(write_sample(&err), &err);
    must(lcf_file_read(&whole, PATH, 1 << 20, &err), &err);
    for (size_t n = 0; n < whole.len; n++) {
        lcf_status status;
        FILE *f = fopen(DAMAGED, "wb"); /* no need for lcf_file_write's sync, 1,500 times */
        assert_non_null(f);
        assert_int_equal(fwrite(whole.data, 1, n, f), n);
        fclose(f);
        err.status = LCF_OK;
        status = lcf_gguf_open(&g, DAMAGED, &err);
        if (status != LCF_EFORMAT || !strstr(err.text, DAMAGED))
            fail_msg("%zu of %zu bytes: %s, '%s'", n, whole.len, lcf_status_text(status), err.text);
        assert_null(g);
    }
    lcf_buf_dispose(&whole);
}

/* Replaces `n` bytes at `at` and opens. */
static lcf_status open_damaged(const lcf_buf *whole, size_t at, const void *bytes, size_t n)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g = NULL;
    char *copy = lcf_alloc(whole->len, 1);
    lcf_status status;

    assert_non_null(copy);
    memcpy(copy, whole->data, whole->len);
    memcpy(copy + at, bytes, n);
    must(lcf_file_write(DAMAGED, copy, whole->len, &err), &err);
    status = lcf_gguf_open(&g, DAMAGED, &err);
    lcf_gguf_close(g);
    free(copy);
    return status;
}

static size_t find(const lcf_buf *whole, const char *text)
{
    const char *at = memmem(whole->data, whole->len, text, strlen(text));

    assert_non_null(at);
    return (size_t)(at - whole->data);
}

static void test_damaged(void **state)
{
    static const uint64_t HUGE_COUNT = UINT64_MAX / 2, ODD = 33, ZERO = 0;
    static const uint32_t TYPE = 99, FOUR = 4, FIVE = 5, ARRAY = 9;
    lcf_err err = LCF_ERR_INIT;
    lcf_buf whole = LCF_BUF_INIT;
    size_t tensor, words;

    (void)state;
    must(write_sample(&err), &err);
    must(lcf_file_read(&whole, PATH, 1 << 20, &err), &err);
    tensor = find(&whole, "m.f32") + 5; /* u32 dims_n, u64 dims[2], u32 type, u64 offset */
    words = find(&whole, "words") + 5;  /* u32 array, u32 string, u64 n */
    assert_int_equal(open_damaged(&whole, 0, "GGML", 4), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, 4, &FOUR, 4), LCF_EVERSION);
    assert_int_equal(open_damaged(&whole, 8, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, 16, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, words, &TYPE, 4), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, words + 4, &ARRAY, 4), LCF_EUNSUPPORTED);
    assert_int_equal(open_damaged(&whole, words + 8, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, words + 16, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, tensor, &FIVE, 4), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, tensor + 4, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, tensor + 4, &ZERO, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, tensor + 20, &TYPE, 4), LCF_EUNSUPPORTED);
    assert_int_equal(open_damaged(&whole, tensor + 24, &ODD, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, tensor + 24, &HUGE_COUNT, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, find(&whole, "m.q8") + 4 + 4, &ODD, 8), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, find(&whole, "m.bf16"), "m.f32\0", 6), LCF_EFORMAT);
    assert_int_equal(open_damaged(&whole, find(&whole, "m.bf16"), "m.\xff", 3), LCF_EFORMAT);
    lcf_buf_dispose(&whole);
}

static void test_out_of_memory(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    lcf_status status;

    (void)state;
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = write_sample(NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_gguf_open(&g, PATH, &err);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(g);
    }
    lcf_gguf_close(g);
}

/* One of two shards: a tensor of its own, and where it stands. */
static lcf_status write_shard(const char *path, uint32_t no, uint32_t count, const char *tensor,
                              uint32_t tensors_n, lcf_err *err)
{
    const uint64_t dims[] = {32, 2};
    lcf_gguf_writer *w = NULL;
    lcf_status status = lcf_gguf_create(&w, path, err);

    if (!status)
        status = lcf_gguf_add_u32(w, "split.no", no, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "split.count", count, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "split.tensors.count", tensors_n, err);
    if (!status)
        status = lcf_gguf_add_tensor(w, tensor, LCF_GGUF_F32, dims, 2, VALUES, err);
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    return status;
}

#define SHARD1 "test_gguf-00001-of-00002.gguf"
#define SHARD2 "test_gguf-00002-of-00002.gguf"

static void expect_shards(lcf_status wanted, const char *path, const char *word)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;

    assert_int_equal(lcf_gguf_open(&g, path, &err), wanted);
    assert_null(g);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not mention '%s'", err.text, word);
}

static void test_shards(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    char id[33], other[33];
    lcf_gguf *g;
    float out[64];

    (void)state;
    must(write_shard(SHARD1, 0, 2, "z.one", 2, &err), &err);
    must(write_shard(SHARD2, 1, 2, "a.two", 2, &err), &err);
    must(lcf_gguf_open(&g, SHARD1, &err), &err);
    assert_int_equal(lcf_gguf_shards_n(g), 2);
    assert_int_equal(lcf_gguf_tensors_n(g), 2);
    assert_string_equal(lcf_gguf_tensor_at(g, 1)->name, "a.two");
    lcf_gguf_dequantize(out, lcf_gguf_tensor_find(g, "a.two"), 0, 64);
    assert_memory_equal(out, VALUES, sizeof(out));
    lcf_gguf_dequantize(out, lcf_gguf_tensor_find(g, "z.one"), 0, 64);
    assert_memory_equal(out, VALUES, sizeof(out));
    lcf_gguf_id(id, g);
    lcf_gguf_close(g);
    for (uint64_t n = 1;; n++) {
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_gguf_open(&g, SHARD1, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    lcf_gguf_close(g);

    must(write_shard(SHARD2, 1, 2, "b.two", 2, &err), &err); /* another model: another id */
    must(lcf_gguf_open(&g, SHARD1, &err), &err);
    lcf_gguf_id(other, g);
    lcf_gguf_close(g);
    assert_string_not_equal(id, other);

    expect_shards(LCF_EINVAL, SHARD2, "first");
    must(write_shard(SHARD2, 1, 2, "z.one", 2, &err), &err);
    expect_shards(LCF_EFORMAT, SHARD1, "z.one");
    must(write_shard(SHARD2, 0, 2, "a.two", 2, &err), &err);
    expect_shards(LCF_EFORMAT, SHARD1, SHARD2);
    must(write_shard(SHARD2, 1, 3, "a.two", 2, &err), &err);
    expect_shards(LCF_EFORMAT, SHARD1, "2 of 3");
    must(write_shard(SHARD1, 0, 2, "z.one", 9, &err), &err);
    must(write_shard(SHARD2, 1, 2, "a.two", 9, &err), &err);
    expect_shards(LCF_EFORMAT, SHARD1, "9");
    assert_int_equal(remove(SHARD2), 0);
    expect_shards(LCF_ENOENT, SHARD1, SHARD2);
    must(write_shard(PATH, 0, 2, "z.one", 2, &err), &err);
    expect_shards(LCF_EINVAL, PATH, "-00002.gguf");
    assert_int_equal(remove(SHARD1), 0);
}

static lcf_status convert_sample(const lcf_gguf *g, const char *tensor, lcf_gguf_type type,
                                 lcf_err *err)
{
    lcf_gguf_writer *w = NULL;
    lcf_status status = lcf_gguf_create(&w, DAMAGED, err);

    for (size_t i = 0; lcf_gguf_key_at(g, i) && !status; i++) {
        lcf_gguf_value value = lcf_gguf_value_at(g, i);
        status = lcf_gguf_add_value(w, lcf_gguf_key_at(g, i), &value, err);
    }
    if (!status)
        status = lcf_gguf_add_converted(w, lcf_gguf_tensor_find(g, tensor), type, err);
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    return status;
}

/* Keys survive as they are, a tensor arrives by way of f32, or as it is. */
static void test_converted(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g, *copy;
    const lcf_gguf_tensor *a, *b;
    float wide[64], narrow[64];

    (void)state;
    must(write_sample(&err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    must(convert_sample(g, "m.q8", LCF_GGUF_Q8_0, &err), &err);
    must(lcf_gguf_open(&copy, DAMAGED, &err), &err);
    for (size_t i = 0; i < 8; i++) {
        lcf_gguf_value x, y;
        if (!lcf_gguf_key_at(g, i)) {
            assert_int_equal(i, 7);
            assert_null(lcf_gguf_key_at(copy, i));
            break;
        }
        x = lcf_gguf_value_at(g, i);
        y = lcf_gguf_value_at(copy, i);
        assert_string_equal(lcf_gguf_key_at(g, i), lcf_gguf_key_at(copy, i));
        assert_int_equal(x.kind, y.kind);
        assert_int_equal(x.array, y.array);
        assert_int_equal(x.n, y.n);
        for (size_t k = 0; k < x.n && x.kind == LCF_GGUF_KIND_STRING; k++) {
            assert_int_equal(x.strings[k].len, y.strings[k].len);
            assert_memory_equal(x.strings[k].data, y.strings[k].data, x.strings[k].len);
        }
        assert_memory_equal(x.data, y.data, x.n * lcf_gguf_kind_bytes(x.kind));
    }
    a = lcf_gguf_tensor_find(g, "m.q8");
    b = lcf_gguf_tensor_find(copy, "m.q8");
    assert_int_equal(a->bytes_n, b->bytes_n);
    assert_memory_equal(a->data, b->data, a->bytes_n);
    lcf_gguf_close(copy);

    must(convert_sample(g, "m.bf16", LCF_GGUF_F32, &err), &err);
    must(lcf_gguf_open(&copy, DAMAGED, &err), &err);
    lcf_gguf_dequantize(wide, lcf_gguf_tensor_find(g, "m.bf16"), 0, 3);
    lcf_gguf_dequantize(narrow, lcf_gguf_tensor_find(copy, "m.bf16"), 0, 3);
    assert_memory_equal(wide, narrow, 3 * sizeof(*wide));
    lcf_gguf_close(copy);

    /* 3e38 does not fit, rows of 3 have no blocks */
    assert_int_equal(convert_sample(g, "m.f32", LCF_GGUF_F16, &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "m.f32"));
    assert_int_equal(convert_sample(g, "m.f16", LCF_GGUF_Q8_0, NULL), LCF_EINVAL);
    assert_int_equal(convert_sample(g, "m.f32", LCF_GGUF_Q6_K, NULL), LCF_EINVAL);
    lcf_gguf_close(g);
}

/* The greatest float that BF16 can express is converted, the next one is not made infinite. */
static void test_greatest(void **state)
{
    static const float GREATEST[] = {0x1.fefffep127f, 0x1.ffp127f};
    const uint64_t dims[] = {1};
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf_writer *w;
    lcf_gguf *g, *copy;
    float back;

    (void)state;
    must(lcf_gguf_create(&w, PATH, &err), &err);
    must(lcf_gguf_add_tensor(w, "fits", LCF_GGUF_F32, dims, 1, &GREATEST[0], &err), &err);
    must(lcf_gguf_add_tensor(w, "does not", LCF_GGUF_F32, dims, 1, &GREATEST[1], &err), &err);
    must(lcf_gguf_commit(w, &err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    must(convert_sample(g, "fits", LCF_GGUF_BF16, &err), &err);
    must(lcf_gguf_open(&copy, DAMAGED, &err), &err);
    lcf_gguf_dequantize(&back, lcf_gguf_tensor_find(copy, "fits"), 0, 1);
    assert_true(back == 0x1.fep127f);
    lcf_gguf_close(copy);
    assert_int_equal(convert_sample(g, "does not", LCF_GGUF_BF16, &err), LCF_EUNSUPPORTED);
    lcf_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),          cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_f16),           cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_shards),
        cmocka_unit_test(test_converted),     cmocka_unit_test(test_greatest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
