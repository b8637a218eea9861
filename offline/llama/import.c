/* Import of published LLaMA weights; see the header. */
#include "offline/llama/import.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct import {
    const char *dir;
    json_t *config;
    lcf_safetensors *tensors;
    lcf_gguf *vocabulary;
    lcf_llama model;
    float *block; /* all weights */
    size_t used;  /* of it, while they are read */
} import;

/* ---- config.json ---- */

static lcf_status size_of(size_t *out, const import *m, const char *key, size_t fallback,
                          lcf_err *err)
{
    const json_t *value = json_object_get(m->config, key);

    *out = fallback;
    if (!value || json_is_null(value)) {
        if (fallback)
            return LCF_OK;
        return LCF_FAIL(err, LCF_EFORMAT, "%s/config.json: no %s", m->dir, key);
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > 1 << 24)
        return LCF_FAIL(err, LCF_EFORMAT, "%s/config.json: %s must be a whole number", m->dir, key);
    *out = (size_t)json_integer_value(value);
    return LCF_OK;
}

static lcf_status number_of(float *out, const import *m, const char *key, double fallback,
                            lcf_err *err)
{
    const json_t *value = json_object_get(m->config, key);

    *out = (float)fallback;
    if (!value || json_is_null(value))
        return LCF_OK;
    if (!json_is_number(value) || !(json_number_value(value) > 0.0))
        return LCF_FAIL(err, LCF_EFORMAT, "%s/config.json: %s must be a number above 0", m->dir,
                        key);
    *out = (float)json_number_value(value);
    return LCF_OK;
}

static lcf_status read_sizes(lcf_llama_config *c, const import *m, lcf_err *err)
{
    const struct {
        size_t *out;
        const char *key;
        size_t fallback;
    } sizes[] = {
        {&c->vocab_n, "vocab_size", 0},         {&c->dim, "hidden_size", 0},
        {&c->layers_n, "num_hidden_layers", 0}, {&c->heads_n, "num_attention_heads", 0},
        {&c->ffn_dim, "intermediate_size", 0},  {&c->context_n, "max_position_embeddings", 0}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !status; i++)
        status = size_of(sizes[i].out, m, sizes[i].key, sizes[i].fallback, err);
    if (!status)
        status = size_of(&c->kv_heads_n, m, "num_key_value_heads", c->heads_n, err);
    if (!status && c->dim < c->heads_n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s/config.json: %zu heads in a width of %zu", m->dir,
                          c->heads_n, c->dim);
    if (!status)
        status = size_of(&c->head_dim, m, "head_dim", c->dim / c->heads_n, err);
    if (!status && (c->head_dim % 2 || c->heads_n % c->kv_heads_n))
        status = LCF_FAIL(err, LCF_EFORMAT,
                          "%s/config.json: heads of %zu, %zu of them over %zu of keys and values",
                          m->dir, c->head_dim, c->heads_n, c->kv_heads_n);
    return status;
}

static lcf_status read_kind(lcf_llama_config *c, const import *m, lcf_err *err)
{
    const char *kind = json_string_value(json_object_get(m->config, "model_type"));
    const char *act = json_string_value(json_object_get(m->config, "hidden_act"));
    const json_t *scaling = json_object_get(m->config, "rope_scaling");

    if (!kind || (strcmp(kind, "llama") && strcmp(kind, "mistral") && strcmp(kind, "qwen2")))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "%s/config.json: model_type '%.40s'; llama, mistral and qwen2 can be read",
                        m->dir, kind ? kind : "(none)");
    if (act && strcmp(act, "silu"))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s/config.json: hidden_act '%.40s', not silu",
                        m->dir, act);
    if (scaling && !json_is_null(scaling))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s/config.json: rope_scaling cannot be imported",
                        m->dir);
    c->rope_halves = !strcmp(kind, "qwen2");
    if (json_is_true(json_object_get(m->config, "mlp_bias")) ||
        (!c->rope_halves && json_is_true(json_object_get(m->config, "attention_bias"))))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s/config.json: a %s with biases cannot be imported",
                        m->dir, kind);
    c->tied = json_is_true(json_object_get(m->config, "tie_word_embeddings"));
    return LCF_OK;
}

static lcf_status read_config(import *m, lcf_err *err)
{
    lcf_llama_config *c = &m->model.config;
    lcf_status status = lcf_json_load_in(&m->config, m->dir, "config.json", err);

    if (!status)
        status = read_kind(c, m, err);
    if (!status)
        status = read_sizes(c, m, err);
    if (!status)
        status = number_of(&c->rope_theta, m, "rope_theta", 10000.0, err);
    return status ? status : number_of(&c->norm_eps, m, "rms_norm_eps", 1e-6, err);
}

/* ---- tensors ---- */

static lcf_status take(const float **out, import *m, const char *name, size_t rows, size_t cols,
                       lcf_err *err)
{
    const lcf_safetensor *t = lcf_safetensors_find(m->tensors, name);
    size_t dims_n = rows ? 2 : 1, n = (rows ? rows : 1) * cols;
    float *values = m->block + m->used;

    if (lcf_stop_requested())
        return LCF_FAIL(err, LCF_ECANCELED, "%s: stopped; nothing was changed", m->dir);
    if (!t)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: no tensor %s", m->dir, name);
    if (t->dims_n != dims_n || t->dims[dims_n - 1] != cols || (rows && t->dims[0] != rows))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: tensor %s is %llu x %llu, not %zu x %zu", m->dir,
                        name, (unsigned long long)(t->dims_n ? t->dims[0] : 0),
                        (unsigned long long)(t->dims_n > 1 ? t->dims[1] : 1), rows ? rows : cols,
                        rows ? cols : 1);
    if (!lcf_safetensor_readable(t))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s: tensor %s is %s; F32, F16 and BF16 can be read",
                        m->dir, name, t->dtype);
    lcf_safetensor_widen(values, t, 0, n);
    m->used += n;
    *out = values;
    return LCF_OK;
}

static lcf_status take_matrix(lcf_llama_matrix *out, import *m, const char *name, size_t rows,
                              size_t cols, lcf_err *err)
{
    const float *values = NULL;
    lcf_status status = take(&values, m, name, rows, cols, err);

    *out = (lcf_llama_matrix){values, LCF_GGUF_F32, rows, cols};
    return status;
}

/* Row j d/2 + i of every head becomes row 2 i + j: the pairs that turn together stand together. */
static lcf_status interleave(lcf_llama_matrix *w, size_t head_dim, lcf_err *err)
{
    size_t n = head_dim * w->cols;
    float *head = lcf_alloc(n, sizeof(*head));
    float *values = (float *)(uintptr_t)w->data; /* in the import's own block */

    if (!head)
        return LCF_FAIL(err, LCF_ENOMEM, "a head of %zu x %zu", head_dim, w->cols);
    for (size_t at = 0; at < w->rows * w->cols; at += n) {
        memcpy(head, values + at, n * sizeof(*head));
        for (size_t row = 0; row < head_dim; row++) {
            size_t from = row % 2 * (head_dim / 2) + row / 2;
            memcpy(values + at + row * w->cols, head + from * w->cols, w->cols * sizeof(*head));
        }
    }
    free(head);
    return LCF_OK;
}

static lcf_status take_layer(import *m, size_t idx, lcf_err *err)
{
    const lcf_llama_config *c = &m->model.config;
    lcf_llama_layer *l = &m->model.layers[idx];
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    struct {
        const char *name;
        lcf_llama_matrix *matrix;
        const float **vector;
        size_t rows, cols;
    } table[] = {{"input_layernorm.weight", NULL, &l->attn_norm, 0, c->dim},
                 {"post_attention_layernorm.weight", NULL, &l->ffn_norm, 0, c->dim},
                 {"self_attn.q_proj.weight", &l->wq, NULL, q, c->dim},
                 {"self_attn.k_proj.weight", &l->wk, NULL, kv, c->dim},
                 {"self_attn.v_proj.weight", &l->wv, NULL, kv, c->dim},
                 {"self_attn.o_proj.weight", &l->wo, NULL, c->dim, q},
                 {"mlp.gate_proj.weight", &l->w_gate, NULL, c->ffn_dim, c->dim},
                 {"mlp.up_proj.weight", &l->w_up, NULL, c->ffn_dim, c->dim},
                 {"mlp.down_proj.weight", &l->w_down, NULL, c->dim, c->ffn_dim},
                 {"self_attn.q_proj.bias", NULL, &l->bq, 0, q},
                 {"self_attn.k_proj.bias", NULL, &l->bk, 0, kv},
                 {"self_attn.v_proj.bias", NULL, &l->bv, 0, kv}};
    size_t n = sizeof(table) / sizeof(table[0]) - (c->rope_halves ? 0 : 3);
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        char name[96];
        snprintf(name, sizeof(name), "model.layers.%zu.%s", idx, table[i].name);
        status = table[i].matrix
                     ? take_matrix(table[i].matrix, m, name, table[i].rows, table[i].cols, err)
                     : take(table[i].vector, m, name, 0, table[i].cols, err);
    }
    if (!status && !c->rope_halves)
        status = interleave(&l->wq, c->head_dim, err);
    return status || c->rope_halves ? status : interleave(&l->wk, c->head_dim, err);
}

/* Room for every value that the files hold: more than is taken. */
static lcf_status allocate(import *m, lcf_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < lcf_safetensors_n(m->tensors); i++)
        if (!lcf_add_size(&n, n, lcf_safetensors_at(m->tensors, i)->n))
            return LCF_FAIL(err, LCF_ELIMIT, "%s: too many weights", m->dir);
    m->block = lcf_alloc_aligned(n + 1, sizeof(*m->block));
    m->model.layers = lcf_alloc_zero(m->model.config.layers_n, sizeof(*m->model.layers));
    if (!m->block || !m->model.layers)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu weights of %s", n, m->dir);
    return LCF_OK;
}

static lcf_status take_weights(import *m, lcf_err *err)
{
    lcf_llama *model = &m->model;
    const lcf_llama_config *c = &model->config;
    lcf_status status = allocate(m, err);

    if (!status)
        status =
            take_matrix(&model->embed, m, "model.embed_tokens.weight", c->vocab_n, c->dim, err);
    model->output = model->embed;
    if (!status && !c->tied)
        status = take_matrix(&model->output, m, "lm_head.weight", c->vocab_n, c->dim, err);
    if (!status)
        status = take(&model->final_norm, m, "model.norm.weight", 0, c->dim, err);
    for (size_t i = 0; i < c->layers_n && !status; i++)
        status = take_layer(m, i, err);
    return status;
}

/* ---- the file ---- */

lcf_status lcf_llama_import(const char *out, const char *dir, const char *tokenizer,
                            lcf_gguf_type type, lcf_err *err)
{
import m = {.dir = dir };
    lcf_status status = read_config(&m, err);

    if (!status)
        status = lcf_safetensors_open(&m.tensors, dir, err);
    if (!status)
        status = lcf_gguf_open(&m.vocabulary, tokenizer, err);
    if (!status)
        status = lcf_tokenizer_from_gguf(&m.model.tokenizer, m.vocabulary, err);
    if (!status && lcf_tokenizer_vocab_n(m.model.tokenizer) != m.model.config.vocab_n)
        status = LCF_FAIL(err, LCF_EINVAL, "%s has %zu pieces, %s/config.json a vocab_size of %zu",
                          tokenizer, lcf_tokenizer_vocab_n(m.model.tokenizer), dir,
                          m.model.config.vocab_n);
    if (!status)
        status = take_weights(&m, err);
    if (!status)
        status = lcf_llama_save(out, &m.model, type, "imported", err);
    lcf_tokenizer_free(m.model.tokenizer);
    lcf_gguf_close(m.vocabulary);
    lcf_safetensors_close(m.tensors);
    json_decref(m.config);
    free(m.model.layers);
    free(m.block);
    return status;
}
