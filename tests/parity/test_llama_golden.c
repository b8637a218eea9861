/*
 * The engine against golden/{llama,qwen2}_*, made by make_llama_golden.py with PyTorch in float64:
 * architectures, head sizes, biases, tied and untied output, and every scaling of the rotation.
 *
 * Tolerance: f32 against float64, 1e-5 of the largest logit.
 */
#include "offline/llama/llama.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_freqs),        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_qwen2_untied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
