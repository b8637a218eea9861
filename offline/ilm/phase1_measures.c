/* Measures of phase 1: see phase1_measures.h. */
#include "offline/ilm/phase1_measures.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32 /* items per pass */
#define PAIR_BATCHES_MAX 8

/* ---- losses ---- */

/* Adds `batch`'s losses times its rows. */
static lcf_status add_batch(double *sums, double *rows, phase1_step *step,
                            const phase1_batch *batch, size_t n, uint64_t draw, lcf_err *err)
{
    double losses[PHASE1_LOSSES_N];
    lcf_status status = phase1_step_measure(losses, step, batch, draw);

    if (status)
        return LCF_FAIL(err, status, "measuring a batch of %zu", n);
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (batch->losses & PHASE1_BIT(i)) {
            sums[i] += losses[i] * (double)n;
            rows[i] += (double)n;
        }
    return LCF_OK;
}

/* Batches of equal size, up to one row, none beyond the maximum: a contrast depends on its size. */
static lcf_status measure_texts(double *sums, double *rows, phase1_step *step,
                                const phase1_items *items, unsigned losses, size_t batch_max,
                                lcf_err *err)
{
    const size_t batches_n = (items->n + batch_max - 1) / batch_max;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < batches_n && !status; i++) {
        const size_t at = items->n * i / batches_n, n = items->n * (i + 1) / batches_n - at;
        const phase1_batch b = {.losses = losses, .items = items->list + at, .items_n = n};

        if (n >= 2)
            status = add_batch(sums, rows, step, &b, n, i, err);
    }
    return status;
}

/* Pairs of a batch lie far from each other in the list, or they would be one user's. */
static lcf_status measure_pairs(double *sums, double *rows, phase1_step *step,
                                const phase1_pairs *pairs, phase1_loss loss, size_t batch_max,
                                lcf_err *err)
{
    const size_t n = pairs->n < batch_max ? pairs->n : batch_max, all = n ? pairs->n / n : 0;
    const size_t batches_n = all < PAIR_BATCHES_MAX ? all : PAIR_BATCHES_MAX;
    phase1_pair *list = lcf_alloc(n + 1, sizeof(*list));
    lcf_status status = list ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu pairs", n);

    for (size_t i = 0; i < batches_n && n >= 2 && !status; i++) {
        const phase1_batch b = {.losses = PHASE1_BIT(loss),
                                .item_pairs = list,
                                .item_pairs_n = n,
                                .user_pairs = list,
                                .user_pairs_n = n};

        for (size_t j = 0; j < n; j++)
            list[j] = pairs->list[(j * batches_n + i) * pairs->n / (batches_n * n)];
        status = add_batch(sums, rows, step, &b, n, i, err);
    }
    free(list);
    return status;
}

static lcf_status measure_losses(double *out, phase1_step *step, const phase1_data *data,
                                 lcf_split part, bool matching, size_t batch_max, lcf_err *err)
{
    const unsigned text = matching ? PHASE1_TEXT : PHASE1_TEXT & ~PHASE1_BIT(PHASE1_ITM);
    double sums[PHASE1_LOSSES_N] = {0}, rows[PHASE1_LOSSES_N] = {0};
    lcf_status status = measure_texts(sums, rows, step, &data->items[part], text, batch_max, err);

    if (!status)
        status =
            measure_pairs(sums, rows, step, &data->item_pairs[part], PHASE1_IIC, batch_max, err);
    if (!status)
        status =
            measure_pairs(sums, rows, step, &data->user_pairs[part], PHASE1_UIC, batch_max, err);
    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        out[i] = rows[i] > 0 ? sums[i] / rows[i] : NAN;
    return status;
}

/* ---- recall ---- */

typedef struct features_work {
    const lcf_qformer *m;
    const phase1_data *data;
    const uint32_t *items;
    size_t n;
    float *queries; /* [n * queries, feature_dim] */
    float *texts;   /* [n, feature_dim] */
} features_work;

static void block_features(lcf_tape *t, const features_work *w, size_t at, size_t n)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(w->m);
    const lcf_qformer_pass p = {t, w->m, NULL, NULL};
    const float *vectors = phase1_vectors_of(t, w->data, w->items + at, n);
    const lcf_qformer_texts *texts =
        phase1_texts_of(t, w->data, c->vocab, w->items + at, n, LCF_QFORMER_CLS, true);
    lcf_tensor *q, *x;

    if (lcf_tape_status(t))
        return;
    q = lcf_qformer_query_features(&p, lcf_qformer_queries(&p, vectors, n));
    x = lcf_qformer_forward(&p, NULL, n, texts, LCF_QFORMER_SEPARATE).text;
    x = lcf_qformer_text_features(&p, x, texts);
    if (lcf_tape_status(t))
        return;
    memcpy(w->queries + at * c->queries * c->feature_dim, q->data, q->n * sizeof(float));
    memcpy(w->texts + at * c->feature_dim, x->data, x->n * sizeof(float));
}

static lcf_status features_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const features_work *w = arg;
    const size_t at = task * BLOCK, n = w->n - at < BLOCK ? w->n - at : BLOCK;
    lcf_tape *t = NULL;
    lcf_status status = lcf_tape_create(&t, err);

    (void)worker;
    if (status)
        return status;
    lcf_tape_reset(t, false);
    block_features(t, w, at, n);
    status = lcf_tape_status(t);
    lcf_tape_free(t);
    return status ? LCF_FAIL(err, status, "features of %zu items", n) : LCF_OK;
}

/* Of scores [n, n] by row, or by column: how many others are at least as good as the diagonal. A
 * text that is the same is no other. */
static size_t rank_of(const float *scores, const features_work *w, size_t i, bool column)
{
    const uint64_t *hash = w->data->texts.hashes;
    const float right = scores[i * w->n + i];
    size_t rank = 0;

    for (size_t j = 0; j < w->n; j++) {
        const float score = scores[column ? j * w->n + i : i * w->n + j];

        rank += j != i && !(score < right) && hash[w->items[i]] != hash[w->items[j]];
    }
    return rank;
}

static void count_ranks(phase1_measures *out, const float *scores, const features_work *w)
{
    size_t hits[4] = {0};

    for (size_t i = 0; i < w->n; i++) {
        const size_t text = rank_of(scores, w, i, false), item = rank_of(scores, w, i, true);

        hits[0] += text < 1;
        hits[1] += text < 10;
        hits[2] += item < 1;
        hits[3] += item < 10;
    }
    out->item_to_text_1 = (double)hits[0] / (double)w->n;
    out->item_to_text_10 = (double)hits[1] / (double)w->n;
    out->text_to_item_1 = (double)hits[2] / (double)w->n;
    out->text_to_item_10 = (double)hits[3] / (double)w->n;
}

/* scores [n, n] of items and texts: the largest of the queries'. room [queries, n] */
static void score_all(float *scores, float *room, const features_work *w)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(w->m);
    const size_t each = (size_t)c->queries * c->feature_dim;

    for (size_t i = 0; i < w->n; i++) {
        lcf_linear(room, w->queries + i * each, w->texts, NULL, c->queries, c->feature_dim, w->n);
        for (size_t j = 0; j < w->n; j++) {
            float best = room[j];

            for (size_t k = 1; k < c->queries; k++)
                best = fmaxf(best, room[k * w->n + j]);
            scores[i * w->n + j] = best;
        }
    }
}

/* Of how many items of a part each is to be found among: more would be a table of gigabytes, and
 * of those trained on as many as of the test part, for a recall depends on it. */
static size_t candidates_n(const phase1_data *data, lcf_split part)
{
    const size_t n =
        data->items[part].n < PHASE1_AMONG_MAX ? data->items[part].n : PHASE1_AMONG_MAX;
    const size_t test = data->items[LCF_TEST].n;

    return part == LCF_TRAIN && test < n ? test : n;
}

static lcf_status measure_recall(phase1_measures *out, phase1_step *step, const lcf_qformer *m,
                                 const phase1_data *data, lcf_split part, lcf_err *err)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(m);
    const phase1_items *items = &data->items[part];
    const size_t n = candidates_n(data, part);
    features_work w = {.m = m, .data = data, .n = n};
    float *scores = lcf_alloc(n * n, sizeof(*scores)), *room;
    uint32_t *chosen = lcf_alloc(n, sizeof(*chosen));
    lcf_status status = LCF_OK;

    w.queries = lcf_alloc(n * c->queries, c->feature_dim * sizeof(float));
    w.texts = lcf_alloc(n, c->feature_dim * sizeof(float));
    room = lcf_alloc(c->queries, n * sizeof(*room));
    if (!scores || !chosen || !w.queries || !w.texts || !room)
        status = LCF_FAIL(err, LCF_ENOMEM, "features of %zu items", n);
    for (size_t i = 0; i < n && !status; i++)
        chosen[i] = items->list[i * items->n / n];
    w.items = chosen;
    if (!status)
        status =
            lcf_pool_run(phase1_step_pool(step), (n + BLOCK - 1) / BLOCK, features_task, &w, err);
    if (!status) {
        score_all(scores, room, &w);
        count_ranks(out, scores, &w);
    }
    free(scores);
    free(chosen);
    free(room);
    free(w.queries);
    free(w.texts);
    return status;
}

/* ---- neighbours ---- */

typedef struct neighbours_work {
    const lcf_qformer *m;
    const phase1_data *data;
    size_t n, anchors_n, query_dim;
    float *vectors;  /* [n, dim] */
    float *queries;  /* [n, query_dim] */
    uint8_t *shared; /* [anchors_n] of the nearest in both spaces */
} neighbours_work;

static lcf_status encode_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    neighbours_work *w = arg;
    const size_t at = task * BLOCK, n = w->n - at < BLOCK ? w->n - at : BLOCK;

    (void)worker;
    return lcf_qformer_encode(w->queries + at * w->query_dim, w->m,
                              w->vectors + at * w->data->vectors->dim, n, err);
}

/* Every item gets the same from the queries' own start: what is left without the mean tells items
 * apart. */
static void centre_and_normalize(float *x, size_t n, size_t dim, bool centre)
{
    for (size_t j = 0; j < dim && centre; j++) {
        double sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += x[i * dim + j];
        for (size_t i = 0; i < n; i++)
            x[i * dim + j] -= (float)(sum / (double)n);
    }
    for (size_t i = 0; i < n; i++)
        lcf_normalize(x + i * dim, dim);
}

/* The k best of scores [n] but `self`, best first; ties to the first. */
static void nearest(uint32_t *out, size_t k, const float *scores, size_t n, size_t self)
{
    size_t kept = 0;

    for (size_t j = 0; j < n; j++) {
        size_t at = kept;

        if (j == self || (kept == k && !(scores[j] > scores[out[k - 1]])))
            continue;
        if (kept < k)
            kept++;
        else
            at = k - 1;
        for (; at > 0 && scores[j] > scores[out[at - 1]]; at--)
            out[at] = out[at - 1];
        out[at] = (uint32_t)j;
    }
}

static size_t anchor_of(const neighbours_work *w, size_t i)
{
    return i * w->n / w->anchors_n;
}

static lcf_status anchor_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    neighbours_work *w = arg;
    const size_t self = anchor_of(w, task), dim = w->data->vectors->dim;
    const size_t k = w->n - 1 < PHASE1_NEIGHBOURS ? w->n - 1 : PHASE1_NEIGHBOURS;
    uint32_t by_vector[PHASE1_NEIGHBOURS], by_queries[PHASE1_NEIGHBOURS];
    float *scores = lcf_alloc(w->n, sizeof(*scores));

    (void)worker;
    if (!scores)
        return LCF_FAIL(err, LCF_ENOMEM, "similarities of %zu items", w->n);
    lcf_linear(scores, w->vectors + self * dim, w->vectors, NULL, 1, dim, w->n);
    nearest(by_vector, k, scores, w->n, self);
    lcf_linear(scores, w->queries + self * w->query_dim, w->queries, NULL, 1, w->query_dim, w->n);
    nearest(by_queries, k, scores, w->n, self);
    free(scores);
    w->shared[task] = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            w->shared[task] += by_vector[i] == by_queries[j];
    return LCF_OK;
}

static lcf_status compare_spaces(double *out, neighbours_work *w, lcf_pool *pool, lcf_err *err)
{
    const size_t k = w->n - 1 < PHASE1_NEIGHBOURS ? w->n - 1 : PHASE1_NEIGHBOURS;
    const lcf_cf_vectors *v = w->data->vectors;
    size_t shared = 0;
    lcf_status status;

    for (size_t i = 0; i < w->n; i++)
        memcpy(w->vectors + i * v->dim,
               v->values + w->data->known.list[i * w->data->known.n / w->n] * v->dim,
               v->dim * sizeof(float));
    status = lcf_pool_run(pool, (w->n + BLOCK - 1) / BLOCK, encode_task, w, err);
    if (status)
        return status;
    centre_and_normalize(w->vectors, w->n, v->dim, false);
    centre_and_normalize(w->queries, w->n, w->query_dim, true);
    status = lcf_pool_run(pool, w->anchors_n, anchor_task, w, err);
    for (size_t i = 0; i < w->anchors_n && !status; i++)
        shared += w->shared[i];
    *out = (double)shared / (double)(w->anchors_n * k);
    return status;
}

static lcf_status measure_neighbours(double *out, phase1_step *step, const lcf_qformer *m,
                                     const phase1_data *data, lcf_err *err)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(m);
    const size_t n = data->known.n < PHASE1_AMONG_MAX ? data->known.n : PHASE1_AMONG_MAX;
    neighbours_work w = {.m = m, .data = data, .n = n};
    lcf_status status;

    *out = NAN;
    if (n < 2)
        return LCF_OK;
    w.anchors_n = n < PHASE1_ANCHORS_MAX ? n : PHASE1_ANCHORS_MAX;
    w.query_dim = (size_t)c->queries * c->hidden;
    w.vectors = lcf_alloc(n, data->vectors->dim * sizeof(float));
    w.queries = lcf_alloc(n, w.query_dim * sizeof(float));
    w.shared = lcf_alloc(w.anchors_n, 1);
    status = w.vectors && w.queries && w.shared
                 ? compare_spaces(out, &w, phase1_step_pool(step), err)
                 : LCF_FAIL(err, LCF_ENOMEM, "neighbours of %zu items", n);
    free(w.vectors);
    free(w.queries);
    free(w.shared);
    return status;
}

/* ---- all ---- */

lcf_status phase1_measure(phase1_measures *out, phase1_step *step, const lcf_qformer *m,
                          const phase1_data *data, lcf_split part, bool matching, size_t batch_max,
                          lcf_err *err)
{
    lcf_status status = measure_losses(out->losses, step, data, part, matching, batch_max, err);

    if (!status)
        status = measure_recall(out, step, m, data, part, err);
    if (!status)
        status = measure_neighbours(&out->neighbours, step, m, data, err);
    return status;
}
