/* Adapters; see the header. Invariant: inference is the forward pass of training on a tape that
 * does not record, but for the Q-Former's queries, which have a path of their own. */
#include "offline/ilm/adapter.h"

#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "common/nn/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_BLOCK = 64 }; /* entities of a task */
enum { CONFIG_N = 4 };

#define NORM_EPS 1e-5f

struct lcf_ilm_adapter {
    lcf_ilm_config config;
    lcf_qformer *qformer; /* NULL for an mlp */
    lcf_params params;
    size_t w1, b1, w2, b2; /* of the mlp; w2 and b2 alone over a Q-Former */
    size_t norm, bias;
};

/* ---- life cycle ---- */

void lcf_ilm_adapter_free(lcf_ilm_adapter *a)
{
    if (!a)
        return;
    lcf_qformer_free(a->qformer);
    lcf_params_dispose(&a->params);
    free(a);
}

const lcf_ilm_config *lcf_ilm_adapter_config(const lcf_ilm_adapter *a)
{
    return &a->config;
}

lcf_params *lcf_ilm_adapter_params(lcf_ilm_adapter *a, size_t part)
{
    if (part == 0)
        return &a->params;
    return a->qformer ? lcf_qformer_params(a->qformer) : NULL;
}

static lcf_status add(size_t *idx, lcf_ilm_adapter *a, const char *name, size_t rows, size_t cols,
                      lcf_err *err)
{
    return lcf_params_add(idx, &a->params, name, (size_t[]){rows, cols}, cols ? 2 : 1, cols > 0,
                          err);
}

/* file: that the values will be read from, NULL: none. */
static lcf_status declare(lcf_ilm_adapter *a, const lcf_bundle *file, lcf_err *err)
{
    const lcf_ilm_config *c = &a->config;
    const size_t wide = (size_t)c->item_dim * LCF_ILM_HIDDEN_FACTOR;
    const size_t in = a->qformer ? lcf_qformer_config_of(a->qformer)->hidden : wide;
    const size_t out = a->qformer ? c->dim : (size_t)c->tokens * c->dim;
    lcf_status status = LCF_OK;

    if (!a->qformer) {
        status = add(&a->w1, a, "adapter.hidden.weight", wide, c->item_dim, err);
        if (!status)
            status = add(&a->b1, a, "adapter.hidden.bias", wide, 0, err);
    }
    if (!status)
        status = add(&a->w2, a, "adapter.out.weight", out, in, err);
    if (!status)
        status = add(&a->b2, a, "adapter.out.bias", out, 0, err);
    if (!status)
        status = add(&a->norm, a, "adapter.norm.weight", c->dim, 0, err);
    if (!status)
        status = add(&a->bias, a, "adapter.norm.bias", c->dim, 0, err);
    if (!status && file)
        status = lcf_checkpoint_fits(&a->params, file, err);
    return status ? status : lcf_params_seal(&a->params, err);
}

/* Of a configuration; takes the Q-Former (NULL: an mlp) on success. file: as declare's. */
static lcf_status adapter_new(lcf_ilm_adapter **out, const lcf_ilm_config *config,
                              lcf_qformer *qformer, const lcf_bundle *file, lcf_err *err)
{
    lcf_ilm_adapter *a = lcf_alloc_zero(1, sizeof(*a));
    lcf_status status;

    *out = NULL;
    if (!a)
        return LCF_FAIL(err, LCF_ENOMEM, "adapter");
    a->config = *config;
    a->qformer = qformer;
    lcf_params_init(&a->params);
    status = declare(a, file, err);
    if (!status) {
        *out = a;
        return LCF_OK;
    }
    a->qformer = NULL; /* still the caller's */
    lcf_ilm_adapter_free(a);
    return status;
}

/* Root mean square of a model's embeddings, over evenly spread rows. */
static lcf_status embedding_size(float *out, const lcf_llama *m, lcf_err *err)
{
    const size_t dim = m->config.dim, n = m->config.vocab_n < 1024 ? m->config.vocab_n : 1024;
    float *row = lcf_alloc(dim, sizeof(*row));
    double sum = 0;

    if (!row)
        return LCF_FAIL(err, LCF_ENOMEM, "an embedding of %zu", dim);
    for (size_t i = 0; i < n; i++) {
        lcf_llama_matrix_rows(row, &m->embed, i * m->config.vocab_n / n, 1);
        for (size_t d = 0; d < dim; d++)
            sum += (double)row[d] * (double)row[d];
    }
    *out = (float)sqrt(sum / (double)(n * dim));
    free(row);
    return LCF_OK;
}

static lcf_status fill(lcf_ilm_adapter *a, const lcf_llama *m, uint64_t seed, lcf_err *err)
{
    float size = 0;
    lcf_status status = embedding_size(&size, m, err);

    if (status)
        return status;
    if (!a->qformer)
        lcf_params_fill(&a->params, a->w1, LCF_INIT_XAVIER_UNIFORM, 1.0f, seed);
    lcf_params_fill(&a->params, a->w2, LCF_INIT_XAVIER_UNIFORM, 1.0f, seed);
    for (size_t i = 0; i < a->config.dim; i++)
        lcf_params_value(&a->params, a->norm)[i] = size;
    return LCF_OK;
}

static lcf_status create(lcf_ilm_adapter **out, lcf_ilm_config config, const lcf_llama *m,
                         const lcf_cf_vectors *v, lcf_qformer *qformer, uint64_t seed, lcf_err *err)
{
    lcf_status status;

    config.item_dim = (uint32_t)v->dim;
    config.dim = (uint32_t)m->config.dim;
    config.item_scale = v->scale;
    memcpy(config.model_id, m->id, sizeof(config.model_id));
    status = adapter_new(out, &config, qformer, NULL, err);
    if (!status)
        status = fill(*out, m, seed, err);
    if (status && *out) {
        (*out)->qformer = NULL;
        lcf_ilm_adapter_free(*out);
        *out = NULL;
    }
    return status;
}

lcf_status lcf_ilm_adapter_mlp(lcf_ilm_adapter **out, const lcf_llama *m, const lcf_cf_vectors *v,
                               size_t tokens, uint64_t seed, lcf_err *err)
{
    const lcf_ilm_config config = {.arm = LCF_ILM_MLP, .tokens = (uint32_t)tokens};

    return create(out, config, m, v, NULL, seed, err);
}

lcf_status lcf_ilm_adapter_qformer(lcf_ilm_adapter **out, const lcf_llama *m,
                                   const lcf_cf_vectors *v, lcf_qformer *qformer, uint64_t seed,
                                   lcf_err *err)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(qformer);
    const lcf_ilm_config config = {.arm = LCF_ILM_QFORMER, .tokens = c->queries};
    lcf_status status = lcf_cf_vectors_check(v, c->item_dim, c->item_scale, "Q-Former", err);

    *out = NULL;
    return status ? status : create(out, config, m, v, qformer, seed, err);
}

/* ---- files ---- */

static lcf_status add_config(lcf_bundle_writer *w, const lcf_ilm_config *c, lcf_err *err)
{
    const uint32_t sizes[CONFIG_N] = {(uint32_t)c->arm, c->tokens, c->item_dim, c->dim};
    lcf_status status = lcf_bundle_add_1d(w, "config", LCF_U32, CONFIG_N, sizes, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "item_scale", LCF_F32, 1, &c->item_scale, err);
    return status ? status : lcf_bundle_add_text(w, "model", c->model_id, err);
}

lcf_status lcf_ilm_adapter_save(const lcf_ilm_adapter *a, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, "ilm", LCF_ILM_VERSION, err);

    if (status)
        return status;
    status = add_config(w, &a->config, err);
    if (!status)
        status = lcf_checkpoint_add(w, &a->params, NULL, err);
    if (!status && a->qformer)
        status = lcf_qformer_add_to(w, a->qformer, err);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status get_config(lcf_ilm_config *c, const lcf_bundle *b, const char *path, lcf_err *err)
{
    uint64_t n = CONFIG_N, one = 1;
    const void *sizes, *scale;
    uint32_t values[CONFIG_N];
    char *model = NULL;
    lcf_status status = lcf_bundle_get(&sizes, b, "config", LCF_U32, &n, 1, err);

    if (!status)
        status = lcf_bundle_get(&scale, b, "item_scale", LCF_F32, &one, 1, err);
    if (!status)
        status = lcf_bundle_get_text(&model, b, "model", err);
    if (status)
        return status;
    memcpy(values, sizes, sizeof(values));
    memset(c, 0, sizeof(*c));
    memcpy(&c->item_scale, scale, sizeof(c->item_scale));
    c->arm = (lcf_ilm_arm)values[0];
    c->tokens = values[1];
    c->item_dim = values[2];
    c->dim = values[3];
    if (values[0] > LCF_ILM_QFORMER || !c->tokens || c->tokens > 1024 || !c->item_dim ||
        c->item_dim > 65536 || !c->dim || c->dim > 65536 || !isfinite(c->item_scale) ||
        strlen(model) >= sizeof(c->model_id))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: a configuration of no adapter", path);
    else
        memcpy(c->model_id, model, strlen(model));
    free(model);
    return status;
}

/* The Q-Former that is in the file, as the configuration says. */
static lcf_status get_qformer(lcf_qformer **out, const lcf_ilm_config *c, const lcf_bundle *b,
                              const char *path, lcf_err *err)
{
    lcf_status status;

    *out = NULL;
    if (c->arm != LCF_ILM_QFORMER)
        return LCF_OK;
    status = lcf_qformer_get_from(out, b, err);
    if (!status && (lcf_qformer_config_of(*out)->queries != c->tokens ||
                    lcf_qformer_config_of(*out)->item_dim != c->item_dim))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: its Q-Former has other sizes than it says", path);
    return status;
}

lcf_status lcf_ilm_adapter_open(lcf_ilm_adapter **out, const char *path, lcf_err *err)
{
    lcf_bundle *b;
    lcf_qformer *qformer = NULL;
    lcf_ilm_config config;
    lcf_status status = lcf_bundle_open(&b, path, "ilm", LCF_ILM_VERSION, err);

    *out = NULL;
    if (status)
        return status;
    status = get_config(&config, b, path, err);
    if (!status)
        status = get_qformer(&qformer, &config, b, path, err);
    if (!status)
        status = adapter_new(out, &config, qformer, b, err);
    if (!status)
        qformer = NULL;
    if (!status)
        status = lcf_checkpoint_get(&(*out)->params, NULL, b, err);
    if (!status)
        status = lcf_params_check_finite(&(*out)->params, err);
    if (status) {
        lcf_ilm_adapter_free(*out);
        *out = NULL;
    }
    lcf_qformer_free(qformer);
    lcf_bundle_close(b);
    return status;
}

lcf_status lcf_ilm_adapter_check(const lcf_ilm_adapter *a, const lcf_llama *m,
                                 const lcf_cf_vectors *v, lcf_err *err)
{
    if (a->config.dim != m->config.dim || strcmp(a->config.model_id, m->id) != 0)
        return LCF_FAIL(err, LCF_EINVAL,
                        "the adapter was trained for another language model (%s, embeddings of %u) "
                        "than this one (%s, of %zu)",
                        a->config.model_id, a->config.dim, m->id, m->config.dim);
    return lcf_cf_vectors_check(v, a->config.item_dim, a->config.item_scale, "adapter", err);
}

/* ---- forward ---- */

static lcf_tensor *param(const lcf_ilm_pass *p, size_t idx)
{
    return lcf_tape_param(p->tape, &p->a->params, p->grads[0], idx);
}

/* [n, item_dim] -> [n, tokens * dim] */
static lcf_tensor *mlp(const lcf_ilm_pass *p, const float *vectors, size_t n)
{
    const lcf_ilm_adapter *a = p->a;
    const size_t shape[2] = {n, a->config.item_dim};
    lcf_tensor *x = lcf_tape_input(p->tape, vectors, shape, 2);

    x = lcf_op_scale(p->tape, x, a->config.item_scale);
    x = lcf_op_linear_relu(p->tape, x, param(p, a->w1), param(p, a->b1));
    return lcf_op_linear(p->tape, x, param(p, a->w2), param(p, a->b2));
}

/* Rows [n * tokens, dim] of the size of the model's own. */
static lcf_tensor *normalised(const lcf_ilm_pass *p, lcf_tensor *x, size_t n)
{
    const lcf_ilm_adapter *a = p->a;
    const size_t shape[2] = {n * a->config.tokens, a->config.dim};

    x = lcf_op_reshape(p->tape, x, shape, 2);
    return lcf_op_layernorm(p->tape, x, param(p, a->norm), param(p, a->bias), NORM_EPS);
}

lcf_tensor *lcf_ilm_adapter_forward(const lcf_ilm_pass *p, const float *vectors, size_t n)
{
    const lcf_ilm_adapter *a = p->a;
    lcf_tensor *x;

    if (!a->qformer)
        return normalised(p, mlp(p, vectors, n), n);
    x = lcf_qformer_queries(&(lcf_qformer_pass){p->tape, a->qformer, p->grads[1], p->rng}, vectors,
                            n);
    return normalised(p, lcf_op_linear(p->tape, x, param(p, a->w2), param(p, a->b2)), n);
}

/* ---- inference ---- */

typedef struct table_job {
    float *out;
    const lcf_ilm_adapter *a;
    const lcf_cf_vectors *v;
    lcf_tape **tapes; /* [threads] */
} table_job;

/* From the queries of a block, or from its vectors. */
static lcf_status block_rows(float *out, const lcf_ilm_pass *p, const float *vectors, size_t n,
                             lcf_err *err)
{
    const lcf_ilm_adapter *a = p->a;
    float *queries = NULL;
    lcf_tensor *rows;
    lcf_status status = LCF_OK;

    if (a->qformer) {
        const size_t hidden = lcf_qformer_config_of(a->qformer)->hidden;
        const size_t shape[2] = {n * a->config.tokens, hidden};

        queries = lcf_tape_alloc(p->tape, n * a->config.tokens, hidden * sizeof(*queries));
        status = queries ? lcf_qformer_encode(queries, a->qformer, vectors, n, err)
                         : LCF_FAIL(err, LCF_ENOMEM, "queries of %zu vectors", n);
        if (status)
            return status;
        rows = lcf_op_linear(p->tape, lcf_tape_input(p->tape, queries, shape, 2), param(p, a->w2),
                             param(p, a->b2));
    } else {
        rows = mlp(p, vectors, n);
    }
    rows = normalised(p, rows, n);
    status = lcf_tape_status(p->tape);
    if (status)
        return LCF_FAIL(err, status, "soft tokens of %zu vectors", n);
    memcpy(out, rows->data, rows->n * sizeof(*out));
    return LCF_OK;
}

static lcf_status table_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const table_job *job = arg;
    const lcf_ilm_config *c = &job->a->config;
    const size_t first = task * TABLE_BLOCK, left = lcf_cf_entities(job->v) - first;
    const lcf_ilm_pass p = {.tape = job->tapes[worker], .a = job->a};

    lcf_tape_reset(p.tape, false);
    return block_rows(job->out + first * c->tokens * c->dim, &p,
                      job->v->values + first * c->item_dim, left < TABLE_BLOCK ? left : TABLE_BLOCK,
                      err);
}

lcf_status lcf_ilm_adapter_table(float *out, const lcf_ilm_adapter *a, const lcf_cf_vectors *v,
                                 lcf_pool *pool, lcf_err *err)
{
    const size_t threads = lcf_pool_threads(pool), n = lcf_cf_entities(v);
    table_job job = {out, a, v, lcf_alloc_zero(threads, sizeof(*job.tapes))};
    lcf_status status = job.tapes ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu tapes", threads);

    for (size_t i = 0; i < threads && !status; i++)
        status = lcf_tape_create(&job.tapes[i], err);
    if (!status)
        status = lcf_pool_run(pool, (n + TABLE_BLOCK - 1) / TABLE_BLOCK, table_task, &job, err);
    for (size_t i = 0; job.tapes && i < threads; i++)
        lcf_tape_free(job.tapes[i]);
    free(job.tapes);
    return status;
}
