/*
 * Epochs of phase 1: see phase1.h.
 *
 * Invariant: everything that an epoch does follows from the seed, its number and the checkpoint of
 * the epoch before.
 */
#include "offline/ilm/phase1.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_ORDER 0x6f72646572000000u
#define STREAM_PAIRS 0x7061697273000000u
#define FLOOR 0.1f /* of the learning rate, at the last step. source: LAVIS, stage 1 */
#define KIND "qformer-epoch"
#define VERSION 1

typedef struct trainer {
    lcf_qformer *m;
    const phase1_data *data;
    const phase1_params *p;
    const phase1_watch *watch;
    phase1_step *step;
    phase1_result *result;
    uint32_t *order;                                      /* [training items] */
    phase1_pair *pairs[2];                                /* [batch] of items, of users and items */
    float *best;                                          /* [values_n] */
    double sums[PHASE1_LOSSES_N], steps[PHASE1_LOSSES_N]; /* of the epoch */
} trainer;

static bool has_text(const phase1_params *p)
{
    return (p->losses & PHASE1_TEXT) != 0;
}

/* Batches of texts in an epoch. */
static size_t batches_n(const phase1_data *data, const phase1_params *p)
{
    return (data->items[LCF_TRAIN].n + p->batch - 1) / p->batch;
}

static size_t kinds_n(const phase1_params *p)
{
    return (size_t)has_text(p) + !!(p->losses & PHASE1_BIT(PHASE1_IIC)) +
           !!(p->losses & PHASE1_BIT(PHASE1_UIC));
}

size_t phase1_steps(const phase1_data *data, const phase1_params *params)
{
    return batches_n(data, params) * (params->alternate ? kinds_n(params) : 1);
}

/* ---- checkpoints between epochs ---- */

#define COLUMNS (sizeof(phase1_epoch) / sizeof(double))
#define MEASURES (sizeof(phase1_measures) / sizeof(double))

static lcf_status add_state(lcf_bundle_writer *w, trainer *t, lcf_err *err)
{
    const lcf_params *p = lcf_qformer_params(t->m);
    const uint64_t dims[2] = {t->result->epochs_n, COLUMNS};
    const uint64_t best = t->result->best_epoch;
    lcf_status status = lcf_checkpoint_add(w, p, phase1_step_adam(t->step), err);

    if (!status)
        status = lcf_bundle_add_1d(w, "best", LCF_F32, p->values_n, t->best, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "best_epoch", LCF_U64, 1, &best, err);
    if (!status)
        status = lcf_bundle_add(w, "epochs", LCF_F64, dims, 2, t->result->epochs, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "start", LCF_F64, MEASURES, &t->result->start, err);
    return status;
}

static lcf_status save_state(trainer *t, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, KIND, VERSION, err);

    if (status)
        return status;
    status = add_state(w, t, err);
    return lcf_bundle_finish(w, status, err);
}

/* Everything is looked at before anything is changed. */
static lcf_status read_state(trainer *t, const lcf_bundle *bundle, lcf_err *err)
{
    const lcf_array *found = lcf_bundle_find(bundle, "epochs");
    lcf_params *p = lcf_qformer_params(t->m);
    uint64_t dims[2] = {found ? found->dims[0] : 0, COLUMNS}, values[1] = {p->values_n};
    uint64_t one[1] = {1}, measures[1] = {MEASURES};
    const void *epochs, *best, *best_epoch, *start;
    lcf_status status = lcf_bundle_get(&epochs, bundle, "epochs", LCF_F64, dims, 2, err);

    if (!status)
        status = lcf_bundle_get(&best, bundle, "best", LCF_F32, values, 1, err);
    if (!status)
        status = lcf_bundle_get(&best_epoch, bundle, "best_epoch", LCF_U64, one, 1, err);
    if (!status)
        status = lcf_bundle_get(&start, bundle, "start", LCF_F64, measures, 1, err);
    if (status)
        return status;
    one[0] = *(const uint64_t *)best_epoch;
    if (!dims[0] || dims[0] > PHASE1_EPOCHS_MAX || !one[0] || one[0] > dims[0])
        return LCF_FAIL(err, LCF_EFORMAT, "epochs out of range");
    status = lcf_checkpoint_get(p, phase1_step_adam(t->step), bundle, err);
    if (status)
        return status;
    memcpy(t->best, best, p->values_n * sizeof(*t->best));
    memcpy(t->result->epochs, epochs, dims[0] * sizeof(*t->result->epochs));
    memcpy(&t->result->start, start, sizeof(t->result->start));
    t->result->epochs_n = (uint32_t)dims[0];
    t->result->best_epoch = (uint32_t)one[0];
    return LCF_OK;
}

/* What an earlier run left, if it can be used. */
static lcf_status load_state(trainer *t, const char *path, lcf_err *err)
{
    lcf_err why = LCF_ERR_INIT;
    lcf_bundle *bundle = NULL;
    lcf_status status = lcf_bundle_open(&bundle, path, KIND, VERSION, &why);

    if (!status)
        status = read_state(t, bundle, &why);
    lcf_bundle_close(bundle);
    if (status == LCF_ENOMEM)
        return LCF_FAIL(err, status, "%s", why.text);
    if (status && status != LCF_ENOENT)
        lcf_log(LCF_LOG_WARN,
                "msg=\"a checkpoint cannot be used, training begins anew\" why=\"%s\"", why.text);
    if (!status)
        lcf_log(LCF_LOG_INFO, "msg=\"going on after an earlier run\" epoch=%u",
                t->result->epochs_n);
    return LCF_OK;
}

/* ---- an epoch ---- */

static void draw_pairs(phase1_pair *out, size_t n, const phase1_pairs *from, lcf_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        out[i] = from->list[lcf_rng_below(rng, from->n)];
}

static lcf_status one_step(trainer *t, const phase1_batch *batch, lcf_err *err)
{
    const phase1_params *p = t->p;
    const uint64_t step = phase1_step_adam(t->step)->step;
    const float rate = lcf_lr_at(LCF_LR_COSINE, (float)p->learning_rate, FLOOR, step, p->warmup,
                                 phase1_steps(t->data, p) * p->epochs_max);
    double losses[PHASE1_LOSSES_N];
    lcf_status status = phase1_step_train(losses, t->step, batch, rate);

    if (status)
        return LCF_FAIL(err, status, "step %llu of training", (unsigned long long)step + 1);
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (batch->losses & PHASE1_BIT(i)) {
            t->sums[i] += losses[i];
            t->steps[i]++;
        }
    t->watch->step(t->watch->arg);
    return lcf_stop_requested() ? LCF_FAIL(err, LCF_ECANCELED, "asked to stop") : LCF_OK;
}

/* One batch of everything, in one step or one of each kind. */
static lcf_status one_batch(trainer *t, const phase1_batch *all, lcf_err *err)
{
    static const unsigned KINDS[] = {PHASE1_TEXT, PHASE1_BIT(PHASE1_IIC), PHASE1_BIT(PHASE1_UIC)};
    lcf_status status = LCF_OK;

    if (!t->p->alternate)
        return one_step(t, all, err);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(*KINDS) && !status; i++) {
        phase1_batch b = *all;

        b.losses &= KINDS[i];
        if (b.losses)
            status = one_step(t, &b, err);
    }
    return status;
}

static lcf_status run_steps(trainer *t, uint32_t epoch, lcf_err *err)
{
    const phase1_items *items = &t->data->items[LCF_TRAIN];
    const size_t n = batches_n(t->data, t->p);
    lcf_status status = LCF_OK;
    lcf_rng rng;

    memcpy(t->order, items->list, items->n * sizeof(*t->order));
    lcf_rng_seed(&rng, t->p->seed, STREAM_ORDER + epoch);
    lcf_rng_shuffle_u32(&rng, t->order, items->n);
    for (size_t i = 0; i < n && !status; i++) {
        const size_t at = items->n * i / n;
        const phase1_batch b = {.losses = t->p->losses,
                                .items = t->order + at,
                                .items_n = items->n * (i + 1) / n - at,
                                .item_pairs = t->pairs[0],
                                .item_pairs_n = t->p->batch,
                                .user_pairs = t->pairs[1],
                                .user_pairs_n = t->p->batch};

        lcf_rng_seed(&rng, t->p->seed, STREAM_PAIRS + epoch * n + i);
        if (b.losses & PHASE1_BIT(PHASE1_IIC))
            draw_pairs(t->pairs[0], t->p->batch, &t->data->item_pairs[LCF_TRAIN], &rng);
        if (b.losses & PHASE1_BIT(PHASE1_UIC))
            draw_pairs(t->pairs[1], t->p->batch, &t->data->user_pairs[LCF_TRAIN], &rng);
        status = one_batch(t, &b, err);
    }
    return status;
}

/* The sum of the losses over the validation part; where it has no rows for one of them (no pair of
 * items, say), that of the epoch's training rows stands for it. */
static double criterion_of(const phase1_epoch *e, unsigned losses)
{
    double sum = 0;

    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (losses & PHASE1_BIT(i))
            sum += isnan(e->valid.losses[i]) ? e->train[i] : e->valid.losses[i];
    return sum;
}

/* Says once which losses have no validation rows: their minimum then is that of memorising. */
static void warn_of_missing(const phase1_epoch *e, unsigned losses)
{
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (losses & PHASE1_BIT(i) && isnan(e->valid.losses[i]))
            lcf_log(LCF_LOG_WARN,
                    "msg=\"no validation rows for a loss, its training loss decides which epoch is "
                    "best\" loss=%s",
                    PHASE1_LOSS_NAMES[i]);
}

static lcf_status measure(phase1_measures *out, trainer *t, lcf_split part, lcf_err *err)
{
    const bool matching = (t->p->losses & PHASE1_BIT(PHASE1_ITM)) != 0;

    return phase1_measure(out, t->step, t->m, t->data, part, matching, t->p->batch, err);
}

static lcf_status run_epoch(trainer *t, lcf_err *err)
{
    const lcf_params *p = lcf_qformer_params(t->m);
    phase1_result *r = t->result;
    phase1_epoch *e = &r->epochs[r->epochs_n];
    lcf_status status;

    memset(t->sums, 0, sizeof(t->sums));
    memset(t->steps, 0, sizeof(t->steps));
    status = run_steps(t, r->epochs_n, err);
    if (!status)
        status = measure(&e->valid, t, LCF_VALID, err);
    if (status)
        return status;
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        e->train[i] = t->steps[i] > 0 ? t->sums[i] / t->steps[i] : NAN;
    e->criterion = criterion_of(e, t->p->losses);
    if (!r->epochs_n)
        warn_of_missing(e, t->p->losses);
    r->epochs_n++;
    if (!r->best_epoch || e->criterion < r->epochs[r->best_epoch - 1].criterion) {
        r->best_epoch = r->epochs_n;
        memcpy(t->best, p->values, p->values_n * sizeof(*t->best));
    }
    t->watch->epoch(t->watch->arg, r);
    return LCF_OK;
}

/* ---- all epochs ---- */

static bool is_over(const trainer *t)
{
    const phase1_result *r = t->result;

    return r->epochs_n >= t->p->epochs_max || r->epochs_n - r->best_epoch >= t->p->patience;
}

static lcf_status run_epochs(trainer *t, const char *dir, lcf_err *err)
{
    char *path = dir ? lcf_path_join(dir, "epoch.lcf") : NULL;
    lcf_status status = dir && !path ? LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir) : LCF_OK;

    if (!status && path)
        status = load_state(t, path, err);
    if (!status && !t->result->epochs_n)
        status = measure(&t->result->start, t, LCF_TEST, err);
    while (!status && !is_over(t)) {
        status = run_epoch(t, err);
        if (!status && path)
            status = save_state(t, path, err);
    }
    free(path);
    return status;
}

lcf_status phase1_check(const phase1_data *data, const phase1_params *p, lcf_err *err)
{
    if (!p->losses || p->losses >> PHASE1_LOSSES_N)
        return LCF_FAIL(err, LCF_EINVAL, "no loss is named");
    if (p->batch < 4 || !p->epochs_max || p->epochs_max > PHASE1_EPOCHS_MAX || !p->patience)
        return LCF_FAIL(err, LCF_EINVAL,
                        "batches of %u, %u epochs, patience of %u: at least 4, 1 to %d, at least 1",
                        p->batch, p->epochs_max, p->patience, PHASE1_EPOCHS_MAX);
    if (data->items[LCF_TRAIN].n < 2)
        return LCF_FAIL(err, LCF_EINVAL, "%zu items to train on, at least 2 are needed",
                        data->items[LCF_TRAIN].n);
    if (p->losses & PHASE1_BIT(PHASE1_IIC) && !data->item_pairs[LCF_TRAIN].n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "iic needs items that follow each other in the history of a training row, "
                        "there are none");
    if (p->losses & PHASE1_BIT(PHASE1_UIC) && !data->user_pairs[LCF_TRAIN].n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "uic needs training rows of label 1 and a ranker with vectors of users");
    return LCF_OK;
}

/* Parts of an even division are no larger than `batch`. */
static lcf_status open_trainer(trainer *t, lcf_err *err)
{
    const phase1_params *p = t->p;
    const lcf_params *params = lcf_qformer_params(t->m);
    phase1_step_options o = {.batch_max = p->batch,
                             .smoothing = (float)p->smoothing,
                             .clip = (float)p->clip,
                             .adam = LCF_ADAM_OPTIONS_INIT,
                             .seed = p->seed,
                             .threads = p->threads};

    o.adam.weight_decay = (float)p->weight_decay;
    o.adam.decoupled = true;
    t->order = lcf_alloc(t->data->items[LCF_TRAIN].n, sizeof(*t->order));
    t->pairs[0] = lcf_alloc(p->batch, sizeof(phase1_pair));
    t->pairs[1] = lcf_alloc(p->batch, sizeof(phase1_pair));
    t->best = lcf_alloc(params->values_n, sizeof(*t->best));
    if (!t->order || !t->pairs[0] || !t->pairs[1] || !t->best)
        return LCF_FAIL(err, LCF_ENOMEM, "batches of %u", p->batch);
    return phase1_step_create(&t->step, t->m, t->data, &o, err);
}

lcf_status phase1_train(phase1_result *result, lcf_qformer *m, const phase1_data *data,
                        const phase1_params *params, const char *dir, const phase1_watch *watch,
                        lcf_err *err)
{
    trainer t = {.m = m, .data = data, .p = params, .watch = watch, .result = result};
    lcf_params *p = lcf_qformer_params(m);
    lcf_status status = phase1_check(data, params, err);

    memset(result, 0, sizeof(*result));
    if (!status)
        status = open_trainer(&t, err);
    if (!status)
        status = run_epochs(&t, dir, err);
    if (!status) {
        memcpy(p->values, t.best, p->values_n * sizeof(*t.best));
        status = measure(&result->test, &t, LCF_TEST, err);
    }
    if (!status)
        status = measure(&result->seen, &t, LCF_TRAIN, err);
    phase1_step_free(t.step);
    free(t.order);
    free(t.pairs[0]);
    free(t.pairs[1]);
    free(t.best);
    return status;
}
