/*
 * Steps of a trainer: groups of sequences into micro-batches of about MICRO_ROWS tokens that are
 * laid end to end as ONE row of the attention with a segment per sequence, so that no padding is
 * ever computed; then the update.
 *
 * Invariant: a step is a function of the sequences and their groups; threads only decide where a
 * part of it is computed.
 */
#include "offline/llama/llama_train.h"

#include "common/base/mem.h"
#include "offline/llama/train_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MICRO_ROWS 1024
#define CHUNK_N ((size_t)1 << 16) /* parameters per task of the update */

/* ---- life cycle ---- */

static lcf_status check_options(const lcf_llama_config *c, const lcf_llama_train_options *o,
                                lcf_err *err)
{
    if (!c->vocab_n || !c->dim || !c->layers_n || !c->heads_n || !c->kv_heads_n || !c->head_dim ||
        !c->ffn_dim)
        return LCF_FAIL(err, LCF_EINVAL, "a size of the LLaMA is 0");
    if (c->heads_n % c->kv_heads_n != 0 || c->head_dim % 2 != 0)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%zu heads over %zu key-value heads of %zu: must divide, and be even",
                        c->heads_n, c->kv_heads_n, c->head_dim);
    if (!(o->lora.dropout >= 0.0f && o->lora.dropout < 1.0f))
        return LCF_FAIL(err, LCF_EINVAL, "a dropout of %g: must be in [0, 1)",
                        (double)o->lora.dropout);
    if (o->objective == LCF_TRAIN_BINARY_CROSS_ENTROPY && o->positive >= c->vocab_n)
        return LCF_FAIL(err, LCF_EINVAL, "piece %u of a vocabulary of %zu", o->positive,
                        c->vocab_n);
    return LCF_OK;
}

static lcf_status allocate(lcf_llama_trainer *t, lcf_err *err)
{
    const lcf_llama_train_options *o = &t->options;
    lcf_adam_options adam = LCF_ADAM_OPTIONS_INIT;
    lcf_status status;

    adam.beta2 = 0.95f;
    adam.weight_decay = o->weight_decay;
    adam.decoupled = true;
    status = o->optimizer == LCF_TRAIN_SGD
                 ? lcf_sgd_init(&t->sgd, &t->params, o->momentum, o->weight_decay, err)
                 : lcf_adam_init(&t->adam, &t->params, &adam, err);
    if (!status)
        status = lcf_grads_init(&t->grads, &t->params, err);
    if (!status)
        status = lcf_net_init(&t->net, &t->config, err);
    if (status)
        return status;
    lcf_use_huge_pages(t->adam.m, t->adam.values_n * sizeof(*t->adam.m));
    lcf_use_huge_pages(t->adam.v, t->adam.values_n * sizeof(*t->adam.v));
    t->chunks_n = (t->params.values_n + CHUNK_N - 1) / CHUNK_N;
    t->chunk_norms = lcf_alloc_zero(t->chunks_n, sizeof(*t->chunk_norms));
    return t->chunk_norms ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "trainer");
}

static lcf_status part_done(void *arg, size_t part, lcf_err *err);

/* Everything but the values of the weights. */
static lcf_status trainer_new(lcf_llama_trainer **out, const lcf_llama_config *config,
                              const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_status status = check_options(config, options, err);
    lcf_llama_trainer *t;

    *out = NULL;
    if (status)
        return status;
    t = lcf_alloc_zero(1, sizeof(*t));
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "trainer");
    t->config = *config;
    t->options = *options;
    lcf_params_init(&t->params);
    lcf_params_init(&t->frozen);
    status = train_declare(t, err);
    if (!status)
        status = allocate(t, err);
    if (status) {
        lcf_llama_trainer_free(t);
        return status;
    }
    t->net.precision = options->precision;
    t->net.checkpointing = options->checkpointing;
    t->net.binary = options->objective == LCF_TRAIN_BINARY_CROSS_ENTROPY;
    t->net.positive = options->positive;
    t->net.rank = options->lora.rank;
    t->net.dropout = options->lora.dropout;
    t->net.lora_scale = t->net.rank ? options->lora.alpha / (float)t->net.rank : 0.0f;
    t->net.done_arg = t;
    train_bind(t);
    train_fill_adapters(t);
    *out = t;
    return LCF_OK;
}

lcf_status lcf_llama_trainer_create(lcf_llama_trainer **out, const lcf_llama_config *config,
                                    const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_status status = trainer_new(out, config, options, err);

    if (!status)
        train_fill_model(*out);
    return status;
}

lcf_status lcf_llama_trainer_from(lcf_llama_trainer **out, const lcf_llama *m,
                                  const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_status status;

    *out = NULL;
    if (m->layers[0].bq || m->config.rope_halves || m->config.rope_scaling || m->rope_factors)
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "only plain LLaMAs can be trained: no biases, no scaled rotations");
    status = trainer_new(out, &m->config, options, err);
    if (status)
        return status;
    train_fill_from(*out, m);
    memcpy((*out)->base_id, m->id, sizeof(m->id));
    return LCF_OK;
}

void lcf_llama_trainer_free(lcf_llama_trainer *t)
{
    if (!t)
        return;
    if (t->net.config)
        lcf_net_dispose(&t->net);
    lcf_grads_dispose(&t->grads);
    lcf_adam_dispose(&t->adam);
    lcf_sgd_dispose(&t->sgd);
    lcf_params_dispose(&t->params);
    lcf_params_dispose(&t->frozen);
    free(t->slots);
    free(t->parts);
    free(t->chunk_norms);
    free(t->ids);
    free(t);
}

lcf_params *lcf_llama_trainer_params(lcf_llama_trainer *t)
{
    return &t->params;
}

uint64_t lcf_llama_trainer_step_n(const lcf_llama_trainer *t)
{
    return t->options.optimizer == LCF_TRAIN_SGD ? t->sgd.step : t->adam.step;
}

const lcf_grads *lcf_llama_trainer_grads(const lcf_llama_trainer *t)
{
    return &t->grads;
}

void lcf_llama_trainer_plan(lcf_llama_trainer *t, uint64_t total_steps)
{
    t->options.total_steps = total_steps ? total_steps : 1;
}

void lcf_llama_trainer_soft(lcf_llama_trainer *t, const lcf_train_soft *soft)
{
    LCF_ASSERT(soft->tokens.n < UINT32_MAX - t->config.vocab_n);
    t->net.soft = soft->tokens;
    t->net.soft_grads = soft->grads;
}

/* ---- micro-batches ---- */

static uint64_t targets_in(const lcf_train_seq *seq)
{
    uint64_t n = 0;

    for (size_t i = 0; i < seq->n; i++)
        n += seq->targets[i] >= 0;
    return n;
}

static lcf_status check_seqs(uint64_t *targets_n, const lcf_llama_trainer *t,
                             const lcf_train_seq *seqs, size_t n, lcf_err *err)
{
    const size_t vocab_n = t->config.vocab_n, soft_n = t->net.soft.n;

    *targets_n = 0;
    for (size_t s = 0; s < n; s++) {
        for (size_t i = 0; i < seqs[s].n; i++)
            if (seqs[s].tokens[i] >= vocab_n + soft_n || seqs[s].targets[i] >= (int64_t)vocab_n)
                return LCF_FAIL(err, LCF_EINVAL,
                                "sequence %zu, token %zu: id %u or target %d beyond the vocabulary "
                                "of %zu and %zu soft tokens",
                                s, i, seqs[s].tokens[i], seqs[s].targets[i], vocab_n, soft_n);
        *targets_n += targets_in(&seqs[s]);
    }
    return LCF_OK;
}

/* Row of the first token of each token's segment: a name that no two sequences share. */
static void name_segments(uint32_t *out, const lcf_train_seq *seq, uint32_t row0)
{
    size_t i, j;

    for (i = 0; i < seq->n; i++) {
        if (!seq->segments) {
            out[i] = row0;
            continue;
        }
        for (j = i; j > 0 && seq->segments[j - 1] != seq->segments[i]; j--)
            ;
        out[i] = j > 0 ? out[j - 1] : row0 + (uint32_t)i;
    }
}

/* A micro-batch being filled: the arrays that lcf_net_batch points at. */
typedef struct filling {
    size_t rows, targets_n;
    uint32_t *ids, *positions, *segments, *target_rows;
    int32_t *targets;
} filling;

static void append(filling *f, const lcf_train_seq *seq)
{
    name_segments(f->segments + f->rows, seq, (uint32_t)f->rows);
    for (size_t i = 0; i < seq->n; i++) {
        if (seq->targets[i] >= 0) {
            f->target_rows[f->targets_n] = (uint32_t)(f->rows + i);
            f->targets[f->targets_n++] = seq->targets[i];
        }
        f->ids[f->rows + i] = seq->tokens[i];
        f->positions[f->rows + i] = seq->positions ? seq->positions[i] : (uint32_t)i;
    }
    f->rows += seq->n;
}

/* The end of the micro-batch that begins with sequence `first`: as many as fit MICRO_ROWS, at least
 * one. Sequences without a target count nothing: no result depends on them. */
static size_t micro_end(size_t *rows, const lcf_train_seq *seqs, size_t n, size_t first)
{
    size_t end;

    *rows = 0;
    for (end = first; end < n; end++) {
        const size_t more = targets_in(&seqs[end]) ? seqs[end].n : 0;

        if (*rows > 0 && *rows + more > MICRO_ROWS)
            break;
        *rows += more;
    }
    return end;
}

/* Fills a micro-batch with sequences [first, end), `rows` tokens. */
static lcf_status fill(lcf_net_batch *out, lcf_llama_trainer *t, const lcf_train_seq *seqs,
                       size_t first, size_t end, size_t rows, lcf_err *err)
{
    filling f = {0, 0, NULL, NULL, NULL, NULL, NULL};

    if (lcf_grow((void **)&t->ids, &t->ids_capacity, rows, 5 * sizeof(*t->ids)))
        return LCF_FAIL(err, LCF_ENOMEM, "a batch of %zu tokens", rows);
    f.ids = t->ids;
    f.positions = f.ids + rows;
    f.segments = f.positions + rows;
    f.target_rows = f.segments + rows;
    f.targets = (int32_t *)(f.target_rows + rows);
    for (size_t i = first; i < end; i++)
        if (targets_in(&seqs[i]))
            append(&f, &seqs[i]);
    *out = (lcf_net_batch){f.rows,     f.targets_n,   f.ids,     f.positions,
                           f.segments, f.target_rows, f.targets, 0};
    return LCF_OK;
}

/* A number for dropout that no other micro-batch of the run has. */
static uint64_t dropout_key(const lcf_llama_trainer *t, size_t group, size_t micro)
{
    return t->options.seed * 0x9e3779b97f4a7c15u + (lcf_llama_trainer_step_n(t) << 32) +
           ((uint64_t)group << 16) + micro;
}

lcf_status lcf_llama_trainer_eval(double *nll, uint64_t *targets_n, lcf_llama_trainer *t,
                                  const lcf_train_seq *seqs, size_t n, lcf_pool *pool, lcf_err *err)
{
    lcf_status status = check_seqs(targets_n, t, seqs, n, err);

    *nll = 0;
    for (size_t first = 0, end; first < n && !status; first = end) {
        lcf_net_batch batch;
        double sum = 0;
        size_t rows;

        end = micro_end(&rows, seqs, n, first);
        if (!rows)
            continue;
        status = fill(&batch, t, seqs, first, end, rows, err);
        if (!status)
            status = lcf_net_run(&sum, &t->net, &batch, false, false, pool, err);
        *nll += sum;
    }
    return status;
}

/* ---- gradients ---- */

/* Starts the sum over processes of a part's gradient. */
static lcf_status part_done(void *arg, size_t part, lcf_err *err)
{
    lcf_llama_trainer *t = arg;
    train_part *p = &t->parts[part];
    lcf_comm *comm = t->options.comm;

    if (p->begun || p->begin == p->end)
        return LCF_OK;
    p->begun = true;
    comm->progress(comm);
    return comm->sum_begin(comm, t->grads.values + p->begin, p->end - p->begin, err);
}

static lcf_status accumulate_micro(lcf_llama_trainer *t, lcf_net_batch *batch, size_t group,
                                   size_t micro, bool last, lcf_pool *pool, lcf_err *err)
{
    double nll = 0;
    lcf_status status;

    batch->key = dropout_key(t, group, micro);
    t->net.done = last && t->options.comm ? part_done : NULL;
    status = lcf_net_run(&nll, &t->net, batch, true, !t->any, pool, err);
    t->any = true;
    t->nll += nll;
    t->targets_n += batch->targets_n;
    return status;
}

/* Forgets the step in progress. */
static void step_reset(lcf_llama_trainer *t)
{
    t->nll = 0;
    t->targets_n = 0;
    t->any = false;
    for (size_t i = 0; i < t->config.layers_n + 2; i++)
        t->parts[i].begun = false;
}

lcf_status lcf_llama_trainer_accumulate(lcf_llama_trainer *t, const lcf_train_seq *seqs, size_t n,
                                        size_t group, bool last, lcf_pool *pool, lcf_err *err)
{
    uint64_t targets_n, seen = 0;
    size_t micro = 0;
    lcf_status status = check_seqs(&targets_n, t, seqs, n, err);

    for (size_t first = 0, end; first < n && !status; first = end) {
        lcf_net_batch batch;
        size_t rows;

        end = micro_end(&rows, seqs, n, first);
        if (!rows)
            continue;
        status = fill(&batch, t, seqs, first, end, rows, err);
        seen += batch.targets_n;
        if (!status)
            status =
                accumulate_micro(t, &batch, group, micro++, last && seen == targets_n, pool, err);
    }
    if (status)
        step_reset(t);
    return status;
}

/* ---- the update ---- */

typedef struct update {
    lcf_llama_trainer *t;
    float learning_rate, grad_scale;
} update;

static size_t chunk_end(const lcf_llama_trainer *t, size_t chunk)
{
    const size_t end = (chunk + 1) * CHUNK_N;

    return end < t->params.values_n ? end : t->params.values_n;
}

static lcf_status norm_task(void *arg, size_t chunk, size_t worker, lcf_err *err)
{
    const update *u = arg;
    const size_t first = chunk * CHUNK_N;
    const lcf_grads part = {.values = u->t->grads.values + first,
                            .values_n = chunk_end(u->t, chunk) - first};
    const double norm = lcf_grads_norm(&part);

    (void)worker;
    (void)err;
    u->t->chunk_norms[chunk] = norm * norm;
    return LCF_OK;
}

static lcf_status update_task(void *arg, size_t chunk, size_t worker, lcf_err *err)
{
    const update *u = arg;
    lcf_llama_trainer *t = u->t;
    const size_t first = chunk * CHUNK_N, end = chunk_end(t, chunk);

    (void)worker;
    (void)err;
    if (t->options.optimizer == LCF_TRAIN_SGD)
        lcf_sgd_step_range(&t->sgd, &t->params, &t->grads, u->learning_rate, u->grad_scale, first,
                           end);
    else
        lcf_adam_step_range(&t->adam, &t->params, &t->grads, u->learning_rate, u->grad_scale, first,
                            end);
    return LCF_OK;
}

/* The sums over all processes of gradients, -log p and targets. */
static lcf_status reduce(lcf_llama_trainer *t, lcf_err *err)
{
    lcf_comm *comm = t->options.comm;
    double sums[2] = {t->nll, (double)t->targets_n};
    lcf_status status = LCF_OK;

    if (!t->any) /* this process had nothing to learn from */
        lcf_grads_zero(&t->grads);
    /* What is not begun, in the order of a backward pass: that of the other processes. */
    for (size_t i = t->config.layers_n + 1; i-- > 0 && !status;)
        status = part_done(t, i, err);
    if (!status)
        status = part_done(t, t->config.layers_n + 1, err);
    if (!status)
        status = comm->wait(comm, err);
    if (!status)
        status = comm->sum_f64(comm, sums, 2, err);
    t->nll = sums[0];
    t->targets_n = (uint64_t)sums[1];
    return status;
}

static double gradient_norm(lcf_llama_trainer *t, lcf_pool *pool)
{
    update u = {t, 0, 0};
    double norm = 0;

    lcf_pool_run(pool, t->chunks_n, norm_task, &u, NULL);
    for (size_t chunk = 0; chunk < t->chunks_n; chunk++)
        norm += t->chunk_norms[chunk];
    return sqrt(norm) / (double)t->targets_n;
}

static lcf_status update_weights(lcf_llama_trainer *t, double loss, lcf_pool *pool, lcf_err *err)
{
    const lcf_llama_train_options *o = &t->options;
    const uint64_t step = lcf_llama_trainer_step_n(t);
    const double norm = gradient_norm(t, pool);
    update u = {
        t, lcf_lr_at(o->schedule, o->peak_lr, o->floor_lr, step, o->warmup_steps, o->total_steps),
        (float)(1.0 / (double)t->targets_n)};
    lcf_status status;

    if (!isfinite(loss) || !isfinite(norm))
        return LCF_FAIL(err, LCF_EDIVERGED,
                        "step %llu: loss %g, gradient norm %g; lower the learning rate",
                        (unsigned long long)step, loss, norm);
    if (o->clip_norm > 0 && norm > o->clip_norm)
        u.grad_scale = (float)(o->clip_norm / norm / (double)t->targets_n);
    status = lcf_pool_run(pool, t->chunks_n, update_task, &u, err);
    if (!status)
        (*train_step_counter(t))++;
    return status;
}

lcf_status lcf_llama_trainer_apply(double *loss, lcf_llama_trainer *t, lcf_pool *pool, lcf_err *err)
{
    lcf_status status = t->options.comm ? reduce(t, err) : LCF_OK;

    *loss = 0;
    if (!status && t->targets_n == 0)
        status = LCF_FAIL(err, LCF_EINVAL, "a step without a token to predict");
    if (!status) {
        *loss = t->nll / (double)t->targets_n;
        status = update_weights(t, *loss, pool, err);
    }
    step_reset(t);
    return status;
}

lcf_status lcf_llama_trainer_step(double *loss, lcf_llama_trainer *t, const lcf_train_seq *seqs,
                                  size_t n, lcf_pool *pool, lcf_err *err)
{
    lcf_status status;

    *loss = 0;
    status = lcf_llama_trainer_accumulate(t, seqs, n, 0, true, pool, err);
    return status ? status : lcf_llama_trainer_apply(loss, t, pool, err);
}
