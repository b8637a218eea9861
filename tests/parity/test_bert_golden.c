/*
 * BERT encoders against golden/bert_*, made by make_bert_golden.py with PyTorch in float64: tokens
 * of texts, both poolings, and vectors that depend on nothing but their own text.
 *
 * Tolerance: f32 against float64, 1e-5 of the largest component.
 */
#include "common/base/mem.h"
#include "offline/llama/bert.h"
#include "tests/parity/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTS_N = 4, MANY = 50 };

static const lcf_str TEXTS[TEXTS_N] = {
    {"the cat sat on a mat", 20},
    {"Unhappy cats!", 13},
    {"a", 1},
    {"the the the the the the the the the the the the the the the the the the the the", 79}};

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static void model_path(char out[4096], const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");

    snprintf(out, 4096, "%s/tests/parity/golden/%s.gguf", root ? root : ".", name);
}

static lcf_bert *open_model(const char *name)
{
    char path[4096];
    lcf_err err = LCF_ERR_INIT;
    lcf_bert *b;

    model_path(path, name);
    must(lcf_bert_open(&b, path, &err), &err);
    return b;
}

static void check(const char *name)
{
    lcf_bert *b = open_model(name);
    size_t dim = lcf_bert_config_of(b)->dim;
    float vector[64];
    lcf_err err = LCF_ERR_INIT;
    golden g;

    golden_open(&g, name);
    for (size_t i = 0; i < TEXTS_N; i++) {
        char key[32];
        const golden_tensor *ids, *want;
        lcf_tokens got = LCF_TOKENS_INIT;
        snprintf(key, sizeof(key), "%zu", i);
        ids = golden_get(&g, "ids", key);
        want = golden_get(&g, "vector", key);
        assert_int_equal(want->n, dim);
        must(lcf_bert_tokens(&got, b, TEXTS[i], &err), &err);
        assert_int_equal(got.n, ids->n);
        for (size_t k = 0; k < got.n; k++)
            assert_int_equal(got.ids[k], (uint32_t)ids->data[k]);
        must(lcf_bert_embed(vector, b, got.ids, got.n, &err), &err);
        golden_assert_close(want->name, vector, want);
        lcf_tokens_dispose(&got);
    }
    golden_close(&g);
    lcf_bert_close(b);
}

static void test_mean(void **state)
{
    (void)state;
    check("bert_mean");
}

static void test_cls(void **state)
{
    (void)state;
    check("bert_cls");
}

/* The same bits alone, among others, and on three threads; nothing said is nothing. */
static void test_invariance(void **state)
{
    lcf_bert *b = open_model("bert_mean");
    size_t dim = lcf_bert_config_of(b)->dim;
    lcf_str texts[MANY];
    float *one = malloc(MANY * dim * sizeof(float)), *three = malloc(MANY * dim * sizeof(float));
    lcf_pool *pool;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        texts[i] = i % 5 < TEXTS_N ? TEXTS[i % 5] : (lcf_str){"", 0};
    must(lcf_pool_create(&pool, 3, &err), &err);
    must(lcf_bert_encode(three, b, texts, MANY, pool, &err), &err);
    lcf_pool_free(pool);
    must(lcf_pool_create(&pool, 1, &err), &err);
    for (size_t i = 0; i < MANY; i++)
        must(lcf_bert_encode(one + i * dim, b, &texts[i], 1, pool, &err), &err);
    lcf_pool_free(pool);
    assert_memory_equal(one, three, MANY * dim * sizeof(float));
    for (size_t k = 0; k < dim; k++)
        assert_true(one[4 * dim + k] == 0);
    free(one);
    free(three);
    lcf_bert_close(b);
}

static void test_refusals(void **state)
{
    lcf_bert *b = open_model("bert_cls"), *none;
    char path[4096];
    float vector[64];
    uint32_t ids[17] = {0};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_bert_embed(vector, b, ids, 0, NULL), LCF_EINVAL);
    assert_int_equal(lcf_bert_embed(vector, b, ids, 17, NULL), LCF_EINVAL);
    ids[0] = 1000;
    assert_int_equal(lcf_bert_embed(vector, b, ids, 1, NULL), LCF_EINVAL);
    lcf_bert_close(b);
    model_path(path, "qwen2");
    assert_int_equal(lcf_bert_open(&none, path, &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "qwen2"));
}

static void test_out_of_memory(void **state)
{
    char path[4096];
    lcf_bert *b;
    lcf_pool *pool;
    float *vectors = malloc(TEXTS_N * 64 * sizeof(float));
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    model_path(path, "bert_mean");
    for (uint64_t n = 1;; n++) {
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_bert_open(&b, path, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    must(lcf_pool_create(&pool, 1, &err), &err);
    for (uint64_t n = 1;; n++) {
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_bert_encode(vectors, b, TEXTS, TEXTS_N, pool, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
    lcf_pool_free(pool);
    lcf_bert_close(b);
    free(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),          cmocka_unit_test(test_cls),
        cmocka_unit_test(test_invariance),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
