/*
 * The training loop of one seed of a next-item model. Everything is allocated when it starts; a
 * step allocates nothing once the tape has grown to the largest batch.
 */
#include "offline/train/next_trainer.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/nn/optim.h"
#include "offline/eval/full_rank.h"
#include "offline/train/checkpoint.h"
#include "offline/train/seed_runs.h"
#include "offline/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Streams of random numbers of one seed, beside that of train_order; the weights use the streams of
 * their indices. */
#define STREAM_DROPOUT 0x64726f706f000000u
#define STREAM_NEGATIVES 0x6e65676174000000u
#define RANK_BLOCK 128    /* rows whose scores of all items are in memory at once */
#define NEGATIVE_TRIES 32 /* draws until a user's own item is taken for a negative after all */

typedef struct trainer {
    const next_inputs *in;
    const lcf_train_next_params *params;
    const next_watch *watch;
    uint64_t seed;
    double learning_rate;
    char *checkpoint; /* path, or NULL */
    lcf_next *model;
    lcf_grads grads;
    lcf_adam adam;
    lcf_tape *tape;
    float *best;     /* the values of the best epoch, laid out like the parameters */
    uint32_t *order; /* [sequences] */
    /* A batch. */
    uint32_t *items, *offsets, *query_sequence, *query_end, *target, *negatives;
    lcf_ranker_row *rows; /* for the side module */
    /* A block of rows to rank. */
    float *users, *scores; /* [RANK_BLOCK, dim], [RANK_BLOCK, items_n] */
} trainer;

static void trainer_dispose(trainer *t)
{
    lcf_tape_free(t->tape);
    lcf_adam_dispose(&t->adam);
    lcf_grads_dispose(&t->grads);
    lcf_next_free(t->model);
    free(t->checkpoint);
    free(t->best);
    free(t->order);
    free(t->items);
    free(t->offsets);
    free(t->query_sequence);
    free(t->query_end);
    free(t->target);
    free(t->negatives);
    free(t->rows);
    free(t->users);
    free(t->scores);
}

static lcf_status alloc_arrays(trainer *t, next_result *result, lcf_err *err)
{
    const next_rows *rows = &t->in->rows;
    const size_t questions = (size_t)t->params->batch * rows->longest;
    const size_t negatives =
        t->params->loss == LCF_NEXT_BCE ? questions : (size_t)t->params->negatives;

    t->best = lcf_alloc(lcf_next_params(t->model)->values_n, sizeof(*t->best));
    t->order = lcf_alloc(rows->sequences_n, sizeof(*t->order));
    t->items = lcf_alloc((size_t)t->params->batch * t->in->config.history_max, sizeof(*t->items));
    t->offsets = lcf_alloc((size_t)t->params->batch + 1, sizeof(*t->offsets));
    t->query_sequence = lcf_alloc(questions, sizeof(*t->query_sequence));
    t->query_end = lcf_alloc(questions, sizeof(*t->query_end));
    t->target = lcf_alloc(questions, sizeof(*t->target));
    t->negatives = lcf_alloc(negatives, sizeof(*t->negatives));
    t->rows = lcf_alloc(questions, sizeof(*t->rows));
    t->users = lcf_alloc((size_t)RANK_BLOCK * t->in->config.dim, sizeof(*t->users));
    t->scores = lcf_alloc((size_t)RANK_BLOCK * t->in->config.items_n, sizeof(*t->scores));
    result->ranks[LCF_VALID] = lcf_alloc(rows->rows_n[LCF_VALID], sizeof(uint32_t));
    result->ranks[LCF_TEST] = lcf_alloc(rows->rows_n[LCF_TEST], sizeof(uint32_t));
    if (!t->best || !t->order || !t->items || !t->offsets || !t->query_sequence || !t->query_end ||
        !t->target || !t->negatives || !t->rows || !t->users || !t->scores ||
        !result->ranks[LCF_VALID] || !result->ranks[LCF_TEST])
        return LCF_FAIL(err, LCF_ENOMEM, "arrays of training");
    return LCF_OK;
}

static lcf_status trainer_init(trainer *t, next_result *result, lcf_err *err)
{
    lcf_adam_options adam = LCF_ADAM_OPTIONS_INIT;
    lcf_status status = lcf_next_create(&t->model, &t->in->config, t->seed, err);

    adam.weight_decay = (float)t->params->weight_decay;
    if (!status)
        status = lcf_next_check_source(t->model, &t->in->side.source, err);
    if (!status)
        status = lcf_tape_create(&t->tape, err);
    if (!status)
        status = lcf_grads_init(&t->grads, lcf_next_params(t->model), err);
    if (!status)
        status = lcf_adam_init(&t->adam, lcf_next_params(t->model), &adam, err);
    if (!status)
        status = alloc_arrays(t, result, err);
    return status;
}

/* ---- a step ---- */

/* The sequences order[at .. at + n) as a batch. */
static lcf_next_batch make_batch(trainer *t, size_t at, size_t n)
{
    const next_rows *rows = &t->in->rows;
    lcf_next_batch b = {
        n, 0, t->items, t->offsets, t->query_sequence, t->query_end, &t->in->side.source, t->rows};

    t->offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const next_sequence *s = &rows->sequences[t->order[at + i]];
        const uint32_t length = (uint32_t)(s->end - s->begin), offset = t->offsets[i];

        memcpy(t->items + offset, rows->dataset.event_item + s->begin, length * sizeof(*t->items));
        for (size_t j = s->first; j < s[1].first; j++) {
            t->query_sequence[b.queries_n] = (uint32_t)i;
            t->query_end[b.queries_n] = offset + (uint32_t)(rows->questions[j].end - s->begin);
            t->rows[b.queries_n] =
                side_inputs_row(&t->in->side, &rows->dataset, rows->questions[j].sample);
            t->target[b.queries_n++] = rows->questions[j].target;
        }
        t->offsets[i + 1] = offset + length;
    }
    return b;
}

static bool is_own(const trainer *t, const lcf_next_batch *b, size_t query, uint32_t item)
{
    const uint32_t s = b->query_sequence[query];

    for (uint32_t i = t->offsets[s]; i < t->offsets[s + 1]; i++)
        if (t->items[i] == item)
            return true;
    return t->target[query] == item;
}

/* Shared negatives, or for BCE one for every query that is none of its user's items. */
static lcf_next_targets draw_negatives(trainer *t, const lcf_next_batch *b)
{
    const bool bce = t->params->loss == LCF_NEXT_BCE;
    const size_t n = bce ? b->queries_n : t->params->negatives;
    lcf_rng rng;

    lcf_rng_seed(&rng, t->seed, STREAM_NEGATIVES + t->adam.step);
    for (size_t i = 0; i < n && t->params->loss != LCF_NEXT_FULL; i++) {
        t->negatives[i] = next_sampler_draw(&t->in->sampler, &rng);
        for (int tries = 1; bce && tries < NEGATIVE_TRIES && is_own(t, b, i, t->negatives[i]);
             tries++)
            t->negatives[i] = next_sampler_draw(&t->in->sampler, &rng);
    }
    return (lcf_next_targets){b->queries_n, t->target, t->negatives, n, t->in->sampler.log_share};
}

/* One update from n sequences beginning at position `at` of the epoch's order. */
static lcf_status step(double *loss, size_t *questions, trainer *t, size_t at, size_t n)
{
    const lcf_next_batch b = make_batch(t, at, n);
    const lcf_next_targets targets = draw_negatives(t, &b);
    lcf_tensor *users, *total, *side_loss;
    lcf_rng rng;

    lcf_rng_seed(&rng, t->seed, STREAM_DROPOUT + t->adam.step);
    lcf_grads_zero(&t->grads);
    lcf_tape_reset(t->tape, true);
    lcf_tape_set_precision(t->tape, t->params->precision);
    users = lcf_next_users(&side_loss, t->tape, t->model, &t->grads, &b, &rng);
    total = lcf_next_loss(t->tape, t->model, &t->grads, users, t->params->loss, &targets);
    if (side_loss)
        total = lcf_op_add(t->tape, total,
                           lcf_op_scale(t->tape, side_loss, t->in->config.side.rec_weight));
    lcf_tape_backward(t->tape, total);
    if (lcf_tape_status(t->tape))
        return lcf_tape_status(t->tape);
    *loss = (double)total->data[0];
    *questions = b.queries_n;
    if (!isfinite(*loss) || !isfinite(lcf_grads_norm(&t->grads)))
        return LCF_EDIVERGED;
    lcf_adam_step(&t->adam, lcf_next_params(t->model), &t->grads, (float)t->learning_rate);
    return LCF_OK;
}

static lcf_status explain(const trainer *t, lcf_status status, const next_result *r, lcf_err *err)
{
    if (status == LCF_EDIVERGED)
        return LCF_FAIL(err, status,
                        "seed %llu, epoch %u: the loss or its gradient is not finite; try a lower "
                        "learning rate than %g",
                        (unsigned long long)t->seed, r->epochs_n + 1, t->learning_rate);
    return LCF_FAIL(err, status, "no memory for a step of %u users", t->params->batch);
}

static lcf_status train_epoch_once(trainer *t, next_result *r, lcf_err *err)
{
    const size_t n = t->in->rows.sequences_n;
    next_epoch *epoch = &r->epochs[r->epochs_n];

    *epoch = (next_epoch){0.0, 0.0, 0.0};
    train_order(t->order, n, t->seed, r->epochs_n);
    for (size_t at = 0; at < n; at += t->params->batch) {
        const size_t users = n - at < t->params->batch ? n - at : t->params->batch;
        size_t questions = 0;
        double loss = 0.0;
        lcf_status status;

        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in epoch %u of seed %llu", r->epochs_n + 1,
                            (unsigned long long)t->seed);
        status = step(&loss, &questions, t, at, users);
        if (status)
            return explain(t, status, r, err);
        epoch->loss += loss * (double)questions / (double)t->in->rows.questions_n;
        t->watch->step(t->watch->arg, questions);
    }
    return LCF_OK;
}

/* ---- ranking ---- */

/* Ranks of n <= RANK_BLOCK rows of a split. */
static lcf_status rank_block(uint32_t *ranks, trainer *t, const uint32_t *samples, size_t n,
                             lcf_err *err)
{
    const lcf_dataset *d = &t->in->rows.dataset;
    lcf_next_history histories[RANK_BLOCK];
    lcf_full_rank_row rows[RANK_BLOCK];
    lcf_ranker_row side[RANK_BLOCK];
    lcf_status status;

    for (size_t i = 0; i < n; i++) {
        histories[i] = next_rows_history(&t->in->rows, samples[i]);
        side[i] = side_inputs_row(&t->in->side, d, samples[i]);
        histories[i].row = &side[i];
        rows[i] = (lcf_full_rank_row){d->sample_item[samples[i]], histories[i].items,
                                      t->params->rank_seen ? 0 : histories[i].n};
    }
    lcf_tape_set_precision(t->tape, LCF_PRECISION_F32);
    status = lcf_next_encode(t->users, t->tape, t->model, &t->in->side.source, histories, n, err);
    if (status)
        return status;
    return lcf_full_rank(ranks, t->users, lcf_next_items(t->model), rows, n, t->in->config.items_n,
                         t->in->config.dim, t->scores, err);
}

static lcf_status rank_split(next_result *r, trainer *t, lcf_split split, lcf_err *err)
{
    const size_t n = t->in->rows.rows_n[split];
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < n && !status; at += RANK_BLOCK)
        status = rank_block(r->ranks[split] + at, t, t->in->rows.rows[split] + at,
                            n - at < RANK_BLOCK ? n - at : RANK_BLOCK, err);
    if (status == LCF_EDIVERGED)
        lcf_err_prefix(err, "seed %llu, epoch %u", (unsigned long long)t->seed, r->epochs_n);
    return status;
}

/* ---- all epochs ---- */

static train_checkpoint checkpoint_of(trainer *t, next_result *r)
{
    const train_checkpoint c = {.params = lcf_next_params(t->model),
                                .adam = &t->adam,
                                .best = t->best,
                                .epochs = r->epochs,
                                .epoch_doubles = sizeof(*r->epochs) / sizeof(double),
                                .epochs_n = &r->epochs_n,
                                .best_epoch = &r->best_epoch,
                                .seconds = &r->seconds,
                                .learning_rate = &t->learning_rate};

    return c;
}

/* What the epoch is worth on the valid split; the best weights are kept. */
static lcf_status judge_epoch(trainer *t, next_result *r, lcf_err *err)
{
    const lcf_params *p = lcf_next_params(t->model);
    const uint32_t *ranks = r->ranks[LCF_VALID];
    const size_t n = t->in->rows.rows_n[LCF_VALID];
    const double best = r->best_epoch ? r->epochs[r->best_epoch - 1].valid_ndcg10 : -1.0;
    next_epoch *epoch = &r->epochs[r->epochs_n];
    lcf_status status = rank_split(r, t, LCF_VALID, err);

    if (status)
        return status;
    r->epochs_n++;
    epoch->valid_hr10 = lcf_rank_mean(LCF_RANK_HR10, ranks, n);
    epoch->valid_ndcg10 = lcf_rank_mean(LCF_RANK_NDCG10, ranks, n);
    if (epoch->valid_ndcg10 > best) {
        r->best_epoch = r->epochs_n;
        memcpy(t->best, p->values, p->values_n * sizeof(*t->best));
    }
    return LCF_OK;
}

/* Epochs until NDCG@10 has not risen for `patience` of them; t->best holds the best. */
static lcf_status train_all(trainer *t, next_result *r, lcf_err *err)
{
    const train_checkpoint c = checkpoint_of(t, r);
    lcf_status status = train_checkpoint_go_on(&c, t->checkpoint, t->seed, err);

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
    r->questions_per_s = (double)r->epochs_n * (double)t->in->rows.questions_n /
                         (r->seconds > 0.0 ? r->seconds : 1.0);
    return status;
}

lcf_status next_train_seed(lcf_next **model, next_result *result, const next_inputs *in,
                           const lcf_train_next_params *params, uint64_t seed, const char *dir,
                           const next_watch *watch, lcf_err *err)
{
    trainer t = {.in = in, .params = params, .watch = watch, .seed = seed};
    lcf_status status = LCF_OK;

    LCF_ASSERT(params->epochs_max >= 1 && params->epochs_max <= LCF_TRAIN_EPOCHS_MAX);
    *model = NULL;
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
        lcf_params *p = lcf_next_params(t.model);

        memcpy(p->values, t.best, p->values_n * sizeof(*t.best));
        status = rank_split(result, &t, LCF_VALID, err);
    }
    if (!status)
        status = rank_split(result, &t, LCF_TEST, err);
    if (!status) {
        *model = t.model;
        t.model = NULL;
    } else {
        next_result_dispose(result);
    }
    trainer_dispose(&t);
    return status;
}

void next_result_dispose(next_result *r)
{
    free(r->ranks[LCF_VALID]);
    free(r->ranks[LCF_TEST]);
    r->ranks[LCF_VALID] = r->ranks[LCF_TEST] = NULL;
}
