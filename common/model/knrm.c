/*
 * The text match: the row's item beside each item of its history, as inner products of their text
 * vectors, which are cosines, counted softly in bins. It needs no example and no language model:
 * what ICT gains beyond it comes from what others decided and why, not from text that is near to
 * text.
 *
 * The text control (text.c) maps target and mean history each for itself and leaves it to the
 * backbone to compare them; this one compares, and item by item.
 *
 * source   Xiong et al. 2017, "End-to-End Neural Ad-hoc Ranking with Kernel Pooling": K-NRM
 */
#include "common/model/knrm.h"

#include "common/math/kernels.h"

#include <math.h>
#include <string.h>

#define KERNELS_N 10
/* Centres of the bins -0.1, 0, ... 0.8: no text but its own is nearer. */
#define FIRST_CENTRE -0.1f
#define STEP 0.1f
#define SIGMA 0.1f

enum {
    MEAN = KERNELS_N, /* the inner product with the mean vector of the history */
    LATEST,           /* with that of its most recent item */
    NUMBERS_N,
};

lcf_status lcf_knrm_declare(knrm *s, lcf_ranker *r, lcf_err *err)
{
    lcf_status status =
        lcf_ranker_add_matrix(&s->w, r, "knrm.w", r->config.dim, NUMBERS_N, NUMBERS_N, err);

    if (!status)
        status = lcf_ranker_add_bias(&s->b, r, "knrm.b", r->config.dim, NUMBERS_N, err);
    return status;
}

/* The text vector of a row's item. */
static const float *target_text(const ranker_pass *p, size_t row)
{
    const ranker_batch *b = p->batch;
    const float *texts = b->frozen ? p->source->item_vectors->vectors : b->texts;

    return texts + b->item_text[row] * (size_t)p->r->config.text_dim;
}

/* log(1 + soft count) of each bin; how near the mean is, and the latest. */
static void numbers_of(float *out, const ranker_pass *p, size_t row)
{
    const ranker_batch *b = p->batch;
    const size_t dim = p->r->config.text_dim;
    const uint32_t *span = b->history_offsets + b->history[row];
    const float *target = target_text(p, row);
    float counts[LCF_HISTORY_MAX * KERNELS_N] = {0};
    size_t n = 0;

    memset(out, 0, NUMBERS_N * sizeof(*out));
    for (uint32_t e = span[0]; e < span[1]; e++) {
        const size_t item = b->catalogue_item[b->history_items[e]];

        out[LATEST] = lcf_dot(target, p->source->item_vectors->vectors + item * dim, dim);
        for (size_t k = 0; k < KERNELS_N; k++) {
            const float off = (out[LATEST] - (FIRST_CENTRE + STEP * (float)k)) / SIGMA;

            counts[n++] = -0.5f * off * off;
        }
    }
    lcf_exp(counts, counts, n);
    for (size_t i = 0; i < n; i++)
        out[i % KERNELS_N] += counts[i];
    for (size_t k = 0; k < KERNELS_N; k++)
        out[k] = log1pf(out[k]);
    out[MEAN] = lcf_dot(target, b->texts + b->history_text[row] * dim, dim);
}

lcf_tensor *lcf_knrm_vectors(const ranker_pass *p, const knrm *s)
{
    const size_t rows_n = p->batch->rows_n, dims[2] = {rows_n, NUMBERS_N};
    float *numbers = lcf_tape_alloc(p->tape, rows_n * NUMBERS_N, sizeof(*numbers));

    for (size_t row = 0; numbers && row < rows_n; row++)
        numbers_of(numbers + row * NUMBERS_N, p, row);
    return lcf_op_linear(p->tape, lcf_tape_input(p->tape, numbers, dims, 2),
                         lcf_ranker_param(p, s->w), lcf_ranker_param(p, s->b));
}

static lcf_status declare(lcf_ranker *r, lcf_err *err)
{
    return lcf_knrm_declare(r->side_state, r, err);
}

static lcf_tensor *forward(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss)
{
    (void)loss;
    (void)f;
    (void)want_loss;
    return lcf_knrm_vectors(p, p->r->side_state);
}

const ranker_side LCF_SIDE_KNRM = {
    .kind = {"knrm", "the text of the target beside each of the history's (K-NRM)"},
    .needs = LCF_RANKER_VECTORS,
    .vectors_n = 1,
    .state_bytes = sizeof(knrm),
    .needs_target = true,
    .declare = declare,
    .forward = forward,
};
