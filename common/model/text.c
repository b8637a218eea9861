/*
 * The text control: the text vectors that the ICT module sees of the query alone, that of the
 * target and the mean of the history's, through the same kind of map. What a backbone gains by it
 * comes from text features, not from examples.
 */
#include "common/model/backbone.h"

typedef struct text {
    ranker_mlp map; /* text vector -> token */
} text;

static lcf_status declare(lcf_ranker *r, lcf_err *err)
{
    const size_t sizes[] = {r->config.text_dim, r->config.text_hidden, r->config.dim};
    text *s = r->side_state;

    return lcf_ranker_add_mlp(&s->map, r, "text", 0, sizes, 2, err);
}

static lcf_tensor *text_tokens(const ranker_pass *p, const float *vectors, size_t n)
{
    const size_t dims[2] = {n, p->r->config.text_dim};
    const text *s = p->r->side_state;

    return lcf_ranker_mlp_forward(p, &s->map, lcf_tape_input(p->tape, vectors, dims, 2));
}

/* [target, history] [rows_n, 2 dim] */
static lcf_tensor *forward(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss)
{
    const ranker_batch *b = p->batch;
    const size_t dims[2] = {p->source->catalogue->items_n, p->r->config.dim};
    lcf_tensor *texts = text_tokens(p, b->texts, b->texts_n), *items = texts, *parts[2];

    (void)loss;
    (void)f;
    (void)want_loss;
    if (b->frozen)
        items = lcf_tape_input(p->tape, p->r->frozen.item_tokens, dims, 2);
    parts[0] = lcf_op_gather(p->tape, items, b->item_text, b->rows_n);
    parts[1] = lcf_op_gather(p->tape, texts, b->history_text, b->rows_n);
    return lcf_op_concat(p->tape, parts, 2);
}

const ranker_side LCF_SIDE_TEXT = {
    .kind = {"text", "the texts of target and history, without examples"},
    .needs = LCF_RANKER_VECTORS,
    .vectors_n = 2,
    .state_bytes = sizeof(text),
    .declare = declare,
    .forward = forward,
    .text_tokens = text_tokens,
};
