/*
 * The ranker: life cycle, weights files, and the forward pass put together from its parts.
 */
#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "common/model/ranker_internal.h"
#include "common/nn/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_KIND "ranker"
#define BUNDLE_VERSION 1
#define SCORE_BLOCK 512 /* rows per forward pass: the working set stays in the cache */

/* ---- life cycle ---- */

/* A ranker whose parameters are declared but have no values yet. */
static lcf_status declare(lcf_ranker **out, const lcf_ranker_config *config, lcf_err *err)
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
    lcf_params_init(&r->params);
    status = lcf_ranker_declare(r, err);
    if (status) {
        lcf_ranker_free(r);
        return status;
    }
    *out = r;
    return LCF_OK;
}

lcf_status lcf_ranker_create(lcf_ranker **out, const lcf_ranker_config *config, uint64_t seed,
                             lcf_err *err)
{
    lcf_ranker *r;
    lcf_status status;

    *out = NULL;
    status = declare(&r, config, err);
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

void lcf_ranker_free(lcf_ranker *r)
{
    if (!r)
        return;
    lcf_ranker_thaw(r);
    lcf_params_dispose(&r->params);
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
    free(text);
    if (status) {
        lcf_bundle_abandon(w);
        return status;
    }
    return lcf_bundle_commit(w, err);
}

/* Before memory is taken for what a configuration claims: the file must hold as many elements. */
static lcf_status check_elements(const lcf_ranker *r, const lcf_bundle *bundle, lcf_err *err)
{
    size_t wanted = 0, found = 0;

    for (size_t i = 0; i < r->params.list_n; i++)
        if (!lcf_add_size(&wanted, wanted, r->params.list[i].n))
            return LCF_FAIL(err, LCF_EFORMAT, "configuration: tables too large");
    for (size_t i = 0; i < lcf_bundle_arrays_n(bundle); i++)
        if (!strncmp(lcf_bundle_array(bundle, i)->name, "param.", 6))
            found += lcf_bundle_array(bundle, i)->n;
    if (wanted != found)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "the configuration asks for %zu weights, the file holds %zu", wanted,
                        found);
    return LCF_OK;
}

static lcf_status read_bundle(lcf_ranker **out, const lcf_bundle *bundle, lcf_err *err)
{
    lcf_ranker_config config = LCF_RANKER_CONFIG_INIT;
    lcf_ranker *r = NULL;
    lcf_status status = config_of_bundle(&config, bundle, err);

    if (!status)
        status = declare(&r, &config, err);
    if (!status)
        status = check_elements(r, bundle, err);
    if (!status)
        status = lcf_params_seal(&r->params, err);
    if (!status)
        status = lcf_checkpoint_get(&r->params, NULL, bundle, err);
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

lcf_status lcf_ranker_check_source(const lcf_ranker *r, const lcf_ranker_source *source,
                                   lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const lcf_embeddings *v = source->item_vectors;
    const lcf_examples *e = source->examples;

    if (!c->ict)
        return LCF_OK;
    if (!v || v->n != source->catalogue->items_n)
        return LCF_FAIL(err, LCF_EINVAL, "%zu item vectors for a catalogue of %u items",
                        v ? v->n : 0, source->catalogue->items_n);
    if (v->dim != c->text_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "item vectors have %zu dimensions, the ranker was made for %u", v->dim,
                        c->text_dim);
    if (!e)
        return LCF_FAIL(err, LCF_EINVAL, "a ranker with the ICT module needs examples");
    if (e->text_dim != c->text_dim || e->cot_dim != c->cot_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "examples have text vectors of %zu and CoT vectors of %zu dimensions, the "
                        "ranker was made for %u and %u",
                        e->text_dim, e->cot_dim, c->text_dim, c->cot_dim);
    return LCF_OK;
}

lcf_tensor *lcf_ranker_param(const ranker_pass *p, size_t idx)
{
    return lcf_tape_param(p->tape, &p->r->params, p->grads, idx);
}

lcf_tensor *lcf_ranker_rows(const ranker_pass *p, lcf_tensor *x, size_t begin, size_t n)
{
    uint32_t *ids = lcf_tape_alloc(p->tape, n, sizeof(uint32_t));

    for (size_t i = 0; ids && i < n; i++)
        ids[i] = (uint32_t)(begin + i);
    return lcf_op_gather(p->tape, x, ids, n);
}

lcf_tensor *lcf_ranker_mlp_forward(const ranker_pass *p, const ranker_mlp *mlp, lcf_tensor *x)
{
    for (size_t i = 0; i < mlp->layers_n; i++) {
        x = lcf_op_linear(p->tape, x, lcf_ranker_param(p, mlp->w[i]),
                          lcf_ranker_param(p, mlp->b[i]));
        if (i + 1 < mlp->layers_n)
            x = lcf_op_relu(p->tape, x);
    }
    return x;
}

/* Features -> logit; dropout after each hidden layer. */
static lcf_tensor *head(const ranker_pass *p, lcf_tensor *x, lcf_rng *rng)
{
    const ranker_mlp *mlp = &p->r->head;

    for (size_t i = 0; i < mlp->layers_n; i++) {
        x = lcf_op_linear(p->tape, x, lcf_ranker_param(p, mlp->w[i]),
                          lcf_ranker_param(p, mlp->b[i]));
        if (i + 1 < mlp->layers_n)
            x = lcf_op_dropout(p->tape, lcf_op_relu(p->tape, x), p->r->config.dropout, rng);
    }
    return x;
}

/* True when the frozen tokens are those of this source. */
static bool is_frozen(const lcf_ranker *r, const lcf_ranker_source *source)
{
    const lcf_ranker_source *f = &r->frozen.source;

    return f->catalogue && f->catalogue == source->catalogue &&
           f->item_vectors == source->item_vectors && f->examples == source->examples;
}

void lcf_ranker_forward(lcf_tensor **logits, lcf_tensor **rec_loss, lcf_tape *tape,
                        const lcf_ranker *r, lcf_grads *grads, const lcf_ranker_source *source,
                        const lcf_ranker_row *rows, size_t n, lcf_rng *rng)
{
    ranker_pass p = {tape, r, grads, source, NULL};
    const size_t flat[1] = {n};
    lcf_tensor *features[4], *items, *loss = NULL;
    size_t features_n = 3;

    *logits = NULL;
    p.batch = lcf_ranker_batch_build(tape, r, source, rows, n, !grads && is_frozen(r, source));
    if (p.batch) {
        items = lcf_ranker_items(&p);
        features[0] = lcf_op_gather(tape, lcf_ranker_param(&p, r->user_table), p.batch->user, n);
        features[1] = lcf_op_gather(tape, items, p.batch->item, n);
        features[2] = lcf_ranker_pool(&p, items, features[1]);
        if (r->config.ict)
            features[features_n++] = lcf_ranker_ict(&loss, &p, items, rec_loss && grads);
        *logits =
            lcf_op_reshape(tape, head(&p, lcf_op_concat(tape, features, features_n), rng), flat, 1);
    }
    if (rec_loss)
        *rec_loss = loss;
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
