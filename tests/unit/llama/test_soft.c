/*
 * Soft tokens: vectors equal to rows of the embedding table are those tokens, bit for bit, in
 * training and in inference; their gradients are what finite differences say, and the same bits at
 * any number of threads; what is no token is refused.
 */
#include "common/base/mem.h"
#include "offline/llama/llama_train.h"
#include "offline/llama/search.h"
#include "tests/unit/llama/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define VOCAB 40
#define DIM 24
#define SEQS 3
#define LENGTH 15
#define SOFT 5 /* the first so many ids of the vocabulary, as vectors */

static const lcf_llama_config config = {.vocab_n = VOCAB,
                                        .dim = DIM,
                                        .layers_n = 2,
                                        .heads_n = 4,
                                        .kv_heads_n = 2,
                                        .head_dim = 6,
                                        .ffn_dim = 40,
                                        .context_n = 64,
                                        .rope_theta = 10000.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = false};

typedef struct data {
    uint32_t tokens[SEQS][LENGTH];
    int32_t targets[SEQS][LENGTH];
    lcf_train_seq seqs[SEQS];
} data;

/* Text in which ids below SOFT come often, and several times in a sequence. */
static void data_make(data *d)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    for (size_t s = 0; s < SEQS; s++) {
        for (size_t i = 0; i < LENGTH; i++) {
            d->tokens[s][i] = (uint32_t)lcf_rng_below(&rng, i % 2 ? SOFT : VOCAB);
            d->targets[s][i] = i % 3 ? (int32_t)lcf_rng_below(&rng, VOCAB) : -1;
        }
        d->seqs[s] = (lcf_train_seq){d->tokens[s], d->targets[s], NULL, NULL, LENGTH - s};
    }
}

/* The same text with vectors for ids below SOFT. */
static void data_soften(data *d)
{
    for (size_t s = 0; s < SEQS; s++)
        for (size_t i = 0; i < LENGTH; i++)
            d->tokens[s][i] += d->tokens[s][i] < SOFT ? VOCAB : 0;
}

static lcf_pool *pool_of(size_t threads)
{
    lcf_pool *pool;

    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    return pool;
}

static lcf_llama_trainer *trainer_of(bool frozen, size_t rank)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *t;

    o.seed = 3;
    o.frozen = frozen;
    o.lora.rank = rank;
    assert_int_equal(lcf_llama_trainer_create(&t, &config, &o, NULL), LCF_OK);
    for (size_t i = 0; rank && i < lcf_llama_trainer_params(t)->list_n; i++)
        lcf_params_fill(lcf_llama_trainer_params(t), i, LCF_INIT_NORMAL, 0.3f, 9);
    return t;
}

/* Rows 0 .. SOFT - 1 of the table, the caller's. */
static void rows_of(float rows[SOFT * DIM], const lcf_llama_trainer *t)
{
    memcpy(rows, lcf_llama_trainer_weight(t, "token_embd.weight"), SOFT * DIM * sizeof(*rows));
}

static double nll_of(lcf_llama_trainer *t, const data *d, lcf_pool *pool)
{
    double nll;
    uint64_t n;

    assert_int_equal(lcf_llama_trainer_eval(&nll, &n, t, d->seqs, SEQS, pool, NULL), LCF_OK);
    return nll;
}

/* Two groups, so that gradients meet what is there. */
static double step(lcf_llama_trainer *t, const data *d, lcf_pool *pool)
{
    double loss;

    assert_int_equal(lcf_llama_trainer_accumulate(t, d->seqs, 1, 0, false, pool, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_accumulate(t, d->seqs + 1, SEQS - 1, 1, true, pool, NULL),
                     LCF_OK);
    assert_int_equal(lcf_llama_trainer_apply(&loss, t, pool, NULL), LCF_OK);
    return loss;
}

/* Gradients of a trainer's table are those of the same rows as soft tokens. */
static void test_same_as_the_table(void **state)
{
    lcf_pool *pool = pool_of(2);
    lcf_llama_trainer *whole = trainer_of(false, 0), *soft = trainer_of(true, 0);
    float rows[SOFT * DIM], grads[SOFT * DIM] = {0};
    const lcf_train_soft table = {{rows, SOFT}, grads};
    data d;
    double a, b;

    (void)state;
    rows_of(rows, soft);
    lcf_llama_trainer_soft(soft, &table);
    data_make(&d);
    a = nll_of(whole, &d, pool);
    data_soften(&d);
    b = nll_of(soft, &d, pool);
    assert_true(a == b);
    data_make(&d);
    a = step(whole, &d, pool);
    data_soften(&d);
    b = step(soft, &d, pool);
    assert_true(a == b);
    assert_memory_equal(lcf_llama_trainer_grads(whole)->values +
                            lcf_llama_trainer_params(whole)->list[0].offset,
                        grads, sizeof(grads));
    assert_int_equal(lcf_llama_trainer_step_n(soft), 1);
    lcf_llama_trainer_free(whole);
    lcf_llama_trainer_free(soft);
    lcf_pool_free(pool);
}

static void check_differences(lcf_llama_trainer *t)
{
    lcf_pool *pool = pool_of(2);
    float rows[SOFT * DIM], grads[SOFT * DIM] = {0};
    const lcf_train_soft table = {{rows, SOFT}, grads};
    const float h = 1e-2f;
    double worst = 0, largest = 0;
    data d;

    rows_of(rows, t);
    for (size_t i = 0; i < SOFT * DIM; i++) /* of a size at which differences are well measured */
        rows[i] *= 20.0f;
    data_make(&d);
    data_soften(&d);
    lcf_llama_trainer_soft(t, &table);
    assert_int_equal(lcf_llama_trainer_accumulate(t, d.seqs, SEQS, 0, true, pool, NULL), LCF_OK);
    for (size_t i = 0; i < SOFT * DIM; i += 7) {
        const float was = rows[i];
        double up, down;

        rows[i] = was + h;
        up = nll_of(t, &d, pool);
        rows[i] = was - h;
        down = nll_of(t, &d, pool);
        rows[i] = was;
        worst = fmax(worst, fabs((up - down) / (2 * (double)h) - (double)grads[i]));
        largest = fmax(largest, fabs((double)grads[i]));
    }
    assert_true(largest > 0.01);
    assert_true(worst < 0.02 * largest);
    lcf_pool_free(pool);
}

static void test_finite_differences(void **state)
{
    lcf_llama_trainer *frozen = trainer_of(true, 0), *adapters = trainer_of(false, 3);

    (void)state;
    check_differences(frozen);
    check_differences(adapters);
    lcf_llama_trainer_free(frozen);
    lcf_llama_trainer_free(adapters);
}

static void test_threads_do_not_matter(void **state)
{
    float rows[SOFT * DIM], grads[2][SOFT * DIM] = {{0}};
    data d;

    (void)state;
    data_make(&d);
    data_soften(&d);
    for (size_t i = 0; i < 2; i++) {
        lcf_pool *pool = pool_of(i ? 3 : 1);
        lcf_llama_trainer *t = trainer_of(false, 2);
        const lcf_train_soft table = {{rows, SOFT}, grads[i]};

        rows_of(rows, t);
        lcf_llama_trainer_soft(t, &table);
        step(t, &d, pool);
        lcf_llama_trainer_free(t);
        lcf_pool_free(pool);
    }
    assert_memory_equal(grads[0], grads[1], sizeof(grads[0]));
}

/* A frozen model has nothing to train, and a step leaves it as it is. */
static void test_frozen(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(true, 0);
    size_t all, trained;
    float before[SOFT * DIM], after[SOFT * DIM];
    double loss;
    lcf_err err = LCF_ERR_INIT;
    data d;

    (void)state;
    lcf_llama_trainer_count(&all, &trained, t);
    assert_int_equal(trained, 0);
    assert_true(all > VOCAB * DIM);
    rows_of(before, t);
    data_make(&d);
    loss = step(t, &d, pool);
    assert_true(fabs(loss - log(VOCAB)) < 0.5);
    rows_of(after, t);
    assert_memory_equal(before, after, sizeof(before));
    data_soften(&d); /* no soft tokens were given */
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "0 soft tokens"));
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* ---- inference ---- */

typedef struct served {
    lcf_llama *m;
    lcf_llama_session *s;
    float *rows; /* of ids 0 .. SOFT - 1 */
} served;

static served serve(lcf_gguf_type type)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    char path[] = "soft.gguf";
    lcf_soft_tokens soft = {NULL, SOFT};
    served v;

    o.type = type;
    fixture_write(path, &o);
    assert_int_equal(lcf_llama_open(&v.m, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_session_create(&v.s, v.m, 4, 64, 64, NULL), LCF_OK);
    v.rows = lcf_alloc(SOFT, v.m->config.dim * sizeof(*v.rows));
    assert_non_null(v.rows);
    lcf_llama_matrix_rows(v.rows, &v.m->embed, 0, SOFT);
    soft.rows = v.rows;
    lcf_llama_session_soft(v.s, &soft);
    unlink(path);
    return v;
}

static void stop(served *v)
{
    lcf_llama_session_free(v->s);
    lcf_llama_close(v->m);
    free(v->rows);
}

/* Logits after every token, by id or by vector. */
static float *logits_of(const served *v, bool soft)
{
    const uint32_t vocab_n = (uint32_t)v->m->config.vocab_n;
    lcf_llama_token batch[LENGTH];
    const float *logits;
    float *out = lcf_alloc(LENGTH, vocab_n * sizeof(*out));

    assert_non_null(out);
    for (size_t i = 0; i < LENGTH; i++) {
        uint32_t id = i % 3 ? (uint32_t)i % SOFT : 7 + (uint32_t)i;
        batch[i] = (lcf_llama_token){id < SOFT && soft ? vocab_n + id : id, 0, true};
    }
    lcf_llama_seq_reset(v->s, 0);
    assert_int_equal(lcf_llama_decode(&logits, v->s, batch, LENGTH, NULL), LCF_OK);
    memcpy(out, logits, LENGTH * vocab_n * sizeof(*out));
    return out;
}

static void test_decode_is_the_same(void **state)
{
    const lcf_gguf_type types[] = {LCF_GGUF_F32, LCF_GGUF_F16};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        served v = serve(types[i]);
        float *ids = logits_of(&v, false), *vectors = logits_of(&v, true);

        assert_memory_equal(ids, vectors, LENGTH * v.m->config.vocab_n * sizeof(*ids));
        v.rows[3] += 1.0f; /* a vector of no token */
        free(vectors);
        vectors = logits_of(&v, true);
        assert_memory_not_equal(ids, vectors, LENGTH * v.m->config.vocab_n * sizeof(*ids));
        free(ids);
        free(vectors);
        stop(&v);
    }
}

static void test_beyond_the_soft_ones(void **state)
{
    served v = serve(LCF_GGUF_F32);
    const lcf_llama_token token = {(uint32_t)v.m->config.vocab_n + SOFT, 0, true};
    const float *logits;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_llama_decode(&logits, v.s, &token, 1, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "5 soft ones"));
    stop(&v);
}

/* Prompts of forced scoring and of beam search are tokens: soft ones pass. */
static void test_search_takes_them(void **state)
{
    served v = serve(LCF_GGUF_F32);
    const uint32_t vocab_n = (uint32_t)v.m->config.vocab_n;
    uint32_t hard[] = {1, 2, 30, 4}, soft[] = {vocab_n + 1, vocab_n + 2, 30, vocab_n + 4};
    uint32_t one[] = {9, 10}, two[] = {11};
    const lcf_tokens prompts[2] = {{hard, 4, 4}, {soft, 4, 4}};
    const lcf_tokens texts[2] = {{one, 2, 2}, {two, 1, 1}};
    lcf_beam_options options = LCF_BEAM_OPTIONS_INIT;
    lcf_beam beams[2][2] = {{{.finished = false}}};
    double scores[2][2];
    lcf_rng rng = {{0}};

    (void)state;
    options.beams_n = 2;
    options.tokens_max = 6;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(lcf_llama_score(scores[i], v.s, v.m, &prompts[i], texts, 2, NULL), LCF_OK);
        assert_int_equal(
            lcf_llama_beam_search(beams[i], v.s, v.m, &prompts[i], &options, &rng, NULL), LCF_OK);
    }
    assert_memory_equal(scores[0], scores[1], sizeof(scores[0]));
    for (size_t b = 0; b < 2; b++) {
        assert_int_equal(beams[0][b].tokens.n, beams[1][b].tokens.n);
        assert_memory_equal(beams[0][b].tokens.ids, beams[1][b].tokens.ids,
                            beams[0][b].tokens.n * sizeof(uint32_t));
        lcf_tokens_dispose(&beams[0][b].tokens);
        lcf_tokens_dispose(&beams[1][b].tokens);
    }
    stop(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_the_table),     cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_threads_do_not_matter), cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_decode_is_the_same),    cmocka_unit_test(test_beyond_the_soft_ones),
        cmocka_unit_test(test_search_takes_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
