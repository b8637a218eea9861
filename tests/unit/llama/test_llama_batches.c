/*
 * LLaMA inference against itself: attention at every level of the processor, a cache with too
 * little room, and the same bits in every batch.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/kernels.h"
#include "offline/llama/kv_attention.h"
#include "offline/llama/llama.h"
#include "offline/llama/matrix.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_llama_batches.gguf"

enum { LEN = 71, TOKENS = 6, GROUP = 3, HEAD = 21, VALUE = 32, ATTENTION_PAGES = 3 };

typedef struct attention { /* one head's cache, and what was stored in it */
    float keys[LEN + TOKENS][HEAD], values[LEN + TOKENS][HEAD];
    unsigned char bytes[ATTENTION_PAGES][LCF_KV_PAGE * (HEAD + VALUE) * sizeof(float)];
    unsigned char *table[ATTENTION_PAGES];
    lcf_kv_view view;
} attention;

static void fill_attention(attention *a, const lcf_kv_kernels *kernels)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 4, 0);
    memset(a->bytes, 0xff, sizeof(a->bytes)); /* NaNs: nothing may depend on them */
    for (size_t i = 0; i < ATTENTION_PAGES; i++)
        a->table[i] = a->bytes[(i + 2) % ATTENTION_PAGES];
    a->view = (lcf_kv_view){a->table, 0, HEAD, VALUE};
    for (size_t t = 0; t < LEN + TOKENS; t++) {
        for (size_t d = 0; d < HEAD; d++) {
            a->keys[t][d] = (float)lcf_rng_normal(&rng);
            a->values[t][d] = (float)lcf_rng_normal(&rng);
        }
        kernels->store(&a->view, t, a->keys[t], a->values[t]);
    }
}

/* A token alone and with its successors against plain arithmetic. */
static void check_attention(const attention *a, const lcf_kv_kernels *kernels, size_t tokens,
                            double tolerance)
{
    float q[TOKENS * GROUP * HEAD], out[TOKENS * GROUP * HEAD];
    float scratch[TOKENS * GROUP * (96 + VALUE)];
    lcf_kv_queries queries = {out, q, GROUP * HEAD, GROUP * HEAD, tokens, GROUP, LEN};
    lcf_rng rng;

    lcf_rng_seed(&rng, 7, 0);
    for (size_t i = 0; i < TOKENS * GROUP * HEAD; i++)
        q[i] = (float)lcf_rng_normal(&rng);
    assert_true(lcf_kv_scratch_n(tokens * GROUP, LEN + tokens - 1, VALUE) * sizeof(float) <=
                sizeof(scratch));
    kernels->attend(&queries, &a->view, 0.25f, scratch);
    for (size_t r = 0; r < tokens * GROUP; r++) {
        double wanted[HEAD] = {0}, sum = 0;
        for (size_t t = 0; t < LEN + r / GROUP; t++) {
            double score = 0;
            for (size_t d = 0; d < HEAD; d++)
                score += (double)q[r * HEAD + d] * a->keys[t][d];
            score = exp(score * 0.25);
            sum += score;
            for (size_t d = 0; d < HEAD; d++)
                wanted[d] += score * a->values[t][d];
        }
        for (size_t d = 0; d < HEAD; d++)
            assert_true(fabs(out[r * HEAD + d] - wanted[d] / sum) < tolerance);
    }
}

static void test_attention_levels(void **state)
{
    static attention a;

    (void)state;
    for (int f16 = 0; f16 < 2; f16++)
        for (int level = LCF_KV_BASELINE; level <= LCF_KV_AVX512; level++) {
            const lcf_kv_kernels *kernels = lcf_kv_kernels_at(f16, (lcf_kv_level)level);
            if (!kernels)
                continue;
            fill_attention(&a, kernels);
            for (size_t tokens = 1; tokens <= TOKENS; tokens++)
                check_attention(&a, kernels, tokens, f16 ? 2e-3 : 1e-5);
        }
    assert_non_null(lcf_kv_kernels_best(true));
}

/* A cache with room for a part of the sequences: a batch that does not fit changes nothing, and
 * pages that come back are used again. */
static void test_cache_budget(void **state)
{
    enum { CONTEXT = 64, SEQS = 4 };
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = fixture_open(PATH, &o);
    lcf_llama_session_options options = {
        .seqs_max = SEQS, .context_n = CONTEXT, .batch_max = 64, .threads = 1, .kv_f16 = true};
    const size_t page = 2 * 2 * 32 * (10 + 16) * 2; /* layers, heads, positions, K and V, F16 */
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    lcf_llama_token token = {1, 1, true};
    uint32_t ids[CONTEXT];

    (void)state;
    fixture_ids(ids, CONTEXT, m, 3);
    options.kv_bytes_max = 2 * page - 1;
    assert_int_equal(lcf_llama_session_open(&s, m, &options, NULL), LCF_EINVAL);
    options.kv_bytes_max = 3 * page;
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    assert_int_equal(lcf_llama_pages_free(s), 3);
    fixture_feed(s, ids, 40, 0, &logits);
    assert_int_equal(lcf_llama_pages_free(s), 1);
    assert_true(lcf_llama_seq_copy(s, 1, 0, 32));
    assert_int_equal(lcf_llama_pages_free(s), 1);
    fixture_feed(s, ids, 1, 2, &logits);
    assert_false(lcf_llama_seq_copy(s, 3, 0, 40));
    assert_int_equal(lcf_llama_seq_len(s, 3), 0);
    assert_int_equal(lcf_llama_decode(&logits, s, &token, 1, &err), LCF_ELIMIT);
    assert_int_equal(lcf_llama_seq_len(s, 1), 32);
    lcf_llama_seq_reset(s, 2);
    assert_ok(lcf_llama_decode(&logits, s, &token, 1, &err), &err);
    lcf_llama_seq_reset(s, 0);
    assert_int_equal(lcf_llama_pages_free(s), 1);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

/* The same bits whether a token comes alone, with its prompt, or among other sequences. */
static void check_batch_invariance(const lcf_llama *m, size_t threads, bool f16)
{
    enum { N = 50 };
    const lcf_llama_session_options options = {
        .seqs_max = 3, .context_n = N, .batch_max = 2 * N, .threads = threads, .kv_f16 = f16};
    size_t row = m->config.vocab_n;
    float *alone = lcf_alloc(N * row, sizeof(*alone));
    lcf_llama_token batch[2 * N];
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    uint32_t ids[N];

    assert_non_null(alone);
    fixture_ids(ids, N, m, 6);
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    for (size_t i = 0; i < N; i++) {
        fixture_feed(s, ids + i, 1, 0, &logits);
        memcpy(alone + i * row, logits, row * sizeof(*logits));
    }
    for (size_t i = 0; i < N; i++)
        batch[i] = (lcf_llama_token){ids[i], 1, true};
    assert_ok(lcf_llama_decode(&logits, s, batch, N, &err), &err);
    assert_memory_equal(logits, alone, N * row * sizeof(*logits));
    lcf_llama_seq_reset(s, 1);
    for (size_t i = 0; i < N; i++) { /* 2 runs ahead, and 1 comes in pieces */
        batch[2 * i] = (lcf_llama_token){ids[N - 1 - i], 2, false};
        batch[2 * i + 1] = (lcf_llama_token){ids[i], 1, true};
    }
    assert_ok(lcf_llama_decode(&logits, s, batch, 7, &err), &err);
    assert_memory_equal(logits, alone, 3 * row * sizeof(*logits));
    assert_ok(lcf_llama_decode(&logits, s, batch + 7, 2 * N - 7, &err), &err);
    assert_memory_equal(logits, alone + 3 * row, (N - 3) * row * sizeof(*logits));
    lcf_llama_session_free(s);
    free(alone);
}

/* `seqs` sequences that decode the same tokens in step: each gets the logits of the first alone. */
static void check_same_in_step(const lcf_llama *m, size_t seqs, size_t threads)
{
    enum { N = 34, SEQS_MAX = 32 };
    const lcf_llama_session_options options = {
        .seqs_max = SEQS_MAX + 1, .context_n = N, .batch_max = SEQS_MAX, .threads = threads};
    size_t bytes = m->config.vocab_n * sizeof(float);
    float *alone = lcf_alloc(m->config.vocab_n, sizeof(*alone));
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    uint32_t ids[N];

    assert_non_null(alone);
    fixture_ids(ids, N, m, 8);
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    for (size_t t = 0; t < N; t++) {
        lcf_llama_token batch[SEQS_MAX];
        const float *logits;
        fixture_feed(s, ids + t, 1, SEQS_MAX, &logits);
        memcpy(alone, logits, bytes);
        for (uint32_t q = 0; q < seqs; q++)
            batch[q] = (lcf_llama_token){ids[t], q, true};
        assert_ok(lcf_llama_decode(&logits, s, batch, seqs, &err), &err);
        for (size_t q = 0; q < seqs; q++)
            assert_memory_equal(logits + q * m->config.vocab_n, alone, bytes);
    }
    lcf_llama_session_free(s);
    free(alone);
}

static lcf_llama *open_of_type(lcf_gguf_type type)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;

    o.head_dim = 16; /* so that every matrix is of the type */
    o.ffn_dim = 64;
    if (lcf_gguf_type_block(type) > 32) {
        o.dim = o.ffn_dim = lcf_gguf_type_block(type);
        o.heads_n = o.dim / o.head_dim;
        o.layers_n = 1;
    }
    o.type = type;
    return fixture_open(PATH, &o);
}

static void check_type_in_batches(lcf_gguf_type type)
{
    static const size_t SEQS[] = {1, 2, 7, 32};
    lcf_llama *m = open_of_type(type);

    for (size_t threads = 1; threads <= 3; threads += 2) {
        check_batch_invariance(m, threads, threads > 1);
        for (size_t q = 0; q < sizeof(SEQS) / sizeof(*SEQS); q++)
            check_same_in_step(m, SEQS[q], threads);
    }
    lcf_llama_close(m);
}

static void test_batch_invariance(void **state)
{
    (void)state;
    check_type_in_batches(LCF_GGUF_F32);
    check_type_in_batches(LCF_GGUF_F16);
    check_type_in_batches(LCF_GGUF_BF16);
    check_type_in_batches(LCF_GGUF_Q8_0);
    check_type_in_batches(LCF_GGUF_Q4_0);
}

/* Types that are packed into another. */
static void test_batch_invariance_packed(void **state)
{
    static const lcf_gguf_type TYPES[] = {LCF_GGUF_Q4_1, LCF_GGUF_Q5_0, LCF_GGUF_Q5_1,
                                          LCF_GGUF_Q4_K, LCF_GGUF_Q5_K, LCF_GGUF_Q6_K};

    (void)state;
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        lcf_llama *m = open_of_type(TYPES[i]);
        assert_int_equal(m->layers[0].w_down.type, TYPES[i]);
        check_batch_invariance(m, 3, true);
        check_same_in_step(m, 7, 1);
        check_same_in_step(m, 32, 3);
        lcf_llama_close(m);
    }
}

/* As on a processor with AMX, by its slow emulation. */
static void test_batch_invariance_amx(void **state)
{
    static const lcf_gguf_type TYPES[] = {LCF_GGUF_BF16, LCF_GGUF_Q8_0, LCF_GGUF_Q4_0};

    (void)state;
    if (!lcf_matrix_has(LCF_MATRIX_BF16, LCF_MATRIX_AMX_EMULATED))
        skip();
    lcf_matrix_limit(LCF_MATRIX_AMX_EMULATED);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        lcf_llama *m = open_of_type(TYPES[i]);
        check_batch_invariance(m, 3, false);
        lcf_llama_close(m);
    }
    lcf_matrix_limit(LCF_MATRIX_AMX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_levels),     cmocka_unit_test(test_cache_budget),
        cmocka_unit_test(test_batch_invariance),     cmocka_unit_test(test_batch_invariance_packed),
        cmocka_unit_test(test_batch_invariance_amx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
