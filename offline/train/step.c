/*
 * The step of training. Invariant: what a shard computes depends on its rows, the weights and the
 * number of the step alone; shard 0's gradients receive the others' in order.
 */
#include "offline/train/step.h"

#include "common/base/mem.h"
#include "common/base/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Streams of dropout of one seed; the weights use the streams of their indices. */
#define STREAM_DROPOUT 0x64726f706f000000u
#define UPDATE_PARTS 8

typedef struct shard {
    lcf_grads grads;
    size_t begin, n;        /* its rows of the batch */
    double loss, side_loss; /* its share of the batch's */
    bool has_side_loss;
} shard;

struct train_step {
    train_step_options options;
    lcf_ranker *ranker;
    const lcf_ranker_source *source;
    lcf_pool *pool;
    lcf_adam adam;
    lcf_ema ema; /* values NULL: none is kept */
    shard shards[TRAIN_SHARDS];
    lcf_tape **tapes; /* [options.threads]: shards of one thread use the same memory in turn */
    /* The batch at hand. */
    const lcf_ranker_row *rows;
    const float *labels, *weights;
    size_t rows_n, units; /* units: see side_units */
    float learning_rate, grad_scale;
};

void train_step_free(train_step *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < TRAIN_SHARDS; i++)
        lcf_grads_dispose(&s->shards[i].grads);
    for (size_t i = 0; s->tapes && i < s->options.threads; i++)
        lcf_tape_free(s->tapes[i]);
    free(s->tapes);
    lcf_adam_dispose(&s->adam);
    lcf_ema_dispose(&s->ema);
    lcf_pool_free(s->pool);
    free(s);
}

lcf_status train_step_create(train_step **out, lcf_ranker *ranker, const lcf_ranker_source *source,
                             const train_step_options *options, lcf_err *err)
{
    const lcf_params *p = lcf_ranker_params(ranker);
    train_step *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "step of training");
    s->options = *options;
    s->ranker = ranker;
    s->source = source;
    status = lcf_pool_create(&s->pool, options->threads, err);
    if (!status)
        status = lcf_adam_init(&s->adam, p, &options->adam, err);
    if (!status && options->ema > 0.0f)
        status = lcf_ema_init(&s->ema, p, options->ema, err);
    for (size_t i = 0; i < TRAIN_SHARDS && !status; i++)
        status = lcf_grads_init_by_rows(&s->shards[i].grads, p, err);
    s->tapes = lcf_alloc_zero(options->threads, sizeof(lcf_tape *));
    if (!status && !s->tapes)
        status = LCF_FAIL(err, LCF_ENOMEM, "step of training");
    for (size_t i = 0; i < options->threads && !status; i++) {
        status = lcf_tape_create(&s->tapes[i], err);
        if (!status)
            lcf_tape_set_precision(s->tapes[i], options->precision);
    }
    if (status) {
        train_step_free(s);
        return status;
    }
    *out = s;
    return LCF_OK;
}

lcf_adam *train_step_adam(train_step *s)
{
    return &s->adam;
}

float *train_step_average(train_step *s)
{
    return s->ema.values;
}

/* What the mean of a side module's loss runs over: the examples of rows where it takes examples,
 * else the rows. */
static size_t side_units(const train_step *s, size_t begin, size_t n)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(s->ranker);
    size_t units = 0;

    if (!(lcf_ranker_side_needs(c->side) & LCF_RANKER_EXAMPLES))
        return n;
    for (size_t i = begin; i < begin + n; i++)
        for (size_t j = 0; j < c->k && s->rows[i].examples; j++)
            units += s->rows[i].examples[j] < s->source->examples->n;
    return units;
}

/* Batch normalisation looks at all rows of a batch: they stand in one shard then. */
static void cut(train_step *s)
{
    const size_t shards = lcf_ranker_config_of(s->ranker)->head_norm ? 1 : TRAIN_SHARDS;

    for (size_t i = 0; i < TRAIN_SHARDS; i++) {
        shard *d = &s->shards[i];

        d->begin = i < shards ? s->rows_n * i / shards : s->rows_n;
        d->n = i < shards ? s->rows_n * (i + 1) / shards - d->begin : 0;
        d->loss = d->side_loss = 0.0;
        d->has_side_loss = false;
    }
    s->units = side_units(s, 0, s->rows_n);
}

/* Forward and backward of one shard: its share of the batch's loss. */
static lcf_status run_shard(void *arg, size_t task, size_t worker, lcf_err *err)
{
    train_step *s = arg;
    shard *d = &s->shards[task];
    lcf_tape *tape = s->tapes[worker];
    lcf_tensor *logits, *side, *total;
    lcf_rng rng;

    (void)err;
    lcf_grads_zero(&d->grads);
    if (!d->n)
        return LCF_OK;
    lcf_rng_seed(&rng, s->options.seed, STREAM_DROPOUT + s->adam.step * TRAIN_SHARDS + task);
    lcf_tape_reset(tape, true);
    lcf_ranker_forward(&logits, &side, tape, s->ranker, &d->grads, s->source, s->rows + d->begin,
                       d->n, &rng);
    if (lcf_tape_status(tape))
        return lcf_tape_status(tape);
    total = lcf_op_bce_with_logits(tape, logits, s->labels + d->begin,
                                   s->weights ? s->weights + d->begin : NULL, (float)s->rows_n);
    if (side) {
        const float share = (float)side_units(s, d->begin, d->n) / (float)s->units;

        d->has_side_loss = true;
        d->side_loss = (double)side->data[0] * (double)share;
        side = lcf_op_scale(tape, side, share * s->options.side_weight);
        total = lcf_op_add(tape, total, side);
    }
    lcf_tape_backward(tape, total);
    d->loss = lcf_tape_status(tape) ? 0.0 : (double)total->data[0];
    return lcf_tape_status(tape);
}

static lcf_status sum_gradients(train_step *s)
{
    lcf_status status = LCF_OK;

    for (size_t i = 1; i < TRAIN_SHARDS && !status; i++)
        if (s->shards[i].n)
            status = lcf_grads_add(&s->shards[0].grads, &s->shards[i].grads);
    return status;
}

/* The factor that brings gradients of this norm down to the norm allowed. source: Pascanu et al.
 * 2013, as torch.nn.utils.clip_grad_norm_ */
static float clip_factor(const train_step *s, double norm)
{
    const double factor = (double)s->options.clip / (norm + 1e-6);

    return s->options.clip > 0.0f && factor < 1.0 ? (float)factor : 1.0f;
}

static lcf_status update_part(void *arg, size_t task, size_t worker, lcf_err *err)
{
    train_step *s = arg;
    lcf_params *p = lcf_ranker_params(s->ranker);

    (void)worker;
    (void)err;
    lcf_adam_step_range(&s->adam, p, &s->shards[0].grads, s->learning_rate, s->grad_scale,
                        p->values_n * task / UPDATE_PARTS, p->values_n * (task + 1) / UPDATE_PARTS);
    return LCF_OK;
}

static lcf_status average_part(void *arg, size_t task, size_t worker, lcf_err *err)
{
    train_step *s = arg;
    const lcf_params *p = lcf_ranker_params(s->ranker);

    (void)worker;
    (void)err;
    lcf_ema_step_range(&s->ema, p, s->adam.step, p->values_n * task / UPDATE_PARTS,
                       p->values_n * (task + 1) / UPDATE_PARTS);
    return LCF_OK;
}

static void sum_losses(double *loss, double *side_loss, const train_step *s)
{
    bool has_side_loss = false;

    *loss = *side_loss = 0.0;
    for (size_t i = 0; i < TRAIN_SHARDS; i++) {
        *loss += s->shards[i].loss;
        *side_loss += s->shards[i].side_loss;
        has_side_loss = has_side_loss || s->shards[i].has_side_loss;
    }
    if (!has_side_loss)
        *side_loss = NAN;
}

lcf_status train_step_run(double *loss, double *side_loss, train_step *s,
                          const lcf_ranker_row *rows, const float *labels, const float *weights,
                          size_t n, float learning_rate)
{
    lcf_status status;
    double norm;

    LCF_ASSERT(n > 0);
    s->rows = rows;
    s->labels = labels;
    s->weights = weights;
    s->rows_n = n;
    s->learning_rate = learning_rate;
    cut(s);
    status = lcf_pool_run(s->pool, TRAIN_SHARDS, run_shard, s, NULL);
    if (!status)
        status = sum_gradients(s);
    if (status)
        return status;
    sum_losses(loss, side_loss, s);
    norm = lcf_grads_norm(&s->shards[0].grads);
    if (!isfinite(*loss) || !isfinite(norm))
        return LCF_EDIVERGED;
    s->grad_scale = clip_factor(s, norm);
    status = lcf_pool_run(s->pool, UPDATE_PARTS, update_part, s, NULL);
    lcf_adam_advance(&s->adam);
    if (!status && s->ema.values)
        status = lcf_pool_run(s->pool, UPDATE_PARTS, average_part, s, NULL);
    return status;
}
