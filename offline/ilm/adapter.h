/*
 * Adapters: what turns the collaborative vector of an item or a user into soft tokens of a language
 * model, K rows as wide as its embeddings.
 *
 *   mlp       CoLLM's: two layers, the hidden one ten times as wide as the vector
 *   qformer   ILM's: the queries of a Q-Former (qformer.h), each through one linear layer; its
 *             weights are random or those of phase 1
 *
 * Either ends in a LayerNorm whose gain begins at the root mean square of the model's embedding
 * table, so that a frozen model is given rows of a size that it knows.
 *
 * Life cycle: create or open -> forward on a tape (training), encode (inference) -> free. Read only
 * during a pass and shared between threads.
 *
 * source   CoLLM (Zhang et al. 2023), section 3.2; ILM, arXiv 2406.02844; schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_ADAPTER_H
#define LCF_OFFLINE_ILM_ADAPTER_H

#include "common/base/pool.h"
#include "offline/ilm/qformer.h"
#include "offline/ilm/vectors.h"
#include "offline/llama/llama.h"

#define LCF_ILM_VERSION 1        /* of the weights file, kind "ilm" */
#define LCF_ILM_HIDDEN_FACTOR 10 /* source: CoLLM's published settings */

typedef enum lcf_ilm_arm { LCF_ILM_MLP, LCF_ILM_QFORMER } lcf_ilm_arm;

typedef struct lcf_ilm_config {
    lcf_ilm_arm arm;
    uint32_t tokens;   /* K, soft tokens of an entity */
    uint32_t item_dim; /* of the collaborative vectors */
    uint32_t dim;      /* of the language model's embeddings */
    float item_scale;  /* mlp: vectors are multiplied by it first */
    char model_id[33]; /* of the language model that it was trained for */
} lcf_ilm_config;

typedef struct lcf_ilm_adapter lcf_ilm_adapter;

/* Random weights for vectors and a model; tokens K of an mlp. errors: ENOMEM */
lcf_status lcf_ilm_adapter_mlp(lcf_ilm_adapter **out, const lcf_llama *m, const lcf_cf_vectors *v,
                               size_t tokens, uint64_t seed, lcf_err *err);
/* The same over a Q-Former, which becomes the adapter's on success. errors: EINVAL it was
 * trained on other vectors; ENOMEM */
lcf_status lcf_ilm_adapter_qformer(lcf_ilm_adapter **out, const lcf_llama *m,
                                   const lcf_cf_vectors *v, lcf_qformer *qformer, uint64_t seed,
                                   lcf_err *err);
void lcf_ilm_adapter_free(lcf_ilm_adapter *a);
const lcf_ilm_config *lcf_ilm_adapter_config(const lcf_ilm_adapter *a);

/* A weights file. errors of open: as lcf_bundle_open; EFORMAT */
lcf_status lcf_ilm_adapter_open(lcf_ilm_adapter **out, const char *path, lcf_err *err);
lcf_status lcf_ilm_adapter_save(const lcf_ilm_adapter *a, const char *path, lcf_err *err);
/* errors: EINVAL it was trained for another model, or on other vectors */
lcf_status lcf_ilm_adapter_check(const lcf_ilm_adapter *a, const lcf_llama *m,
                                 const lcf_cf_vectors *v, lcf_err *err);

/* Its parameters: part 0 is its own, part 1 the Q-Former's; NULL when there is no such part. */
#define LCF_ILM_PARTS_N 2
lcf_params *lcf_ilm_adapter_params(lcf_ilm_adapter *a, size_t part);

typedef struct lcf_ilm_pass {
    lcf_tape *tape;
    const lcf_ilm_adapter *a;
    lcf_grads *grads[LCF_ILM_PARTS_N]; /* of the parts; NULL on a tape that does not record */
    lcf_rng *rng;                      /* of dropout */
} lcf_ilm_pass;

/* shapes: vectors [n, item_dim], must outlive the step -> [n * tokens, dim]. errors: sticky on the
 * tape */
lcf_tensor *lcf_ilm_adapter_forward(const lcf_ilm_pass *p, const float *vectors, size_t n);

/*
 * The soft tokens of all entities, in their order: the table that a session or a trainer takes.
 *
 * shapes   out [entities, tokens, dim]
 * errors   ENOMEM
 * threads  an entity's rows depend on its vector alone: the same bits at any number
 */
lcf_status lcf_ilm_adapter_table(float *out, const lcf_ilm_adapter *a, const lcf_cf_vectors *v,
                                 lcf_pool *pool, lcf_err *err);

#endif
