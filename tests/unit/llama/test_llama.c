/*
 * LLaMA inference against a naive forward pass in double, alone and among other sequences.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/llama.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#include <math.h>

#define PATH "test_llama.gguf"

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

    fixture_ids(ids, N, m, 3);
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
    lcf_llama *m = fixture_open(PATH, options);

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
    lcf_llama *m = fixture_open(PATH, &o);
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
    lcf_llama *m = fixture_open(PATH, &o);
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
        fixture_ids(ids[q], N, m, q);
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

/* A copy goes its own way, from any length, and a used sequence can be started anew. */
static void test_copies(void **state)
{
    enum { N = 40 };
    static const size_t SHARED[] = {1, 31, 32, 33, 39};
    fixture_options o = FIXTURE_OPTIONS_INIT;
    lcf_llama *m = fixture_open(PATH, &o);
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
        fixture_ids(a, N, m, 1);
        fixture_ids(b, N, m, 2);
        memcpy(b, a, shared * sizeof(*a));
        wanted_a = naive_forward(m, a, N);
        wanted_b = naive_forward(m, b, N);
        fixture_feed(s, a, shared, 0, &logits);
        assert_true(lcf_llama_seq_copy(s, 2, 0, shared));
        assert_true(lcf_llama_seq_copy(s, 1, 2, shared));
        assert_true(lcf_llama_seq_copy(s, 1, 1, shared));
        lcf_llama_seq_reset(s, 2);
        assert_int_equal(lcf_llama_seq_len(s, 1), shared);
        for (size_t t = shared; t < N; t++) {
            fixture_feed(s, a + t, 1, 0, &logits);
            assert_near(logits, wanted_a + t * vocab_n, vocab_n, 1e-4);
            fixture_feed(s, b + t, 1, 1, &logits);
            assert_near(logits, wanted_b + t * vocab_n, vocab_n, 1e-4);
        }
        assert_true(lcf_llama_seq_copy(s, 2, 1, N));
        for (uint32_t q = 0; q < 3; q++)
            lcf_llama_seq_reset(s, q);
        for (uint32_t q = 0; q < 3; q++) { /* every page must have come back */
            fixture_feed(s, b, N, q, &logits);
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
    lcf_llama *m = fixture_open(PATH, &o);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_naive), cmocka_unit_test(test_variants),
        cmocka_unit_test(test_batches),       cmocka_unit_test(test_copies),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
