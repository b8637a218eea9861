/*
 * The engine against golden/{llama,qwen2}_*, made by make_llama_golden.py with PyTorch in float64:
 * architectures, head sizes, biases, tied and untied output, every scaling of the rotation, and
 * soft tokens with their gradients, and both losses of training.
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

/* A sequence with soft tokens and what is expected of it. */
typedef struct soft_case {
    golden g;
    lcf_llama *m;
    lcf_pool *pool;
    float soft[SOFT_MAX], grads[SOFT_MAX];
    uint32_t tokens[TOKENS_MAX];
    int32_t targets[TOKENS_MAX];
    lcf_train_seq seq;
    lcf_train_soft table;
} soft_case;

static void open_soft(soft_case *c)
{
    const golden_tensor *ids, *rows;
    lcf_err err = LCF_ERR_INIT;

    memset(c, 0, sizeof(*c));
    c->m = open_model("llama_soft");
    must(lcf_pool_create(&c->pool, 2, &err), &err);
    golden_open(&c->g, "llama_soft");
    ids = golden_get(&c->g, "", "ids");
    rows = golden_get(&c->g, "", "soft");
    assert_true(ids->n <= TOKENS_MAX && rows->n <= SOFT_MAX);
    c->seq = (lcf_train_seq){c->tokens, c->targets, NULL, NULL, ids->n};
    c->table = (lcf_train_soft){{c->soft, rows->n / c->m->config.dim}, c->grads};
    for (size_t i = 0; i < rows->n; i++)
        c->soft[i] = (float)rows->data[i];
    for (size_t i = 0; i < ids->n; i++) {
        c->tokens[i] = (uint32_t)ids->data[i];
        c->targets[i] = (int32_t)golden_get(&c->g, "", "targets")->data[i];
    }
}

static void close_soft(soft_case *c)
{
    lcf_pool_free(c->pool);
    lcf_llama_close(c->m);
    golden_close(&c->g);
}

/* A trainer whose loss is that of the reference, after the gradients of one group. */
static lcf_llama_trainer *trained(soft_case *c, const lcf_llama_train_options *o, const char *loss)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_llama_trainer *t;
    float sum_f32;
    double sum;
    uint64_t n;

    must(lcf_llama_trainer_from(&t, c->m, o, &err), &err);
    lcf_llama_trainer_soft(t, &c->table);
    must(lcf_llama_trainer_eval(&sum, &n, t, &c->seq, 1, c->pool, &err), &err);
    sum_f32 = (float)sum;
    golden_assert_close(loss, &sum_f32, golden_get(&c->g, "", loss));
    must(lcf_llama_trainer_accumulate(t, &c->seq, 1, 0, true, c->pool, &err), &err);
    return t;
}

/* Logits behind soft tokens, the loss that training sees, and its gradient. */
static void test_soft(void **state)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_token batch[TOKENS_MAX];
    lcf_err err = LCF_ERR_INIT;
    lcf_llama_session *s;
    const float *logits;
    soft_case c;

    (void)state;
    open_soft(&c);
    for (size_t i = 0; i < c.seq.n; i++)
        batch[i] = (lcf_llama_token){c.tokens[i], 0, true};
    must(lcf_llama_session_create(&s, c.m, 1, c.seq.n, c.seq.n, &err), &err);
    lcf_llama_session_soft(s, &c.table.tokens);
    must(lcf_llama_decode(&logits, s, batch, c.seq.n, &err), &err);
    golden_assert_close("logits", logits, golden_get(&c.g, "", "logits"));
    lcf_llama_session_free(s);
    o.frozen = true;
    lcf_llama_trainer_free(trained(&c, &o, "nll"));
    golden_assert_close("gradients of soft tokens", c.grads, golden_get(&c.g, "", "soft_grad"));
    close_soft(&c);
}

/* Binary cross-entropy of one piece's logit, with the gradients of the tables, a norm, a matrix
 * and the soft tokens. */
static void test_binary(void **state)
{
    static const char *const names[] = {"output", "output_norm", "blk.1.ffn_down", "token_embd"};
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    const lcf_params *p;
    lcf_llama_trainer *t;
    soft_case c;

    (void)state;
    open_soft(&c);
    o.objective = LCF_TRAIN_BINARY_CROSS_ENTROPY;
    o.positive = 5;
    t = trained(&c, &o, "bce");
    p = lcf_llama_trainer_params(t);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[LCF_PARAM_NAME_MAX];
        size_t idx;

        snprintf(name, sizeof(name), "%s.weight", names[i]);
        idx = lcf_params_find(p, name);
        assert_true(idx < p->list_n);
        golden_assert_close(names[i], lcf_llama_trainer_grads(t)->values + p->list[idx].offset,
                            golden_get(&c.g, "bce.", names[i]));
    }
    golden_assert_close("gradients of soft tokens", c.grads, golden_get(&c.g, "bce.", "soft"));
    lcf_llama_trainer_free(t);
    close_soft(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_freqs),        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_qwen2_untied), cmocka_unit_test(test_soft),
        cmocka_unit_test(test_binary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
