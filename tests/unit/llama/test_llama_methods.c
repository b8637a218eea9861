/*
 * How a LLaMA is trained: LoRA and what it leaves alone, gradients against finite differences,
 * checkpointing, accumulation, dropout, optimizers, bf16, and exact resume of each.
 */
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/adapter.h"
#include "offline/llama/import.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEQS 5
#define LENGTH 21
#define VOCAB 61

static const lcf_llama_config config = {.vocab_n = VOCAB,
                                        .dim = 24,
                                        .layers_n = 2,
                                        .heads_n = 4,
                                        .kv_heads_n = 2,
                                        .head_dim = 6,
                                        .ffn_dim = 40,
                                        .context_n = 64,
                                        .rope_theta = 10000.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = false};

static lcf_llama_train_options full(void)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;

    o.seed = 3;
    o.peak_lr = 1e-2f;
    o.warmup_steps = 2;
    o.total_steps = 12;
    return o;
}

static lcf_llama_train_options lora(void)
{
    lcf_llama_train_options o = full();

    o.lora = (lcf_lora_options){3, 6.0f, 0.0f, "attn_*,ffn_down"};
    return o;
}

static lcf_llama_train_options binary(void)
{
    lcf_llama_train_options o = full();

    o.objective = LCF_TRAIN_BINARY_CROSS_ENTROPY;
    o.positive = 17;
    return o;
}

typedef struct data {
    uint32_t tokens[SEQS][LENGTH];
    int32_t targets[SEQS][LENGTH];
    lcf_train_seq seqs[SEQS];
} data;

static void data_make(data *d, uint64_t seed)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t s = 0; s < SEQS; s++) {
        for (size_t i = 0; i < LENGTH; i++) {
            d->tokens[s][i] = (uint32_t)lcf_rng_below(&rng, VOCAB);
            d->targets[s][i] = i % 3 ? (int32_t)lcf_rng_below(&rng, VOCAB) : -1;
        }
        d->seqs[s] = (lcf_train_seq){d->tokens[s], d->targets[s], NULL, NULL, LENGTH - s};
    }
}

static lcf_pool *pool_of(size_t threads)
{
    lcf_pool *pool;

    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    return pool;
}

static lcf_llama_trainer *trainer_of(const lcf_llama_train_options *o)
{
    lcf_llama_trainer *t;
    lcf_err err = LCF_ERR_INIT;

    if (lcf_llama_trainer_create(&t, &config, o, &err))
        fail_msg("%s", err.text);
    return t;
}

/* Steps [from, to), each of two groups. Returns the last loss. */
static double train(lcf_llama_trainer *t, uint64_t from, uint64_t to, lcf_pool *pool)
{
    double loss = 0;
    data d;

    for (uint64_t step = from; step < to; step++) {
        data_make(&d, step);
        assert_int_equal(lcf_llama_trainer_accumulate(t, d.seqs, 2, 0, false, pool, NULL), LCF_OK);
        assert_int_equal(lcf_llama_trainer_accumulate(t, d.seqs + 2, SEQS - 2, 1, true, pool, NULL),
                         LCF_OK);
        assert_int_equal(lcf_llama_trainer_apply(&loss, t, pool, NULL), LCF_OK);
    }
    return loss;
}

static void assert_same_weights(lcf_llama_trainer *a, lcf_llama_trainer *b)
{
    const lcf_params *pa = lcf_llama_trainer_params(a), *pb = lcf_llama_trainer_params(b);

    assert_int_equal(pa->values_n, pb->values_n);
    assert_memory_equal(pa->values, pb->values, pa->values_n * sizeof(float));
}

static double loss_of(lcf_llama_trainer *t, const data *d, lcf_pool *pool)
{
    double nll;
    uint64_t n;

    assert_int_equal(lcf_llama_trainer_eval(&nll, &n, t, d->seqs, SEQS, pool, NULL), LCF_OK);
    return nll;
}

/* The gradients of a trainer, checked at some places of every parameter. */
static void check_gradients(const lcf_llama_train_options *o)
{
    lcf_llama_train_options still = *o;
    lcf_pool *pool = pool_of(2);
    lcf_llama_trainer *t;
    lcf_params *p;
    const lcf_grads *g;
    double loss;
    lcf_rng rng;
    data d;

    data_make(&d, 50);
    still.peak_lr = 0.0f;                       /* a step then changes nothing */
    still.positive = (uint32_t)d.targets[0][1]; /* there are both answers */
    t = trainer_of(&still);
    p = lcf_llama_trainer_params(t);
    lcf_rng_seed(&rng, 8, 0);
    for (size_t i = 0; i < p->list_n; i++) /* far from where gradients vanish (B = 0) */
        for (size_t j = 0; j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] += 0.3f * (float)lcf_rng_normal(&rng);
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    g = lcf_llama_trainer_grads(t);
    for (size_t i = 0; i < p->list_n; i++)
        for (size_t k = 0; k < 4; k++) {
            const size_t j = (size_t)lcf_rng_below(&rng, p->list[i].n);
            const float h = 4e-3f, got = g->values[p->list[i].offset + j];
            float *x = lcf_params_value(p, i) + j, at = *x;
            double up, down, want;

            *x = at + h;
            up = loss_of(t, &d, pool);
            *x = at - h;
            down = loss_of(t, &d, pool);
            *x = at;
            want = (up - down) / (2.0 * h);
            if (fabs(want - got) > 2e-2 + 1e-2 * fabs(want))
                fail_msg("%s[%zu]: %g, by differences %g", p->list[i].name, j, got, want);
        }
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

static void test_gradients(void **state)
{
    const lcf_llama_train_options whole = full(), adapters = lora(), yes = binary();

    (void)state;
    check_gradients(&whole);
    check_gradients(&adapters);
    check_gradients(&yes);
}

/* A trainer at a place where gradients do not vanish, one of its parameters moved by h, after a
 * first step that changed nothing. *nll: of that step, under its dropout. */
static lcf_llama_trainer *after_first_step(double *nll, const lcf_llama_train_options *o,
                                           size_t param, size_t at, float h, lcf_pool *pool)
{
    lcf_llama_trainer *t = trainer_of(o);
    lcf_params *p = lcf_llama_trainer_params(t);
    uint64_t targets_n = 0;
    lcf_rng rng;
    data d;

    lcf_rng_seed(&rng, 9, 0);
    for (size_t i = 0; i < p->list_n; i++)
        for (size_t j = 0; j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] += 0.3f * (float)lcf_rng_normal(&rng);
    lcf_params_value(p, param)[at] += h;
    data_make(&d, 51);
    assert_int_equal(lcf_llama_trainer_step(nll, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    for (size_t s = 0; s < SEQS; s++)
        for (size_t i = 0; i < d.seqs[s].n; i++)
            targets_n += d.targets[s][i] >= 0;
    *nll *= (double)targets_n;
    return t;
}

/* Dropout drops the same in the backward pass as in the forward pass. */
static void test_gradients_with_dropout(void **state)
{
    lcf_llama_train_options o = lora();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t;
    double nll, up, down;
    size_t list_n;

    (void)state;
    o.peak_lr = 0.0f;
    o.lora.targets = "*";
    o.lora.dropout = 0.4f;
    t = after_first_step(&nll, &o, 0, 0, 0.0f, pool);
    list_n = lcf_llama_trainer_params(t)->list_n;
    for (size_t i = 0; i < list_n; i++) {
        const lcf_param *p = &lcf_llama_trainer_params(t)->list[i];
        const size_t at = p->n / 2;
        const float h = 1e-3f, got = lcf_llama_trainer_grads(t)->values[p->offset + at];
        double want;

        lcf_llama_trainer_free(after_first_step(&up, &o, i, at, h, pool));
        lcf_llama_trainer_free(after_first_step(&down, &o, i, at, -h, pool));
        want = (up - down) / (2.0 * h);
        if (fabs(want - got) > 2e-2 + 1e-2 * fabs(want))
            fail_msg("%s[%zu]: %g, by differences %g", p->name, at, got, want);
    }
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* The base stays, bit for bit; an adapter begins as nothing, then learns. */
static void test_lora_trains_adapters_alone(void **state)
{
    lcf_llama_train_options whole = full(), adapters = lora();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t, *base = trainer_of(&whole);
    const lcf_params *p = lcf_llama_trainer_params(base);
    size_t all, trained, all_base, trained_base;
    double before, after;
    data d;

    (void)state;
    adapters.peak_lr = 0.05f;
    adapters.total_steps = 60;
    t = trainer_of(&adapters);
    data_make(&d, 0);
    before = loss_of(t, &d, pool);
    assert_true(before == loss_of(base, &d, pool));
    lcf_llama_trainer_count(&all, &trained, t);
    lcf_llama_trainer_count(&all_base, &trained_base, base);
    assert_int_equal(all, all_base);
    assert_int_equal(trained_base, all_base);
    /* rank 3 x (in + out) of q, k, v, output and down, twice */
    assert_int_equal(trained, 2 * 3 * ((24 + 24) + 2 * (24 + 12) + (24 + 24) + (40 + 24)));
    train(t, 0, 12, pool);
    for (size_t i = 0; i < p->list_n; i++)
        assert_memory_equal(lcf_llama_trainer_weight(t, p->list[i].name), lcf_params_value(p, i),
                            p->list[i].n * sizeof(float));
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(lcf_llama_trainer_step(&after, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    if (!(loss_of(t, &d, pool) < 0.985 * before)) /* a random base says little whatever is put in */
        fail_msg("%g -> %g", before, loss_of(t, &d, pool));
    lcf_llama_trainer_free(base);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* The model of a trainer with adapters is the merged one. */
static void test_merged_model(void **state)
{
    lcf_llama_train_options adapters = lora(), whole = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&adapters), *merged;
    lcf_llama m;
    data d;

    (void)state;
    train(t, 0, 10, pool);
    data_make(&d, 90);
    assert_int_equal(lcf_llama_trainer_model(&m, t, NULL, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_from(&merged, &m, &whole, NULL), LCF_OK);
    assert_true(fabs(loss_of(t, &d, pool) - loss_of(merged, &d, pool)) < 1e-3);
    lcf_llama_trainer_model_dispose(&m);
    lcf_llama_trainer_free(merged);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

static void test_frozen_embeddings(void **state)
{
    lcf_llama_train_options o = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t, *start;
    size_t n = VOCAB * config.dim * sizeof(float);

    (void)state;
    start = trainer_of(&o);
    o.freeze_embeddings = true;
    t = trainer_of(&o);
    /* the rest is drawn otherwise when the tables are apart: only what is frozen is compared */
    assert_int_equal(lcf_params_find(lcf_llama_trainer_params(t), "token_embd.weight"), (size_t)-1);
    assert_int_equal(lcf_params_find(lcf_llama_trainer_params(t), "output.weight"), (size_t)-1);
    assert_memory_equal(lcf_llama_trainer_weight(t, "token_embd.weight"),
                        lcf_llama_trainer_weight(start, "token_embd.weight"), n);
    train(t, 0, 3, pool);
    assert_memory_equal(lcf_llama_trainer_weight(t, "token_embd.weight"),
                        lcf_llama_trainer_weight(start, "token_embd.weight"), n);
    lcf_llama_trainer_free(start);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* The same bits with checkpointing, and on any number of threads. */
static void check_same(const lcf_llama_train_options *o)
{
    lcf_llama_train_options other = *o;
    lcf_pool *one = pool_of(1), *three = pool_of(3);
    lcf_llama_trainer *a = trainer_of(o), *b = trainer_of(o), *c;

    other.checkpointing = true;
    c = trainer_of(&other);
    assert_true(train(a, 0, 4, one) == train(b, 0, 4, three));
    assert_same_weights(a, b);
    train(c, 0, 4, three);
    assert_same_weights(a, c);
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_llama_trainer_free(c);
    lcf_pool_free(one);
    lcf_pool_free(three);
}

/* More rows, pieces and columns than a task takes at a time, and none a multiple of anything. */
static const lcf_llama_config wide = {.vocab_n = 331,
                                      .dim = 44,
                                      .layers_n = 2,
                                      .heads_n = 2,
                                      .kv_heads_n = 1,
                                      .head_dim = 22,
                                      .ffn_dim = 101,
                                      .context_n = 64,
                                      .rope_theta = 10000.0f,
                                      .norm_eps = 1e-5f,
                                      .tied = true};

/* A trainer of `wide` after two steps of 6 sequences of 47 tokens. */
static lcf_llama_trainer *trained_wide(double *loss, const lcf_llama_train_options *o,
                                       lcf_pool *pool)
{
    enum { N = 6, T = 47 };
    static uint32_t tokens[N * T];
    static int32_t targets[N * T];
    lcf_train_seq seqs[N];
    lcf_llama_trainer *t;
    lcf_rng rng;

    lcf_rng_seed(&rng, 11, 0);
    for (size_t i = 0; i < N * T; i++) {
        tokens[i] = (uint32_t)lcf_rng_below(&rng, wide.vocab_n);
        targets[i] = i % 4 ? (int32_t)lcf_rng_below(&rng, wide.vocab_n) : -1;
    }
    for (size_t i = 0; i < N; i++)
        seqs[i] = (lcf_train_seq){tokens + i * T, targets + i * T, NULL, NULL, T};
    assert_int_equal(lcf_llama_trainer_create(&t, &wide, o, NULL), LCF_OK);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(lcf_llama_trainer_step(loss, t, seqs, N, pool, NULL), LCF_OK);
    return t;
}

/* As check_same; and with bf16 the loss is near that in f32. */
static void check_same_wide(lcf_llama_train_options o)
{
    lcf_pool *one = pool_of(1), *three = pool_of(3);
    double loss[2][3];

    for (int bf16 = 0; bf16 < 2; bf16++) {
        lcf_llama_trainer *t[3];

        o.precision = bf16 ? LCF_PRECISION_BF16 : LCF_PRECISION_F32;
        for (size_t i = 0; i < 3; i++) {
            o.checkpointing = i == 2;
            t[i] = trained_wide(&loss[bf16][i], &o, i ? three : one);
            assert_true(loss[bf16][i] == loss[bf16][0]);
            assert_same_weights(t[i], t[0]);
        }
        for (size_t i = 0; i < 3; i++)
            lcf_llama_trainer_free(t[i]);
    }
    assert_true(fabs(loss[1][0] - loss[0][0]) < 2e-3 * loss[0][0]);
    lcf_pool_free(one);
    lcf_pool_free(three);
}

static void test_same_bits_wide(void **state)
{
    lcf_llama_train_options dropped = lora();

    (void)state;
    dropped.lora.dropout = 0.3f;
    check_same_wide(full());
    check_same_wide(dropped);
}

/* Every method goes on from a checkpoint as if it had never stopped. */
static void check_resume(const lcf_llama_train_options *o)
{
    lcf_llama_train_options other = *o;
    lcf_pool *pool = pool_of(2);
    lcf_llama_trainer *whole = trainer_of(o), *first = trainer_of(o), *second;
    char path[] = "train_methods.lcf";

    train(whole, 0, 8, pool);
    train(first, 0, 4, pool);
    assert_int_equal(lcf_llama_trainer_save(first, path, NULL), LCF_OK);
    lcf_llama_trainer_free(first);
    second = trainer_of(&other);
    for (size_t i = 0; i < lcf_llama_trainer_params(second)->list_n; i++)
        lcf_params_value(lcf_llama_trainer_params(second), i)[0] = 7.0f; /* all must be replaced */
    assert_int_equal(lcf_llama_trainer_load(second, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_step_n(second), 4);
    train(second, 4, 8, pool);
    assert_same_weights(whole, second);
    unlink(path);
    lcf_llama_trainer_free(whole);
    lcf_llama_trainer_free(second);
    lcf_pool_free(pool);
}

/* All ways to train that can be told apart. */
static size_t methods(lcf_llama_train_options out[8])
{
    size_t n = 0;

    out[n++] = full();
    out[n] = full();
    out[n].optimizer = LCF_TRAIN_SGD;
    out[n++].schedule = LCF_LR_LINEAR;
    out[n] = full();
    out[n++].precision = LCF_PRECISION_BF16;
    out[n] = full();
    out[n++].freeze_embeddings = true;
    out[n++] = binary();
    out[n++] = lora();
    out[n] = lora();
    out[n].schedule = LCF_LR_CONSTANT;
    out[n++].lora.dropout = 0.3f;
    out[n] = lora();
    out[n].lora.dropout = 0.3f;
    out[n].optimizer = LCF_TRAIN_SGD;
    out[n++].precision = LCF_PRECISION_BF16;
    return n;
}

static void test_same_bits(void **state)
{
    lcf_llama_train_options list[8];
    size_t n = methods(list);

    (void)state;
    for (size_t i = 0; i < n; i++)
        check_same(&list[i]);
}

static void test_resume(void **state)
{
    lcf_llama_train_options list[8];
    size_t n = methods(list);

    (void)state;
    for (size_t i = 0; i < n; i++)
        check_resume(&list[i]);
}

/* Groups add up to the step of all their sequences. */
static void test_accumulation(void **state)
{
    lcf_llama_train_options o = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *a = trainer_of(&o), *b = trainer_of(&o);
    double at_once, in_groups;
    data d;

    (void)state;
    data_make(&d, 0);
    in_groups = train(a, 0, 1, pool);
    assert_int_equal(lcf_llama_trainer_step(&at_once, b, d.seqs, SEQS, pool, NULL), LCF_OK);
    assert_true(fabs(at_once - in_groups) < 1e-6);
    for (size_t i = 0; i < lcf_llama_trainer_params(a)->values_n; i++)
        assert_true(fabsf(lcf_llama_trainer_grads(a)->values[i] -
                          lcf_llama_trainer_grads(b)->values[i]) < 1e-4f);
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_pool_free(pool);
}

/* bf16 products give the same training to their precision. */
/* One process of several, which notes what it asks the others for. */
#define SUMS_MAX 16
typedef struct listener {
    lcf_comm face;
    const float *begun[SUMS_MAX];
    size_t begun_n;
} listener;

static lcf_status note_sum(lcf_comm *comm, float *values, size_t n, lcf_err *err)
{
    listener *l = (listener *)comm;

    (void)n;
    (void)err;
    assert_true(l->begun_n < SUMS_MAX);
    l->begun[l->begun_n++] = values;
    return LCF_OK;
}

static void no_progress(lcf_comm *comm)
{
    (void)comm;
}

static lcf_status nothing_to_wait_for(lcf_comm *comm, lcf_err *err)
{
    (void)comm;
    (void)err;
    return LCF_OK;
}

static lcf_status another_had_a_target(lcf_comm *comm, double *values, size_t n, lcf_err *err)
{
    (void)comm;
    (void)err;
    values[n - 1] += 1.0;
    return LCF_OK;
}

/* MPI matches sums by their order: a process without a target must ask as the others do. */
static void test_sums_have_one_order(void **state)
{
    listener l = {.face = {.rank = 0,
                           .size = 2,
                           .sum_begin = note_sum,
                           .progress = no_progress,
                           .wait = nothing_to_wait_for,
                           .sum_f64 = another_had_a_target}};
    const float *usual[SUMS_MAX];
    lcf_llama_train_options o = full();
    lcf_llama_trainer *t;
    lcf_pool *pool = pool_of(2);
    double loss;
    data d;

    (void)state;
    o.comm = &l.face;
    t = trainer_of(&o);
    data_make(&d, 5);
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    assert_int_equal(l.begun_n, config.layers_n + 2);
    memcpy(usual, l.begun, sizeof(usual));
    l.begun_n = 0;
    memset(d.targets, 0xff, sizeof(d.targets)); /* -1 */
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    assert_int_equal(l.begun_n, config.layers_n + 2);
    for (size_t i = 0; i < l.begun_n; i++)
        assert_ptr_equal(l.begun[i], usual[i]);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

static void test_bf16(void **state)
{
    lcf_llama_train_options o = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *a, *b;
    double loss_a, loss_b;

    (void)state;
    a = trainer_of(&o);
    o.precision = LCF_PRECISION_BF16;
    b = trainer_of(&o);
    loss_a = train(a, 0, 12, pool);
    loss_b = train(b, 0, 12, pool);
    assert_true(loss_a != loss_b);
    assert_true(fabs(loss_a - loss_b) < 0.02 * loss_a);
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_pool_free(pool);
}

static void test_dropout(void **state)
{
    lcf_llama_train_options o = lora(), other;
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *a = trainer_of(&o), *b, *c;
    data d;

    (void)state;
    o.lora.dropout = 0.5f;
    b = trainer_of(&o);
    other = o;
    other.seed++;
    c = trainer_of(&other);
    memcpy(lcf_llama_trainer_params(c)->values, lcf_llama_trainer_params(b)->values,
           lcf_llama_trainer_params(b)->values_n * sizeof(float));
    data_make(&d, 3);
    train(a, 0, 3, pool);
    train(b, 0, 3, pool);
    assert_true(loss_of(a, &d, pool) != loss_of(b, &d, pool)); /* it drops */
    assert_true(loss_of(b, &d, pool) == loss_of(b, &d, pool)); /* but not in evaluation */
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_llama_trainer_free(c);
    lcf_pool_free(pool);
}

static void expect_refused(lcf_llama_trainer *t, const char *path, const char *says)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_llama_trainer_load(t, path, &err), LCF_EFORMAT);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void test_other_methods_are_refused(void **state)
{
    lcf_llama_train_options whole = full(), adapters = lora(), sgd = full();
    lcf_llama_trainer *a = trainer_of(&whole), *b = trainer_of(&adapters), *c;
    char path[] = "train_refused.lcf";
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    sgd.optimizer = LCF_TRAIN_SGD;
    c = trainer_of(&sgd);
    assert_int_equal(lcf_llama_trainer_save(a, path, NULL), LCF_OK);
    expect_refused(b, path, "a whole model");
    expect_refused(c, path, "another optimizer than SGD");
    assert_int_equal(lcf_llama_trainer_save(b, path, NULL), LCF_OK);
    expect_refused(a, path, "of adapters");
    unlink(path);
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_llama_trainer_free(c);
    adapters.lora.targets = "attn_x,*gate?";
    assert_int_equal(lcf_llama_trainer_create(&b, &config, &adapters, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "ffn_gate"));
    adapters.lora.dropout = 1.0f;
    assert_int_equal(lcf_llama_trainer_create(&b, &config, &adapters, &err), LCF_EINVAL);
}

/* ---- adapters as files ---- */

static void test_adapter_file(void **state)
{
    lcf_llama_train_options o = lora(), from = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&o), *again;
    char path[] = "methods_adapter.gguf";
    lcf_adapter *a;
    data d;

    (void)state;
    train(t, 0, 5, pool);
    assert_int_equal(lcf_adapter_save(path, t, "test", NULL), LCF_OK);
    assert_int_equal(lcf_adapter_open(&a, path, NULL), LCF_OK);
    lcf_adapter_options(&from.lora, a);
    assert_int_equal(from.lora.rank, 3);
    assert_true(from.lora.alpha == 6.0f);
    assert_string_equal(from.lora.targets, "attn_q,attn_k,attn_v,attn_output,ffn_down");
    again = trainer_of(&from);
    assert_int_equal(lcf_adapter_put(again, a, NULL), LCF_OK);
    assert_same_weights(t, again);
    data_make(&d, 4);
    assert_true(loss_of(t, &d, pool) == loss_of(again, &d, pool));
    lcf_adapter_close(a);
    unlink(path);
    lcf_llama_trainer_free(t);
    lcf_llama_trainer_free(again);
    lcf_pool_free(pool);
}

/* A GGUF file with these tensors, all of value 1. */
static void write_adapter(const char *path, const char *type, const char *const *names,
                          const uint64_t (*dims)[2], size_t n)
{
    static float ones[4096];
    lcf_gguf_writer *w;

    for (size_t i = 0; i < 4096; i++)
        ones[i] = 1.0f;
    assert_int_equal(lcf_gguf_create(&w, path, NULL), LCF_OK);
    assert_int_equal(lcf_gguf_add_string(w, "general.architecture", "llama", NULL), LCF_OK);
    assert_int_equal(lcf_gguf_add_string(w, "general.type", "adapter", NULL), LCF_OK);
    assert_int_equal(lcf_gguf_add_string(w, "adapter.type", type, NULL), LCF_OK);
    assert_int_equal(lcf_gguf_add_f32(w, "adapter.lora.alpha", 4.0f, NULL), LCF_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(lcf_gguf_add_tensor(w, names[i], LCF_GGUF_F32, dims[i], 2, ones, NULL),
                         LCF_OK);
    assert_int_equal(lcf_gguf_commit(w, NULL), LCF_OK);
}

static void expect_bad_adapter(const char *type, const char *const *names,
                               const uint64_t (*dims)[2], size_t n, const char *says)
{
    char path[] = "methods_bad.gguf";
    lcf_err err = LCF_ERR_INIT;
    lcf_adapter *a;

    write_adapter(path, type, names, dims, n);
    assert_true(lcf_adapter_open(&a, path, &err) != LCF_OK);
    assert_null(a);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    unlink(path);
}

static void test_bad_adapters(void **state)
{
    static const char *const names[] = {"blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b",
                                        "blk.1.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_b",
                                        "blk.0.attn_norm.weight.lora_a"};
    static const uint64_t dims[][2] = {{24, 2}, {2, 24}, {24, 3}, {3, 24}, {24, 2}};
    static const uint64_t huge[][2] = {{24, 2}, {2, 30}, {24, 2}, {2, 30}};
    char path[] = "methods_bad.gguf";
    lcf_llama_train_options o = full();
    lcf_llama_trainer *t;
    lcf_adapter *a;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    expect_bad_adapter("aura", names, dims, 2, "no LoRA adapter");
    expect_bad_adapter("lora", names, dims, 0, "0 tensors");
    expect_bad_adapter("lora", names, dims, 1, "other half");
    expect_bad_adapter("lora", names, dims, 4, "rank 3");
    expect_bad_adapter("lora", names + 4, dims + 4, 1, "attn_norm");
    expect_bad_adapter("lora", names + 2, dims + 2, 2, "every layer");
    write_adapter(path, "lora", names, huge, 4); /* out of attn_q is 24 in our model */
    assert_int_equal(lcf_adapter_open(&a, path, NULL), LCF_OK);
    lcf_adapter_options(&o.lora, a);
    t = trainer_of(&o);
    assert_int_equal(lcf_adapter_put(t, a, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "[30, 2], this model takes [24, 2]"));
    lcf_adapter_close(a);
    lcf_llama_trainer_free(t);
    unlink(path);
}

/* schemas/examples/adapter.gguf, which this writes when LCF_GOLDEN_WRITE is set. */
static void test_golden_adapter(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    lcf_llama_train_options o = full();
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t, *golden;
    lcf_adapter *a;
    lcf_err err = LCF_ERR_INIT;
    char path[4096];

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof(path), "%s/schemas/examples/adapter.gguf", source);
    o.lora.rank = 2;
    t = trainer_of(&o);
    train(t, 0, 2, pool);
    if (getenv("LCF_GOLDEN_WRITE"))
        assert_int_equal(lcf_adapter_save(path, t, "example", NULL), LCF_OK);
    if (lcf_adapter_open(&a, path, &err))
        fail_msg("%s", err.text);
    lcf_adapter_options(&o.lora, a);
    assert_string_equal(o.lora.targets, "attn_q,attn_v");
    golden = trainer_of(&o);
    assert_int_equal(lcf_adapter_put(golden, a, NULL), LCF_OK);
    for (size_t i = 0; i < lcf_llama_trainer_params(t)->values_n; i++)
        assert_true(fabsf(lcf_llama_trainer_params(t)->values[i] -
                          lcf_llama_trainer_params(golden)->values[i]) < 1e-3f);
    lcf_adapter_close(a);
    lcf_llama_trainer_free(t);
    lcf_llama_trainer_free(golden);
    lcf_pool_free(pool);
}

/* The last one: the stop flag stays. Nothing is written once a signal came. */
static void test_stopped(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096], tokenizer[4096], dir[4096];
    lcf_llama_train_options o = full();
    lcf_llama_trainer *t;
    lcf_adapter *a;

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof(path), "%s/schemas/examples/adapter.gguf", source);
    assert_int_equal(lcf_adapter_open(&a, path, NULL), LCF_OK);
    lcf_adapter_options(&o.lora, a);
    t = trainer_of(&o);
    lcf_stop_install();
    raise(SIGINT);
    assert_int_equal(lcf_adapter_put(t, a, NULL), LCF_ECANCELED);
    snprintf(dir, sizeof(dir), "%s/tests/parity/golden/import", source);
    snprintf(tokenizer, sizeof(tokenizer), "%s/schemas/examples/recgen.gguf", source);
    assert_int_equal(lcf_llama_import("stopped.gguf", dir, tokenizer, LCF_GGUF_F32, NULL),
                     LCF_ECANCELED);
    assert_int_equal(access("stopped.gguf", F_OK), -1);
    lcf_llama_trainer_free(t);
    lcf_adapter_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_with_dropout),
        cmocka_unit_test(test_lora_trains_adapters_alone),
        cmocka_unit_test(test_merged_model),
        cmocka_unit_test(test_frozen_embeddings),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_bits_wide),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_sums_have_one_order),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_other_methods_are_refused),
        cmocka_unit_test(test_adapter_file),
        cmocka_unit_test(test_bad_adapters),
        cmocka_unit_test(test_golden_adapter),
        cmocka_unit_test(test_stopped),
    };

    lcf_flush_denormals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
