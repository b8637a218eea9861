/*
 * The nearest-neighbour control: what the labels and the similarities of a row's examples say
 * without anything that is in them, as four numbers through one linear layer. What ICT gains beyond
 * it comes from what examples hold.
 */
#include "common/model/backbone.h"

#include "common/store/retrieved.h"

#include <math.h>
#include <string.h>

enum {
    VOTE,          /* lcf_retrieved_vote - 0.5 */
    SHARE,         /* of k that are there */
    BEST_NEGATIVE, /* the highest similarity of each label, 0 where there is none */
    BEST_POSITIVE,
    NUMBERS_N,
};

typedef struct knn {
    size_t w, b;
} knn;

static lcf_status declare(lcf_ranker *r, lcf_err *err)
{
    knn *s = r->side_state;
    lcf_status status =
        lcf_ranker_add_matrix(&s->w, r, "knn.w", r->config.dim, NUMBERS_N, NUMBERS_N, err);

    if (!status)
        status = lcf_ranker_add_bias(&s->b, r, "knn.b", r->config.dim, NUMBERS_N, err);
    return status;
}

static void numbers_of(float *out, const ranker_pass *p, size_t row)
{
    const ranker_batch *b = p->batch;
    const lcf_examples *e = p->source->examples;
    const size_t begin = b->slot_offsets[row * b->slots_n];
    const size_t n = b->slot_offsets[(row + 1) * b->slots_n] - begin;
    uint32_t ids[LCF_EXAMPLES_K_MAX];

    memset(out, 0, NUMBERS_N * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        const uint32_t slot = b->slot_example[begin + i];
        float *best;

        ids[i] = b->frozen ? slot : b->example[slot];
        best = out + (e->label[ids[i]] ? BEST_POSITIVE : BEST_NEGATIVE);
        *best = fmaxf(*best, b->slot_similarity[begin + i]);
    }
    out[VOTE] = lcf_retrieved_vote(e, ids, b->slot_similarity + begin, n) - 0.5f;
    out[SHARE] = (float)n / (float)p->r->config.k;
}

static lcf_tensor *forward(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss)
{
    const knn *s = p->r->side_state;
    const size_t rows_n = p->batch->rows_n, dims[2] = {rows_n, NUMBERS_N};
    float *numbers = lcf_tape_alloc(p->tape, rows_n * NUMBERS_N, sizeof(*numbers));

    (void)loss;
    (void)f;
    (void)want_loss;
    for (size_t row = 0; numbers && row < rows_n; row++)
        numbers_of(numbers + row * NUMBERS_N, p, row);
    return lcf_op_linear(p->tape, lcf_tape_input(p->tape, numbers, dims, 2),
                         lcf_ranker_param(p, s->w), lcf_ranker_param(p, s->b));
}

const ranker_side LCF_SIDE_KNN = {
    .kind = {"knn", "labels and similarities of the examples alone"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES | LCF_RANKER_SIMILARITIES,
    .vectors_n = 1,
    .state_bytes = sizeof(knn),
    .declare = declare,
    .forward = forward,
};
