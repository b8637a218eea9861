/*
 * Training of a LLaMA: it learns, it resumes exactly, threads do not matter, rows packed into one
 * sequence do not see each other, divergence leaves the weights alone, and what was trained is what
 * inference computes.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "offline/llama/llama_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEQS 6
#define LENGTH 24
#define VOCAB 50

static const lcf_llama_config config = {.vocab_n = VOCAB,
                                        .dim = 32,
                                        .layers_n = 2,
                                        .heads_n = 4,
                                        .kv_heads_n = 2,
                                        .head_dim = 8,
                                        .ffn_dim = 48,
                                        .context_n = 64,
                                        .rope_theta = 10000.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = true};

static const lcf_llama_train_options options = {.seed = 3,
                                                .peak_lr = 3e-3f,
                                                .floor_lr = 0.1f,
                                                .weight_decay = 0.01f,
                                                .clip_norm = 1.0f,
                                                .warmup_steps = 5,
                                                .total_steps = 60};

/* Text with a rule: the next token is 3 * token + 1, from a random start; the first ones are a
 * prompt. */
typedef struct data {
    uint32_t tokens[SEQS][LENGTH];
    int32_t targets[SEQS][LENGTH];
    lcf_train_seq seqs[SEQS];
} data;

static void data_make(data *d, uint64_t seed)
{
    lcf_rng rng;
    size_t s, i;

    lcf_rng_seed(&rng, seed, 0);
    for (s = 0; s < SEQS; s++) {
        uint32_t token = (uint32_t)lcf_rng_below(&rng, VOCAB);

        for (i = 0; i < LENGTH; i++) {
            uint32_t next = (3 * token + 1) % VOCAB;

            d->tokens[s][i] = token;
            d->targets[s][i] = i < 2 ? -1 : (int32_t)next;
            token = next;
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

    assert_int_equal(lcf_llama_trainer_create(&t, &config, o, NULL), LCF_OK);
    return t;
}

/* Steps [from, to) on data that differs by step. Returns the last loss. */
static double train(lcf_llama_trainer *t, uint64_t from, uint64_t to, lcf_pool *pool)
{
    double loss = 0;
    uint64_t step;
    data d;

    for (step = from; step < to; step++) {
        data_make(&d, step);
        assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    }
    return loss;
}

static void assert_same_weights(lcf_llama_trainer *a, lcf_llama_trainer *b)
{
    const lcf_params *pa = lcf_llama_trainer_params(a), *pb = lcf_llama_trainer_params(b);

    assert_int_equal(pa->values_n, pb->values_n);
    assert_memory_equal(pa->values, pb->values, pa->values_n * sizeof(float));
}

static void test_learns(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&options);
    double before, after;
    uint64_t n;
    data d;

    (void)state;
    data_make(&d, 1000);
    assert_int_equal(lcf_llama_trainer_eval(&before, &n, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    assert_int_equal(n, SEQS * (LENGTH - 2) - SEQS * (SEQS - 1) / 2);
    assert_true(fabs(before / (double)n - log(VOCAB)) < 0.3); /* random weights know nothing */
    train(t, 0, 60, pool);
    assert_int_equal(lcf_llama_trainer_step_n(t), 60);
    assert_int_equal(lcf_llama_trainer_eval(&after, &n, t, d.seqs, SEQS, pool, NULL), LCF_OK);
    assert_true(after < 0.6 * before);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

static void test_resume_is_exact(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *whole = trainer_of(&options), *first = trainer_of(&options), *second;
    lcf_llama_train_options other = options;
    char path[] = "llama_train_resume.lcf";

    (void)state;
    train(whole, 0, 20, pool);
    train(first, 0, 10, pool);
    assert_int_equal(lcf_llama_trainer_save(first, path, NULL), LCF_OK);
    other.seed = 99; /* its random weights must all be replaced */
    second = trainer_of(&other);
    assert_int_equal(lcf_llama_trainer_load(second, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_step_n(second), 10);
    train(second, 10, 20, pool);
    assert_same_weights(whole, second);
    unlink(path);
    lcf_llama_trainer_free(whole);
    lcf_llama_trainer_free(first);
    lcf_llama_trainer_free(second);
    lcf_pool_free(pool);
}

static void test_load_refuses_other_models(void **state)
{
    lcf_llama_trainer *t = trainer_of(&options), *other, *heads;
    lcf_llama_config wider = config, fewer = config;
    char path[] = "llama_train_other.lcf";
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    wider.ffn_dim = 64;
    fewer.heads_n = 2; /* the same shapes of parameters, another network */
    fewer.kv_heads_n = 1;
    fewer.head_dim = 16;
    assert_int_equal(lcf_llama_trainer_create(&other, &wider, &options, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_create(&heads, &fewer, &options, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_save(t, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_load(other, path, &err), LCF_EFORMAT);
    assert_int_equal(lcf_llama_trainer_load(heads, path, &err), LCF_EFORMAT);
    assert_int_equal(lcf_llama_trainer_load(t, "absent.lcf", &err), LCF_ENOENT);
    unlink(path);
    lcf_llama_trainer_free(t);
    lcf_llama_trainer_free(other);
    lcf_llama_trainer_free(heads);
}

static void test_threads_do_not_matter(void **state)
{
    lcf_pool *one = pool_of(1), *two = pool_of(2);
    lcf_llama_trainer *a = trainer_of(&options), *b = trainer_of(&options);
    double loss_a, loss_b;

    (void)state;
    loss_a = train(a, 0, 8, one);
    loss_b = train(b, 0, 8, two);
    assert_true(loss_a == loss_b);
    assert_same_weights(a, b);
    lcf_llama_trainer_free(a);
    lcf_llama_trainer_free(b);
    lcf_pool_free(one);
    lcf_pool_free(two);
}

/* Two rows packed into one sequence give what they give apart. */
static void test_packed_rows(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&options);
    uint32_t tokens[LENGTH], segments[LENGTH], positions[LENGTH];
    int32_t targets[LENGTH];
    lcf_train_seq parts[2], packed = {tokens, targets, segments, positions, LENGTH};
    double apart, together;
    uint64_t n, n2;
    size_t i;
    data d;

    (void)state;
    train(t, 0, 5, pool);
    data_make(&d, 77);
    for (i = 0; i < LENGTH; i++) {
        size_t row = i >= 10, at = row ? i - 10 : i;

        tokens[i] = d.tokens[row][at];
        targets[i] = d.targets[row][at];
        segments[i] = (uint32_t)row;
        positions[i] = (uint32_t)at;
    }
    parts[0] = (lcf_train_seq){d.tokens[0], d.targets[0], NULL, NULL, 10};
    parts[1] = (lcf_train_seq){d.tokens[1], d.targets[1], NULL, NULL, LENGTH - 10};
    assert_int_equal(lcf_llama_trainer_eval(&apart, &n, t, parts, 2, pool, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_eval(&together, &n2, t, &packed, 1, pool, NULL), LCF_OK);
    assert_int_equal(n, n2);
    assert_true(fabs(apart - together) < 1e-4);
    segments[10] = 0; /* a wrong segment must show */
    assert_int_equal(lcf_llama_trainer_eval(&together, &n2, t, &packed, 1, pool, NULL), LCF_OK);
    assert_true(fabs(apart - together) > 1e-4);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

static void test_bad_input(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&options);
    lcf_llama_config bad = config;
    lcf_err err = LCF_ERR_INIT;
    double loss;
    data d;

    (void)state;
    data_make(&d, 1);
    d.tokens[1][3] = VOCAB;
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "sequence 1, token 3"));
    data_make(&d, 1);
    memset(d.targets, 0xff, sizeof(d.targets));
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, &err), LCF_EINVAL);
    lcf_llama_trainer_free(t);
    bad.kv_heads_n = 3;
    assert_int_equal(lcf_llama_trainer_create(&t, &bad, &options, &err), LCF_EINVAL);
    assert_null(t);
    lcf_pool_free(pool);
}

static void test_divergence_changes_nothing(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *t = trainer_of(&options);
    lcf_params *p = lcf_llama_trainer_params(t);
    float *before = lcf_alloc(p->values_n, sizeof(*before));
    double loss;
    data d;

    (void)state;
    assert_non_null(before);
    data_make(&d, 1);
    train(t, 0, 2, pool);
    lcf_params_value(p, 3)[0] = INFINITY;
    memcpy(before, p->values, p->values_n * sizeof(*before));
    assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_EDIVERGED);
    assert_memory_equal(before, p->values, p->values_n * sizeof(*before));
    assert_int_equal(lcf_llama_trainer_step_n(t), 2);
    free(before);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* Memory that runs out anywhere is a status; the trainer works on afterwards. */
static void test_allocation_failures(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *good = trainer_of(&options);
    uint64_t n;
    double loss;
    data d;

    (void)state;
    data_make(&d, 0);
    train(good, 0, 1, pool);
    for (n = 1;; n++) {
        lcf_llama_trainer *t = NULL;
        lcf_status status;

        lcf_alloc_fail_at(n);
        status = lcf_llama_trainer_create(&t, &config, &options, NULL);
        if (!status)
            status = lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL);
        lcf_alloc_fail_at(0);
        if (!status) {
            assert_same_weights(t, good);
            lcf_llama_trainer_free(t);
            break;
        }
        assert_int_equal(status, LCF_ENOMEM);
        if (t) { /* the step failed: nothing was changed, and it can be made again */
            assert_int_equal(lcf_llama_trainer_step(&loss, t, d.seqs, SEQS, pool, NULL), LCF_OK);
            assert_same_weights(t, good);
        }
        lcf_llama_trainer_free(t);
        assert_true(n < 1000);
    }
    assert_true(n > 10);
    lcf_llama_trainer_free(good);
    lcf_pool_free(pool);
}

/* ---- against inference ---- */

/* Sum of -log p of tokens[1 ..] by decoding. */
static double nll_by_decoding(const lcf_llama *m, const uint32_t *tokens, size_t n)
{
    lcf_llama_session *s;
    lcf_llama_token batch[LENGTH];
    const float *logits;
    double nll = 0;
    size_t i;

    assert_true(n <= LENGTH);
    assert_int_equal(lcf_llama_session_create(&s, m, 1, LENGTH, LENGTH, NULL), LCF_OK);
    for (i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){tokens[i], 0, true};
    assert_int_equal(lcf_llama_decode(&logits, s, batch, n, NULL), LCF_OK);
    for (i = 0; i + 1 < n; i++)
        nll -= lcf_logprob(logits + i * m->config.vocab_n, m->config.vocab_n, tokens[i + 1]);
    lcf_llama_session_free(s);
    return nll;
}

static void assert_inference_agrees(lcf_llama_trainer *t, const lcf_llama *m, size_t n)
{
    lcf_pool *pool = pool_of(1);
    uint32_t tokens[LENGTH];
    int32_t targets[LENGTH];
    lcf_train_seq seq = {tokens, targets, NULL, NULL, n - 1};
    double nll, want;
    uint64_t count;
    lcf_rng rng;
    size_t i;

    lcf_rng_seed(&rng, 4, 0);
    for (i = 0; i < n; i++)
        tokens[i] = (uint32_t)lcf_rng_below(&rng, m->config.vocab_n);
    for (i = 0; i + 1 < n; i++)
        targets[i] = (int32_t)tokens[i + 1];
    want = nll_by_decoding(m, tokens, n);
    assert_int_equal(lcf_llama_trainer_eval(&nll, &count, t, &seq, 1, pool, NULL), LCF_OK);
    assert_int_equal(count, n - 1);
    assert_true(fabs(nll - want) / (double)count < 1e-4);
    lcf_pool_free(pool);
}

static void test_inference_computes_what_was_trained(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_train_options o = options;
    lcf_llama_trainer *t = trainer_of(&o), *copy;
    lcf_llama m;

    (void)state;
    train(t, 0, 10, pool);
    assert_int_equal(lcf_llama_trainer_model(&m, t, NULL, NULL), LCF_OK);
    assert_inference_agrees(t, &m, LENGTH);
    assert_int_equal(lcf_llama_trainer_from(&copy, &m, &o, NULL), LCF_OK);
    assert_same_weights(t, copy);
    lcf_llama_trainer_model_dispose(&m);
    lcf_llama_trainer_free(copy);
    lcf_llama_trainer_free(t);
    lcf_pool_free(pool);
}

/* A model that nobody here made. */
static void test_stories(void **state)
{
    const lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    const char *folder = getenv("LCF_DATA");
    char path[4096];
    lcf_llama_trainer *t;
    lcf_llama *m;

    (void)state;
    snprintf(path, sizeof(path), "%s/llama/stories260k-f32-v3.gguf", folder ? folder : "");
    if (!lcf_path_exists(path))
        skip();
    assert_int_equal(lcf_llama_open(&m, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_from(&t, m, &o, NULL), LCF_OK);
    assert_inference_agrees(t, m, LENGTH);
    lcf_llama_trainer_free(t);
    lcf_llama_close(m);
}

/* ---- the checkpoint's schema and golden example ---- */

static const lcf_llama_config tiny = {.vocab_n = 12,
                                      .dim = 8,
                                      .layers_n = 1,
                                      .heads_n = 2,
                                      .kv_heads_n = 1,
                                      .head_dim = 4,
                                      .ffn_dim = 8,
                                      .context_n = 16,
                                      .rope_theta = 10000.0f,
                                      .norm_eps = 1e-5f,
                                      .tied = true};

static const uint32_t tiny_tokens[6] = {1, 5, 9, 3, 11, 7};
static const int32_t tiny_targets[6] = {-1, 9, 3, 11, 7, 2};
static const lcf_train_seq tiny_seq = {tiny_tokens, tiny_targets, NULL, NULL, 6};

static void schema_path(char *out, size_t size, const char *file)
{
    const char *source = getenv("LCF_SOURCE_DIR");

    if (!source)
        skip();
    snprintf(out, size, "%s/schemas/%s", source, file);
}

/* As the golden example was made: two steps from seed 3. */
static lcf_llama_trainer *tiny_trainer(lcf_pool *pool)
{
    lcf_llama_trainer *t;
    double loss;
    size_t step;

    assert_int_equal(lcf_llama_trainer_create(&t, &tiny, &options, NULL), LCF_OK);
    for (step = 0; step < 2; step++)
        assert_int_equal(lcf_llama_trainer_step(&loss, t, &tiny_seq, 1, pool, NULL), LCF_OK);
    return t;
}

/* Old checkpoints stay readable, and hold what training of today gives (to rounding). */
static void test_golden_checkpoint(void **state)
{
    lcf_pool *pool = pool_of(1);
    lcf_llama_trainer *golden, *now = tiny_trainer(pool);
    const lcf_params *a, *b;
    lcf_err err = LCF_ERR_INIT;
    char path[4096];
    size_t i;

    (void)state;
    schema_path(path, sizeof(path), "examples/llama_train.lcf");
    if (getenv("LCF_GOLDEN_WRITE"))
        assert_int_equal(lcf_llama_trainer_save(now, path, NULL), LCF_OK);
    assert_int_equal(lcf_llama_trainer_create(&golden, &tiny, &options, NULL), LCF_OK);
    if (lcf_llama_trainer_load(golden, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_llama_trainer_step_n(golden), 2);
    a = lcf_llama_trainer_params(golden);
    b = lcf_llama_trainer_params(now);
    for (i = 0; i < a->values_n; i++)
        assert_true(fabsf(a->values[i] - b->values[i]) < 1e-4f);
    lcf_llama_trainer_free(golden);
    lcf_llama_trainer_free(now);
    lcf_pool_free(pool);
}

/* The example has the arrays of the schema and no others ({layer} is 0; there is no output.weight).
 */
static void test_schema(void **state)
{
    char path[4096], name[128];
    lcf_bundle *bundle;
    json_t *schema, *row;
    size_t i, found = 0;

    (void)state;
    schema_path(path, sizeof(path), "llama_train.arrays.json");
    assert_int_equal(lcf_json_load(&schema, path, NULL), LCF_OK);
    schema_path(path, sizeof(path), "examples/llama_train.lcf");
    assert_int_equal(lcf_bundle_open(&bundle, path, "llama_train", 1, NULL), LCF_OK);
    json_array_foreach(json_object_get(schema, "arrays"), i, row)
    {
        const char *text = json_string_value(json_object_get(row, "name"));
        const char *layer = strstr(text, "{layer}");
        const lcf_array *array;

        if (layer)
            snprintf(name, sizeof(name), "%.*s0%s", (int)(layer - text), text,
                     layer + strlen("{layer}"));
        else
            snprintf(name, sizeof(name), "%s", text);
        array = lcf_bundle_find(bundle, name);
        if (strstr(json_string_value(json_object_get(row, "doc")), "optional:")) {
            assert_null(array); /* of other methods than the example's */
            continue;
        }
        if (!array && strcmp(name, "param.output.weight") != 0)
            fail_msg("no array %s", name);
        if (!array)
            continue;
        assert_int_equal(array->dims_n, json_array_size(json_object_get(row, "dims")));
        found++;
    }
    assert_int_equal(found, lcf_bundle_arrays_n(bundle));
    lcf_bundle_close(bundle);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_resume_is_exact),
        cmocka_unit_test(test_load_refuses_other_models),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_packed_rows),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_divergence_changes_nothing),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_inference_computes_what_was_trained),
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_golden_checkpoint),
        cmocka_unit_test(test_schema),
    };

    lcf_flush_denormals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
