/*
 * What is computed once for inference: tokens of item texts and examples, plans, and what these
 * make of items and examples alone.
 *
 * Invariant: tokens are computed by the very pieces of the forward pass that would compute them
 * each time, in blocks.
 */
#include "common/base/bundle.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/model/backbone.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define KIND "ranker_tokens"
#define VERSION 2 /* 1 had tokens alone */

void lcf_ranker_thaw(lcf_ranker *r)
{
    if (!r->frozen.tokens) {
        free(r->frozen.item_tokens);
        free(r->frozen.example_tokens);
        free(r->frozen.item_parts);
        free(r->frozen.example_states);
    }
    lcf_bundle_close(r->frozen.tokens);
    lcf_ranker_plan_free(&r->frozen.side_plan);
    lcf_ranker_plan_free(&r->frozen.backbone_plan);
    memset(&r->frozen, 0, sizeof(r->frozen));
}

static lcf_status freeze_items(lcf_ranker *r, lcf_tape *tape, const lcf_ranker_source *source)
{
    const size_t dim = r->config.dim, text_dim = r->config.text_dim;
    const lcf_embeddings *v = source->item_vectors;

    for (size_t at = 0; at < v->n; at += BLOCK) {
        const size_t n = v->n - at < BLOCK ? v->n - at : BLOCK;
        const ranker_pass p = {tape, r, NULL, source, NULL, NULL};
        lcf_tensor *tokens;

        lcf_tape_reset(tape, false);
        tokens = r->side->text_tokens(&p, v->vectors + at * text_dim, n);
        if (lcf_tape_status(tape))
            return lcf_tape_status(tape);
        memcpy(r->frozen.item_tokens + at * dim, tokens->data, n * dim * sizeof(float));
    }
    return LCF_OK;
}

/* The tokens of one block of examples, through rows that have nothing but one example each. */
static lcf_status freeze_block(lcf_ranker *r, lcf_tape *tape, const lcf_ranker_source *source,
                               size_t at, size_t n)
{
    const size_t width = r->side->tokens_n * (size_t)r->config.dim;
    ranker_pass p = {tape, r, NULL, source, NULL, NULL};
    uint32_t ids[BLOCK][LCF_EXAMPLES_K_MAX];
    lcf_ranker_row rows[BLOCK];
    ranker_fields fields;
    lcf_tensor *tokens;

    memset(ids, 0xff, sizeof(ids)); /* LCF_EXAMPLE_NONE */
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < n; i++) {
        ids[i][0] = (uint32_t)(at + i);
        rows[i].examples = ids[i];
    }
    lcf_tape_reset(tape, false);
    p.batch = lcf_ranker_batch_build(tape, r, source, rows, n, false);
    if (!p.batch)
        return lcf_tape_status(tape);
    lcf_ranker_fields_build(&fields, &p);
    tokens = r->side->example_tokens(&p, &fields);
    if (lcf_tape_status(tape))
        return lcf_tape_status(tape);
    LCF_ASSERT(p.batch->examples_n == n); /* in order: each occurs once */
    memcpy(r->frozen.example_tokens + at * width, tokens->data, n * width * sizeof(float));
    return LCF_OK;
}

static lcf_status freeze_tokens(lcf_ranker *r, const lcf_ranker_source *source)
{
    const size_t dim = r->config.dim, width = r->side->tokens_n * dim;
    const bool examples = r->side->example_tokens != NULL;
    const size_t examples_n = examples ? source->examples->n : 0;
    lcf_tape *tape = NULL;
    lcf_status status = lcf_tape_create(&tape, NULL);

    r->frozen.item_tokens = lcf_alloc(source->item_vectors->n, dim * sizeof(float));
    if (examples)
        r->frozen.example_tokens = lcf_alloc(examples_n + 1, width * sizeof(float));
    if (!status && (!r->frozen.item_tokens || (examples && !r->frozen.example_tokens)))
        status = LCF_ENOMEM;
    if (!status)
        status = freeze_items(r, tape, source);
    for (size_t at = 0; at < examples_n && !status; at += BLOCK)
        status =
            freeze_block(r, tape, source, at, examples_n - at < BLOCK ? examples_n - at : BLOCK);
    lcf_tape_free(tape);
    return status;
}

/* ---- plans, and what they make of items and examples alone ---- */

static lcf_status make_plan(ranker_plan *out, const lcf_ranker *r, const ranker_fast *fast)
{
    if (!fast->infer || (fast->covers && !fast->covers(&r->config)))
        return LCF_OK;
    return lcf_ranker_plan_create(out, r, fast->state_bytes, fast->pack);
}

/* The plans; says how many floats of an item and of an example they take. */
static lcf_status make_plans(lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err)
{
    ranker_frozen *f = &r->frozen;
    const ranker_fast *side = &r->side->fast, *backbone = &r->backbone->fast;
    lcf_status status = make_plan(&f->side_plan, r, side);

    if (!status)
        status = make_plan(&f->backbone_plan, r, backbone);
    if (status)
        return LCF_FAIL(err, status, "packed weights of a ranker");
    f->side_parts_n = f->side_plan.state && side->item_parts_n ? side->item_parts_n(r) : 0;
    f->item_parts_n = f->side_parts_n;
    if (f->backbone_plan.state && backbone->item_parts_n)
        f->item_parts_n += backbone->item_parts_n(r);
    if (f->side_plan.state && side->example_states_n && source->examples)
        f->example_states_n = side->example_states_n(r);
    return LCF_OK;
}

/* The parts of one block of items, through rows that have nothing but a target each. */
static lcf_status freeze_item_block(lcf_ranker *r, lcf_tape *tape, const lcf_ranker_source *source,
                                    size_t at, size_t n)
{
    const ranker_frozen *f = &r->frozen;
    float *out = f->item_parts + at * f->item_parts_n;
    ranker_pass p = {tape, r, NULL, source, NULL, NULL};
    lcf_ranker_row rows[BLOCK];
    ranker_fields fields;

    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < n; i++)
        rows[i].item = (uint32_t)(at + i);
    lcf_tape_reset(tape, false);
    p.batch = lcf_ranker_batch_build(tape, r, source, rows, n, false);
    if (!p.batch)
        return lcf_tape_status(tape);
    lcf_ranker_fields_build(&fields, &p);
    if (lcf_tape_status(tape))
        return lcf_tape_status(tape);
    if (f->side_parts_n)
        r->side->fast.item_parts(out, f->item_parts_n, &p, &fields);
    if (f->side_parts_n < f->item_parts_n)
        r->backbone->fast.item_parts(out + f->side_parts_n, f->item_parts_n, &p, &fields);
    return lcf_tape_status(tape);
}

/* Everything that is read from r->frozen beside tokens and plans. */
static lcf_status freeze_parts(lcf_ranker *r, const lcf_ranker_source *source)
{
    ranker_frozen *f = &r->frozen;
    const size_t items_n = source->catalogue->items_n;
    const size_t examples_n = f->example_states_n ? source->examples->n : 0;
    const size_t width = r->side->tokens_n * (size_t)r->config.dim;
    ranker_pass p = {.r = r, .source = source};
    lcf_status status = lcf_tape_create(&p.tape, NULL);

    if (f->item_parts_n)
        f->item_parts = lcf_alloc(items_n, f->item_parts_n * sizeof(float));
    if (f->example_states_n)
        f->example_states = lcf_alloc(examples_n + 1, f->example_states_n * sizeof(float));
    if (!status &&
        ((f->item_parts_n && !f->item_parts) || (f->example_states_n && !f->example_states)))
        status = LCF_ENOMEM;
    for (size_t at = 0; at < items_n && f->item_parts_n && !status; at += BLOCK)
        status =
            freeze_item_block(r, p.tape, source, at, items_n - at < BLOCK ? items_n - at : BLOCK);
    for (size_t at = 0; at < examples_n && !status; at += BLOCK) {
        lcf_tape_reset(p.tape, false);
        r->side->fast.example_states(f->example_states + at * f->example_states_n, &p,
                                     f->example_tokens + at * width,
                                     examples_n - at < BLOCK ? examples_n - at : BLOCK);
        status = lcf_tape_status(p.tape);
    }
    lcf_tape_free(p.tape);
    return status;
}

/* ---- tokens in a file ---- */

static uint64_t hash_of_weights(const lcf_ranker *r)
{
    return lcf_hash64(r->params.values, r->params.values_n * sizeof(float), 0);
}

bool lcf_ranker_has_tokens(const lcf_ranker *r)
{
    return r->frozen.item_tokens != NULL || r->frozen.item_parts != NULL;
}

lcf_status lcf_ranker_save_tokens(const lcf_ranker *r, const char *path, lcf_err *err)
{
    const ranker_frozen *f = &r->frozen;
    const size_t dim = r->config.dim;
    const uint64_t weights = hash_of_weights(r), items_n = f->source.catalogue->items_n;
    const uint64_t items[2] = {items_n, dim}, parts[2] = {items_n, f->item_parts_n};
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, KIND, VERSION, err);

    if (status)
        return status;
    status = lcf_bundle_add_1d(w, "weights", LCF_U64, 1, &weights, err);
    if (!status && f->item_tokens)
        status = lcf_bundle_add(w, "item_tokens", LCF_F32, items, 2, f->item_tokens, err);
    if (!status && f->item_parts)
        status = lcf_bundle_add(w, "item_parts", LCF_F32, parts, 2, f->item_parts, err);
    if (!status && f->example_tokens) {
        const uint64_t examples[2] = {f->source.examples->n, r->side->tokens_n * dim};

        status = lcf_bundle_add(w, "example_tokens", LCF_F32, examples, 2, f->example_tokens, err);
    }
    if (!status && f->example_states_n) {
        const uint64_t states[2] = {f->source.examples->n, f->example_states_n};

        status = lcf_bundle_add(w, "example_states", LCF_F32, states, 2, f->example_states, err);
    }
    return lcf_bundle_finish(w, status, err);
}

/* One array [rows, cols] of floats, which stays in the file; without columns there is none. */
static lcf_status get_array(float **out, const lcf_bundle *tokens, const char *name, size_t rows,
                            size_t cols, lcf_err *err)
{
    uint64_t dims[2] = {rows, cols};
    const void *array;
    lcf_status status;

    if (!cols)
        return LCF_OK;
    status = lcf_bundle_get(&array, tokens, name, LCF_F32, dims, 2, err);
    if (!status)
        *out = (float *)array; /* read only */
    return status;
}

static lcf_status get_tokens(lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err)
{
    ranker_frozen *f = &r->frozen;
    const size_t items_n = source->catalogue->items_n, dim = r->config.dim;
    const size_t examples_n = source->examples ? source->examples->n : 0;
    uint64_t one = 1;
    const void *weights;
    lcf_status status = lcf_bundle_get(&weights, f->tokens, "weights", LCF_U64, &one, 1, err);

    if (!status && *(const uint64_t *)weights != hash_of_weights(r))
        status = LCF_FAIL(err, LCF_EFORMAT, "tokens of other weights");
    if (!status)
        status = get_array(&f->item_tokens, f->tokens, "item_tokens", items_n,
                           r->side->text_tokens ? dim : 0, err);
    if (!status)
        status = get_array(&f->item_parts, f->tokens, "item_parts", items_n, f->item_parts_n, err);
    if (!status)
        status = get_array(&f->example_tokens, f->tokens, "example_tokens", examples_n,
                           r->side->example_tokens ? r->side->tokens_n * dim : 0, err);
    if (!status)
        status = get_array(&f->example_states, f->tokens, "example_states", examples_n,
                           f->example_states_n, err);
    return status;
}

/* ---- freezing ---- */

lcf_status lcf_ranker_freeze(lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err)
{
    lcf_status status;

    lcf_ranker_thaw(r);
    status = lcf_ranker_check_source(r, source, err);
    if (!status)
        status = make_plans(r, source, err);
    if (!status && r->side->text_tokens) {
        status = freeze_tokens(r, source);
        if (status)
            LCF_FAIL(err, status, "tokens of a ranker's items and examples");
    }
    if (!status) {
        status = freeze_parts(r, source);
        if (status)
            LCF_FAIL(err, status, "what a ranker makes of items and examples alone");
    }
    if (status)
        lcf_ranker_thaw(r);
    else
        r->frozen.source = *source; /* from here on in use */
    return status;
}

lcf_status lcf_ranker_freeze_from(lcf_ranker *r, const lcf_ranker_source *source, const char *path,
                                  lcf_err *err)
{
    lcf_status status;

    lcf_ranker_thaw(r);
    status = lcf_ranker_check_source(r, source, err);
    if (!status)
        status = make_plans(r, source, err);
    if (!status) {
        status = lcf_bundle_open(&r->frozen.tokens, path, KIND, VERSION, err);
        if (!status && lcf_bundle_version(r->frozen.tokens) < VERSION)
            return lcf_ranker_freeze(r, source, err);
        if (!status)
            status = get_tokens(r, source, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    if (status)
        lcf_ranker_thaw(r);
    else
        r->frozen.source = *source;
    return status;
}
