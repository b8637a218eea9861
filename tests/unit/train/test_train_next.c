/*
 * The train-next step on a tiny world: rows that see no future, the sampler's shares, learning, the
 * same bytes at any number of threads, going on where it was stopped.
 */
#include "offline/train/train_next.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/data/ranks.h"
#include "offline/data/prepare.h"
#include "offline/encode/steps.h"
#include "offline/eval/rank_measures.h"
#include "offline/train/next_rows.h"
#include "offline/train/next_sampler.h"
#include "offline/train/next_trainer.h"
#include "offline/train/seed_runs.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/rank/world.h"
#include "tests/unit/test.h"

#include <math.h>

typedef struct fixture {
    char *dir, *dataset, *walk, *out, *partial;
} fixture;

/* The dataset of test_learns: 40 users who walk through 30 items from different ones on. */
static void write_walk(const char *dataset, const lcf_fixture_options *options)
{
    lcf_prepare_options prepare = LCF_PREPARE_OPTIONS_INIT;
    char *raw = lcf_fixture_dir(), *path = lcf_path_join(raw, "interactions.tsv");
    lcf_buf rows = LCF_BUF_INIT;

    assert_int_equal(lcf_fixture_write_log(raw, options, NULL), LCF_OK);
    lcf_buf_append_text(&rows, "user_id\titem_id\ttimestamp\n");
    for (size_t u = 0; u < options->users_n; u++)
        for (size_t i = 0; i < options->rows_per_user; i++)
            lcf_buf_printf(&rows, "u%zu\ti%zu\t%zu\n", u, 1 + (7 * u + i) % options->items_n,
                           1000 * i + u);
    assert_int_equal(lcf_file_write(path, rows.data, rows.len, NULL), LCF_OK);
    prepare.input_dir = raw;
    prepare.out_dir = dataset;
    assert_int_equal(lcf_prepare(NULL, NULL, &prepare, NULL), LCF_OK);
    lcf_buf_dispose(&rows);
    lcf_dir_remove(raw, NULL);
    free(path);
    free(raw);
}

static int fixture_open(void **state)
{
    lcf_fixture_options options = LCF_FIXTURE_OPTIONS_INIT;
    fixture *f = calloc(1, sizeof(*f));

    f->dir = lcf_fixture_dir();
    f->dataset = lcf_path_join(f->dir, "dataset");
    f->walk = lcf_path_join(f->dir, "walk");
    f->out = lcf_path_join(f->dir, "next");
    f->partial = lcf_path_join(f->dir, "next.partial");
    options.users_n = 40;
    options.items_n = 30;
    options.rows_per_user = 12;
    options.ratings = false;
    assert_int_equal(lcf_fixture_write_dataset(f->dataset, &options, NULL), LCF_OK);
    write_walk(f->walk, &options);
    lcf_log_set_level(LCF_LOG_ERROR);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    fixture *f = *state;

    lcf_dir_remove(f->dir, NULL);
    free(f->dir);
    free(f->dataset);
    free(f->walk);
    free(f->out);
    free(f->partial);
    free(f);
    return 0;
}

static lcf_train_next_options options_of(const fixture *f, const char *encoder)
{
    lcf_train_next_options o = {.config = LCF_NEXT_CONFIG_INIT,
                                .params = LCF_TRAIN_NEXT_PARAMS_INIT,
                                .seeds = {7, 3},
                                .seeds_n = 2,
                                .threads = 1};

    o.dataset_dir = f->dataset;
    o.out_dir = f->out;
    o.config.encoder = encoder;
    o.config.dim = 16;
    o.config.hidden = 16;
    o.params.epochs_max = 3;
    o.params.batch = 8;
    o.params.negatives = 20;
    o.params.learning_rate = 0.01;
    return o;
}

static void train(const lcf_train_next_options *o, bool expect_current)
{
    lcf_err err = LCF_ERR_INIT;
    bool current;

    if (lcf_train_next(NULL, &current, o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(current, expect_current);
}

static void id_of(char id[65], const char *dir)
{
    assert_int_equal(lcf_manifest_read(id, NULL, dir, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_verify(dir, NULL), LCF_OK);
}

/* ---- rows ---- */

/* Every question is a training positive whose target is the event right behind what it sees, here
 * where every interaction is a positive; no valid or test event stands in a sequence. */
static void check_rows(const next_rows *r, uint32_t history_max)
{
    const lcf_dataset *d = &r->dataset;

    for (size_t s = 0; s < r->sequences_n; s++) {
        const next_sequence *q = &r->sequences[s];

        assert_true(q->begin < q->end && q->end - q->begin <= history_max);
        assert_true(q->first < q[1].first);
        for (size_t i = q->first; i < q[1].first; i++) {
            const next_question *x = &r->questions[i];
            const uint32_t user = d->sample_user[x->sample];

            assert_true(x->sample < d->split_begin[LCF_VALID] && d->sample_label[x->sample]);
            assert_true(x->end > q->begin && x->end <= q->end);
            assert_true(q->begin >= d->user_offsets[user]);
            assert_int_equal(d->event_item[x->end], x->target);
            /* the last two events of a user are targets of valid and test */
            assert_true(x->end + 2 < d->user_offsets[user + 1]);
        }
    }
}

static void test_rows(void **state)
{
    const fixture *f = *state;
    next_rows r;

    for (uint32_t history_max = 1; history_max <= 16; history_max += 5) {
        const size_t questions = history_max < 9 ? history_max : 9; /* 12 events: 9 of them ask */

        assert_int_equal(next_rows_open(&r, f->dataset, history_max, NULL), LCF_OK);
        assert_int_equal(r.sequences_n, 40);
        assert_int_equal(r.questions_n, 40 * questions);
        assert_int_equal(r.longest, questions);
        assert_int_equal(r.rows_n[LCF_VALID], 40);
        assert_int_equal(r.rows_n[LCF_TEST], 40);
        assert_int_equal(next_rows_history(&r, r.rows[LCF_TEST][0]).n, 11);
        check_rows(&r, history_max);
        next_rows_close(&r);
    }
}

/* Draws come as often as the shares say, and the shares add up to one. */
static void test_sampler(void **state)
{
    enum { items_n = 12, draws_n = 200000 };
    const uint32_t count[items_n] = {0, 5, 0, 9, 9, 1, 2, 3, 4, 6, 7, 8};
    uint32_t drawn[items_n] = {0};
    double total = 0;
    next_sampler s;
    lcf_rng rng;

    (void)state;
    assert_int_equal(next_sampler_init(&s, LCF_NEXT_LOG_UNIFORM, count, items_n, NULL), LCF_OK);
    assert_int_equal(s.by_rank[0], 3);
    assert_int_equal(s.by_rank[1], 4);
    assert_int_equal(s.by_rank[10], 2);
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < draws_n; i++)
        drawn[next_sampler_draw(&s, &rng)]++;
    assert_int_equal(drawn[0], 0);
    for (size_t i = 1; i < items_n; i++) {
        const double share = exp(s.log_share[i]);

        total += share;
        assert_true(fabs(drawn[i] / (double)draws_n - share) <
                    5 * sqrt(share / (double)draws_n)); /* 5 standard deviations */
    }
    assert_float_equal(total, 1.0, 1e-6);
    next_sampler_dispose(&s);
}

/* ---- training ---- */

static void test_same_bytes(void **state)
{
    const fixture *f = *state;

    for (size_t e = 0; lcf_next_encoder_name(e); e++) {
        lcf_train_next_options o = options_of(f, lcf_next_encoder_name(e));
        char first[65], second[65];

        train(&o, false);
        assert_false(lcf_path_exists(f->partial));
        id_of(first, f->out);
        train(&o, true);
        o.threads = 2;
        o.force = true;
        train(&o, false);
        id_of(second, f->out);
        assert_string_equal(first, second);
    }
}

/* The loss of the first epoch of the first seed, and the artefact's id. */
static double first_loss(char id[65], const fixture *f, lcf_precision precision, size_t threads)
{
    lcf_train_next_options o = options_of(f, "sasrec");
    json_t *report;
    double loss;

    o.config.dim = o.config.hidden = 64; /* narrower maps stay in f32 */
    o.params.precision = precision;
    o.threads = threads;
    o.force = true;
    assert_int_equal(lcf_train_next(&report, NULL, &o, NULL), LCF_OK);
    loss = json_number_value(json_object_get(
        json_array_get(
            json_object_get(json_array_get(json_object_get(report, "seeds"), 0), "epochs"), 0),
        "loss"));
    json_decref(report);
    id_of(id, f->out);
    return loss;
}

/* Products in bf16 move the loss a little, by the same bytes at any number of threads. */
static void test_precision(void **state)
{
    char id[65], again[65];
    const double f32 = first_loss(id, *state, LCF_PRECISION_F32, 1);
    const double bf16 = first_loss(id, *state, LCF_PRECISION_BF16, 1);

    assert_true(f32 != bf16 && fabs(bf16 / f32 - 1.0) < 1e-3);
    assert_true(first_loss(again, *state, LCF_PRECISION_BF16, 2) == bf16);
    assert_string_equal(id, again);
}

static void check_learns(const fixture *f, const char *encoder, lcf_next_loss_kind loss)
{
    lcf_train_next_options o = options_of(f, encoder);
    json_t *report;
    double hit_rate;

    o.dataset_dir = f->walk;
    o.params.loss = loss;
    o.params.sampling = LCF_NEXT_LOG_UNIFORM;
    o.params.epochs_max = 20;
    o.params.learning_rate = 0.03;
    o.config.dropout = 0.0f;
    o.seeds_n = 1;
    assert_int_equal(lcf_train_next(&report, NULL, &o, NULL), LCF_OK);
    hit_rate = json_number_value(
        json_object_get(json_object_get(json_object_get(report, "test"), "hr@5"), "mean"));
    if (!(hit_rate >= 0.8)) /* by chance: 5 of 19 candidates */
        fail_msg("%s, loss %d: HR@5 is %g", encoder, (int)loss, hit_rate);
    json_decref(report);
}

/* Every user takes one item after the other in the order of their numbers: who learns, by whatever
 * loss, knows what comes next. */
static void test_learns(void **state)
{
    for (size_t e = 0; lcf_next_encoder_name(e); e++)
        check_learns(*state, lcf_next_encoder_name(e), LCF_NEXT_SAMPLED);
    check_learns(*state, "gru4rec", LCF_NEXT_FULL);
    check_learns(*state, "gru4rec", LCF_NEXT_BCE);
}

/* The ranks in the files are those of the best weights, and what the report speaks of. */
static void test_artefact(void **state)
{
    const fixture *f = *state;
    lcf_train_next_options o = options_of(f, "gru4rec");
    char *path = lcf_path_join(f->out, "ranks-test.lcf"), *weights;
    float user[16], scores[31];
    json_t *report;
    lcf_next *model;
    lcf_ranks ranks;
    lcf_tape *tape;
    next_rows rows;

    weights = lcf_path_join(f->out, "seed-3.lcf");
    o.params.rank_seen = true;
    assert_int_equal(lcf_train_next(&report, NULL, &o, NULL), LCF_OK);
    assert_int_equal(lcf_ranks_open(&ranks, path, NULL), LCF_OK);
    assert_int_equal(ranks.candidates_n, 30);
    assert_int_equal(ranks.seen_masked, 0);
    assert_int_equal(ranks.seeds[1], 3);
    assert_float_equal(
        lcf_rank_mean(LCF_RANK_HR10, ranks.ranks + ranks.rows_n, ranks.rows_n),
        json_number_value(json_object_get(
            json_object_get(json_array_get(json_object_get(report, "seeds"), 1), "test"), "hr@10")),
        1e-12);
    assert_int_equal(lcf_next_open(&model, weights, NULL), LCF_OK);
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    assert_int_equal(next_rows_open(&rows, f->dataset, 50, NULL), LCF_OK);
    for (size_t i = 0; i < ranks.rows_n; i++) {
        const lcf_next_history h = next_rows_history(&rows, (uint32_t)ranks.row[i]);
        uint32_t rank = 1;

        assert_int_equal(lcf_next_encode(user, tape, model, NULL, &h, 1, NULL), LCF_OK);
        for (size_t j = 1; j < 31; j++) {
            scores[j] = 0;
            for (size_t d = 0; d < 16; d++)
                scores[j] += user[d] * lcf_next_items(model)[j * 16 + d];
        }
        for (uint32_t j = 1; j < 31; j++)
            rank += j != ranks.item[i] && scores[j] >= scores[ranks.item[i]];
        assert_int_equal(rank, ranks.ranks[ranks.rows_n + i]);
    }
    next_rows_close(&rows);
    lcf_tape_free(tape);
    lcf_next_free(model);
    lcf_ranks_close(&ranks);
    json_decref(report);
    free(path);
    free(weights);
}

/* Finished seeds outlive a run that fails, and are checked before they are used. */
static void test_resume(void **state)
{
    const fixture *f = *state;
    lcf_train_next_options o = options_of(f, "sasrec");
    char *kept = lcf_path_join(f->partial, "seed-7.result.lcf");
    char *damaged = lcf_path_join(f->partial, "seed-3.lcf");
    char whole[65], resumed[65];
    lcf_buf before = LCF_BUF_INIT;

    o.force = true;
    train(&o, false);
    id_of(whole, f->out);
    assert_int_equal(lcf_dir_remove(f->out, NULL), LCF_OK);
    o.force = false;
    /* A file where the artefact should go: all seeds are trained and kept, the last step fails. */
    assert_int_equal(lcf_file_write(f->out, "", 0, NULL), LCF_OK);
    assert_int_not_equal(lcf_train_next(NULL, NULL, &o, NULL), LCF_OK);
    assert_true(lcf_path_exists(kept));
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
    free(damaged);
}

/* A seed's steps, counted until it dies in an epoch. */
typedef struct life {
    uint32_t epochs, dies_in; /* from 1; 0: never */
    size_t steps;
} life;

static void on_step(void *arg, size_t questions)
{
    life *l = arg;

    assert_true(questions > 0);
    l->steps++;
    if (l->epochs + 1 == l->dies_in)
        _exit(0);
}

static void on_epoch(void *arg, const next_result *so_far)
{
    ((life *)arg)->epochs = so_far->epochs_n;
}

static lcf_next *train_one(next_result *result, life *l, const next_inputs *in,
                           const lcf_train_next_params *params, const char *dir)
{
    const next_watch watch = {on_step, on_epoch, l};
    lcf_err err = LCF_ERR_INIT;
    lcf_next *model;

    if (next_train_seed(&model, result, in, params, 7, dir, &watch, &err))
        fail_msg("%s", err.text);
    return model;
}

static void die_in(uint32_t epoch, const next_inputs *in, const lcf_train_next_params *params,
                   const char *dir)
{
    static next_result result;
    life l = {.dies_in = epoch};

    if (test_in_dying_process()) {
        train_one(&result, &l, in, params, dir);
        _exit(1); /* it lived */
    }
}

/* The epochs before a death are kept, a damaged file is not used, and the bytes are those of a life
 * without either. */
static void test_goes_on(void **state)
{
    const fixture *f = *state;
    const lcf_train_next_options o = options_of(f, "sasrec");
    static next_result results[3];
    lcf_train_next_params params = o.params;
    lcf_next *models[3];
    life lives[3] = {{0}};
    next_inputs in = {.config = o.config};
    char *dir = lcf_path_join(f->dir, "kept"), *path = seed_runs_path(dir, 7, ".epoch.lcf");
    lcf_buf bytes = LCF_BUF_INIT;
    const lcf_params *whole;
    size_t steps;

    params.epochs_max = params.patience = 4;
    params.loss = LCF_NEXT_BCE;
    assert_int_equal(next_rows_open(&in.rows, f->dataset, in.config.history_max, NULL), LCF_OK);
    in.config.items_n = in.rows.dataset.catalogue.items_n;
    assert_int_equal(next_sampler_init(&in.sampler, LCF_NEXT_UNIFORM, in.rows.item_count,
                                       in.config.items_n, NULL),
                     LCF_OK);
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    models[0] = train_one(&results[0], &lives[0], &in, &params, NULL);
    assert_false(lcf_path_exists(path));
    steps = lives[0].steps / 4;
    die_in(2, &in, &params, dir);
    die_in(3, &in, &params, dir);
    models[1] = train_one(&results[1], &lives[1], &in, &params, dir);
    assert_int_equal(lives[1].steps, 2 * steps); /* epochs 1 and 2 were kept */
    assert_int_equal(lcf_file_read(&bytes, path, SIZE_MAX, NULL), LCF_OK);
    ((char *)bytes.data)[bytes.len / 2] ^= 4;
    assert_int_equal(lcf_file_write(path, bytes.data, bytes.len, NULL), LCF_OK);
    models[2] = train_one(&results[2], &lives[2], &in, &params, dir);
    assert_int_equal(lives[2].steps, 4 * steps);
    whole = lcf_next_params(models[0]);
    for (size_t i = 0; i < 3; i++) {
        const next_result *r = &results[i];

        assert_memory_equal(lcf_next_params(models[i])->values, whole->values,
                            whole->values_n * sizeof(float));
        assert_memory_equal(r->ranks[LCF_TEST], results[0].ranks[LCF_TEST],
                            in.rows.rows_n[LCF_TEST] * sizeof(uint32_t));
        assert_int_equal(r->best_epoch, results[0].best_epoch);
        assert_memory_equal(r->epochs, results[0].epochs, 4 * sizeof(r->epochs[0]));
    }
    for (size_t i = 0; i < 3; i++) {
        lcf_next_free(models[i]);
        next_result_dispose(&results[i]);
    }
    next_sampler_dispose(&in.sampler);
    next_rows_close(&in.rows);
    lcf_buf_dispose(&bytes);
    free(path);
    free(dir);
}

/* With the ICT module: retrieved examples that the target helped to find are refused, those by the
 * history train, and examples or the module's weight change the artefact. */
static void test_side(void **state)
{
    const fixture *f = *state;
    world_options world = WORLD_OPTIONS_INIT;
    lcf_train_next_options o = options_of(f, "gru4rec");
    char *dir = lcf_path_join(f->dir, "world"), *retrieved = lcf_path_join(dir, "retrieved");
    char *dataset = lcf_path_join(dir, "dataset"), *vectors = lcf_path_join(dir, "vectors");
    char *examples = lcf_path_join(dir, "examples"), first[65], second[65];
    lcf_retrieve_options r = LCF_RETRIEVE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    json_t *stats;
    bool current;

    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    assert_int_equal(world_write(dir, &world, NULL), LCF_OK);
    o.dataset_dir = r.dataset_dir = dataset;
    o.vectors_dir = r.vectors_dir = vectors;
    o.examples_dir = r.examples_dir = examples;
    o.retrieved_dir = r.out_dir = retrieved;
    o.config.side.side = "ict";
    o.force = true;
    assert_int_equal(lcf_retrieve_run(&stats, &current, &r, NULL), LCF_OK);
    json_decref(stats);
    assert_int_equal(lcf_train_next(NULL, NULL, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "--by history"));
    r.rule.by = LCF_RETRIEVE_BY_HISTORY;
    assert_int_equal(lcf_retrieve_run(&stats, &current, &r, NULL), LCF_OK);
    json_decref(stats);
    train(&o, false);
    id_of(first, f->out);
    o.threads = 2;
    train(&o, false);
    id_of(second, f->out);
    assert_string_equal(first, second);
    o.config.side_scale = 0.2f;
    o.force = false;
    train(&o, false);
    id_of(second, f->out);
    assert_string_not_equal(first, second);
    o.retrieved_dir = NULL;
    assert_int_equal(lcf_train_next(NULL, NULL, &o, NULL), LCF_EINVAL);
    free(dir);
    free(retrieved);
    free(dataset);
    free(vectors);
    free(examples);
}

static void test_bad_options(void **state)
{
    lcf_train_next_options o = options_of(*state, "sasrec");
    lcf_err err = LCF_ERR_INIT;

    o.seeds[1] = o.seeds[0];
    assert_int_equal(lcf_train_next(NULL, NULL, &o, &err), LCF_EUSAGE);
    assert_non_null(strstr(err.text, "twice"));
    o = options_of(*state, "sasrec");
    o.params.negatives = 0;
    assert_int_equal(lcf_train_next(NULL, NULL, &o, NULL), LCF_EINVAL);
    o = options_of(*state, "sasrec");
    o.config.heads_n = 3;
    o.force = true;
    assert_int_equal(lcf_train_next(NULL, NULL, &o, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "heads_n"));
    o = options_of(*state, "sasrec");
    o.params.learning_rate = 1e30;
    o.force = true;
    assert_int_equal(lcf_train_next(NULL, NULL, &o, &err), LCF_EDIVERGED);
    assert_non_null(strstr(err.text, "lower learning rate"));
    o = options_of(*state, "sasrec");
    o.dataset_dir = "nowhere";
    assert_int_equal(lcf_train_next(NULL, NULL, &o, NULL), LCF_ENOENT);
}

static void test_memory(void **state)
{
    lcf_train_next_options o = options_of(*state, "srgnn");
    lcf_status status;
    uint64_t at = 1;

    o.params.epochs_max = 1;
    o.seeds_n = 1;
    o.force = true;
    for (;; at += at < 32 ? 1 : at / 6) { /* every early allocation, then strides */
        lcf_alloc_fail_at(at);
        status = lcf_train_next(NULL, NULL, &o, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    assert_true(at > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_sampler),
        cmocka_unit_test(test_learns),   cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_artefact), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_side),     cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_precision),
        cmocka_unit_test(test_goes_on),
    };

    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
