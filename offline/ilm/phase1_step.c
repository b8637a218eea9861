/*
 * The step of phase 1: see phase1_step.h.
 *
 * Invariant: what a shard computes depends on its rows, the weights and the number of the step
 * alone; shard 0's gradients receive the others' in order.
 */
#include "offline/ilm/phase1_step.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 8
#define UPDATE_PARTS 8
/* Streams of one seed; the weights use the streams of their indices. */
#define STREAM_DROPOUT 0x71666f726d000000u
#define STREAM_NEGATIVES 0x6e65676174000000u

const char *const PHASE1_LOSS_NAMES[PHASE1_LOSSES_N] = {"itc", "itm", "itg", "iic", "uic"};

/* A batch is done job by job. */
typedef enum job_kind { JOB_TEXT, JOB_ITEM_PAIRS, JOB_USER_PAIRS, JOBS_N } job_kind;

typedef struct shard {
    lcf_tape *tape;
    lcf_grads grads;
    lcf_rng rng;
    lcf_qformer_pass pass;
    size_t begin, n;          /* its rows of the job at hand */
    lcf_tensor *left, *right; /* its features: of the rows' queries, and of texts or partners */
    lcf_tensor *written;      /* [tokens, hidden] of the texts that are written, or NULL */
    const int32_t *next;      /* their targets */
    double losses[PHASE1_LOSSES_N]; /* its shares */
} shard;

struct phase1_step {
    phase1_step_options options;
    lcf_qformer *m;
    const phase1_data *data;
    lcf_pool *pool;
    lcf_adam adam;
    shard shards[SHARDS];
    lcf_tape *tape;                /* of the contrast */
    float *left, *right;           /* [batch_max * queries, feature_dim] features of the batch */
    float *left_grad, *right_grad; /* what the contrast says of them */
    uint8_t *skip;                 /* [batch_max, batch_max] */
    float *weights;                /* [batch_max] of a draw */
    uint32_t *negative_item, *negative_text; /* [batch_max] rows */
    /* The job at hand. */
    job_kind job;
    unsigned losses;
    const uint32_t *items;
    const phase1_pair *pairs;
    size_t rows_n, tokens_n; /* tokens to be written in the batch */
    bool training;
    uint64_t draw;
    double contrast_loss;
    float learning_rate, grad_scale;
};

/* ---- life cycle ---- */

void phase1_step_free(phase1_step *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        lcf_tape_free(s->shards[i].tape);
        lcf_grads_dispose(&s->shards[i].grads);
    }
    lcf_tape_free(s->tape);
    lcf_adam_dispose(&s->adam);
    lcf_pool_free(s->pool);
    free(s->left);
    free(s->right);
    free(s->left_grad);
    free(s->right_grad);
    free(s->skip);
    free(s->weights);
    free(s->negative_item);
    free(s->negative_text);
    free(s);
}

static lcf_status take_memory(phase1_step *s, lcf_err *err)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(s->m);
    const size_t n = s->options.batch_max, features = (size_t)c->queries * c->feature_dim;
    size_t floats, bytes;

    if (!lcf_mul_size(&floats, n, features) || !lcf_mul_size(&bytes, n, n))
        return LCF_FAIL(err, LCF_ELIMIT, "batches of %zu rows", n);
    s->left = lcf_alloc(floats, sizeof(float));
    s->right = lcf_alloc(floats, sizeof(float));
    s->left_grad = lcf_alloc(floats, sizeof(float));
    s->right_grad = lcf_alloc(floats, sizeof(float));
    s->skip = lcf_alloc(bytes, 1);
    s->weights = lcf_alloc(n, sizeof(float));
    s->negative_item = lcf_alloc(n, sizeof(uint32_t));
    s->negative_text = lcf_alloc(n, sizeof(uint32_t));
    if (!s->left || !s->right || !s->left_grad || !s->right_grad || !s->skip || !s->weights ||
        !s->negative_item || !s->negative_text)
        return LCF_FAIL(err, LCF_ENOMEM, "features of batches of %zu rows", n);
    return LCF_OK;
}

lcf_status phase1_step_create(phase1_step **out, lcf_qformer *m, const phase1_data *data,
                              const phase1_step_options *options, lcf_err *err)
{
    phase1_step *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "step of training");
    s->options = *options;
    s->m = m;
    s->data = data;
    status = lcf_pool_create(&s->pool, options->threads, err);
    if (!status)
        status = lcf_adam_init(&s->adam, lcf_qformer_params(m), &options->adam, err);
    if (!status)
        status = lcf_tape_create(&s->tape, err);
    for (size_t i = 0; i < SHARDS && !status; i++) {
        status = lcf_tape_create(&s->shards[i].tape, err);
        if (!status)
            status = lcf_grads_init(&s->shards[i].grads, lcf_qformer_params(m), err);
    }
    if (!status)
        status = take_memory(s, err);
    if (status) {
        phase1_step_free(s);
        return status;
    }
    *out = s;
    return LCF_OK;
}

lcf_adam *phase1_step_adam(phase1_step *s)
{
    return &s->adam;
}

lcf_pool *phase1_step_pool(phase1_step *s)
{
    return s->pool;
}

const lcf_grads *phase1_step_grads(const phase1_step *s)
{
    return &s->shards[0].grads;
}

static bool wants(const phase1_step *s, phase1_loss loss)
{
    return s->losses & PHASE1_BIT(loss);
}

/* ---- features: the first half of a job, by shard ---- */

static uint32_t vocab_of(const phase1_step *s)
{
    return lcf_qformer_config_of(s->m)->vocab;
}

/* What comes after every token of texts that were not ended. */
static int32_t *next_tokens(lcf_tape *t, const lcf_qformer_texts *texts, uint32_t vocab)
{
    const size_t n = texts->offsets[texts->n];
    int32_t *next = lcf_tape_alloc(t, n, sizeof(*next));

    for (size_t i = 0; next && i < texts->n; i++) {
        const uint32_t last = texts->offsets[i + 1] - 1;

        for (uint32_t at = texts->offsets[i]; at < last; at++)
            next[at] = (int32_t)texts->ids[at + 1];
        next[last] = (int32_t)(vocab + LCF_QFORMER_END);
    }
    return next;
}

static void text_features(phase1_step *s, shard *d)
{
    const lcf_qformer_pass *p = &d->pass;
    const uint32_t *items = s->items + d->begin;
    const float *vectors = phase1_vectors_of(d->tape, s->data, items, d->n);
    const lcf_qformer_texts *dec = NULL, *cls = NULL;
    lcf_qformer_out out;

    if (wants(s, PHASE1_ITG))
        dec = phase1_texts_of(d->tape, s->data, vocab_of(s), items, d->n, LCF_QFORMER_DEC, false);
    if (s->losses & ~PHASE1_BIT(PHASE1_ITG))
        cls = phase1_texts_of(d->tape, s->data, vocab_of(s), items, d->n, LCF_QFORMER_CLS, true);
    if (lcf_tape_status(d->tape))
        return;
    out =
        lcf_qformer_forward(p, vectors, d->n, dec, dec ? LCF_QFORMER_UNILM : LCF_QFORMER_SEPARATE);
    d->written = out.text;
    d->next = dec ? next_tokens(d->tape, dec, vocab_of(s)) : NULL;
    if (!cls)
        return;
    d->left = lcf_qformer_query_features(p, out.queries);
    out = lcf_qformer_forward(p, NULL, d->n, cls, LCF_QFORMER_SEPARATE);
    d->right = lcf_qformer_text_features(p, out.text, cls);
}

/* Both sides of the pairs in one pass. */
static void pair_features(phase1_step *s, shard *d)
{
    const size_t k = lcf_qformer_config_of(s->m)->queries;
    uint32_t *entities = lcf_tape_alloc(d->tape, 2 * d->n, sizeof(*entities));
    lcf_tensor *features;

    for (size_t i = 0; entities && i < d->n; i++) {
        entities[i] = s->pairs[d->begin + i].a;
        entities[d->n + i] = s->pairs[d->begin + i].b;
    }
    if (!entities)
        return;
    features = lcf_qformer_query_features(
        &d->pass, lcf_qformer_queries(
                      &d->pass, phase1_vectors_of(d->tape, s->data, entities, 2 * d->n), 2 * d->n));
    d->left = lcf_op_slice(d->tape, features, 0, d->n * k);
    d->right = lcf_op_slice(d->tape, features, d->n * k, d->n * k);
}

/* Copies a shard's features to their place in the batch's; each: elements of a row of the job. */
static void keep_features(float *out, const shard *d, const lcf_tensor *features)
{
    if (features)
        memcpy(out + d->begin * (features->n / d->n), features->data, features->n * sizeof(*out));
}

static lcf_status run_features(void *arg, size_t task, size_t worker, lcf_err *err)
{
    phase1_step *s = arg;
    shard *d = &s->shards[task];

    (void)worker;
    (void)err;
    d->begin = s->rows_n * task / SHARDS;
    d->n = s->rows_n * (task + 1) / SHARDS - d->begin;
    d->left = d->right = d->written = NULL;
    if (!d->n)
        return LCF_OK;
    lcf_rng_seed(&d->rng, s->options.seed,
                 STREAM_DROPOUT + (s->adam.step * JOBS_N + s->job) * SHARDS + task);
    lcf_tape_reset(d->tape, s->training);
    d->pass = (lcf_qformer_pass){d->tape, s->m, &d->grads, &d->rng};
    if (s->job == JOB_TEXT)
        text_features(s, d);
    else
        pair_features(s, d);
    if (lcf_tape_status(d->tape))
        return lcf_tape_status(d->tape);
    keep_features(s->left, d, d->left);
    keep_features(s->right, d, d->right);
    return LCF_OK;
}

/* ---- the contrast: over the whole batch, on a tape of its own ---- */

/* Rows whose partner is no negative of row i, because it would be right, too. */
static bool is_negative(const phase1_step *s, size_t i, size_t j)
{
    const phase1_pair *p = s->pairs;

    if (s->job == JOB_TEXT)
        return s->data->texts.hashes[s->items[i]] != s->data->texts.hashes[s->items[j]];
    return p[i].a != p[j].a && p[i].b != p[j].b && p[i].a != p[j].b;
}

static void mark_skipped(phase1_step *s)
{
    for (size_t i = 0; i < s->rows_n; i++)
        for (size_t j = 0; j < s->rows_n; j++)
            s->skip[i * s->rows_n + j] = i != j && !is_negative(s, i, j);
}

/* Similarities [rows, rows] over the temperature. */
static lcf_tensor *score_all(const phase1_step *s, const lcf_qformer_pass *p)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(s->m);
    const bool text = s->job == JOB_TEXT;
    const size_t left[2] = {s->rows_n * c->queries, c->feature_dim};
    const size_t right[2] = {text ? s->rows_n : left[0], c->feature_dim};
    lcf_tape *t = s->tape;
    lcf_tensor *a = lcf_tape_variable(t, s->left, s->left_grad, left, 2);
    lcf_tensor *b = lcf_tape_variable(t, s->right, s->right_grad, right, 2);
    lcf_tensor *pairs = lcf_op_linear(t, a, b, NULL);
    lcf_tensor *temperature =
        lcf_qformer_temperature(p, text ? LCF_QFORMER_TEXTS : LCF_QFORMER_VECTORS);

    return lcf_op_scale_rows(t, lcf_op_block_max(t, pairs, c->queries, text ? 1 : c->queries),
                             lcf_op_reciprocal(t, temperature));
}

/* A row other than `row` by the weights exp(score), those skipped never; the next one where all
 * are.
 */
static uint32_t draw_negative(phase1_step *s, const float *scores, size_t row, bool of_text,
                              lcf_rng *rng)
{
    const size_t n = s->rows_n, first = of_text ? row * n : row, step = of_text ? 1 : n;
    float top = -INFINITY;
    double sum = 0, at;

    for (size_t j = 0; j < n; j++)
        if (j != row && !s->skip[first + j * step])
            top = fmaxf(top, scores[first + j * step]);
    for (size_t j = 0; j < n; j++) {
        const bool out = j == row || s->skip[first + j * step];

        s->weights[j] = out ? 0.0f : expf(scores[first + j * step] - top);
        sum += s->weights[j];
    }
    at = lcf_rng_f64(rng) * sum;
    for (size_t j = 0; j < n; j++) {
        at -= s->weights[j];
        if (at < 0)
            return (uint32_t)j;
    }
    return (uint32_t)((row + 1) % n);
}

/* source: BLIP-2, hard negatives of the matching loss */
static void draw_negatives(phase1_step *s, const float *scores)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, s->options.seed, STREAM_NEGATIVES + s->draw);
    for (size_t i = 0; i < s->rows_n; i++) {
        s->negative_item[i] = draw_negative(s, scores, i, false, &rng);
        s->negative_text[i] = draw_negative(s, scores, i, true, &rng);
    }
}

/* A contrast is computed for the hard negatives, too. */
static bool trains_contrast(const phase1_step *s)
{
    return s->training && (s->job != JOB_TEXT || wants(s, PHASE1_ITC));
}

static lcf_status run_contrast(phase1_step *s)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(s->m);
    const size_t bytes = s->rows_n * c->queries * c->feature_dim * sizeof(float);
    const lcf_qformer_pass p = {s->tape, s->m, &s->shards[0].grads, NULL};
    const bool text = s->job == JOB_TEXT;
    lcf_tensor *scores, *loss;

    memset(s->left_grad, 0, bytes);
    memset(s->right_grad, 0, bytes);
    lcf_tape_reset(s->tape, s->training);
    mark_skipped(s);
    scores = score_all(s, &p);
    loss = lcf_op_contrast(s->tape, scores, s->skip,
                           text && s->training ? s->options.smoothing : 0.0f);
    if (lcf_tape_status(s->tape))
        return lcf_tape_status(s->tape);
    s->contrast_loss = loss->data[0];
    if (text && wants(s, PHASE1_ITM))
        draw_negatives(s, scores->data);
    if (trains_contrast(s))
        lcf_tape_backward(s->tape, loss);
    return lcf_tape_status(s->tape);
}

/* ---- losses and gradients: the second half of a job, by shard ---- */

static void add_loss(lcf_tensor **total, lcf_tape *t, lcf_tensor *loss)
{
    *total = *total ? lcf_op_add(t, *total, loss) : loss;
}

/* <features, what the contrast says of them>: a scalar whose gradient is the contrast's. */
static lcf_tensor *handed_back(const shard *d, lcf_tensor *features, const float *grad)
{
    const size_t row[2] = {1, features->n}, one[1] = {1};
    lcf_tape *t = d->tape;
    lcf_tensor *g = lcf_tape_input(t, grad + d->begin * (features->n / d->n), row, 2);

    return lcf_op_reshape(t, lcf_op_linear(t, lcf_op_reshape(t, features, row, 2), g, NULL), one,
                          1);
}

static lcf_tensor *generation(const phase1_step *s, const shard *d)
{
    return lcf_op_smooth_cross_entropy(d->tape, lcf_qformer_next_token(&d->pass, d->written),
                                       d->next, s->training ? s->options.smoothing : 0.0f,
                                       (float)s->tokens_n);
}

/* Of each row: the pair, its text with another item, its item with another text. */
static lcf_tensor *matching(const phase1_step *s, const shard *d)
{
    lcf_tape *t = d->tape;
    uint32_t *items = lcf_tape_alloc(t, 3 * d->n, sizeof(*items));
    uint32_t *texts = lcf_tape_alloc(t, 3 * d->n, sizeof(*texts));
    int32_t *labels = lcf_tape_alloc(t, 3 * d->n, sizeof(*labels));
    const lcf_qformer_texts *both;
    lcf_qformer_out out;

    for (size_t i = 0; items && texts && labels && i < 3 * d->n; i++) {
        const size_t row = d->begin + i % d->n;

        items[i] = s->items[i / d->n == 1 ? s->negative_item[row] : row];
        texts[i] = s->items[i / d->n == 2 ? s->negative_text[row] : row];
        labels[i] = i < d->n;
    }
    both = lcf_tape_status(t)
               ? NULL
               : phase1_texts_of(t, s->data, vocab_of(s), texts, 3 * d->n, LCF_QFORMER_CLS, true);
    if (!both)
        return NULL;
    out = lcf_qformer_forward(&d->pass, phase1_vectors_of(t, s->data, items, 3 * d->n), 3 * d->n,
                              both, LCF_QFORMER_BIDIRECTIONAL);
    return lcf_op_cross_entropy(t, lcf_qformer_match(&d->pass, out.queries), labels,
                                3.0f * (float)s->rows_n);
}

static lcf_status run_losses(void *arg, size_t task, size_t worker, lcf_err *err)
{
    phase1_step *s = arg;
    shard *d = &s->shards[task];
    lcf_tensor *total = NULL, *loss;

    (void)worker;
    (void)err;
    if (!d->n)
        return LCF_OK;
    if (d->left && trains_contrast(s)) {
        add_loss(&total, d->tape, handed_back(d, d->left, s->left_grad));
        add_loss(&total, d->tape, handed_back(d, d->right, s->right_grad));
    }
    if (d->written) {
        add_loss(&total, d->tape, loss = generation(s, d));
        d->losses[PHASE1_ITG] += lcf_tape_status(d->tape) ? 0.0 : (double)loss->data[0];
    }
    if (s->job == JOB_TEXT && wants(s, PHASE1_ITM) && (loss = matching(s, d))) {
        add_loss(&total, d->tape, loss);
        d->losses[PHASE1_ITM] += lcf_tape_status(d->tape) ? 0.0 : (double)loss->data[0];
    }
    if (total && s->training && !lcf_tape_status(d->tape))
        lcf_tape_backward(d->tape, total);
    return lcf_tape_status(d->tape);
}

/* ---- jobs ---- */

static size_t count_tokens(const phase1_step *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->rows_n; i++)
        n += lcf_item_text_n(&s->data->texts, s->items[i]) + 1;
    return n;
}

/* A job's losses, and in training its gradients into those of the shards. */
static lcf_status run_job(double *losses, phase1_step *s)
{
    lcf_status status = lcf_pool_run(s->pool, SHARDS, run_features, s, NULL);

    if (!status && (s->job != JOB_TEXT || s->losses & ~PHASE1_BIT(PHASE1_ITG)))
        status = run_contrast(s);
    if (!status)
        status = lcf_pool_run(s->pool, SHARDS, run_losses, s, NULL);
    if (status)
        return status;
    if (s->job == JOB_TEXT && wants(s, PHASE1_ITC))
        losses[PHASE1_ITC] = s->contrast_loss;
    if (s->job != JOB_TEXT)
        losses[s->job == JOB_ITEM_PAIRS ? PHASE1_IIC : PHASE1_UIC] = s->contrast_loss;
    for (size_t i = 0; i < SHARDS; i++)
        for (int loss = 0; loss < PHASE1_LOSSES_N; loss++)
            losses[loss] += s->shards[i].losses[loss];
    return LCF_OK;
}

static lcf_status run_text(double *losses, phase1_step *s, const phase1_batch *batch)
{
    s->job = JOB_TEXT;
    s->losses = batch->losses & PHASE1_TEXT;
    s->items = batch->items;
    s->rows_n = batch->items_n;
    s->tokens_n = count_tokens(s);
    return run_job(losses, s);
}

static lcf_status run_pairs(double *losses, phase1_step *s, job_kind job, const phase1_pair *pairs,
                            size_t n)
{
    s->job = job;
    s->losses = PHASE1_BIT(job == JOB_ITEM_PAIRS ? PHASE1_IIC : PHASE1_UIC);
    s->pairs = pairs;
    s->rows_n = n;
    return run_job(losses, s);
}

static void clear_losses(phase1_step *s)
{
    for (size_t i = 0; i < SHARDS; i++)
        memset(s->shards[i].losses, 0, sizeof(s->shards[i].losses));
}

/* All jobs of a batch; gradients of all shards are left to be summed. */
static lcf_status run_batch(double *losses, phase1_step *s, const phase1_batch *b)
{
    const size_t max = s->options.batch_max;
    lcf_status status = LCF_OK;

    memset(losses, 0, PHASE1_LOSSES_N * sizeof(*losses));
    clear_losses(s);
    if (b->losses & PHASE1_TEXT) {
        LCF_ASSERT(b->items_n >= 2 && b->items_n <= max);
        status = run_text(losses, s, b);
        clear_losses(s);
    }
    if (!status && b->losses & PHASE1_BIT(PHASE1_IIC)) {
        LCF_ASSERT(b->item_pairs_n >= 2 && b->item_pairs_n <= max);
        status = run_pairs(losses, s, JOB_ITEM_PAIRS, b->item_pairs, b->item_pairs_n);
    }
    if (!status && b->losses & PHASE1_BIT(PHASE1_UIC)) {
        LCF_ASSERT(b->user_pairs_n >= 2 && b->user_pairs_n <= max);
        status = run_pairs(losses, s, JOB_USER_PAIRS, b->user_pairs, b->user_pairs_n);
    }
    return status;
}

lcf_status phase1_step_measure(double *losses, phase1_step *s, const phase1_batch *batch,
                               uint64_t draw)
{
    s->training = false;
    s->draw = draw;
    return run_batch(losses, s, batch);
}

/* ---- the update ---- */

static lcf_status update_part(void *arg, size_t task, size_t worker, lcf_err *err)
{
    phase1_step *s = arg;
    lcf_params *p = lcf_qformer_params(s->m);

    (void)worker;
    (void)err;
    lcf_adam_step_range(&s->adam, p, &s->shards[0].grads, s->learning_rate, s->grad_scale,
                        p->values_n * task / UPDATE_PARTS, p->values_n * (task + 1) / UPDATE_PARTS);
    return LCF_OK;
}

/* source: Pascanu et al. 2013, as torch.nn.utils.clip_grad_norm_ */
static float clip_factor(const phase1_step *s)
{
    double factor;

    if (s->options.clip <= 0.0f)
        return 1.0f;
    factor = (double)s->options.clip / (lcf_grads_norm(&s->shards[0].grads) + 1e-6);
    return factor < 1.0 ? (float)factor : 1.0f;
}

static lcf_status sum_gradients(phase1_step *s)
{
    lcf_status status = LCF_OK;

    for (size_t i = 1; i < SHARDS && !status; i++)
        status = lcf_grads_add(&s->shards[0].grads, &s->shards[i].grads);
    return status;
}

lcf_status phase1_step_train(double *losses, phase1_step *s, const phase1_batch *batch,
                             float learning_rate)
{
    lcf_status status;

    s->training = true;
    s->draw = s->adam.step;
    s->learning_rate = learning_rate;
    for (size_t i = 0; i < SHARDS; i++)
        lcf_grads_zero(&s->shards[i].grads);
    status = run_batch(losses, s, batch);
    if (!status)
        status = sum_gradients(s);
    if (status)
        return status;
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (!isfinite(losses[i]))
            return LCF_EDIVERGED;
    s->grad_scale = clip_factor(s);
    status = lcf_pool_run(s->pool, UPDATE_PARTS, update_part, s, NULL);
    lcf_adam_advance(&s->adam);
    lcf_qformer_clamp_temperatures(s->m);
    return status;
}
