/*
 * LLaMA on the tape: the network of llama.c with its gradient.
 *
 * The sequences of a step go to `shards` groups; each group is cut into micro-batches of about
 * MICRO_ROWS tokens that are laid end to end as ONE row of the attention with a segment per
 * sequence, so that no padding is ever computed. A shard's gradient is the sum over its
 * micro-batches in order.
 *
 * Invariant: what a step computes is a function of the sequences and the number of shards; threads
 * only decide where a shard, or a chunk of the parameters, is computed.
 */
#include "offline/llama/llama_train.h"

#include "common/base/bundle.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICRO_ROWS 512
#define CHUNK_N ((size_t)1 << 16) /* parameters per task of the update */
#define CHECKPOINT_KIND "llama_train"
#define CHECKPOINT_VERSION 1
#define INIT_STD 0.02f

typedef enum layer_param {
    ATTN_NORM,
    WQ,
    WK,
    WV,
    WO,
    FFN_NORM,
    W_GATE,
    W_UP,
    W_DOWN,
    LAYER_PARAMS_N
} layer_param;

/* Names as in GGUF's llama architecture. */
static const char *const layer_names[LAYER_PARAMS_N] = {"attn_norm", "attn_q",      "attn_k",
                                                        "attn_v",    "attn_output", "ffn_norm",
                                                        "ffn_gate",  "ffn_up",      "ffn_down"};

/* What a shard leaves behind. */
typedef struct shard_result {
    double nll; /* sum over its targets; of a step: over the step's targets, divided by them */
    uint64_t targets_n;
} shard_result;

struct lcf_llama_trainer {
    lcf_llama_config config;
    lcf_llama_train_options options;
    lcf_params params;
    size_t embed, final_norm, output; /* indices of parameters; output = embed when tied */
    size_t layer0; /* layer l's parameters follow at layer0 + l * LAYER_PARAMS_N */
    lcf_adam adam;
    lcf_grads *grads; /* [shards] */
    shard_result *results;
    double *chunk_norms; /* [chunks_n] sums of squares */
    size_t chunks_n;
    lcf_tape **tapes; /* one per thread of the largest pool seen */
    size_t tapes_n, tapes_capacity;
    uint32_t *shard_of; /* of each sequence of the step */
    size_t shard_of_capacity;
};

/* ---- parameters ---- */

static void layer_dims(size_t dims[2], uint32_t *dims_n, const lcf_llama_config *c,
                       layer_param which)
{
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    const size_t table[LAYER_PARAMS_N][2] = {
        [ATTN_NORM] = {c->dim, 0},
        [WQ] = {q, c->dim},
        [WK] = {kv, c->dim},
        [WV] = {kv, c->dim},
        [WO] = {c->dim, q},
        [FFN_NORM] = {c->dim, 0},
        [W_GATE] = {c->ffn_dim, c->dim},
        [W_UP] = {c->ffn_dim, c->dim},
        [W_DOWN] = {c->dim, c->ffn_dim},
    };

    dims[0] = table[which][0];
    dims[1] = table[which][1];
    *dims_n = dims[1] ? 2 : 1;
}

static lcf_status declare(lcf_llama_trainer *t, lcf_err *err)
{
    const lcf_llama_config *c = &t->config;
    const size_t table[2] = {c->vocab_n, c->dim};
    lcf_status status =
        lcf_params_add(&t->embed, &t->params, "token_embd.weight", table, 2, true, err);
    size_t layer, which;

    t->layer0 = t->params.list_n;
    for (layer = 0; layer < c->layers_n; layer++)
        for (which = 0; which < LAYER_PARAMS_N && !status; which++) {
            char name[LCF_PARAM_NAME_MAX];
            size_t dims[2];
            uint32_t dims_n;

            layer_dims(dims, &dims_n, c, (layer_param)which);
            snprintf(name, sizeof(name), "blk.%zu.%s.weight", layer, layer_names[which]);
            status = lcf_params_add(NULL, &t->params, name, dims, dims_n, dims_n > 1, err);
        }
    if (!status)
        status = lcf_params_add(&t->final_norm, &t->params, "output_norm.weight", &c->dim, 1, false,
                                err);
    t->output = t->embed;
    if (!status && !c->tied)
        status = lcf_params_add(&t->output, &t->params, "output.weight", table, 2, true, err);
    return status ? status : lcf_params_seal(&t->params, err);
}

/* Normal(0, .02), residual projections smaller by sqrt(2 layers). source: Radford et al. 2019 */
static void fill_random(lcf_llama_trainer *t)
{
    const float residual = INIT_STD / sqrtf(2.0f * (float)t->config.layers_n);
    size_t i;

    for (i = 0; i < t->params.list_n; i++) {
        size_t which = i - t->layer0; /* meaningless for the embedding and the last ones */
        bool in_layer = i >= t->layer0 && which < t->config.layers_n * LAYER_PARAMS_N;
        bool narrow =
            in_layer && (which % LAYER_PARAMS_N == WO || which % LAYER_PARAMS_N == W_DOWN);

        if (t->params.list[i].dims_n == 1)
            lcf_params_fill(&t->params, i, LCF_INIT_ONE, 1.0f, t->options.seed);
        else
            lcf_params_fill(&t->params, i, LCF_INIT_NORMAL, narrow ? residual : INIT_STD,
                            t->options.seed);
    }
}

static lcf_status check_config(const lcf_llama_config *c, const lcf_llama_train_options *o,
                               lcf_err *err)
{
    if (!c->vocab_n || !c->dim || !c->layers_n || !c->heads_n || !c->kv_heads_n || !c->head_dim ||
        !c->ffn_dim)
        return LCF_FAIL(err, LCF_EINVAL, "a size of the LLaMA is 0");
    if (c->heads_n % c->kv_heads_n != 0 || c->head_dim % 2 != 0)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%zu heads over %zu key-value heads of %zu: must divide, and be even",
                        c->heads_n, c->kv_heads_n, c->head_dim);
    if (!o->shards)
        return LCF_FAIL(err, LCF_EINVAL, "training needs at least one shard");
    return LCF_OK;
}

static lcf_status allocate(lcf_llama_trainer *t, lcf_err *err)
{
    lcf_adam_options adam = LCF_ADAM_OPTIONS_INIT;
    lcf_status status;
    size_t s;

    adam.beta2 = 0.95f;
    adam.weight_decay = t->options.weight_decay;
    adam.decoupled = true;
    status = lcf_adam_init(&t->adam, &t->params, &adam, err);
    if (status)
        return status;
    t->chunks_n = (t->params.values_n + CHUNK_N - 1) / CHUNK_N;
    t->grads = lcf_alloc_zero(t->options.shards, sizeof(*t->grads));
    t->results = lcf_alloc_zero(t->options.shards, sizeof(*t->results));
    t->chunk_norms = lcf_alloc_zero(t->chunks_n, sizeof(*t->chunk_norms));
    if (!t->grads || !t->results || !t->chunk_norms)
        return LCF_FAIL(err, LCF_ENOMEM, "trainer of %zu shards", t->options.shards);
    for (s = 0; s < t->options.shards && !status; s++)
        status = lcf_grads_init(&t->grads[s], &t->params, err);
    return status;
}

/* Everything but the values of the weights. */
static lcf_status trainer_new(lcf_llama_trainer **out, const lcf_llama_config *config,
                              const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_status status = check_config(config, options, err);
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
    status = declare(t, err);
    if (!status)
        status = allocate(t, err);
    if (status) {
        lcf_llama_trainer_free(t);
        return status;
    }
    *out = t;
    return LCF_OK;
}

lcf_status lcf_llama_trainer_create(lcf_llama_trainer **out, const lcf_llama_config *config,
                                    const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_status status = trainer_new(out, config, options, err);

    if (!status)
        fill_random(*out);
    return status;
}

static void copy_vector(lcf_llama_trainer *t, size_t idx, const float *from)
{
    memcpy(lcf_params_value(&t->params, idx), from, t->params.list[idx].n * sizeof(*from));
}

static void copy_matrix(lcf_llama_trainer *t, size_t idx, const lcf_llama_matrix *from)
{
    lcf_llama_matrix_rows(lcf_params_value(&t->params, idx), from, 0, from->rows);
}

lcf_status lcf_llama_trainer_from(lcf_llama_trainer **out, const lcf_llama *m,
                                  const lcf_llama_train_options *options, lcf_err *err)
{
    lcf_llama_trainer *t;
    size_t layer, which;
    lcf_status status;

    *out = NULL;
    if (m->layers[0].bq || m->config.rope_halves || m->config.rope_scaling || m->rope_factors)
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "only plain LLaMAs can be trained: no biases, no scaled rotations");
    status = trainer_new(out, &m->config, options, err);
    if (status)
        return status;
    t = *out;
    copy_matrix(t, t->embed, &m->embed);
    copy_vector(t, t->final_norm, m->final_norm);
    if (!m->config.tied)
        copy_matrix(t, t->output, &m->output);
    for (layer = 0; layer < m->config.layers_n; layer++) {
        const lcf_llama_layer *l = &m->layers[layer];
        const lcf_llama_matrix *const from[LAYER_PARAMS_N] = {
            [WQ] = &l->wq,         [WK] = &l->wk,     [WV] = &l->wv,        [WO] = &l->wo,
            [W_GATE] = &l->w_gate, [W_UP] = &l->w_up, [W_DOWN] = &l->w_down};
        size_t first = t->layer0 + layer * LAYER_PARAMS_N;

        copy_vector(t, first + ATTN_NORM, l->attn_norm);
        copy_vector(t, first + FFN_NORM, l->ffn_norm);
        for (which = 0; which < LAYER_PARAMS_N; which++)
            if (from[which])
                copy_matrix(t, first + which, from[which]);
    }
    return LCF_OK;
}

void lcf_llama_trainer_free(lcf_llama_trainer *t)
{
    size_t i;

    if (!t)
        return;
    for (i = 0; i < t->options.shards && t->grads; i++)
        lcf_grads_dispose(&t->grads[i]);
    for (i = 0; i < t->tapes_n; i++)
        lcf_tape_free(t->tapes[i]);
    free(t->tapes);
    free(t->grads);
    free(t->results);
    free(t->chunk_norms);
    free(t->shard_of);
    lcf_adam_dispose(&t->adam);
    lcf_params_dispose(&t->params);
    free(t);
}

lcf_params *lcf_llama_trainer_params(lcf_llama_trainer *t)
{
    return &t->params;
}

uint64_t lcf_llama_trainer_step_n(const lcf_llama_trainer *t)
{
    return t->adam.step;
}

const lcf_grads *lcf_llama_trainer_grads(const lcf_llama_trainer *t)
{
    return &t->grads[0]; /* where the shards' gradients are summed */
}

/* ---- the network ---- */

/* Sequences laid end to end; arrays live on the tape. */
typedef struct micro_batch {
    size_t rows, targets_n;
    uint32_t *ids, *positions, *segments; /* [rows] */
    uint32_t *target_rows;                /* [targets_n] rows whose next token counts */
    int32_t *targets;                     /* [targets_n] */
} micro_batch;

static lcf_tensor *heads_of(lcf_tape *tape, lcf_tensor *x, size_t heads, size_t head_dim)
{
    const size_t dims[4] = {1, x->dims[0], heads, head_dim};

    return lcf_op_reshape(tape, x, dims, 4);
}

static lcf_tensor *attention_block(lcf_tape *tape, const lcf_llama_config *c, lcf_tensor *x,
                                   lcf_tensor **w, const micro_batch *batch)
{
    const size_t flat[2] = {batch->rows, c->heads_n * c->head_dim};
    lcf_tensor *h = lcf_op_rmsnorm(tape, x, w[ATTN_NORM], c->norm_eps), *q, *k, *v, *a;

    q = heads_of(tape, lcf_op_linear(tape, h, w[WQ], NULL), c->heads_n, c->head_dim);
    k = heads_of(tape, lcf_op_linear(tape, h, w[WK], NULL), c->kv_heads_n, c->head_dim);
    v = heads_of(tape, lcf_op_linear(tape, h, w[WV], NULL), c->kv_heads_n, c->head_dim);
    q = lcf_op_rope(tape, q, batch->positions, c->rope_theta);
    k = lcf_op_rope(tape, k, batch->positions, c->rope_theta);
    a = lcf_op_reshape(tape, lcf_op_attention(tape, q, k, v, batch->segments), flat, 2);
    return lcf_op_add(tape, x, lcf_op_linear(tape, a, w[WO], NULL));
}

static lcf_tensor *ffn_block(lcf_tape *tape, const lcf_llama_config *c, lcf_tensor *x,
                             lcf_tensor **w)
{
    lcf_tensor *h = lcf_op_rmsnorm(tape, x, w[FFN_NORM], c->norm_eps);

    h = lcf_op_swiglu(tape, lcf_op_linear(tape, h, w[W_GATE], NULL),
                      lcf_op_linear(tape, h, w[W_UP], NULL));
    return lcf_op_add(tape, x, lcf_op_linear(tape, h, w[W_DOWN], NULL));
}

/* Sum of -log p over the batch's targets, divided by `normaliser`. */
static lcf_tensor *network(lcf_llama_trainer *t, lcf_tape *tape, lcf_grads *grads,
                           const micro_batch *batch, float normaliser)
{
    const lcf_llama_config *c = &t->config;
    lcf_tensor *table = lcf_tape_param(tape, &t->params, grads, t->embed), *x, *norm, *output;
    size_t layer, which;

    x = lcf_op_gather(tape, table, batch->ids, batch->rows);
    for (layer = 0; layer < c->layers_n; layer++) {
        lcf_tensor *w[LAYER_PARAMS_N];

        for (which = 0; which < LAYER_PARAMS_N; which++)
            w[which] =
                lcf_tape_param(tape, &t->params, grads, t->layer0 + layer * LAYER_PARAMS_N + which);
        x = attention_block(tape, c, x, w, batch);
        if (layer + 1 == c->layers_n) /* from here on rows are on their own: only these count */
            x = lcf_op_gather(tape, x, batch->target_rows, batch->targets_n);
        x = ffn_block(tape, c, x, w);
    }
    norm = lcf_tape_param(tape, &t->params, grads, t->final_norm);
    output = c->tied ? table : lcf_tape_param(tape, &t->params, grads, t->output);
    x = lcf_op_linear(tape, lcf_op_rmsnorm(tape, x, norm, c->norm_eps), output, NULL);
    return lcf_op_cross_entropy(tape, x, batch->targets, normaliser);
}

/* ---- micro-batches ---- */

static uint64_t targets_in(const lcf_train_seq *seq)
{
    uint64_t n = 0;
    size_t i;

    for (i = 0; i < seq->n; i++)
        n += seq->targets[i] >= 0;
    return n;
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

static void batch_append(micro_batch *b, const lcf_train_seq *seq)
{
    size_t i;

    name_segments(b->segments + b->rows, seq, (uint32_t)b->rows);
    for (i = 0; i < seq->n; i++) {
        if (seq->targets[i] >= 0) {
            b->target_rows[b->targets_n] = (uint32_t)(b->rows + i);
            b->targets[b->targets_n++] = seq->targets[i];
        }
        b->ids[b->rows + i] = seq->tokens[i];
        b->positions[b->rows + i] = seq->positions ? seq->positions[i] : (uint32_t)i;
    }
    b->rows += seq->n;
}

/* What a shard's task works on. */
typedef struct pass {
    lcf_llama_trainer *t;
    const lcf_train_seq *seqs;
    size_t seqs_n;
    bool train;
    float normaliser;
} pass;

/*
 * Fills a batch on the tape with the shard's sequences from *next on, as many as fit MICRO_ROWS (at
 * least one). Sequences without a target are left out: nothing depends on them.
 */
static lcf_status batch_fill(micro_batch *b, lcf_tape *tape, const pass *p, size_t shard,
                             size_t *next, lcf_err *err)
{
    size_t first = *next, end, rows = 0, i;

    for (end = first; end < p->seqs_n; end++) {
        if (p->t->shard_of[end] != shard)
            continue;
        if (rows > 0 && rows + p->seqs[end].n > MICRO_ROWS)
            break;
        rows += p->seqs[end].n;
    }
    *next = end;
    memset(b, 0, sizeof(*b));
    b->ids = lcf_tape_alloc(tape, rows, sizeof(*b->ids));
    b->positions = lcf_tape_alloc(tape, rows, sizeof(*b->positions));
    b->segments = lcf_tape_alloc(tape, rows, sizeof(*b->segments));
    b->target_rows = lcf_tape_alloc(tape, rows, sizeof(*b->target_rows));
    b->targets = lcf_tape_alloc(tape, rows, sizeof(*b->targets));
    if (lcf_tape_status(tape))
        return LCF_FAIL(err, LCF_ENOMEM, "a batch of %zu tokens", rows);
    for (i = first; i < end; i++)
        if (p->t->shard_of[i] == shard)
            batch_append(b, &p->seqs[i]);
    return LCF_OK;
}

static lcf_status shard_task(void *arg, size_t shard, size_t worker, lcf_err *err)
{
    const pass *p = arg;
    lcf_tape *tape = p->t->tapes[worker];
    lcf_grads *grads = p->train ? &p->t->grads[shard] : NULL;
    shard_result *result = &p->t->results[shard];
    size_t next = 0;

    memset(result, 0, sizeof(*result));
    if (grads)
        lcf_grads_zero(grads);
    while (next < p->seqs_n) {
        micro_batch batch;
        lcf_tensor *loss;
        lcf_status status;

        lcf_tape_reset(tape, p->train);
        status = batch_fill(&batch, tape, p, shard, &next, err);
        if (status)
            return status;
        if (batch.targets_n == 0)
            continue;
        loss = network(p->t, tape, grads, &batch, p->normaliser);
        if (p->train)
            lcf_tape_backward(tape, loss);
        if (lcf_tape_status(tape))
            return LCF_FAIL(err, LCF_ENOMEM, "a batch of %zu tokens (%zu bytes are in use)",
                            batch.rows, lcf_tape_bytes(tape));
        result->nll += (double)loss->data[0];
        result->targets_n += batch.targets_n;
    }
    return LCF_OK;
}

/* ---- passes over a set of sequences ---- */

static lcf_status check_seqs(uint64_t *targets_n, const lcf_llama_config *c,
                             const lcf_train_seq *seqs, size_t n, lcf_err *err)
{
    size_t s, i;

    *targets_n = 0;
    for (s = 0; s < n; s++) {
        for (i = 0; i < seqs[s].n; i++)
            if (seqs[s].tokens[i] >= c->vocab_n || seqs[s].targets[i] >= (int64_t)c->vocab_n)
                return LCF_FAIL(err, LCF_EINVAL,
                                "sequence %zu, token %zu: id %u or target %d beyond the vocabulary "
                                "of %zu",
                                s, i, seqs[s].tokens[i], seqs[s].targets[i], c->vocab_n);
        *targets_n += targets_in(&seqs[s]);
    }
    return LCF_OK;
}

/* Each sequence to the shard that has the fewest tokens so far; those without a target to none. */
static lcf_status assign_shards(lcf_llama_trainer *t, const lcf_train_seq *seqs, size_t n,
                                lcf_err *err)
{
    size_t shards = t->options.shards, s, best, i;

    if (lcf_grow((void **)&t->shard_of, &t->shard_of_capacity, n, sizeof(*t->shard_of)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu sequences", n);
    memset(t->results, 0, shards * sizeof(*t->results)); /* targets_n counts tokens here */
    for (i = 0; i < n; i++) {
        t->shard_of[i] = UINT32_MAX;
        if (targets_in(&seqs[i]) == 0)
            continue;
        for (best = 0, s = 1; s < shards; s++)
            if (t->results[s].targets_n < t->results[best].targets_n)
                best = s;
        t->shard_of[i] = (uint32_t)best;
        t->results[best].targets_n += seqs[i].n;
    }
    return LCF_OK;
}

static lcf_status provide_tapes(lcf_llama_trainer *t, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (lcf_grow((void **)&t->tapes, &t->tapes_capacity, n, sizeof(lcf_tape *)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu tapes", n);
    while (t->tapes_n < n && !status) {
        status = lcf_tape_create(&t->tapes[t->tapes_n], err);
        t->tapes_n += !status;
    }
    return status;
}

static lcf_status run_pass(lcf_llama_trainer *t, const lcf_train_seq *seqs, size_t n, bool train,
                           float normaliser, lcf_pool *pool, lcf_err *err)
{
    pass p = {t, seqs, n, train, normaliser};
    lcf_status status = assign_shards(t, seqs, n, err);

    if (!status)
        status = provide_tapes(t, lcf_pool_threads(pool), err);
    return status ? status : lcf_pool_run(pool, t->options.shards, shard_task, &p, err);
}

void lcf_llama_trainer_plan(lcf_llama_trainer *t, uint64_t total_steps)
{
    t->options.total_steps = total_steps ? total_steps : 1;
}

lcf_status lcf_llama_trainer_eval(double *nll, uint64_t *targets_n, lcf_llama_trainer *t,
                                  const lcf_train_seq *seqs, size_t n, lcf_pool *pool, lcf_err *err)
{
    lcf_status status = check_seqs(targets_n, &t->config, seqs, n, err);
    size_t s;

    *nll = 0;
    if (!status)
        status = run_pass(t, seqs, n, false, 1.0f, pool, err);
    for (s = 0; s < t->options.shards && !status; s++)
        *nll += t->results[s].nll;
    return status;
}

/* ---- the update ---- */

typedef struct update {
    lcf_llama_trainer *t;
    float learning_rate, grad_scale;
} update;

static size_t chunk_end(const lcf_llama_trainer *t, size_t chunk)
{
    size_t end = (chunk + 1) * CHUNK_N;

    return end < t->params.values_n ? end : t->params.values_n;
}

/* The shards' gradients of one chunk summed into shard 0's, and their sum of squares. */
static lcf_status reduce_task(void *arg, size_t chunk, size_t worker, lcf_err *err)
{
    const update *u = arg;
    lcf_llama_trainer *t = u->t;
    size_t first = chunk * CHUNK_N, n = chunk_end(t, chunk) - first, s;
    lcf_grads sum = {.values = t->grads[0].values + first, .values_n = n};
    double norm;

    (void)worker;
    (void)err;
    for (s = 1; s < t->options.shards; s++)
        lcf_grads_add(&sum, &(lcf_grads){.values = t->grads[s].values + first, .values_n = n});
    norm = lcf_grads_norm(&sum);
    t->chunk_norms[chunk] = norm * norm;
    return LCF_OK;
}

static lcf_status adam_task(void *arg, size_t chunk, size_t worker, lcf_err *err)
{
    const update *u = arg;

    (void)worker;
    (void)err;
    lcf_adam_step_range(&u->t->adam, &u->t->params, &u->t->grads[0], u->learning_rate,
                        u->grad_scale, chunk * CHUNK_N, chunk_end(u->t, chunk));
    return LCF_OK;
}

static lcf_status apply(lcf_llama_trainer *t, double loss, lcf_pool *pool, lcf_err *err)
{
    const lcf_llama_train_options *o = &t->options;
    update u = {t,
                lcf_lr_warmup_cosine(o->peak_lr, o->floor_lr, t->adam.step, o->warmup_steps,
                                     o->total_steps),
                1.0f};
    lcf_status status = lcf_pool_run(pool, t->chunks_n, reduce_task, &u, err);
    double norm = 0;
    size_t chunk;

    if (status)
        return status;
    for (chunk = 0; chunk < t->chunks_n; chunk++)
        norm += t->chunk_norms[chunk];
    norm = sqrt(norm);
    if (!isfinite(loss) || !isfinite(norm))
        return LCF_FAIL(err, LCF_EDIVERGED,
                        "step %llu: loss %g, gradient norm %g; lower the learning rate",
                        (unsigned long long)t->adam.step, loss, norm);
    if (o->clip_norm > 0 && norm > o->clip_norm)
        u.grad_scale = (float)(o->clip_norm / norm);
    status = lcf_pool_run(pool, t->chunks_n, adam_task, &u, err);
    if (!status)
        lcf_adam_advance(&t->adam);
    return status;
}

lcf_status lcf_llama_trainer_step(double *loss, lcf_llama_trainer *t, const lcf_train_seq *seqs,
                                  size_t n, lcf_pool *pool, lcf_err *err)
{
    uint64_t targets_n;
    lcf_status status = check_seqs(&targets_n, &t->config, seqs, n, err);
    size_t s;

    *loss = 0;
    if (!status && targets_n == 0)
        status = LCF_FAIL(err, LCF_EINVAL, "a step without a token to predict");
    if (!status)
        status = run_pass(t, seqs, n, true, (float)targets_n, pool, err);
    if (status)
        return status;
    for (s = 0; s < t->options.shards; s++)
        *loss += t->results[s].nll;
    return apply(t, *loss, pool, err);
}

/* ---- the weights as a model ---- */

static void bind_layer(lcf_llama_layer *l, const lcf_llama_trainer *t, size_t layer)
{
    const lcf_llama_config *c = &t->config;
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim, which;
    const float *w[LAYER_PARAMS_N];

    for (which = 0; which < LAYER_PARAMS_N; which++)
        w[which] = lcf_params_value(&t->params, t->layer0 + layer * LAYER_PARAMS_N + which);
    *l = (lcf_llama_layer){
        .attn_norm = w[ATTN_NORM],
        .ffn_norm = w[FFN_NORM],
        .wq = {w[WQ], LCF_GGUF_F32, q, c->dim},
        .wk = {w[WK], LCF_GGUF_F32, kv, c->dim},
        .wv = {w[WV], LCF_GGUF_F32, kv, c->dim},
        .wo = {w[WO], LCF_GGUF_F32, c->dim, q},
        .w_gate = {w[W_GATE], LCF_GGUF_F32, c->ffn_dim, c->dim},
        .w_up = {w[W_UP], LCF_GGUF_F32, c->ffn_dim, c->dim},
        .w_down = {w[W_DOWN], LCF_GGUF_F32, c->dim, c->ffn_dim},
    };
}

lcf_status lcf_llama_trainer_model(lcf_llama *out, lcf_llama_trainer *t, lcf_tokenizer *tokenizer,
                                   lcf_err *err)
{
    size_t layer;

    memset(out, 0, sizeof(*out));
    out->config = t->config;
    out->embed = (lcf_llama_matrix){lcf_params_value(&t->params, t->embed), LCF_GGUF_F32,
                                    t->config.vocab_n, t->config.dim};
    out->final_norm = lcf_params_value(&t->params, t->final_norm);
    out->output = out->embed;
    out->output.data = lcf_params_value(&t->params, t->output);
    out->tokenizer = tokenizer;
    out->layers = lcf_alloc(t->config.layers_n, sizeof(*out->layers));
    if (!out->layers)
        return LCF_FAIL(err, LCF_ENOMEM, "layer table");
    for (layer = 0; layer < t->config.layers_n; layer++)
        bind_layer(&out->layers[layer], t, layer);
    return LCF_OK;
}

void lcf_llama_trainer_model_dispose(lcf_llama *m)
{
    free(m->layers);
    m->layers = NULL;
}

/* ---- checkpoints ---- */

#define SHAPE_N 8

/* What the shapes of the parameters alone do not tell. */
static void shape_of(uint64_t out[SHAPE_N], const lcf_llama_config *c)
{
    const size_t shape[SHAPE_N] = {c->vocab_n,    c->dim,      c->layers_n, c->heads_n,
                                   c->kv_heads_n, c->head_dim, c->ffn_dim,  c->tied};
    size_t i;

    for (i = 0; i < SHAPE_N; i++)
        out[i] = shape[i];
}

lcf_status lcf_llama_trainer_save(const lcf_llama_trainer *t, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w;
    uint64_t shape[SHAPE_N];
    lcf_status status = lcf_bundle_create(&w, path, CHECKPOINT_KIND, CHECKPOINT_VERSION, err);

    if (status)
        return status;
    shape_of(shape, &t->config);
    status = lcf_bundle_add_1d(w, "shape", LCF_U64, SHAPE_N, shape, err);
    if (!status)
        status = lcf_checkpoint_add(w, &t->params, &t->adam, err);
    if (!status)
        return lcf_bundle_commit(w, err);
    lcf_bundle_abandon(w);
    return status;
}

lcf_status lcf_llama_trainer_load(lcf_llama_trainer *t, const char *path, lcf_err *err)
{
    uint64_t shape[SHAPE_N], n = SHAPE_N;
    const void *found;
    lcf_bundle *bundle;
    lcf_status status = lcf_bundle_open(&bundle, path, CHECKPOINT_KIND, CHECKPOINT_VERSION, err);

    if (status)
        return status;
    shape_of(shape, &t->config);
    status = lcf_bundle_get(&found, bundle, "shape", LCF_U64, &n, 1, err);
    if (!status && memcmp(found, shape, sizeof(shape)) != 0)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: a checkpoint of a model of other sizes", path);
    if (!status)
        status = lcf_checkpoint_get(&t->params, &t->adam, bundle, err);
    lcf_bundle_close(bundle);
    return status;
}
