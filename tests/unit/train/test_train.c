/*
 * The train step on a tiny world: it learns, gives the same bytes at any number of threads, goes on
 * where it was stopped, and says what is wrong with its inputs.
 */
#include "offline/train/train.h"

#include "offline/train/inputs.h"

#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/data/judgements.h"
#include "common/data/predictions.h"
#include "common/model/ranker.h"
#include "common/store/retrieved.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/rank/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define K 4

typedef struct fixture {
    char *dir, *dataset, *vectors, *examples, *retrieved, *out, *partial;
} fixture;

static char *join(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);

    assert_non_null(path);
    return path;
}

/* Random examples for every sample, some missing. `foreign`, where given, is the input that was
 * another one than that of the fixture: the file itself stands for it. */
static void write_retrieved(const fixture *f, uint32_t examples_n, const char *foreign)
{
    lcf_retrieved r = {.rule = LCF_EXAMPLE_OPTIONS_INIT};
    lcf_manifest *m;
    lcf_dataset d;
    lcf_rng rng;
    uint32_t *ids;
    float *scores;
    char *path = join(f->retrieved, "retrieved.lcf");

    assert_int_equal(lcf_dataset_open(&d, f->dataset, NULL), LCF_OK);
    ids = malloc(d.samples_n * K * sizeof(*ids));
    scores = malloc(d.samples_n * K * sizeof(*scores));
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < d.samples_n * K; i++) {
        ids[i] =
            lcf_rng_below(&rng, 5) ? (uint32_t)lcf_rng_below(&rng, examples_n) : LCF_EXAMPLE_NONE;
        scores[i] = ids[i] == LCF_EXAMPLE_NONE ? 0.0f : (float)lcf_rng_below(&rng, 100) / 100.0f;
    }
    r.rule.k = K;
    r.rows_n = d.samples_n;
    r.ids = ids;
    r.scores = scores;
    assert_int_equal(lcf_dir_create(f->retrieved, NULL), LCF_OK);
    assert_int_equal(lcf_retrieved_save(path, &r, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_create(&m, "retrieve", NULL), LCF_OK);
    if (foreign)
        assert_int_equal(lcf_manifest_input(m, foreign, path, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_write(m, f->retrieved, NULL), LCF_OK);
    lcf_manifest_free(m);
    lcf_dataset_close(&d);
    free(ids);
    free(scores);
    free(path);
}

static int fixture_open(void **state)
{
    world_options options = WORLD_OPTIONS_INIT;
    fixture *f = calloc(1, sizeof(*f));
    lcf_examples e;

    f->dir = lcf_fixture_dir();
    f->dataset = join(f->dir, "dataset");
    f->vectors = join(f->dir, "vectors");
    f->examples = join(f->dir, "examples");
    f->retrieved = join(f->dir, "retrieved");
    f->out = join(f->dir, "ranker");
    f->partial = join(f->dir, "ranker.partial");
    options.users_n = 24;
    assert_int_equal(world_write(f->dir, &options, NULL), LCF_OK);
    assert_int_equal(lcf_examples_open(&e, f->examples, NULL), LCF_OK);
    write_retrieved(f, (uint32_t)e.n, NULL);
    lcf_examples_close(&e);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    fixture *f = *state;

    lcf_dir_remove(f->dir, NULL);
    free(f->dir);
    free(f->dataset);
    free(f->vectors);
    free(f->examples);
    free(f->retrieved);
    free(f->out);
    free(f->partial);
    free(f);
    return 0;
}

static lcf_train_options options_of(const fixture *f, const char *side)
{
    const lcf_train_params params = LCF_TRAIN_PARAMS_INIT;
    lcf_train_options o = {
        .backbone = "din", .side = side, .params = params, .seeds_n = 2, .threads = 1};

    o.dataset_dir = f->dataset;
    o.vectors_dir = f->vectors;
    o.examples_dir = f->examples;
    o.retrieved_dir = f->retrieved;
    o.out_dir = f->out;
    o.seeds[0] = 7;
    o.seeds[1] = 3;
    o.params.epochs_max = 3;
    o.params.batch = 32;
    o.params.learning_rate = 0.01;
    o.params.weight_decay = 1e-5;
    return o;
}

static double bce(double label, double logit)
{
    return log1p(exp(-fabs(logit))) + fmax(logit, 0.0) - logit * label;
}

/* Labels and weights of the judged rows give BCE(y) + w BCE(q) whatever the logit; other rows are
 * as they were. */
static void test_distill(void **state)
{
    const fixture *f = *state;
    const uint64_t rows[] = {1, 2, 5};
    const float logits[] = {2.0f, -3.0f, 0.5f};
    const lcf_judgements judged = {.n = 3, .row = rows, .logit = logits};
    lcf_train_options o = options_of(f, "none");
    char *dir = join(f->dir, "judged"), *path = join(dir, "judgements.lcf");
    train_inputs in;
    lcf_manifest *m;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    assert_int_equal(lcf_judgements_save(path, &judged, NULL), LCF_OK);
    o.judged_dir = dir;
    o.distill_weight = 0.3;
    if (train_inputs_open(&in, &o, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0, at = 0; i < in.dataset.split_begin[LCF_VALID]; i++) {
        const double y = in.dataset.sample_label[i], weight = (double)in.weights[i];
        const bool is_judged = at < 3 && rows[at] == i;
        const double q = is_judged ? 1.0 / (1.0 + exp(-(double)logits[at++])) : 0.0;

        for (double x = -2.0; x <= 2.0; x += 0.7)
            assert_float_equal(weight * bce((double)in.labels[i], x),
                               bce(y, x) + (is_judged ? 0.3 * bce(q, x) : 0.0), 1e-5);
    }
    train_inputs_close(&in);
    /* rows of another dataset: here the file itself stands for it */
    assert_int_equal(lcf_manifest_create(&m, "judge", NULL), LCF_OK);
    assert_int_equal(lcf_manifest_input(m, "dataset", path, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_write(m, dir, NULL), LCF_OK);
    lcf_manifest_free(m);
    assert_int_equal(train_inputs_open(&in, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "was made of another dataset"));
    lcf_dir_remove(dir, NULL);
    free(path);
    free(dir);
}

static void train(const lcf_train_options *o, bool expect_current)
{
    lcf_err err = LCF_ERR_INIT;
    bool current;

    if (lcf_train(NULL, &current, o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(current, expect_current);
}

/* The id of the artefact: it covers every byte but the times. */
static void id_of(char id[65], const char *dir)
{
    assert_int_equal(lcf_manifest_read(id, NULL, dir, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_verify(dir, NULL), LCF_OK);
}

static void check_same_bytes(char first[65], const fixture *f, const char *side,
                             lcf_precision precision)
{
    lcf_train_options o = options_of(f, side);
    char second[65];

    o.params.precision = precision;
    train(&o, false);
    assert_false(lcf_path_exists(f->partial));
    id_of(first, f->out);
    train(&o, true);
    o.threads = 4; /* two for each seed */
    o.force = true;
    train(&o, false);
    id_of(second, f->out);
    assert_string_equal(first, second);
}

static void test_same_bytes(void **state)
{
    char f32[65], bf16[65];

    check_same_bytes(f32, *state, "none", LCF_PRECISION_F32);
    check_same_bytes(f32, *state, "ict", LCF_PRECISION_F32);
    check_same_bytes(bf16, *state, "ict", LCF_PRECISION_BF16);
    assert_string_not_equal(f32, bf16);
}

/* The best weights are those that made the predictions and the report. */
static void test_artefact(void **state)
{
    const fixture *f = *state;
    lcf_train_options o = options_of(f, "none");
    char *test = join(f->out, "test.lcf"), *best = join(f->out, "best.lcf");
    json_t *report, *seed;
    lcf_predictions p;
    lcf_ranker_source source = {0};
    lcf_ranker *ranker;
    lcf_dataset d;
    lcf_tape *tape;
    float score;
    size_t i, best_at = 2;

    o.force = true;
    assert_int_equal(lcf_train(&report, NULL, &o, NULL), LCF_OK);
    assert_int_equal(lcf_predictions_open(&p, test, NULL), LCF_OK);
    assert_int_equal(p.seeds_n, 2);
    assert_int_equal(p.seeds[0], 7);
    json_array_foreach(json_object_get(report, "seeds"), i, seed)
    {
        if (json_integer_value(json_object_get(seed, "seed")) ==
            json_integer_value(json_object_get(report, "best_seed")))
            best_at = i;
    }
    assert_true(best_at < 2);
    assert_int_equal(lcf_dataset_open(&d, f->dataset, NULL), LCF_OK);
    assert_int_equal(p.rows_n, d.split_begin[3] - d.split_begin[LCF_TEST]);
    assert_int_equal(lcf_ranker_open(&ranker, best, NULL), LCF_OK);
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    source.catalogue = &d.catalogue;
    for (i = 0; i < p.rows_n; i++) {
        const lcf_sample s = lcf_dataset_sample(&d, p.row[i]);
        const lcf_ranker_row row = {
            .user = s.user, .item = s.item, .history = s.history, .history_n = s.history_n};

        assert_int_equal(lcf_ranker_score(&score, tape, ranker, &source, &row, 1, NULL), LCF_OK);
        assert_float_equal(score, p.scores[best_at * p.rows_n + i], 1e-6f);
        assert_int_equal(p.label[i], s.label);
    }
    lcf_tape_free(tape);
    lcf_ranker_free(ranker);
    lcf_dataset_close(&d);
    lcf_predictions_close(&p);
    json_decref(report);
    free(test);
    free(best);
}

/* Even users like even categories: a model that learns at all finds that. */
static void test_learns(void **state)
{
    lcf_train_options o = options_of(*state, "none");
    json_t *report;

    o.params.epochs_max = 12;
    o.params.patience = 12;
    o.params.dropout = 0.0;
    assert_int_equal(lcf_train(&report, NULL, &o, NULL), LCF_OK);
    assert_true(json_number_value(json_object_get(json_object_get(report, "valid_auc"), "mean")) >
                0.8);
    json_decref(report);
}

/* Finished seeds outlive a run that fails, and are checked before they are used. */
static void test_resume(void **state)
{
    const fixture *f = *state;
    lcf_train_options o = options_of(f, "none");
    char *kept = join(f->partial, "seed-7.lcf"), *result = join(f->partial, "seed-7.result.lcf");
    char *damaged = join(f->partial, "seed-3.lcf");
    char whole[65], resumed[65];
    lcf_buf before = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    o.force = true;
    train(&o, false);
    id_of(whole, f->out);
    assert_int_equal(lcf_dir_remove(f->out, NULL), LCF_OK);
    o.force = false;
    /* A file where the artefact should go: all seeds are trained and kept, the last step fails. */
    assert_int_equal(lcf_file_write(f->out, "", 0, NULL), LCF_OK);
    assert_int_not_equal(lcf_train(NULL, NULL, &o, &err), LCF_OK);
    assert_true(lcf_path_exists(kept) && lcf_path_exists(result));
    assert_int_equal(remove(f->out), 0);
    /* One seed was torn: it is trained again, the other is not. */
    assert_int_equal(lcf_file_read(&before, damaged, SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(lcf_file_write(damaged, before.data, before.len / 2, NULL), LCF_OK);
    train(&o, false);
    id_of(resumed, f->out);
    assert_string_equal(whole, resumed);
    assert_false(lcf_path_exists(f->partial));
    lcf_buf_dispose(&before);
    free(kept);
    free(result);
    free(damaged);
}

static void test_diverged(void **state)
{
    lcf_train_options o = options_of(*state, "none");
    lcf_err err = LCF_ERR_INIT;

    o.params.learning_rate = 1e30;
    assert_int_equal(lcf_train(NULL, NULL, &o, &err), LCF_EDIVERGED);
    assert_non_null(strstr(err.text, "seed 7"));
    assert_non_null(strstr(err.text, "lower learning rate"));
}

static void test_bad_options(void **state)
{
    lcf_train_options o = options_of(*state, "ict");
    lcf_err err = LCF_ERR_INIT;

    o.seeds[1] = o.seeds[0];
    assert_int_equal(lcf_train(NULL, NULL, &o, &err), LCF_EUSAGE);
    assert_non_null(strstr(err.text, "twice"));
    o = options_of(*state, "ict");
    o.retrieved_dir = NULL;
    assert_int_equal(lcf_train(NULL, NULL, &o, NULL), LCF_EINVAL);
    o = options_of(*state, "none");
    o.params.patience = 0;
    assert_int_equal(lcf_train(NULL, NULL, &o, NULL), LCF_EINVAL);
    o = options_of(*state, "none");
    o.dataset_dir = "nowhere";
    assert_int_equal(lcf_train(NULL, NULL, &o, NULL), LCF_ENOENT);
}

/* Retrieved examples of other examples, or of another dataset, also where their numbers agree. */
static void test_foreign_examples(void **state)
{
    const fixture *f = *state;
    lcf_train_options o = options_of(f, "ict");
    lcf_err err = LCF_ERR_INIT;
    lcf_examples e;

    assert_int_equal(lcf_examples_open(&e, f->examples, NULL), LCF_OK);
    write_retrieved(f, (uint32_t)e.n + 50, NULL);
    assert_int_equal(lcf_train(NULL, NULL, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "retrieve again"));
    write_retrieved(f, (uint32_t)e.n, "dataset");
    assert_int_equal(lcf_train(NULL, NULL, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "was made of another dataset"));
    write_retrieved(f, (uint32_t)e.n, "examples");
    assert_int_equal(lcf_train(NULL, NULL, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "was made of other examples"));
    write_retrieved(f, (uint32_t)e.n, NULL);
    lcf_examples_close(&e);
}

static void test_memory(void **state)
{
    lcf_train_options o = options_of(*state, "ict");
    uint64_t at = 1;
    lcf_status status;

    o.params.epochs_max = 1;
    o.seeds_n = 1;
    o.force = true;
    /* Every early allocation, then strides: the run makes thousands of them. */
    for (;; at += at < 32 ? 1 : at / 6) {
        lcf_alloc_fail_at(at);
        status = lcf_train(NULL, NULL, &o, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    assert_true(at > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),       cmocka_unit_test(test_artefact),
        cmocka_unit_test(test_learns),           cmocka_unit_test(test_resume),
        cmocka_unit_test(test_diverged),         cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_foreign_examples), cmocka_unit_test(test_distill),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
