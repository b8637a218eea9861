/*
 * Methods of training on a tiny world: going on after a crash with the same bits, a learning rate
 * that falls on a plateau, clipped gradients, and warm starts into tables that have grown.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "offline/train/checkpoint.h"
#include "offline/train/results.h"
#include "offline/train/seed_runs.h"
#include "offline/train/step.h"
#include "offline/train/trainer.h"
#include "offline/train/warm_start.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/rank/world.h"
#include "tests/unit/test.h"

#include <math.h>

#define SEED 5
#define EPOCHS 5

typedef struct fixture {
    char *dir; /* with today/dataset, yesterday/dataset, and kept/ for seeds */
    char today[512], yesterday[512], kept[512];
} fixture;

static void write_world(const char *dir, size_t users_n, size_t items_n)
{
    world_options options = WORLD_OPTIONS_INIT;

    options.users_n = users_n;
    options.items_n = items_n;
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    assert_int_equal(world_write(dir, &options, NULL), LCF_OK);
}

static int fixture_open(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    char path[256];

    assert_non_null(f);
    f->dir = lcf_fixture_dir();
    snprintf(path, sizeof(path), "%s/today", f->dir);
    write_world(path, 24, 18);
    snprintf(f->today, sizeof(f->today), "%s/dataset", path);
    snprintf(path, sizeof(path), "%s/yesterday", f->dir);
    write_world(path, 17, 12);
    snprintf(f->yesterday, sizeof(f->yesterday), "%s/dataset", path);
    snprintf(f->kept, sizeof(f->kept), "%s/kept", f->dir);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    fixture *f = *state;

    lcf_dir_remove(f->dir, NULL);
    free(f->dir);
    free(f);
    return 0;
}

/* A folder for the seeds of one test. */
static int clean(void **state)
{
    const fixture *f = *state;

    return lcf_dir_remove(f->kept, NULL) || lcf_dir_create(f->kept, NULL);
}

static lcf_train_params params_of(void)
{
    lcf_train_params p = LCF_TRAIN_PARAMS_INIT;

    p.epochs_max = p.patience = EPOCHS;
    p.batch = 32;
    p.learning_rate = 0.01;
    return p;
}

static void open_inputs(train_inputs *in, const char *dataset)
{
    lcf_train_options o = {
        .backbone = "din", .side = "none", .dataset_dir = dataset, .params = params_of()};
    lcf_err err = LCF_ERR_INIT;

    if (train_inputs_open(in, &o, &err))
        fail_msg("%s", err.text);
}

/* The parent's epochs, or those until a child dies. */
typedef struct life {
    uint32_t epochs, dies_in; /* in a step of this epoch (from 1); 0: never */
    size_t steps;
} life;

static void on_step(void *arg, size_t rows)
{
    life *l = arg;

    assert_true(rows > 0);
    l->steps++;
    if (l->dies_in && l->epochs + 1 == l->dies_in)
        _exit(0);
}

static void on_epoch(void *arg, const train_result *so_far)
{
    ((life *)arg)->epochs = so_far->epochs_n;
}

static lcf_ranker *train(train_result *result, life *l, const train_inputs *in,
                         const lcf_train_params *params, const char *dir)
{
    const train_watch watch = {on_step, on_epoch, l};
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *ranker;

    if (train_seed(&ranker, result, in, params, SEED, 1, dir, &watch, &err))
        fail_msg("%s", err.text);
    return ranker;
}

static void check_same(lcf_ranker *a, const train_result *ra, lcf_ranker *b, const train_result *rb,
                       const train_inputs *in)
{
    const size_t *split = in->dataset.split_begin;
    const lcf_params *p = lcf_ranker_params(a);

    assert_memory_equal(p->values, lcf_ranker_params(b)->values, p->values_n * sizeof(float));
    assert_memory_equal(ra->test, rb->test, (split[3] - split[LCF_TEST]) * sizeof(float));
    assert_int_equal(ra->epochs_n, rb->epochs_n);
    assert_int_equal(ra->best_epoch, rb->best_epoch);
    for (uint32_t i = 0; i < ra->epochs_n; i++)
        assert_true(ra->epochs[i].loss == rb->epochs[i].loss &&
                    ra->epochs[i].valid_auc == rb->epochs[i].valid_auc);
}

/* Dies in an epoch; returns when it is dead. */
static void die_in(uint32_t epoch, const train_inputs *in, const lcf_train_params *params,
                   const char *dir)
{
    static train_result result;
    life l = {.dies_in = epoch};

    if (test_in_dying_process()) {
        train(&result, &l, in, params, dir);
        _exit(1); /* it lived */
    }
}

static void test_goes_on(void **state)
{
    const fixture *f = *state;
    static train_result whole, resumed;
    lcf_train_params params = params_of();
    life l = {0}, rest = {0};
    lcf_ranker *a, *b;
    train_inputs in;
    size_t steps;

    params.plateau = 0.5;
    params.ema = 0.9;
    open_inputs(&in, f->today);
    a = train(&whole, &l, &in, &params, NULL);
    steps = l.steps / l.epochs;
    die_in(3, &in, &params, f->kept);
    die_in(4, &in, &params, f->kept);
    b = train(&resumed, &rest, &in, &params, f->kept);
    assert_int_equal(rest.steps, (whole.epochs_n - 3) * steps); /* epochs 1 to 3 were kept */
    check_same(a, &whole, b, &resumed, &in);
    lcf_ranker_free(a);
    lcf_ranker_free(b);
    train_result_dispose(&whole);
    train_result_dispose(&resumed);
    train_inputs_close(&in);
}

static void test_damaged_checkpoint(void **state)
{
    const fixture *f = *state;
    static train_result whole, again;
    const lcf_train_params params = params_of();
    char *path = seed_runs_path(f->kept, SEED, ".epoch.lcf");
    lcf_buf bytes = LCF_BUF_INIT;
    life l = {0}, m = {0};
    lcf_ranker *a, *b;
    train_inputs in;

    open_inputs(&in, f->today);
    a = train(&whole, &l, &in, &params, f->kept);
    assert_int_equal(lcf_file_read(&bytes, path, SIZE_MAX, NULL), LCF_OK);
    ((char *)bytes.data)[bytes.len / 2] ^= 4;
    assert_int_equal(lcf_file_write(path, bytes.data, bytes.len, NULL), LCF_OK);
    b = train(&again, &m, &in, &params, f->kept);
    assert_int_equal(l.steps, m.steps); /* from the beginning */
    check_same(a, &whole, b, &again, &in);
    lcf_buf_dispose(&bytes);
    free(path);
    lcf_ranker_free(a);
    lcf_ranker_free(b);
    train_result_dispose(&whole);
    train_result_dispose(&again);
    train_inputs_close(&in);
}

/* Gives a checkpoint weights whose loss is finite and whose gradient is not: tables and biases are
 * next to nothing, the product of the maps above them overflows. */
static void steepen(const char *path, const train_inputs *in)
{
    const lcf_adam_options options = LCF_ADAM_OPTIONS_INIT;
    static train_result result;
    double rate;
    train_checkpoint c = {.epochs = result.epochs,
                          .epoch_doubles = sizeof(*result.epochs) / sizeof(double),
                          .epochs_n = &result.epochs_n,
                          .best_epoch = &result.best_epoch,
                          .seconds = &result.seconds,
                          .learning_rate = &rate};
    lcf_adam adam;
    lcf_ranker *r;
    lcf_params *p;

    assert_int_equal(lcf_ranker_create(&r, &in->config, SEED, NULL), LCF_OK);
    p = lcf_ranker_params(r);
    assert_int_equal(lcf_adam_init(&adam, p, &options, NULL), LCF_OK);
    c.params = p;
    c.adam = &adam;
    c.best = calloc(p->values_n, sizeof(*c.best));
    assert_non_null(c.best);
    assert_int_equal(train_checkpoint_load(&c, path, NULL), LCF_OK);
    for (size_t i = 0; i < p->list_n; i++) {
        const bool map = p->list[i].dims_n == 2 && !strstr(p->list[i].name, ".table");

        for (size_t j = 0; j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] *= map ? 1e15f : 1e-30f;
    }
    assert_int_equal(train_checkpoint_save(path, &c, NULL), LCF_OK);
    free(c.best);
    lcf_adam_dispose(&adam);
    lcf_ranker_free(r);
}

/* The epochs before it stand. */
static void test_gradient_not_finite(void **state)
{
    const fixture *f = *state;
    static train_result result;
    char *path = seed_runs_path(f->kept, SEED, ".epoch.lcf");
    lcf_buf before = LCF_BUF_INIT, after = LCF_BUF_INIT;
    lcf_train_params params = params_of();
    lcf_err err = LCF_ERR_INIT;
    life l = {0}, rest = {0};
    const train_watch watch = {on_step, on_epoch, &rest};
    lcf_ranker *r;
    train_inputs in;

    params.epochs_max = 1;
    open_inputs(&in, f->today);
    lcf_ranker_free(train(&result, &l, &in, &params, f->kept));
    train_result_dispose(&result);
    steepen(path, &in);
    assert_int_equal(lcf_file_read(&before, path, SIZE_MAX, NULL), LCF_OK);
    params.epochs_max = 2;
    assert_int_equal(train_seed(&r, &result, &in, &params, SEED, 1, f->kept, &watch, &err),
                     LCF_EDIVERGED);
    assert_non_null(strstr(err.text, "epoch 2, step 0: the gradient's norm is not finite"));
    assert_int_equal(rest.steps, 0);
    assert_int_equal(lcf_file_read(&after, path, SIZE_MAX, NULL), LCF_OK);
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, before.len);
    lcf_buf_dispose(&before);
    lcf_buf_dispose(&after);
    free(path);
    train_inputs_close(&in);
}

/* The average changes what is judged and kept, not how the weights move. */
static void test_ema(void **state)
{
    const fixture *f = *state;
    static train_result last, averaged;
    lcf_train_params params = params_of();
    life l = {0}, m = {0};
    lcf_ranker *a, *b;
    train_inputs in;

    params.epochs_max = params.patience = 3;
    open_inputs(&in, f->today);
    a = train(&last, &l, &in, &params, NULL);
    params.ema = 0.99;
    b = train(&averaged, &m, &in, &params, NULL);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(last.epochs[i].loss == averaged.epochs[i].loss);
    assert_true(averaged.valid_auc == averaged.epochs[averaged.best_epoch - 1].valid_auc);
    assert_memory_not_equal(lcf_ranker_params(a)->values, lcf_ranker_params(b)->values,
                            lcf_ranker_params(a)->values_n * sizeof(float));
    lcf_ranker_free(a);
    lcf_ranker_free(b);
    train_result_dispose(&last);
    train_result_dispose(&averaged);
    train_inputs_close(&in);
}

/* The rate of the next epoch, as the last checkpoint has it. */
static double rate_kept(const char *dir)
{
    char *path = seed_runs_path(dir, SEED, ".epoch.lcf");
    uint64_t n = 3;
    const void *data;
    lcf_bundle *bundle;
    double rate;

    assert_int_equal(lcf_bundle_open(&bundle, path, "train-epoch", 2, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_get(&data, bundle, "progress", LCF_F64, &n, 1, NULL), LCF_OK);
    memcpy(&rate, (const double *)data + 2, sizeof(rate));
    lcf_bundle_close(bundle);
    free(path);
    return rate;
}

static void test_plateau(void **state)
{
    const fixture *f = *state;
    static train_result result;
    lcf_train_params params = params_of();
    double best = -1.0, rate = params.learning_rate;
    size_t worse = 0;
    life l = {0};
    train_inputs in;

    params.plateau = 0.25;
    params.epochs_max = params.patience = 12;
    open_inputs(&in, f->today);
    lcf_ranker_free(train(&result, &l, &in, &params, f->kept));
    for (uint32_t i = 0; i < result.epochs_n; i++) {
        if (result.epochs[i].valid_auc > best) {
            best = result.epochs[i].valid_auc;
            continue;
        }
        rate *= params.plateau;
        worse++;
    }
    assert_true(worse > 0);
    assert_true(rate_kept(f->kept) == rate);
    train_result_dispose(&result);
    train_inputs_close(&in);
}

/* The norm of the gradients that reached the optimizer: m of the first step is a tenth of them. */
static double norm_of_first_step(const train_inputs *in, float clip)
{
    const train_step_options options = {.adam = LCF_ADAM_OPTIONS_INIT, .clip = clip, .threads = 1};
    double square = 0.0, loss, side_loss;
    lcf_ranker_row rows[32];
    lcf_ranker *r;
    train_step *s;

    assert_int_equal(lcf_ranker_create(&r, &in->config, SEED, NULL), LCF_OK);
    assert_int_equal(train_step_create(&s, r, &in->side.source, &options, NULL), LCF_OK);
    for (size_t i = 0; i < 32; i++)
        rows[i] = train_inputs_row(in, i);
    assert_int_equal(train_step_run(&loss, &side_loss, s, rows, in->labels, NULL, 32, 0.01f),
                     LCF_OK);
    for (size_t i = 0; i < train_step_adam(s)->values_n; i++)
        square += 100.0 * (double)train_step_adam(s)->m[i] * (double)train_step_adam(s)->m[i];
    train_step_free(s);
    lcf_ranker_free(r);
    return sqrt(square);
}

static void test_clip(void **state)
{
    const fixture *f = *state;
    train_inputs in;
    double norm;

    open_inputs(&in, f->today);
    norm = norm_of_first_step(&in, 0.0f);
    assert_true(norm > 0.01);
    assert_true(fabs(norm_of_first_step(&in, (float)norm / 4.0f) - norm / 4.0) < 1e-4 * norm);
    assert_true(fabs(norm_of_first_step(&in, (float)norm * 2.0f) - norm) < 1e-6 * norm);
    train_inputs_close(&in);
}

/* Rows that a batch does not look up keep their bits where tables are sparse, and only there. */
static void test_sparse_tables(void **state)
{
    const fixture *f = *state;
    lcf_ranker_row row;
    train_inputs in;

    open_inputs(&in, f->today);
    row = train_inputs_row(&in, 0);
    for (int sparse = 0; sparse < 2; sparse++) {
        const train_step_options options = {.adam = {0.9f, 0.999f, 1e-8f, 0.1f, false, sparse},
                                            .threads = 1};
        const uint32_t user = in.dataset.users_n - 1;
        lcf_ranker *r, *fresh;
        double loss, side_loss;
        const float *now, *then;
        train_step *s;

        assert_int_equal(lcf_ranker_create(&r, &in.config, SEED, NULL), LCF_OK);
        assert_int_equal(lcf_ranker_create(&fresh, &in.config, SEED, NULL), LCF_OK);
        assert_int_equal(train_step_create(&s, r, &in.side.source, &options, NULL), LCF_OK);
        assert_true(row.user != user);
        assert_int_equal(train_step_run(&loss, &side_loss, s, &row, in.labels, NULL, 1, 0.01f),
                         LCF_OK);
        now = lcf_params_value(lcf_ranker_params(r),
                               lcf_params_find(lcf_ranker_params(r), "user.table"));
        then = lcf_params_value(lcf_ranker_params(fresh),
                                lcf_params_find(lcf_ranker_params(fresh), "user.table"));
        assert_int_equal(memcmp(now + user * in.config.dim, then + user * in.config.dim,
                                in.config.dim * sizeof(float)) == 0,
                         sparse);
        assert_memory_not_equal(now + row.user * in.config.dim, then + row.user * in.config.dim,
                                in.config.dim * sizeof(float));
        train_step_free(s);
        lcf_ranker_free(r);
        lcf_ranker_free(fresh);
    }
    train_inputs_close(&in);
}

static const float *row_of(lcf_ranker *r, const char *table, size_t row)
{
    lcf_params *p = lcf_ranker_params(r);
    const size_t idx = lcf_params_find(p, table);

    return lcf_params_value(p, idx) + row * p->list[idx].dims[1];
}

static void check_rows(lcf_ranker *warm, lcf_ranker *fresh, lcf_ranker *old, const char *table,
                       const lcf_strings *now, const lcf_strings *before)
{
    const lcf_params *p = lcf_ranker_params(warm);
    const size_t bytes = p->list[lcf_params_find(p, table)].dims[1] * sizeof(float);
    size_t known = 0;

    for (size_t i = 1; i < now->n; i++) {
        const lcf_str name = lcf_strings_get(now, i);
        const uint32_t was = lcf_strings_find(before, name.data, name.len);

        known += was != 0;
        if (was)
            assert_memory_equal(row_of(warm, table, i), row_of(old, table, was), bytes);
        else
            assert_memory_equal(row_of(warm, table, i), row_of(fresh, table, i), bytes);
    }
    assert_true(known > 0 && known < now->n - 1);
}

static void test_warm_start(void **state)
{
    const fixture *f = *state;
    static train_result result;
    const lcf_train_params params = params_of();
    lcf_ranker *old, *warm, *fresh;
    train_inputs in, before;
    lcf_err err = LCF_ERR_INIT;
    life l = {0};

    open_inputs(&in, f->today);
    open_inputs(&before, f->yesterday);
    old = train(&result, &l, &before, &params, NULL);
    assert_int_equal(train_result_save(&result, old, f->kept, &before.dataset, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&warm, &in.config, 77, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&fresh, &in.config, 77, NULL), LCF_OK);
    if (train_warm_start(warm, &in.dataset, f->kept, SEED, &before.dataset, &err))
        fail_msg("%s", err.text);
    check_rows(warm, fresh, old, "user.table", &in.dataset.user_id, &before.dataset.user_id);
    check_rows(warm, fresh, old, "item.table", &in.dataset.catalogue.item_id,
               &before.dataset.catalogue.item_id);
    assert_memory_equal(row_of(warm, "head.0.w", 0), row_of(old, "head.0.w", 0), 40);
    /* the dataset must be the one of the weights */
    assert_int_equal(train_warm_start(warm, &in.dataset, f->kept, SEED, &in.dataset, &err),
                     LCF_EINVAL);
    assert_non_null(strstr(err.text, "the dataset that it was trained on"));
    /* neither this seed nor a best one */
    assert_int_equal(train_warm_start(warm, &in.dataset, f->kept, 8, &before.dataset, &err),
                     LCF_ENOENT);
    lcf_ranker_free(old);
    lcf_ranker_free(warm);
    lcf_ranker_free(fresh);
    train_result_dispose(&result);
    train_inputs_close(&in);
    train_inputs_close(&before);
}

/* Tables beside the vectors of ids: what a linear part weighs, and what a label means. */
static void test_warm_start_of_other_tables(void **state)
{
    const fixture *f = *state;
    lcf_ranker *old, *warm, *fresh;
    train_inputs in, before;
    lcf_err err = LCF_ERR_INIT;
    char *kept = seed_runs_path(f->kept, 9, ".lcf");

    open_inputs(&in, f->today);
    open_inputs(&before, f->yesterday);
    in.config.backbone = before.config.backbone = "deepfm";
    in.config.history_labels = before.config.history_labels = true;
    assert_int_equal(lcf_ranker_create(&old, &before.config, 5, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_save(old, kept, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&warm, &in.config, 77, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_create(&fresh, &in.config, 77, NULL), LCF_OK);
    if (train_warm_start(warm, &in.dataset, f->kept, 9, &before.dataset, &err))
        fail_msg("%s", err.text);
    check_rows(warm, fresh, old, "linear.user.table", &in.dataset.user_id, &before.dataset.user_id);
    check_rows(warm, fresh, old, "linear.item.table", &in.dataset.catalogue.item_id,
               &before.dataset.catalogue.item_id);
    assert_memory_equal(row_of(warm, "history.label.table", 0),
                        row_of(old, "history.label.table", 0),
                        LCF_EVENT_LABELS_N * in.config.dim * sizeof(float));
    lcf_ranker_free(warm);
    in.config.head_norm = true;
    assert_int_equal(lcf_ranker_create(&warm, &in.config, 77, NULL), LCF_OK);
    assert_int_equal(train_warm_start(warm, &in.dataset, f->kept, 9, &before.dataset, &err),
                     LCF_EINVAL);
    assert_non_null(strstr(err.text, "--norm"));
    lcf_ranker_free(old);
    lcf_ranker_free(warm);
    lcf_ranker_free(fresh);
    free(kept);
    train_inputs_close(&in);
    train_inputs_close(&before);
}

/* A row's history says of its items what the user's ratings of them said, and of nothing that came
 * with the row or after it; a row's own event is the first one that is left out. */
static void test_history_labels(void **state)
{
    const fixture *f = *state;
    const lcf_train_options o = {.backbone = "din",
                                 .side = "none",
                                 .dataset_dir = f->today,
                                 .params = params_of(),
                                 .history_labels = true};
    const lcf_dataset *d;
    size_t liked = 0, disliked = 0;
    train_inputs in;

    assert_int_equal(train_inputs_open(&in, &o, NULL), LCF_OK);
    d = &in.dataset;
    for (size_t i = 0; i < d->samples_n; i++) {
        const lcf_ranker_row row = train_inputs_row(&in, i);
        const size_t own = d->sample_history_end[i], begin = own - row.history_n;

        assert_true(row.history == d->event_item + begin);
        assert_int_equal(d->event_item[own], row.item);
        assert_true(d->event_time[own] == row.time);
        for (size_t j = 0; j < row.history_n; j++) {
            assert_int_equal(row.history_labels[j], lcf_event_label(d, begin + j));
            assert_true(d->event_time[begin + j] <= row.time);
            liked += row.history_labels[j] == 2;
            disliked += row.history_labels[j] == 1;
        }
    }
    assert_true(liked > 0 && disliked > 0);
    train_inputs_close(&in);
}

/* The graph is made of what training rows liked, and of nothing that is to be predicted. */
static void test_graph_of_training_rows(void **state)
{
    const fixture *f = *state;
    const lcf_train_options o = {
        .backbone = "lightgcn", .side = "none", .dataset_dir = f->today, .params = params_of()};
    const lcf_dataset *d;
    size_t at = 0, later = 0;
    train_inputs in;

    assert_int_equal(train_inputs_open(&in, &o, NULL), LCF_OK);
    d = &in.dataset;
    for (size_t i = 0; i < d->split_begin[LCF_VALID]; i++)
        if (d->sample_label[i]) {
            assert_int_equal(in.liked_user[at], d->sample_user[i]);
            assert_int_equal(in.liked_item[at], d->sample_item[i]);
            at++;
        }
    assert_int_equal(in.liked_n, at);
    for (size_t i = d->split_begin[LCF_VALID]; i < d->samples_n; i++) {
        bool there = !d->sample_label[i];

        for (size_t e = 0; e < in.liked_n && !there; e++)
            there = in.liked_user[e] == d->sample_user[i] && in.liked_item[e] == d->sample_item[i];
        later += !there;
    }
    assert_true(at > 0 && later > 0); /* there was something to leak */
    train_inputs_close(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_goes_on, clean),
        cmocka_unit_test_setup(test_damaged_checkpoint, clean),
        cmocka_unit_test_setup(test_gradient_not_finite, clean),
        cmocka_unit_test_setup(test_ema, clean),
        cmocka_unit_test_setup(test_plateau, clean),
        cmocka_unit_test_setup(test_clip, clean),
        cmocka_unit_test_setup(test_sparse_tables, clean),
        cmocka_unit_test_setup(test_warm_start, clean),
        cmocka_unit_test_setup(test_warm_start_of_other_tables, clean),
        cmocka_unit_test_setup(test_history_labels, clean),
        cmocka_unit_test_setup(test_graph_of_training_rows, clean),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
