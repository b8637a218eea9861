/*
 * LLaMA inference: against a naive forward pass in double, against itself in other batches, and
 * against the recorded continuations of a model that was trained elsewhere.
 */
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/math/kernels.h"
#include "offline/llama/complete.h"
#include "offline/llama/kv_attention.h"
#include "offline/llama/llama.h"
#include "offline/llama/matrix.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_llama.gguf"

static lcf_llama *open_fixture(const fixture_options *options)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m;

    fixture_write(PATH, options);
    assert_ok(lcf_llama_open(&m, PATH, &err), &err);
    return m;
}

/* ---- the naive forward pass: one sequence, double, no cache ---- */

static void naive_norm(double *y, const double *x, const float *w, size_t n, double eps)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / (double)n + eps) * w[i];
}

static void naive_linear(double *y, const double *x, const lcf_llama_matrix *w, const float *bias)
{
    float *row = lcf_alloc(w->cols, sizeof(*row));

    assert_non_null(row);
    for (size_t o = 0; o < w->rows; o++) {
        lcf_llama_matrix_rows(row, w, o, 1);
        y[o] = bias ? bias[o] : 0;
        for (size_t i = 0; i < w->cols; i++)
            y[o] += x[i] * row[i];
    }
    free(row);
}

/* source   transformers 4.43, _compute_linear_scaling_rope_parameters and
 * _compute_llama3_parameters
 */
static double naive_frequency(const lcf_llama *m, size_t pair)
{
    const lcf_llama_config *c = &m->config;
    double frequency = pow(c->rope_theta, -2.0 * (double)pair / (double)c->head_dim);
    double wave, smooth;

    if (m->rope_factors)
        frequency /= m->rope_factors[pair];
    if (c->rope_scaling == LCF_ROPE_LINEAR)
        return frequency / c->rope_factor;
    if (c->rope_scaling == LCF_ROPE_PLAIN)
        return frequency;
    wave = 2 * 3.14159265358979 / frequency;
    if (wave < (double)c->rope_original_n / c->rope_high_freq)
        return frequency;
    if (wave > (double)c->rope_original_n / c->rope_low_freq)
        return frequency / c->rope_factor;
    smooth = ((double)c->rope_original_n / wave - c->rope_low_freq) /
             (c->rope_high_freq - c->rope_low_freq);
    return (1 - smooth) * frequency / c->rope_factor + smooth * frequency;
}

static void naive_rope(double *x, size_t heads, const lcf_llama *m, size_t position)
{
    size_t head_dim = m->config.head_dim;

    for (size_t h = 0; h < heads; h++, x += head_dim)
        for (size_t pair = 0; pair < head_dim / 2; pair++) {
            double angle = (double)position * naive_frequency(m, pair);
            double *a = x + (m->config.rope_halves ? pair : 2 * pair);
            double *b = a + (m->config.rope_halves ? head_dim / 2 : 1);
            double turned = *a * cos(angle) - *b * sin(angle);
            *b = *a * sin(angle) + *b * cos(angle);
            *a = turned;
        }
}

static void naive_attend(double *out, const double *q, const double *k, const double *v, size_t t,
                         const lcf_llama_config *c)
{
    size_t group = c->heads_n / c->kv_heads_n, kv = c->kv_heads_n * c->head_dim;
    double weights[256];

    for (size_t h = 0; h < c->heads_n; h++) {
        size_t at = h / group * c->head_dim;
        double sum = 0;
        for (size_t s = 0; s <= t; s++) {
            double score = 0;
            for (size_t d = 0; d < c->head_dim; d++)
                score += q[h * c->head_dim + d] * k[s * kv + at + d];
            weights[s] = exp(score / sqrt((double)c->head_dim));
            sum += weights[s];
        }
        for (size_t d = 0; d < c->head_dim; d++) {
            out[h * c->head_dim + d] = 0;
            for (size_t s = 0; s <= t; s++)
                out[h * c->head_dim + d] += weights[s] / sum * v[s * kv + at + d];
        }
    }
}

static double *zeros(size_t n)
{
    double *p = lcf_alloc_zero(n, sizeof(*p));

    assert_non_null(p);
    return p;
}

static void naive_layer(double *x, const lcf_llama *m, const lcf_llama_layer *l, size_t n)
{
    const lcf_llama_config *c = &m->config;
    size_t q_n = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    double *h = zeros(c->dim), *q = zeros(n * q_n), *k = zeros(n * kv), *v = zeros(n * kv);
    double *mixed = zeros(q_n), *gate = zeros(c->ffn_dim), *up = zeros(c->ffn_dim);

    for (size_t t = 0; t < n; t++) {
        naive_norm(h, x + t * c->dim, l->attn_norm, c->dim, c->norm_eps);
        naive_linear(q + t * q_n, h, &l->wq, l->bq);
        naive_linear(k + t * kv, h, &l->wk, l->bk);
        naive_linear(v + t * kv, h, &l->wv, l->bv);
        naive_rope(q + t * q_n, c->heads_n, m, t);
        naive_rope(k + t * kv, c->kv_heads_n, m, t);
    }
    for (size_t t = 0; t < n; t++) {
        double *row = x + t * c->dim;
        naive_attend(mixed, q + t * q_n, k, v, t, c);
        naive_linear(h, mixed, &l->wo, NULL);
        for (size_t i = 0; i < c->dim; i++)
            row[i] += h[i];
        naive_norm(h, row, l->ffn_norm, c->dim, c->norm_eps);
        naive_linear(gate, h, &l->w_gate, NULL);
        naive_linear(up, h, &l->w_up, NULL);
        for (size_t i = 0; i < c->ffn_dim; i++)
            gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        naive_linear(h, gate, &l->w_down, NULL);
        for (size_t i = 0; i < c->dim; i++)
            row[i] += h[i];
    }
    free(h);
    free(q);
    free(k);
    free(v);
    free(mixed);
    free(gate);
    free(up);
}

/* logits [n, vocab_n]; free() releases them. */
static double *naive_forward(const lcf_llama *m, const uint32_t *ids, size_t n)
{
    const lcf_llama_config *c = &m->config;
    double *x = zeros(n * c->dim), *h = zeros(c->dim), *logits = zeros(n * c->vocab_n);
    float *row = lcf_alloc(c->dim, sizeof(*row));

    assert_non_null(row);
    for (size_t t = 0; t < n; t++) {
        lcf_llama_matrix_rows(row, &m->embed, ids[t], 1);
        for (size_t i = 0; i < c->dim; i++)
            x[t * c->dim + i] = row[i];
    }
    for (size_t l = 0; l < c->layers_n; l++)
        naive_layer(x, m, &m->layers[l], n);
    for (size_t t = 0; t < n; t++) {
        naive_norm(h, x + t * c->dim, m->final_norm, c->dim, c->norm_eps);
        naive_linear(logits + t * c->vocab_n, h, &m->output, NULL);
    }
    free(x);
    free(h);
    free(row);
    return logits;
}

static void assert_near(const float *got, const double *wanted, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - wanted[i]) <= tolerance))
            fail_msg("logit %zu: %g, not %g", i, (double)got[i], wanted[i]);
}

static void random_ids(uint32_t *ids, size_t n, const lcf_llama *m, uint64_t seed)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)lcf_rng_below(&rng, m->config.vocab_n);
}

/* Prompt in one batch, then token by token, past several pages of the cache. */
static void check_model(const lcf_llama *m)
{
    enum { N = 75, PROMPT = 37 };
    lcf_llama_token batch[N];
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    uint32_t ids[N];
    double *wanted;

    random_ids(ids, N, m, 3);
    wanted = naive_forward(m, ids, N);
    assert_ok(lcf_llama_session_create(&s, m, 2, 80, PROMPT, &err), &err);
    for (size_t i = 0; i < N; i++)
        batch[i] = (lcf_llama_token){ids[i], 1, i % 3 == 0 || i >= PROMPT};
    assert_ok(lcf_llama_decode(&logits, s, batch, PROMPT, &err), &err);
    for (size_t i = 0; i * 3 < PROMPT; i++)
        assert_near(logits + i * m->config.vocab_n, wanted + 3 * i * m->config.vocab_n,
                    m->config.vocab_n, 1e-4);
    for (size_t i = PROMPT; i < N; i++) {
        assert_ok(lcf_llama_decode(&logits, s, batch + i, 1, &err), &err);
        assert_near(logits, wanted + i * m->config.vocab_n, m->config.vocab_n, 1e-4);
    }
    assert_int_equal(lcf_llama_seq_len(s, 1), N);
    assert_int_equal(lcf_llama_seq_len(s, 0), 0);
    lcf_llama_session_free(s);
    free(wanted);
}

static void check_against_naive(const fixture_options *options)
{
    lcf_llama *m = open_fixture(options);

    check_model(m);
    lcf_llama_close(m);
}

static void test_against_naive(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;

    (void)state;
    check_against_naive(&o);
    o.tied = true;
    o.heads_n = o.kv_heads_n = 3; /* no sharing of heads, a size of head that fills lanes */
    o.head_dim = 16;
    check_against_naive(&o);
    o.heads_n = 5; /* odd group */
    o.kv_heads_n = 1;
    o.head_dim = 34;
    check_against_naive(&o);
}

/* What other families add to a plain LLaMA: biases, halves that turn together, scaled angles. */
static void test_variants(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o);
    float bias[60], factors[] = {1, 1.5f, 2, 4, 8};

    (void)state;
    for (size_t i = 0; i < 60; i++)
        bias[i] = (float)(i % 7) / 5 - 0.5f;
    m->config.rope_halves = true;
    m->config.rope_scaling = LCF_ROPE_LINEAR;
    m->config.rope_factor = 4;
    for (size_t i = 0; i < o.layers_n; i++) {
        m->layers[i].bq = bias;
        m->layers[i].bk = bias + 20;
        m->layers[i].bv = bias + 40;
    }
    check_model(m);
    m->config.rope_halves = false;
    m->config.rope_scaling = LCF_ROPE_PLAIN;
    m->rope_factors = factors;
    check_model(m);
    m->rope_factors = NULL;
    m->config.rope_scaling = LCF_ROPE_LLAMA3;
    m->config.rope_theta = 50;
    m->config.rope_low_freq = 1;
    m->config.rope_high_freq = 4;
    m->config.rope_original_n = 32;
    check_model(m);
    lcf_llama_close(m);
}

/* ---- batches ---- */

/* Random interleavings of several sequences give what each gives alone. */
static void test_batches(void **state)
{
    enum { SEQS = 5, N = 60 };
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o);
    size_t vocab_n = m->config.vocab_n, done[SEQS] = {0}, left = SEQS * N;
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    uint32_t ids[SEQS][N];
    double *wanted[SEQS];
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 9, 0);
    for (uint32_t q = 0; q < SEQS; q++) {
        random_ids(ids[q], N, m, q);
        wanted[q] = naive_forward(m, ids[q], N);
    }
    assert_ok(lcf_llama_session_create(&s, m, SEQS, N, 64, &err), &err);
    while (left) {
        lcf_llama_token batch[64];
        size_t position[64], n = 0, row = 0;
        while (n < 64 && left && lcf_rng_below(&rng, 40)) {
            uint32_t q = (uint32_t)lcf_rng_below(&rng, SEQS);
            if (done[q] == N)
                continue;
            position[n] = done[q];
            batch[n++] = (lcf_llama_token){ids[q][done[q]++], q, lcf_rng_below(&rng, 2)};
            left--;
        }
        assert_ok(lcf_llama_decode(&logits, s, batch, n, &err), &err);
        for (size_t i = 0; i < n; i++)
            if (batch[i].want_logits)
                assert_near(logits + row++ * vocab_n, wanted[batch[i].seq] + position[i] * vocab_n,
                            vocab_n, 1e-4);
    }
    for (size_t q = 0; q < SEQS; q++)
        free(wanted[q]);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

static void feed(lcf_llama_session *s, const uint32_t *ids, size_t n, uint32_t seq,
                 const float **logits)
{
    lcf_llama_token batch[64];
    lcf_err err = LCF_ERR_INIT;

    assert_in_range(n, 1, 64);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){ids[i], seq, i + 1 == n};
    assert_ok(lcf_llama_decode(logits, s, batch, n, &err), &err);
}

/* A copy goes its own way, from any length, and a used sequence can be started anew. */
static void test_copies(void **state)
{
    enum { N = 40 };
    static const size_t SHARED[] = {1, 31, 32, 33, 39};
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o);
    size_t vocab_n = m->config.vocab_n;
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    uint32_t a[N], b[N];
    double *wanted_a, *wanted_b;

    (void)state;
    assert_ok(lcf_llama_session_create(&s, m, 3, N, 64, &err), &err);
    for (size_t i = 0; i < sizeof(SHARED) / sizeof(*SHARED); i++) {
        size_t shared = SHARED[i];
        random_ids(a, N, m, 1);
        random_ids(b, N, m, 2);
        memcpy(b, a, shared * sizeof(*a));
        wanted_a = naive_forward(m, a, N);
        wanted_b = naive_forward(m, b, N);
        feed(s, a, shared, 0, &logits);
        assert_true(lcf_llama_seq_copy(s, 2, 0, shared));
        assert_true(lcf_llama_seq_copy(s, 1, 2, shared));
        assert_true(lcf_llama_seq_copy(s, 1, 1, shared));
        lcf_llama_seq_reset(s, 2);
        assert_int_equal(lcf_llama_seq_len(s, 1), shared);
        for (size_t t = shared; t < N; t++) {
            feed(s, a + t, 1, 0, &logits);
            assert_near(logits, wanted_a + t * vocab_n, vocab_n, 1e-4);
            feed(s, b + t, 1, 1, &logits);
            assert_near(logits, wanted_b + t * vocab_n, vocab_n, 1e-4);
        }
        assert_true(lcf_llama_seq_copy(s, 2, 1, N));
        for (uint32_t q = 0; q < 3; q++)
            lcf_llama_seq_reset(s, q);
        for (uint32_t q = 0; q < 3; q++) { /* every page must have come back */
            feed(s, b, N, q, &logits);
            assert_near(logits, wanted_b + (N - 1) * vocab_n, vocab_n, 1e-4);
        }
        for (uint32_t q = 0; q < 3; q++)
            lcf_llama_seq_reset(s, q);
        free(wanted_a);
        free(wanted_b);
    }
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

static void test_limits(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o);
    lcf_llama_token batch[] = {
        {5, 0, true}, {6, 0, true}, {7, 0, true}, {8, 1, true}, {9, 1, true}};
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;

    (void)state;
    assert_int_equal(lcf_llama_session_create(&s, m, 1, 101, 4, NULL), LCF_EINVAL);
    assert_int_equal(lcf_llama_session_create(&s, m, 0, 8, 4, NULL), LCF_EINVAL);
    assert_int_equal(lcf_llama_session_create(&s, m, (size_t)1 << 31, 100, 4, NULL), LCF_ENOMEM);
    assert_ok(lcf_llama_session_create(&s, m, 2, 2, 4, &err), &err);
    assert_true(lcf_llama_session_bytes(s) > 2 * 32 * 2 * 20 * 2 * sizeof(float));
    assert_int_equal(lcf_llama_decode(&logits, s, batch, 5, &err), LCF_ELIMIT);
    assert_int_equal(lcf_llama_decode(&logits, s, batch, 3, &err), LCF_ELIMIT);
    assert_null(logits);
    assert_int_equal(lcf_llama_seq_len(s, 0), 0); /* nothing was taken */
    batch[1].id = (uint32_t)m->config.vocab_n;
    assert_int_equal(lcf_llama_decode(&logits, s, batch, 2, &err), LCF_EINVAL);
    batch[1].id = 6;
    batch[1].seq = 2;
    assert_int_equal(lcf_llama_decode(&logits, s, batch, 2, &err), LCF_EINVAL);
    batch[1].seq = 0;
    assert_ok(lcf_llama_decode(&logits, s, batch, 2, &err), &err);
    assert_int_equal(lcf_llama_decode(&logits, s, batch + 2, 2, &err), LCF_ELIMIT);
    assert_int_equal(lcf_llama_seq_len(s, 1), 0);
    assert_ok(lcf_llama_decode(&logits, s, batch + 3, 2, &err), &err);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

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
    lcf_llama *m = open_fixture(&o);
    lcf_llama_session_options options = {
        .seqs_max = SEQS, .context_n = CONTEXT, .batch_max = 64, .threads = 1, .kv_f16 = true};
    const size_t page = 2 * 2 * 32 * (10 + 16) * 2; /* layers, heads, positions, K and V, F16 */
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    lcf_llama_token token = {1, 1, true};
    uint32_t ids[CONTEXT];

    (void)state;
    random_ids(ids, CONTEXT, m, 3);
    options.kv_bytes_max = 2 * page - 1;
    assert_int_equal(lcf_llama_session_open(&s, m, &options, NULL), LCF_EINVAL);
    options.kv_bytes_max = 3 * page;
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    assert_int_equal(lcf_llama_pages_free(s), 3);
    feed(s, ids, 40, 0, &logits);
    assert_int_equal(lcf_llama_pages_free(s), 1);
    assert_true(lcf_llama_seq_copy(s, 1, 0, 32));
    assert_int_equal(lcf_llama_pages_free(s), 1);
    feed(s, ids, 1, 2, &logits);
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
    random_ids(ids, N, m, 6);
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    for (size_t i = 0; i < N; i++) {
        feed(s, ids + i, 1, 0, &logits);
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
    random_ids(ids, N, m, 8);
    assert_ok(lcf_llama_session_open(&s, m, &options, &err), &err);
    for (size_t t = 0; t < N; t++) {
        lcf_llama_token batch[SEQS_MAX];
        const float *logits;
        feed(s, ids + t, 1, SEQS_MAX, &logits);
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
    o.type = type;
    return open_fixture(&o);
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

/* ---- files ---- */

static void test_types(void **state)
{
    static const lcf_gguf_type TYPES[] = {LCF_GGUF_F16, LCF_GGUF_BF16, LCF_GGUF_Q8_0};
    static const double TOLERANCE[] = {1e-3, 8e-3, 1.5e-2};
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o);
    size_t weights_n = m->config.vocab_n * m->config.dim;
    const float *wanted = m->output.data;
    float *weights = lcf_alloc(weights_n, sizeof(*weights));

    (void)state;
    assert_non_null(weights);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        lcf_err err = LCF_ERR_INIT;
        lcf_llama *back;
        assert_ok(lcf_llama_save("test_llama_typed.gguf", m, TYPES[i], "x", &err), &err);
        assert_ok(lcf_llama_open(&back, "test_llama_typed.gguf", &err), &err);
        assert_memory_equal(&back->config, &m->config, sizeof(m->config));
        assert_string_not_equal(back->id, m->id);
        assert_memory_equal(back->final_norm, m->final_norm, m->config.dim * sizeof(float));
        lcf_llama_matrix_rows(weights, &back->output, 0, back->output.rows);
        for (size_t w = 0; w < weights_n; w++)
            assert_true(fabs((double)weights[w] - wanted[w]) < TOLERANCE[i]);
        lcf_llama_close(back);
    }
    lcf_llama_close(m);
    free(weights);
}

static void test_same_model_same_bytes(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = open_fixture(&o), *again;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_llama_save("test_llama_again.gguf", m, LCF_GGUF_F32, "fixture", &err), &err);
    assert_ok(lcf_llama_open(&again, "test_llama_again.gguf", &err), &err);
    assert_string_equal(again->id, m->id);
    lcf_llama_close(again);
    lcf_llama_close(m);
}

/* A model file without one tensor, with one too many, or with a wrong shape, is named as such. */
static lcf_status open_altered(const char *missing, const char *misshapen, const char *extra,
                               lcf_err *err)
{
    static const float ZEROS[4096];
    uint64_t one[] = {4}, two[] = {4, 4};
    struct {
        const char *name;
        bool matrix;
    } tensors[] = {{"output_norm.weight", false},      {"blk.0.attn_norm.weight", false},
                   {"blk.0.ffn_norm.weight", false},   {"blk.0.attn_q.weight", true},
                   {"blk.0.attn_k.weight", true},      {"blk.0.attn_v.weight", true},
                   {"blk.0.attn_output.weight", true}, {"blk.0.ffn_gate.weight", true},
                   {"blk.0.ffn_up.weight", true},      {"blk.0.ffn_down.weight", true}};
    uint64_t embed[] = {4, 0};
    lcf_tokenizer *t;
    lcf_gguf_writer *w;
    lcf_llama *m = NULL;
    lcf_status status;

    assert_ok(lcf_tokenizer_train(&t, FIXTURE_TEXTS, FIXTURE_TEXTS_N, 300, err), err);
    embed[1] = lcf_tokenizer_vocab_n(t);
    assert_ok(lcf_gguf_create(&w, PATH, err), err);
    assert_ok(lcf_gguf_add_string(w, "general.architecture", "llama", err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.context_length", 16, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.embedding_length", 4, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.block_count", 1, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.feed_forward_length", 4, err), err);
    assert_ok(lcf_gguf_add_u32(w, "llama.attention.head_count", 2, err), err);
    assert_ok(lcf_gguf_add_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f, err), err);
    assert_ok(lcf_tokenizer_save(t, w, err), err);
    assert_ok(lcf_gguf_add_tensor(w, "token_embd.weight", LCF_GGUF_F32, embed, 2, ZEROS, err), err);
    for (size_t i = 0; i < sizeof(tensors) / sizeof(*tensors); i++) {
        bool wrong = misshapen && !strcmp(misshapen, tensors[i].name);
        if (missing && !strcmp(missing, tensors[i].name))
            continue;
        assert_ok(lcf_gguf_add_tensor(w, tensors[i].name, LCF_GGUF_F32,
                                      tensors[i].matrix ? two : one,
                                      tensors[i].matrix && !wrong ? 2 : 1, ZEROS, err),
                  err);
    }
    if (extra)
        assert_ok(lcf_gguf_add_tensor(w, extra, LCF_GGUF_F32, one, 1, ZEROS, err), err);
    assert_ok(lcf_gguf_commit(w, err), err);
    status = lcf_llama_open(&m, PATH, err);
    lcf_llama_close(m);
    lcf_tokenizer_free(t);
    return status;
}

static void test_altered_files(void **state)
{
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(open_altered(NULL, NULL, NULL, &err), &err);
    assert_int_equal(open_altered("output_norm.weight", NULL, "extra", &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "output_norm.weight"));
    assert_non_null(strstr(err.text, PATH));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, "blk.0.ffn_up.weight", NULL, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "blk.0.ffn_up.weight"));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, NULL, "blk.0.attn_output.bias", &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "blk.0.attn_output.bias"));
    err.status = LCF_OK;
    assert_int_equal(open_altered(NULL, NULL, "rope_freqs.weight", &err), LCF_EFORMAT); /* zeros */
    assert_non_null(strstr(err.text, "rope_freqs.weight"));
}

static void test_out_of_memory(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama_session *s;
    lcf_sampler *sampler;
    lcf_llama *m;
    lcf_status status;

    (void)state;
    o.type = LCF_GGUF_F16;
    fixture_write(PATH, &o);
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_llama_open(&m, PATH, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(m);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_llama_session_create(&s, m, 2, 20, 4, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_sampler_create(&sampler, 100, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    for (uint64_t n = 1;; n++) {
        lcf_complete_options options = LCF_COMPLETE_OPTIONS_INIT;
        lcf_completion c;
        options.tokens_max = 5;
        lcf_alloc_fail_at(n);
        status = lcf_complete(&c, m, "The user", 8, &options, NULL);
        lcf_alloc_fail_at(0);
        lcf_completion_dispose(&c);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    lcf_sampler_free(sampler);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

/* ---- the example of schemas/recgen.md ---- */

static char *schema_path(const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char path[4096];

    if (!root)
        return NULL;
    snprintf(path, sizeof(path), "%s/schemas/%s", root, name);
    return lcf_strdup(path);
}

static bool has_key(const lcf_gguf *g, const char *key, const char *type)
{
    const lcf_str *strings;
    const float *floats;
    const int32_t *ints;
    lcf_str text;
    uint64_t u;
    double f;
    bool b;
    size_t n;

    if (!strcmp(type, "string"))
        return !lcf_gguf_string(&text, g, key, NULL);
    if (!strcmp(type, "u32"))
        return !lcf_gguf_u64(&u, g, key, NULL);
    if (!strcmp(type, "f32"))
        return !lcf_gguf_f64(&f, g, key, NULL);
    if (!strcmp(type, "bool"))
        return !lcf_gguf_bool(&b, g, key, NULL);
    if (!strcmp(type, "strings"))
        return !lcf_gguf_strings(&strings, &n, g, key, NULL);
    if (!strcmp(type, "f32s"))
        return !lcf_gguf_f32s(&floats, &n, g, key, NULL);
    return !strcmp(type, "i32s") && !lcf_gguf_i32s(&ints, &n, g, key, NULL);
}

/* The file has every key of the schema, with its type, and no other. */
static void test_schema_keys(void **state)
{
    char *schema = schema_path("recgen.keys.json"), *example = schema_path("examples/recgen.gguf");
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf *g;
    json_t *json, *row;
    size_t i, keys_n = 0;

    (void)state;
    if (!schema || !example)
        skip();
    assert_ok(lcf_json_load(&json, schema, &err), &err);
    assert_ok(lcf_gguf_open(&g, example, &err), &err);
    json_array_foreach(json_object_get(json, "keys"), i, row)
    {
        const char *key = NULL, *type = NULL;
        assert_ok(lcf_json_str(&key, row, "key", &err), &err);
        assert_ok(lcf_json_str(&type, row, "type", &err), &err);
        if (!has_key(g, key, type))
            fail_msg("the example has no key %s of type %s", key, type);
        keys_n++;
    }
    assert_true(keys_n > 20);
    assert_non_null(lcf_gguf_key_at(g, keys_n - 1));
    assert_null(lcf_gguf_key_at(g, keys_n));
    lcf_gguf_close(g);
    json_decref(json);
    free(schema);
    free(example);
}

/* ---- a model that was trained and run elsewhere ---- */

static void check_ids(const json_t *wanted, const lcf_tokens *got)
{
    assert_int_equal(json_array_size(wanted), got->n);
    for (size_t i = 0; i < got->n; i++)
        assert_int_equal(json_integer_value(json_array_get(wanted, i)), got->ids[i]);
}

/* All logits of prompt and continuation, [prompt + ids, vocab_n], as recorded. */
static void check_logits(const lcf_llama *m, const lcf_completion *c, const char *file)
{
    size_t n = c->prompt.n + c->made.n, rows, vocab_n = m->config.vocab_n;
    lcf_llama_token *batch = lcf_alloc(n, sizeof(*batch));
    char *path = fixture_data(file);
    lcf_buf raw = LCF_BUF_INIT;
    lcf_llama_session *s;
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    double worst = 0;

    assert_non_null(batch);
    assert_non_null(path);
    assert_ok(lcf_file_read(&raw, path, 1 << 24, &err), &err);
    rows = raw.len / sizeof(float) / vocab_n;
    assert_true(rows == n || rows + 1 == n);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){
            i < c->prompt.n ? c->prompt.ids[i] : c->made.ids[i - c->prompt.n], 0, true};
    assert_ok(lcf_llama_session_create(&s, m, 1, n, n, &err), &err);
    assert_ok(lcf_llama_decode(&logits, s, batch, n, &err), &err);
    for (size_t i = 0; i < rows * vocab_n; i++) {
        float wanted;
        memcpy(&wanted, raw.data + i * sizeof(wanted), sizeof(wanted));
        worst = fmax(worst, fabs((double)logits[i] - wanted));
    }
    if (!(worst < 1e-3))
        fail_msg("%s: logits differ by %g", file, worst);
    lcf_llama_session_free(s);
    lcf_buf_dispose(&raw);
    free(path);
    free(batch);
}

/* Takes the paths over. */
static void check_record(char *model_path, char *record_path, double tolerance, const char *logits)
{
    lcf_complete_options options = LCF_COMPLETE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_completion c;
    lcf_llama *m;
    json_t *json;
    const char *prompt, *text;

    assert_non_null(model_path);
    assert_non_null(record_path);
    assert_ok(lcf_llama_open(&m, model_path, &err), &err);
    assert_ok(lcf_json_load(&json, record_path, &err), &err);
    assert_ok(lcf_json_str(&prompt, json, "prompt", &err), &err);
    text = json_string_value(json_object_get(json, "text")); /* absent where it is no UTF-8 */
    options.tokens_max = json_array_size(json_object_get(json, "ids"));
    options.sampling.temperature = 0;
    assert_ok(lcf_complete(&c, m, prompt, strlen(prompt), &options, &err), &err);
    check_ids(json_object_get(json, "prompt_ids"), &c.prompt);
    check_ids(json_object_get(json, "ids"), &c.made);
    if (text)
        assert_string_equal(lcf_buf_text(&c.text), text);
    for (size_t i = 0; i < c.made.n; i++) {
        double wanted =
            json_number_value(json_array_get(json_object_get(json, "logprob_of_chosen"), i));
        if (!(fabs(c.logprobs[i] - wanted) < tolerance))
            fail_msg("%s, token %zu: log probability %g, not %g", model_path, i,
                     (double)c.logprobs[i], wanted);
    }
    if (logits)
        check_logits(m, &c, logits);
    lcf_completion_dispose(&c);
    json_decref(json);
    lcf_llama_close(m);
    free(model_path);
    free(record_path);
}

static void check_greedy(const char *model, const char *record, double tolerance,
                         const char *logits)
{
    check_record(fixture_data(model), fixture_data(record), tolerance, logits);
}

static void test_schema_example(void **state)
{
    char *example = schema_path("examples/recgen.gguf");

    (void)state;
    if (!example)
        skip();
    check_record(example, schema_path("examples/recgen.json"), 1e-3, NULL);
}

static void test_reference_model(void **state)
{
    char *there = fixture_data("stories260k-f32-v3.gguf");

    (void)state;
    if (!there)
        skip();
    free(there);
    check_greedy("stories260k-f32-v3.gguf", "greedy/stories260K_Once_upon_a_time_.json", 1e-4,
                 "greedy/stories260K_Once_upon_a_time_.logits.f32");
    check_greedy("stories260k-f32-v3.gguf", "greedy/stories260K_One_day__Lily_met_a_.json", 1e-4,
                 "greedy/stories260K_One_day__Lily_met_a_.logits.f32");
    check_greedy("stories260k-f32-v1.gguf", "greedy/stories260K_Once_upon_a_time_.json", 1e-4,
                 "greedy/stories260K_Once_upon_a_time_.logits.f32");
    /* these were recorded with activations and cache rounded by other rules than ours */
    check_greedy("stories260k-f16-v3.gguf", "greedy/stories260K-F16_once.json", 0.005, NULL);
    check_greedy("stories260k-bf16-v3.gguf", "greedy/stories260K-BF16_once.json", 0.02, NULL);
    check_greedy("stories260k-q8_0-v3.gguf", "greedy/stories260K-Q8_0_once.json", 0.1, NULL);
    check_greedy("stories260k-q4_0-v3.gguf", "greedy/stories260K-Q4_0_once.json", 0.2, NULL);
}

int main(int argc, char **argv)
{
    const fixture_options small = {LCF_GGUF_F16, 16, 4, 2, 8, 24, 2, 64, false, 23};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_naive),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_attention_levels),
        cmocka_unit_test(test_cache_budget),
        cmocka_unit_test(test_batch_invariance),
        cmocka_unit_test(test_batch_invariance_amx),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_same_model_same_bytes),
        cmocka_unit_test(test_altered_files),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_schema_keys),
        cmocka_unit_test(test_schema_example),
        cmocka_unit_test(test_reference_model),
    };

    if (argc == 3 && !strcmp(argv[1], "--write-example")) { /* made schemas/examples/recgen.gguf */
        fixture_write(argv[2], &small);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
