/*
 * The ranker: life cycle, weights files, and the forward pass put together from its parts.
 */
#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/model/backbone.h"
#include "common/nn/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_KIND "ranker"
#define BUNDLE_VERSION 2
#define SCORE_BLOCK 512 /* rows per forward pass: the working set stays in the cache */

/* ---- life cycle ---- */

/* Its parts by name, and room for what they note. */
static lcf_status find_parts(lcf_ranker *r, lcf_err *err)
{
    r->backbone = lcf_ranker_find_backbone(r->config.backbone);
    r->side = lcf_ranker_find_side(r->config.side);
    r->config.backbone = r->backbone->kind.name; /* these outlive the caller's */
    r->config.side = r->side->kind.name;
    r->backbone_state = lcf_alloc_zero(1, r->backbone->state_bytes + 1);
    r->side_state = lcf_alloc_zero(1, r->side->state_bytes + 1);
    if (!r->backbone_state || !r->side_state)
        return LCF_FAIL(err, LCF_ENOMEM, "parts of a ranker");
    return LCF_OK;
}

static lcf_status declare_parts(lcf_ranker *r, bool side_alone, lcf_err *err)
{
    lcf_status status = lcf_ranker_declare_tables(r, err);

    if (!status && !side_alone)
        status = r->backbone->declare(r, r->side->vectors_n * r->config.dim, err);
    if (!status && r->config.head_norm && !r->has_head)
        return LCF_FAIL(err, LCF_EINVAL, "%s has no head to normalise",
                        side_alone ? "a side module" : r->backbone->kind.name);
    r->side_begin = r->params.list_n;
    if (!status && r->side->declare)
        status = r->side->declare(r, err);
    return status;
}

static lcf_status declare(lcf_ranker **out, const lcf_ranker_config *config, bool side_alone,
                          lcf_err *err)
{
    lcf_status status = lcf_ranker_config_check(config, err);
    lcf_ranker *r;

    *out = NULL;
    if (status)
        return status;
    r = lcf_alloc_zero(1, sizeof(*r));
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "ranker handle, %zu bytes", sizeof(*r));
    r->config = *config;
    r->code_hard = 1.0f;
    lcf_params_init(&r->params);
    status = find_parts(r, err);
    if (!status)
        status = declare_parts(r, side_alone, err);
    if (status) {
        lcf_ranker_free(r);
        return status;
    }
    *out = r;
    return LCF_OK;
}

lcf_status lcf_ranker_declare(lcf_ranker **out, const lcf_ranker_config *config, lcf_err *err)
{
    return declare(out, config, false, err);
}

lcf_status lcf_ranker_declare_side(lcf_ranker **out, const lcf_ranker_config *config, lcf_err *err)
{
    return declare(out, config, true, err);
}

lcf_status lcf_ranker_create(lcf_ranker **out, const lcf_ranker_config *config, uint64_t seed,
                             lcf_err *err)
{
    lcf_ranker *r;
    lcf_status status;

    *out = NULL;
    status = lcf_ranker_declare(&r, config, err);
    if (status)
        return status;
    status = lcf_params_seal(&r->params, err);
    if (status) {
        lcf_ranker_free(r);
        return status;
    }
    for (size_t i = 0; i < r->params.list_n; i++) {
        const lcf_param *param = &r->params.list[i];

        lcf_params_fill(&r->params, i, r->fill[i].kind, r->fill[i].scale, seed);
        if (param->row0_zero)
            memset(lcf_params_value(&r->params, i), 0, param->dims[1] * sizeof(float));
    }
    *out = r;
    return LCF_OK;
}

lcf_status lcf_ranker_set_graph(lcf_ranker *r, const uint32_t *users, const uint32_t *items,
                                size_t n, lcf_err *err)
{
    LCF_ASSERT(r->backbone->graph);
    lcf_ranker_graph_dispose(&r->graph);
    return lcf_ranker_graph_create(&r->graph, r->config.users_n, r->config.items_n, users, items, n,
                                   err);
}

void lcf_ranker_free(lcf_ranker *r)
{
    if (!r)
        return;
    lcf_ranker_thaw(r);
    lcf_params_dispose(&r->params);
    lcf_ranker_graph_dispose(&r->graph);
    free(r->backbone_state);
    free(r->side_state);
    free(r);
}

const lcf_ranker_config *lcf_ranker_config_of(const lcf_ranker *r)
{
    return &r->config;
}

lcf_params *lcf_ranker_params(lcf_ranker *r)
{
    return &r->params;
}

size_t lcf_ranker_side_begin(const lcf_ranker *r)
{
    return r->side_begin;
}

/* ---- weights files ---- */

static lcf_status config_of_bundle(lcf_ranker_config *c, const lcf_bundle *bundle, lcf_err *err)
{
    char *text = NULL;
    lcf_status status = lcf_bundle_get_text(&text, bundle, "config", err);

    if (!status)
        status = lcf_ranker_config_of_text(c, text, strlen(text), err);
    free(text);
    return status;
}

lcf_status lcf_ranker_save(const lcf_ranker *r, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    char *text = NULL;
    lcf_status status = lcf_ranker_config_to_text(&text, &r->config, err);

    if (!status)
        status = lcf_bundle_create(&w, path, BUNDLE_KIND, BUNDLE_VERSION, err);
    if (!status)
        status = lcf_bundle_add_text(w, "config", text, err);
    if (!status)
        status = lcf_checkpoint_add(w, &r->params, NULL, err);
    if (!status && r->backbone->graph)
        status = lcf_ranker_graph_add(w, &r->graph, err);
    free(text);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status read_bundle(lcf_ranker **out, const lcf_bundle *bundle, lcf_err *err)
{
    lcf_ranker_config config = LCF_RANKER_CONFIG_INIT;
    lcf_ranker *r = NULL;
    lcf_status status = config_of_bundle(&config, bundle, err);

    if (!status)
        status = lcf_ranker_of_file(lcf_ranker_declare(&r, &config, err), err);
    if (!status)
        status = lcf_checkpoint_open(&r->params, bundle, err);
    if (!status && r->backbone->graph)
        status = lcf_ranker_graph_get(&r->graph, config.users_n, config.items_n, bundle, err);
    if (status) {
        lcf_ranker_free(r);
        return status;
    }
    *out = r;
    return LCF_OK;
}

lcf_status lcf_ranker_open(lcf_ranker **out, const char *path, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status;

    *out = NULL;
    status = lcf_bundle_open(&bundle, path, BUNDLE_KIND, BUNDLE_VERSION, err);
    if (status)
        return status;
    status = read_bundle(out, bundle, err);
    if (status)
        lcf_err_prefix(err, "%s", path);
    lcf_bundle_close(bundle);
    return status;
}

/* ---- forward ---- */

static lcf_status check_vectors(const lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err)
{
    const lcf_embeddings *v = source->item_vectors;

    if (!v || v->n != source->catalogue->items_n)
        return LCF_FAIL(err, LCF_EINVAL, "%zu item vectors for a catalogue of %u items",
                        v ? v->n : 0, source->catalogue->items_n);
    if (v->dim != r->config.text_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "item vectors have %zu dimensions, the ranker was made for %u", v->dim,
                        r->config.text_dim);
    return LCF_OK;
}

static lcf_status check_examples(const lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const lcf_examples *e = source->examples;

    if (!e)
        return LCF_FAIL(err, LCF_EINVAL, "a ranker with the side module %s needs examples",
                        c->side);
    if (e->text_dim != c->text_dim || e->cot_dim != c->cot_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "examples have text vectors of %zu and CoT vectors of %zu dimensions, the "
                        "ranker was made for %u and %u",
                        e->text_dim, e->cot_dim, c->text_dim, c->cot_dim);
    return LCF_OK;
}

static lcf_status check_knowledge(const lcf_ranker *r, const lcf_ranker_source *source,
                                  lcf_err *err)
{
    const lcf_knowledge *k = source->knowledge;

    if (!k)
        return LCF_FAIL(err, LCF_EINVAL, "a ranker with the side module %s needs knowledge",
                        r->config.side);
    if (k->dim != r->config.text_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "knowledge has vectors of %zu dimensions, the ranker was made for %u",
                        k->dim, r->config.text_dim);
    return LCF_OK;
}

lcf_status lcf_ranker_check_source(const lcf_ranker *r, const lcf_ranker_source *source,
                                   lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (r->backbone->graph && !r->graph.begin[0])
        return LCF_FAIL(err, LCF_EINVAL, "a ranker of the backbone %s needs a graph",
                        r->config.backbone);
    if (r->side->needs & LCF_RANKER_VECTORS)
        status = check_vectors(r, source, err);
    if (!status && r->side->needs & LCF_RANKER_EXAMPLES)
        status = check_examples(r, source, err);
    if (!status && r->side->needs & LCF_RANKER_KNOWLEDGE)
        status = check_knowledge(r, source, err);
    if (!status)
        status = lcf_ranker_check_fields(&r->config, source->fields, err);
    return status;
}

/* True when what is frozen was made from this source, and holds all that the rows ask for. */
static bool is_frozen(const lcf_ranker *r, const lcf_ranker_source *source,
                      const lcf_ranker_row *rows, size_t n)
{
    const lcf_ranker_source *f = &r->frozen.source;
    const unsigned needs = r->side->needs;

    for (size_t i = 0; i < n && source->described_n; i++)
        if (rows[i].item >= source->catalogue->items_n)
            return false;

    return f->catalogue && f->catalogue == source->catalogue &&
           (!(needs & LCF_RANKER_VECTORS) || f->item_vectors == source->item_vectors) &&
           (!(needs & LCF_RANKER_EXAMPLES) || f->examples == source->examples);
}

static lcf_tensor *side_of(lcf_tensor **loss, const ranker_pass *p, ranker_fields *fields,
                           bool want_loss)
{
    const lcf_ranker *r = p->r;
    double *seconds = p->source->side_s;
    const double start_s = seconds ? lcf_clock_s() : 0.0;
    lcf_tensor *extra = p->batch->frozen && r->frozen.side_plan.state
                            ? r->side->fast.infer(p, fields)
                            : r->side->forward(loss, p, fields, want_loss);

    if (seconds)
        *seconds += lcf_clock_s() - start_s;
    return extra;
}

/* The logits of a batch, each part in its faster way where there is one. */
static lcf_tensor *logits_of(lcf_tensor **loss, const ranker_pass *p, bool want_loss)
{
    const lcf_ranker *r = p->r;
    ranker_fields fields;

    const bool may_infer = p->batch->frozen || (r->backbone->fast.any_batch && !p->grads);

    lcf_ranker_fields_build(&fields, p);
    if (r->side->forward)
        fields.extra = side_of(loss, p, &fields, want_loss);
    return may_infer && r->frozen.backbone_plan.state ? r->backbone->fast.infer(p, &fields)
                                                      : r->backbone->logits(p, &fields);
}

void lcf_ranker_forward(lcf_tensor **logits, lcf_tensor **side_loss, lcf_tape *tape,
                        const lcf_ranker *r, lcf_grads *grads, const lcf_ranker_source *source,
                        const lcf_ranker_row *rows, size_t n, lcf_rng *rng)
{
    ranker_pass p = {tape, r, grads, source, NULL, rng};
    const size_t flat[1] = {n};
    lcf_tensor *loss = NULL;

    *logits = NULL;
    p.batch =
        lcf_ranker_batch_build(tape, r, source, rows, n, !grads && is_frozen(r, source, rows, n));
    if (p.batch)
        *logits = lcf_op_reshape(tape, logits_of(&loss, &p, side_loss && grads), flat, 1);
    if (side_loss)
        *side_loss = loss;
}

lcf_tensor *lcf_ranker_side_vectors(lcf_tensor **side_loss, lcf_tape *tape, const lcf_ranker *r,
                                    lcf_grads *grads, const lcf_ranker_source *source,
                                    const lcf_ranker_row *rows, size_t n)
{
    ranker_pass p = {.tape = tape, .r = r, .grads = grads, .source = source};
    ranker_fields fields;

    *side_loss = NULL;
    p.batch = lcf_ranker_batch_build(tape, r, source, rows, n, false);
    if (!p.batch)
        return NULL;
    lcf_ranker_fields_build(&fields, &p);
    return r->side->forward(side_loss, &p, &fields, grads != NULL);
}

/* ---- scores ---- */

static lcf_status score_block(float *scores, lcf_tape *tape, const lcf_ranker *r,
                              const lcf_ranker_source *source, const lcf_ranker_row *rows, size_t n)
{
    lcf_tensor *logits;
    lcf_status status;

    lcf_tape_reset(tape, false);
    lcf_ranker_forward(&logits, NULL, tape, r, NULL, source, rows, n, NULL);
    status = lcf_tape_status(tape);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        scores[i] = 1.0f / (1.0f + expf(-logits->data[i]));
    return LCF_OK;
}

lcf_status lcf_ranker_score(float *scores, lcf_tape *tape, const lcf_ranker *r,
                            const lcf_ranker_source *source, const lcf_ranker_row *rows, size_t n,
                            lcf_err *err)
{
    lcf_status status = lcf_ranker_check_source(r, source, err);

    for (size_t at = 0; at < n && !status; at += SCORE_BLOCK) {
        const size_t block = n - at < SCORE_BLOCK ? n - at : SCORE_BLOCK;

        status = score_block(scores + at, tape, r, source, rows + at, block);
        if (status)
            LCF_FAIL(err, status, "no memory to score %zu rows", block);
    }
    return status;
}

/* ---- attention ---- */

bool lcf_ranker_attends(const lcf_ranker *r)
{
    return r->side->attention != NULL;
}

/* Sums a row's weights [slots_n * tokens_n + 1] by example, each where the row has it. */
static void by_example(float *out, const ranker_pass *p, size_t row, const lcf_ranker_row *asked,
                       const float *weights)
{
    const ranker_batch *b = p->batch;
    const size_t tokens_n = p->r->side->tokens_n, k = p->r->config.k;
    const uint32_t *slots = b->slot_offsets + row * b->slots_n;

    memset(out, 0, k * sizeof(*out));
    for (size_t slot = 0; slot < b->slots_n; slot++) {
        size_t place = 0;
        uint32_t example;

        if (slots[slot] == slots[slot + 1])
            continue;
        example = b->slot_example[slots[slot]];
        example = b->frozen ? example : b->example[example];
        while (asked->examples[place] != example || out[place] > 0)
            place++;
        for (size_t t = 0; t < tokens_n; t++)
            out[place] += weights[slot * tokens_n + t];
    }
}

static lcf_status attention_block(float *out, lcf_tape *tape, const lcf_ranker *r,
                                  const lcf_ranker_source *source, const lcf_ranker_row *rows,
                                  size_t n)
{
    ranker_pass p = {.tape = tape, .r = r, .source = source};
    ranker_fields fields;
    lcf_tensor *weights;

    lcf_tape_reset(tape, false);
    p.batch = lcf_ranker_batch_build(tape, r, source, rows, n, is_frozen(r, source, rows, n));
    if (!p.batch)
        return lcf_tape_status(tape);
    lcf_ranker_fields_build(&fields, &p);
    weights = r->side->attention(&p, &fields);
    if (lcf_tape_status(tape))
        return lcf_tape_status(tape);
    for (size_t i = 0; i < n; i++)
        by_example(out + i * r->config.k, &p, i, &rows[i], weights->data + i * weights->dims[1]);
    return LCF_OK;
}

lcf_status lcf_ranker_attention(float *out, lcf_tape *tape, const lcf_ranker *r,
                                const lcf_ranker_source *source, const lcf_ranker_row *rows,
                                size_t n, lcf_err *err)
{
    lcf_status status = lcf_ranker_attends(r) ? lcf_ranker_check_source(r, source, err)
                                              : LCF_FAIL(err, LCF_EINVAL,
                                                         "a ranker with the side module %s attends "
                                                         "to no examples",
                                                         r->config.side);

    for (size_t at = 0; at < n && !status; at += SCORE_BLOCK) {
        const size_t block = n - at < SCORE_BLOCK ? n - at : SCORE_BLOCK;

        status = attention_block(out + at * r->config.k, tape, r, source, rows + at, block);
        if (status)
            LCF_FAIL(err, status, "no memory for the attention of %zu rows", block);
    }
    return status;
}
