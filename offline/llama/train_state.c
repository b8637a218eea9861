/*
 * Checkpoints of a trainer: what is trained, the optimizer and the step. Everything is looked at
 * before anything is changed.
 */
#include "common/base/bundle.h"
#include "offline/llama/train_internal.h"

#include <string.h>

#define CHECKPOINT_KIND "llama_train"
#define CHECKPOINT_VERSION 1
#define SHAPE_N 8

/* What the shapes of the parameters alone do not tell. */
static void shape_of(uint64_t out[SHAPE_N], const lcf_llama_config *c)
{
    const size_t shape[SHAPE_N] = {c->vocab_n,    c->dim,      c->layers_n, c->heads_n,
                                   c->kv_heads_n, c->head_dim, c->ffn_dim,  c->tied};

    for (size_t i = 0; i < SHAPE_N; i++)
        out[i] = shape[i];
}

uint64_t *train_step_counter(lcf_llama_trainer *t)
{
    return t->options.optimizer == LCF_TRAIN_SGD ? &t->sgd.step : &t->adam.step;
}

static lcf_status add_optimizer(lcf_bundle_writer *w, const lcf_llama_trainer *t, lcf_err *err)
{
    const bool sgd = t->options.optimizer == LCF_TRAIN_SGD;
    lcf_status status = lcf_checkpoint_add(w, &t->params, sgd ? NULL : &t->adam, err);

    if (!status && sgd)
        status = lcf_bundle_add_1d(w, "sgd.m", LCF_F32, t->sgd.values_n, t->sgd.m, err);
    if (!status && sgd)
        status = lcf_bundle_add_1d(w, "sgd.step", LCF_U64, 1, &t->sgd.step, err);
    return status;
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
    if (!status && t->options.lora.rank)
        status = lcf_bundle_add_1d(w, "base", LCF_U8, sizeof(t->base_id), t->base_id, err);
    if (!status)
        status = add_optimizer(w, t, err);
    if (!status)
        return lcf_bundle_commit(w, err);
    lcf_bundle_abandon(w);
    return status;
}

static lcf_status get_sgd(lcf_llama_trainer *t, const lcf_bundle *bundle, lcf_err *err)
{
    uint64_t n = t->sgd.values_n, one = 1;
    const void *m, *step;
    lcf_status status = lcf_bundle_get(&m, bundle, "sgd.m", LCF_F32, &n, 1, err);

    if (!status)
        status = lcf_bundle_get(&step, bundle, "sgd.step", LCF_U64, &one, 1, err);
    if (!status)
        status = lcf_checkpoint_get(&t->params, NULL, bundle, err);
    if (status)
        return status;
    memcpy(t->sgd.m, m, t->sgd.values_n * sizeof(*t->sgd.m));
    memcpy(&t->sgd.step, step, sizeof(t->sgd.step));
    return LCF_OK;
}

/* Is it a checkpoint of this model, base and method? */
static lcf_status check(const lcf_llama_trainer *t, const lcf_bundle *bundle, const char *path,
                        lcf_err *err)
{
    uint64_t shape[SHAPE_N], n = SHAPE_N;
    const lcf_array *base = lcf_bundle_find(bundle, "base");
    const bool sgd = t->options.optimizer == LCF_TRAIN_SGD;
    const void *found;
    lcf_status status = lcf_bundle_get(&found, bundle, "shape", LCF_U64, &n, 1, err);

    if (status)
        return status;
    shape_of(shape, &t->config);
    if (memcmp(found, shape, sizeof(shape)) != 0)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a checkpoint of a model of other sizes", path);
    if (!base != !t->options.lora.rank)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a checkpoint of %s", path,
                        base ? "adapters, not of a whole model" : "a whole model, not of adapters");
    if (base && (base->dtype != LCF_U8 || base->n != sizeof(t->base_id) ||
                 memcmp(base->data, t->base_id, sizeof(t->base_id)) != 0))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a checkpoint of adapters for another base model",
                        path);
    if (!lcf_bundle_find(bundle, sgd ? "sgd.m" : "adam.m"))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a checkpoint of another optimizer than %s", path,
                        sgd ? "SGD" : "AdamW");
    return LCF_OK;
}

lcf_status lcf_llama_trainer_load(lcf_llama_trainer *t, const char *path, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status = lcf_bundle_open(&bundle, path, CHECKPOINT_KIND, CHECKPOINT_VERSION, err);

    if (status)
        return status;
    status = check(t, bundle, path, err);
    if (!status)
        status = t->options.optimizer == LCF_TRAIN_SGD
                     ? get_sgd(t, bundle, err)
                     : lcf_checkpoint_get(&t->params, &t->adam, bundle, err);
    lcf_bundle_close(bundle);
    return status;
}
