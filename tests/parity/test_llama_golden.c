/*
 * The engine against golden/{llama,qwen2}_*, made by make_llama_golden.py with PyTorch in float64:
 * architectures, head sizes, biases, tied and untied output, every scaling of the rotation, and
 * soft tokens with their gradients.
 *
 * Tolerance: f32 against float64, 1e-5 of the largest logit.
 */
#include "offline/llama/llama_train.h"
#include "tests/parity/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS_MAX = 64 };

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static lcf_llama *open_model(const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char path[4096];
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m;

    snprintf(path, sizeof(path), "%s/tests/parity/golden/%s.gguf", root ? root : ".", name);
    must(lcf_llama_open(&m, path, &err), &err);
    return m;
}

/* All positions at once, then the last ones one by one: prefill and decoding agree with the
 * reference. */
static void check_logits(const lcf_llama *m, const golden *g, size_t alone_n)
{
    const golden_tensor *ids = golden_get(g, "", "ids"), *want = golden_get(g, "", "logits");
    lcf_llama_session *s;
    lcf_llama_token batch[TOKENS_MAX];
    lcf_err err = LCF_ERR_INIT;
    size_t n = ids->n, vocab_n = m->config.vocab_n;
    float *got = malloc(want->n * sizeof(*got));
    const float *logits;

    assert_non_null(got);
    assert_true(n <= TOKENS_MAX && want->n == n * vocab_n);
    must(lcf_llama_session_create(&s, m, 1, n, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){(uint32_t)ids->data[i], 0, true};
    must(lcf_llama_decode(&logits, s, batch, n - alone_n, &err), &err);
    memcpy(got, logits, (n - alone_n) * vocab_n * sizeof(*got));
    for (size_t i = n - alone_n; i < n; i++) {
        must(lcf_llama_decode(&logits, s, batch + i, 1, &err), &err);
        memcpy(got + i * vocab_n, logits, vocab_n * sizeof(*got));
    }
    golden_assert_close("logits", got, want);
    lcf_llama_session_free(s);
    free(got);
}

static void check(const char *name)
{
    static const char COPY[] = "test_llama_golden.gguf";
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m = open_model(name), *copy;
    golden g;

    golden_open(&g, name);
    check_logits(m, &g, 0);
    check_logits(m, &g, 9);
    must(lcf_llama_save(COPY, m, LCF_GGUF_F32, "copy", &err), &err);
    must(lcf_llama_open(&copy, COPY, &err), &err);
    check_logits(copy, &g, 1);
    lcf_llama_close(copy);
    lcf_llama_close(m);
    golden_close(&g);
}

static void test_linear(void **state)
{
    (void)state;
    check("llama_linear");
}

static void test_llama3(void **state)
{
    (void)state;
    check("llama_llama3");
}

static void test_freqs(void **state)
{
    (void)state;
    check("llama_freqs");
}

static void test_qwen2(void **state)
{
    (void)state;
    check("qwen2");
}

static void test_qwen2_untied(void **state)
{
    (void)state;
    check("qwen2_untied");
}

enum { SOFT_MAX = 8 * 64 };

/* Logits behind soft tokens, the loss that training sees, and its gradient. */
static void test_soft(void **state)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    float soft[SOFT_MAX], grads[SOFT_MAX] = {0}, nll_f32;
    uint32_t tokens[TOKENS_MAX];
    int32_t targets[TOKENS_MAX];
    lcf_train_seq seq = {tokens, targets, NULL, NULL, 0};
    lcf_train_soft table = {{soft, 0}, grads};
    lcf_llama_token batch[TOKENS_MAX];
    const golden_tensor *ids, *rows;
    lcf_llama *m = open_model("llama_soft");
    lcf_llama_trainer *t;
    lcf_llama_session *s;
    lcf_pool *pool;
    const float *logits;
    double nll;
    uint64_t n;
    lcf_err err = LCF_ERR_INIT;
    golden g;

    (void)state;
    golden_open(&g, "llama_soft");
    ids = golden_get(&g, "", "ids");
    rows = golden_get(&g, "", "soft");
    assert_true(ids->n <= TOKENS_MAX && rows->n <= SOFT_MAX);
    seq.n = ids->n;
    table.tokens.n = rows->n / m->config.dim;
    for (size_t i = 0; i < rows->n; i++)
        soft[i] = (float)rows->data[i];
    for (size_t i = 0; i < ids->n; i++) {
        tokens[i] = (uint32_t)ids->data[i];
        targets[i] = (int32_t)golden_get(&g, "", "targets")->data[i];
        batch[i] = (lcf_llama_token){tokens[i], 0, true};
    }
    must(lcf_llama_session_create(&s, m, 1, ids->n, ids->n, &err), &err);
    lcf_llama_session_soft(s, &table.tokens);
    must(lcf_llama_decode(&logits, s, batch, ids->n, &err), &err);
    golden_assert_close("logits", logits, golden_get(&g, "", "logits"));
    o.frozen = true;
    must(lcf_pool_create(&pool, 2, &err), &err);
    must(lcf_llama_trainer_from(&t, m, &o, &err), &err);
    lcf_llama_trainer_soft(t, &table);
    must(lcf_llama_trainer_eval(&nll, &n, t, &seq, 1, pool, &err), &err);
    nll_f32 = (float)nll;
    golden_assert_close("nll", &nll_f32, golden_get(&g, "", "nll"));
    must(lcf_llama_trainer_accumulate(t, &seq, 1, 0, true, pool, &err), &err);
    golden_assert_close("gradients of soft tokens", grads, golden_get(&g, "", "soft_grad"));
    lcf_llama_trainer_free(t);
    lcf_llama_session_free(s);
    lcf_pool_free(pool);
    lcf_llama_close(m);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_freqs),        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_qwen2_untied), cmocka_unit_test(test_soft),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
