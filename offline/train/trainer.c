/*
 * The training loop of one seed. Everything is allocated when it starts; a step allocates nothing
 * once the tape has grown to the largest batch.
 */
#include "offline/train/trainer.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/model/codes.h"
#include "offline/eval/auc.h"
#include "offline/eval/log_loss.h"
#include "offline/train/checkpoint.h"
#include "offline/train/seed_runs.h"
#include "offline/train/step.h"
#include "offline/train/warm_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EVAL_ROWS 4096 /* rows of a split that stand in memory at a time */
/* The stream of the order of rows of one seed; the weights use the streams of their indices. */
#define STREAM_ORDER 0x6f72646572000000u

typedef struct trainer {
    const train_inputs *in;
    const lcf_train_params *params;
    const train_watch *watch;
    uint64_t seed;
    size_t threads;
    double learning_rate;
    char *checkpoint; /* path, or NULL */
    lcf_ranker *ranker;
    train_step *step;
    lcf_tape *tape;            /* of evaluation */
    float *best;               /* the values of the best epoch, laid out like the parameters */
    uint32_t *order;           /* [train rows] */
    lcf_ranker_row *rows;      /* [batch] */
    lcf_ranker_row *eval_rows; /* [EVAL_ROWS] */
    float *labels;             /* [batch] */
    float *weights;            /* [batch] */
    uint64_t *scratch;         /* [2 * the larger of valid and test] for lcf_auc */
} trainer;

static void trainer_dispose(trainer *t)
{
    lcf_tape_free(t->tape);
    train_step_free(t->step);
    lcf_ranker_free(t->ranker);
    free(t->checkpoint);
    free(t->best);
    free(t->order);
    free(t->rows);
    free(t->eval_rows);
    free(t->labels);
    free(t->weights);
    free(t->scratch);
}

static lcf_status alloc_arrays(trainer *t, train_result *result, lcf_err *err)
{
    const lcf_dataset *d = &t->in->dataset;
    const size_t valid_n = lcf_dataset_split_n(d, LCF_VALID),
                 test_n = lcf_dataset_split_n(d, LCF_TEST);

    t->best = lcf_alloc(lcf_ranker_params(t->ranker)->values_n, sizeof(*t->best));
    t->order = lcf_alloc(lcf_dataset_split_n(d, LCF_TRAIN), sizeof(*t->order));
    t->rows = lcf_alloc(t->params->batch, sizeof(*t->rows));
    t->eval_rows = lcf_alloc(EVAL_ROWS, sizeof(*t->eval_rows));
    t->labels = lcf_alloc(t->params->batch, sizeof(*t->labels));
    t->weights = lcf_alloc(t->params->batch, sizeof(*t->weights));
    t->scratch = lcf_alloc(valid_n > test_n ? valid_n : test_n, 2 * sizeof(*t->scratch));
    result->valid = lcf_alloc(valid_n, sizeof(*result->valid));
    result->test = lcf_alloc(test_n, sizeof(*result->test));
    if (!t->best || !t->order || !t->rows || !t->eval_rows || !t->labels || !t->weights ||
        !t->scratch || !result->valid || !result->test)
        return LCF_FAIL(err, LCF_ENOMEM, "arrays of training");
    return LCF_OK;
}

static train_step_options step_options(const trainer *t)
{
    const train_step_options o = {.adam = {0.9f, 0.999f, 1e-8f, (float)t->params->weight_decay,
                                           t->params->decoupled, t->params->sparse_tables},
                                  .side_weight = t->in->config.rec_weight,
                                  .clip = (float)t->params->clip,
                                  .seed = t->seed,
                                  .ema = (float)t->params->ema,
                                  .precision = t->params->precision,
                                  .threads = t->threads};

    return o;
}

/* The side module's own learning rate. */
static void rate_side(const trainer *t)
{
    const lcf_train_params *o = t->params;
    lcf_params *p = lcf_ranker_params(t->ranker);

    if (o->side_learning_rate > 0.0)
        for (size_t i = lcf_ranker_side_begin(t->ranker); i < p->list_n; i++)
            p->list[i].rate = (float)(o->side_learning_rate / o->learning_rate);
}

static lcf_status trainer_init(trainer *t, train_result *result, lcf_err *err)
{
    const train_step_options options = step_options(t);
    lcf_status status = lcf_ranker_create(&t->ranker, &t->in->config, t->seed, err);

    if (!status && t->in->config.history_labels &&
        lcf_params_find(lcf_ranker_params(t->ranker), "history.label.table") == SIZE_MAX)
        status = LCF_FAIL(err, LCF_EINVAL,
                          "the backbone %s reads no history: history labels would change nothing",
                          t->in->config.backbone);
    if (!status && lcf_ranker_takes_graph(t->in->config.backbone))
        status = lcf_ranker_set_graph(t->ranker, t->in->liked_user, t->in->liked_item,
                                      t->in->liked_n, err);
    if (!status)
        rate_side(t);
    if (!status && t->in->init_dir)
        status = train_warm_start(t->ranker, &t->in->dataset, t->in->init_dir, t->seed,
                                  &t->in->before, err);
    if (!status)
        status = lcf_ranker_check_source(t->ranker, &t->in->side.source, err);
    if (!status)
        status = lcf_tape_create(&t->tape, err);
    if (!status)
        status = train_step_create(&t->step, t->ranker, &t->in->side.source, &options, err);
    if (!status)
        status = alloc_arrays(t, result, err);
    return status;
}

/* One update from n rows beginning at position `at` of the epoch's order. */
static lcf_status step(double *loss, double *rec_loss, trainer *t, size_t at, size_t n)
{
    const train_inputs *in = t->in;

    for (size_t i = 0; i < n; i++) {
        const size_t row = t->order[at + i]; /* train is the first split */

        t->rows[i] = train_inputs_row(in, row);
        t->labels[i] = in->labels[row];
        if (in->weights)
            t->weights[i] = in->weights[row];
    }
    return train_step_run(loss, rec_loss, t->step, t->rows, t->labels,
                          in->weights ? t->weights : NULL, n, (float)t->learning_rate);
}

static lcf_status explain(const trainer *t, lcf_status status, const train_result *r, size_t at,
                          double loss, lcf_err *err)
{
    if (status == LCF_EDIVERGED)
        return LCF_FAIL(err, status,
                        "seed %llu, epoch %u, step %zu: the %s is not finite; try a lower "
                        "learning rate than %g",
                        (unsigned long long)t->seed, r->epochs_n + 1, at / t->params->batch,
                        isfinite(loss) ? "gradient's norm" : "loss", t->learning_rate);
    return LCF_FAIL(err, status, "no memory for a step of %u rows", t->params->batch);
}

void train_order(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch)
{
    lcf_rng rng;

    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    lcf_rng_seed(&rng, seed, STREAM_ORDER + epoch);
    lcf_rng_shuffle_u32(&rng, order, n);
}

static lcf_status train_epoch_once(trainer *t, train_result *r, lcf_err *err)
{
    const size_t n = lcf_dataset_split_n(&t->in->dataset, LCF_TRAIN);
    train_epoch *epoch = &r->epochs[r->epochs_n];
    bool rec_seen = false;

    *epoch = (train_epoch){0.0, 0.0, 0.0};
    lcf_ranker_harden(t->ranker, r->epochs_n < t->params->soft_epochs
                                     ? (float)r->epochs_n / (float)t->params->soft_epochs
                                     : 1.0f);
    train_order(t->order, n, t->seed, r->epochs_n);
    for (size_t at = 0; at < n; at += t->params->batch) {
        const size_t rows = n - at < t->params->batch ? n - at : t->params->batch;
        double loss = 0.0, rec_loss = 0.0;
        lcf_status status;

        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in epoch %u of seed %llu", r->epochs_n + 1,
                            (unsigned long long)t->seed);
        status = step(&loss, &rec_loss, t, at, rows);
        if (status)
            return explain(t, status, r, at, loss, err);
        epoch->loss += loss * (double)rows / (double)n;
        if (!isnan(rec_loss)) {
            epoch->rec_loss += rec_loss * (double)rows / (double)n;
            rec_seen = true;
        }
        t->watch->step(t->watch->arg, rows);
    }
    if (!rec_seen)
        epoch->rec_loss = NAN;
    return LCF_OK;
}

/* Scores of one split and what they are worth. */
static lcf_status evaluate(float *scores, double *auc, double *logloss, trainer *t, lcf_split split,
                           lcf_err *err)
{
    const lcf_dataset *d = &t->in->dataset;
    const size_t begin = d->split_begin[split], n = lcf_dataset_split_n(d, split);
    lcf_status status = lcf_ranker_freeze(t->ranker, &t->in->side.source, err);

    for (size_t at = 0; at < n && !status; at += EVAL_ROWS) {
        const size_t block = n - at < EVAL_ROWS ? n - at : EVAL_ROWS;

        for (size_t i = 0; i < block; i++)
            t->eval_rows[i] = train_inputs_row(t->in, begin + at + i);
        status = lcf_ranker_score(scores + at, t->tape, t->ranker, &t->in->side.source,
                                  t->eval_rows, block, err);
    }
    lcf_ranker_thaw(t->ranker);
    if (status)
        return status;
    *auc = lcf_auc(scores, d->sample_label + begin, n, t->scratch);
    *logloss = lcf_log_loss(scores, d->sample_label + begin, n);
    if (!isfinite(*auc))
        return LCF_FAIL(err, LCF_EDIVERGED,
                        "seed %llu: scores are not finite; try a lower learning rate than %g",
                        (unsigned long long)t->seed, t->learning_rate);
    return LCF_OK;
}

static train_checkpoint checkpoint_of(trainer *t, train_result *r)
{
    const train_checkpoint c = {.params = lcf_ranker_params(t->ranker),
                                .adam = train_step_adam(t->step),
                                .best = t->best,
                                .average = train_step_average(t->step),
                                .epochs = r->epochs,
                                .epoch_doubles = sizeof(*r->epochs) / sizeof(double),
                                .epochs_n = &r->epochs_n,
                                .best_epoch = &r->best_epoch,
                                .seconds = &r->seconds,
                                .learning_rate = &t->learning_rate};

    return c;
}

/*
 * What the epoch is worth on the valid split; the best weights are kept. Where there is an average
 * of the weights it is what is judged and kept; training goes on from the weights themselves.
 */
static lcf_status judge_epoch(trainer *t, train_result *r, lcf_err *err)
{
    lcf_params *p = lcf_ranker_params(t->ranker);
    float *trained = p->values, *average = train_step_average(t->step);
    double auc = 0.0, logloss;
    lcf_status status;

    p->values = average ? average : trained;
    status = evaluate(r->valid, &auc, &logloss, t, LCF_VALID, err);
    if (!status) {
        r->epochs[r->epochs_n++].valid_auc = auc;
        if (auc > r->valid_auc) {
            r->valid_auc = auc;
            r->best_epoch = r->epochs_n;
            memcpy(t->best, p->values, p->values_n * sizeof(*t->best));
        } else {
            t->learning_rate *= t->params->plateau;
        }
    }
    p->values = trained;
    return status;
}

/* Epochs until the valid AUC has not risen for `patience` of them; t->best holds the best. */
static lcf_status train_all(trainer *t, train_result *r, lcf_err *err)
{
    const train_checkpoint c = checkpoint_of(t, r);
    lcf_status status = train_checkpoint_go_on(&c, t->checkpoint, t->seed, err);

    r->valid_auc = r->best_epoch ? r->epochs[r->best_epoch - 1].valid_auc : -1.0;
    while (!status && r->epochs_n < t->params->epochs_max &&
           r->epochs_n < r->best_epoch + t->params->patience) {
        const double start = lcf_clock_s();

        status = train_epoch_once(t, r, err);
        r->seconds += lcf_clock_s() - start;
        if (!status)
            status = judge_epoch(t, r, err);
        if (!status && t->checkpoint)
            status = train_checkpoint_save(t->checkpoint, &c, err);
        if (!status)
            t->watch->epoch(t->watch->arg, r);
    }
    r->samples_per_s = (double)r->epochs_n *
                       (double)lcf_dataset_split_n(&t->in->dataset, LCF_TRAIN) /
                       (r->seconds > 0.0 ? r->seconds : 1.0);
    return status;
}

static lcf_status score_test(train_result *r, trainer *t, lcf_err *err)
{
    const size_t n = lcf_dataset_split_n(&t->in->dataset, LCF_TEST);
    const double start = lcf_clock_s();
    lcf_status status = evaluate(r->test, &r->test_auc, &r->test_logloss, t, LCF_TEST, err);

    r->seconds_per_1000_rows = (lcf_clock_s() - start) * 1000 / (n ? (double)n : 1.0);
    return status;
}

lcf_status train_seed(lcf_ranker **ranker, train_result *result, const train_inputs *in,
                      const lcf_train_params *params, uint64_t seed, size_t threads,
                      const char *dir, const train_watch *watch, lcf_err *err)
{
    trainer t = {.in = in, .params = params, .watch = watch, .seed = seed, .threads = threads};
    lcf_status status = LCF_OK;

    LCF_ASSERT(params->epochs_max >= 1 && params->epochs_max <= LCF_TRAIN_EPOCHS_MAX);
    *ranker = NULL;
    memset(result, 0, sizeof(*result));
    result->seed = seed;
    lcf_flush_denormals();
    t.learning_rate = params->learning_rate;
    t.checkpoint = dir ? seed_runs_path(dir, seed, ".epoch.lcf") : NULL;
    if (dir && !t.checkpoint)
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (!status)
        status = trainer_init(&t, result, err);
    if (!status)
        status = train_all(&t, result, err);
    if (!status) {
        lcf_params *p = lcf_ranker_params(t.ranker);

        memcpy(p->values, t.best, p->values_n * sizeof(*t.best));
        status =
            evaluate(result->valid, &result->valid_auc, &result->valid_logloss, &t, LCF_VALID, err);
    }
    if (!status)
        status = score_test(result, &t, err);
    if (!status) {
        *ranker = t.ranker;
        t.ranker = NULL;
    } else {
        train_result_dispose(result);
    }
    trainer_dispose(&t);
    return status;
}

void train_result_dispose(train_result *r)
{
    free(r->valid);
    free(r->test);
    r->valid = r->test = NULL;
}
