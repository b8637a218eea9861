/*
 * A LLaMA's weights: opening a GGUF and writing one.
 *
 * What tensors there are, how they are named and shaped and where they go is said once, in
 * spec_at: loading, saving and the check for unknown tensors all walk that table.
 */
#include "offline/llama/llama.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MAX_CONFIG = 1 << 24 }; /* of any single size: a product of two stays below 2^48 */

typedef struct tensor_spec {
    char name[64];
    size_t rows, cols;        /* rows = 1 for a vector */
    lcf_llama_matrix *matrix; /* where it goes: one of the two */
    const float **vector;
    bool optional; /* NULL, or the embedding for the output, where the file has none */
} tensor_spec;

enum { MODEL_TENSORS = 4, LAYER_TENSORS = 12, LAYER_TENSORS_MIN = 9 };

static size_t specs_n(const lcf_llama_config *c)
{
    return MODEL_TENSORS + LAYER_TENSORS * c->layers_n;
}

static tensor_spec layer_spec(lcf_llama *m, size_t layer, size_t which)
{
    const lcf_llama_config *c = &m->config;
    lcf_llama_layer *l = &m->layers[layer];
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    const struct {
        const char *name;
        size_t rows, cols;
        lcf_llama_matrix *matrix;
        const float **vector;
        bool optional;
    } table[LAYER_TENSORS] = {
        {"attn_norm.weight", 1, c->dim, NULL, &l->attn_norm, false},
        {"attn_q.weight", q, c->dim, &l->wq, NULL, false},
        {"attn_k.weight", kv, c->dim, &l->wk, NULL, false},
        {"attn_v.weight", kv, c->dim, &l->wv, NULL, false},
        {"attn_output.weight", c->dim, q, &l->wo, NULL, false},
        {"ffn_norm.weight", 1, c->dim, NULL, &l->ffn_norm, false},
        {"ffn_gate.weight", c->ffn_dim, c->dim, &l->w_gate, NULL, false},
        {"ffn_up.weight", c->ffn_dim, c->dim, &l->w_up, NULL, false},
        {"ffn_down.weight", c->dim, c->ffn_dim, &l->w_down, NULL, false},
        {"attn_q.bias", 1, q, NULL, &l->bq, !c->rope_halves},
        {"attn_k.bias", 1, kv, NULL, &l->bk, !c->rope_halves},
        {"attn_v.bias", 1, kv, NULL, &l->bv, !c->rope_halves},
    };
    tensor_spec spec = {{0},
                        table[which].rows,
                        table[which].cols,
                        table[which].matrix,
                        table[which].vector,
                        table[which].optional};

    snprintf(spec.name, sizeof(spec.name), "blk.%zu.%s", layer, table[which].name);
    return spec;
}

static tensor_spec spec_at(lcf_llama *m, size_t idx)
{
    const lcf_llama_config *c = &m->config;

    switch (idx) {
    case 0:
        return (tensor_spec){"token_embd.weight", c->vocab_n, c->dim, &m->embed, NULL, false};
    case 1:
        return (tensor_spec){"output_norm.weight", 1, c->dim, NULL, &m->final_norm, false};
    case 2:
        return (tensor_spec){"output.weight", c->vocab_n, c->dim, &m->output, NULL, true};
    case 3:
        return (tensor_spec){"rope_freqs.weight", 1, c->head_dim / 2, NULL, &m->rope_factors, true};
    default:
        idx -= MODEL_TENSORS;
        return layer_spec(m, idx / LAYER_TENSORS, idx % LAYER_TENSORS);
    }
}

/* ---- opening ------------------------------------------------------------------------------ */

/* The keys of an architecture: "<architecture>.<name>". */
typedef struct config_reader { /* also serves to write them */
    const lcf_gguf *g;
    const char *architecture;
    char key[96];
    lcf_err *err;
} config_reader;

static const char *key_of(config_reader *r, const char *name)
{
    snprintf(r->key, sizeof(r->key), "%s.%s", r->architecture, name);
    return r->key;
}

/* A size, 1 .. SIZE_MAX_CONFIG; `missing` where there is no such key (0: it must be there). */
static lcf_status read_size(size_t *out, config_reader *r, const char *name, size_t missing)
{
    const char *key = key_of(r, name);
    uint64_t value = missing;
    lcf_status status = lcf_gguf_u64(&value, r->g, key, NULL);

    if (status && (status != LCF_ENOTFOUND || !missing)) {
        status = lcf_gguf_u64(&value, r->g, key, r->err);
        return status == LCF_ENOTFOUND ? LCF_FAIL(r->err, LCF_EFORMAT, "key '%s' is missing", key)
                                       : status;
    }
    if (!value || value > SIZE_MAX_CONFIG)
        return LCF_FAIL(r->err, LCF_EFORMAT, "key '%s': %llu is not in 1 .. %d", key,
                        (unsigned long long)value, SIZE_MAX_CONFIG);
    *out = (size_t)value;
    return LCF_OK;
}

static lcf_status read_positive(float *out, config_reader *r, const char *name, double missing)
{
    const char *key = key_of(r, name);
    double value = missing;
    lcf_status status = lcf_gguf_f64(&value, r->g, key, NULL);

    if (status && (status != LCF_ENOTFOUND || missing <= 0)) {
        status = lcf_gguf_f64(&value, r->g, key, r->err);
        return status == LCF_ENOTFOUND ? LCF_FAIL(r->err, LCF_EFORMAT, "key '%s' is missing", key)
                                       : status;
    }
    if (!(value > 0 && value < 1e30))
        return LCF_FAIL(r->err, LCF_EFORMAT, "key '%s': %g is out of range", key, value);
    *out = (float)value;
    return LCF_OK;
}

static bool str_is(lcf_str s, const char *text)
{
    return s.len == strlen(text) && !memcmp(s.data, text, s.len);
}

static int shown(lcf_str s)
{
    return (int)(s.len < 64 ? s.len : 64);
}

static lcf_status read_architecture(lcf_llama_config *c, config_reader *r)
{
    lcf_str text = {NULL, 0};
    uint64_t experts = 0;
    lcf_status status = lcf_gguf_string(&text, r->g, "general.architecture", r->err);

    if (status)
        return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
    if (!str_is(text, "llama") && !str_is(text, "qwen2"))
        return LCF_FAIL(r->err, LCF_EUNSUPPORTED,
                        "architecture '%.*s'; 'llama' and 'qwen2' are supported", shown(text),
                        text.data);
    c->rope_halves = str_is(text, "qwen2");
    r->architecture = c->rope_halves ? "qwen2" : "llama";
    if (!lcf_gguf_u64(&experts, r->g, key_of(r, "expert_count"), NULL) && experts)
        return LCF_FAIL(r->err, LCF_EUNSUPPORTED, "%s %llu: mixtures of experts", r->key,
                        (unsigned long long)experts);
    return LCF_OK;
}

static lcf_status read_llama3_scaling(lcf_llama_config *c, config_reader *r)
{
    lcf_status status = read_positive(&c->rope_low_freq, r, "rope.scaling.low_freq_factor", 1);

    c->rope_scaling = LCF_ROPE_LLAMA3;
    if (!status)
        status = read_positive(&c->rope_high_freq, r, "rope.scaling.high_freq_factor", 4);
    if (!status)
        status = read_size(&c->rope_original_n, r, "rope.scaling.original_context_length", 0);
    if (!status && c->rope_high_freq <= c->rope_low_freq)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s: frequency factors %g and %g are out of order",
                        r->architecture, (double)c->rope_low_freq, (double)c->rope_high_freq);
    return status;
}

/* Files of today say rope.scaling.type, older ones rope.scale_linear alone. */
static lcf_status read_scaling(lcf_llama_config *c, config_reader *r)
{
    lcf_str type = {"none", 4};
    lcf_status status = lcf_gguf_string(&type, r->g, key_of(r, "rope.scaling.type"), NULL);

    if (status == LCF_ENOTFOUND) {
        status = read_positive(&c->rope_factor, r, "rope.scale_linear", 1);
        c->rope_scaling = c->rope_factor != 1 ? LCF_ROPE_LINEAR : LCF_ROPE_PLAIN;
        return status;
    }
    if (status)
        return lcf_gguf_string(&type, r->g, r->key, r->err);
    if (str_is(type, "none"))
        return LCF_OK;
    if (!str_is(type, "linear") && !str_is(type, "llama3"))
        return LCF_FAIL(r->err, LCF_EUNSUPPORTED,
                        "%s '%.*s'; none, linear and llama3 are supported", r->key, shown(type),
                        type.data);
    c->rope_scaling = LCF_ROPE_LINEAR;
    status = read_positive(&c->rope_factor, r, "rope.scaling.factor", 0);
    return status || str_is(type, "linear") ? status : read_llama3_scaling(c, r);
}

static lcf_status check_heads(const lcf_llama_config *c, config_reader *r)
{
    size_t rotated = 0, value_dim = 0;
    lcf_status status = read_size(&rotated, r, "rope.dimension_count", c->head_dim);

    if (!status)
        status = read_size(&value_dim, r, "attention.value_length", c->head_dim);
    if (status)
        return status;
    if (c->heads_n % c->kv_heads_n)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%zu heads do not share %zu key-value heads evenly",
                        c->heads_n, c->kv_heads_n);
    if (rotated != c->head_dim || value_dim != c->head_dim || c->head_dim % 2)
        return LCF_FAIL(r->err, LCF_EUNSUPPORTED,
                        "head size %zu with %zu rotated and values of %zu; they must be equal and "
                        "even",
                        c->head_dim, rotated, value_dim);
    return LCF_OK;
}

/* A token that sees no farther than a window sees everything within a context of that size. */
static lcf_status limit_to_window(lcf_llama_config *c, config_reader *r)
{
    size_t window = 0;
    lcf_status status = read_size(&window, r, "attention.sliding_window", c->context_n);

    if (!status && window < c->context_n)
        c->context_n = window;
    return status;
}

static lcf_status read_config(lcf_llama_config *c, const lcf_gguf *g, lcf_err *err)
{
    config_reader r = {.g = g, .err = err};
    lcf_status status = read_architecture(c, &r);

    if (!status)
        status = read_size(&c->context_n, &r, "context_length", 0);
    if (!status)
        status = limit_to_window(c, &r);
    if (!status)
        status = read_size(&c->dim, &r, "embedding_length", 0);
    if (!status)
        status = read_size(&c->layers_n, &r, "block_count", 0);
    if (!status)
        status = read_size(&c->ffn_dim, &r, "feed_forward_length", 0);
    if (!status)
        status = read_size(&c->heads_n, &r, "attention.head_count", 0);
    if (!status)
        status = read_size(&c->kv_heads_n, &r, "attention.head_count_kv", c->heads_n);
    if (!status)
        status = read_size(&c->head_dim, &r, "attention.key_length",
                           c->dim / c->heads_n ? c->dim / c->heads_n : 1);
    if (!status)
        status = read_positive(&c->norm_eps, &r, "attention.layer_norm_rms_epsilon", 0);
    if (!status)
        status = read_positive(&c->rope_theta, &r, "rope.freq_base", 10000);
    if (!status)
        status = read_scaling(c, &r);
    if (!status)
        status = check_heads(c, &r);
    if (!status && c->layers_n > lcf_gguf_tensors_n(g) / LAYER_TENSORS_MIN)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu layers, but only %zu tensors", c->layers_n,
                        lcf_gguf_tensors_n(g));
    return status;
}

static lcf_status check_tensor(const lcf_gguf_tensor *t, const tensor_spec *spec, lcf_err *err)
{
    uint64_t rows = t->dims_n > 1 ? t->dims[1] : 1;

    if (t->dims_n > 2 || t->dims[0] != spec->cols || rows != spec->rows)
        return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s' is [%llu, %llu], not [%zu, %zu]", t->name,
                        (unsigned long long)rows, (unsigned long long)t->dims[0], spec->rows,
                        spec->cols);
    if (!lcf_gguf_type_readable(t->type))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "tensor '%s' is of type %s, which cannot be read",
                        t->name, lcf_gguf_type_name(t->type));
    return LCF_OK;
}

/* Checks what the table wants, and marks it in `seen`. */
static lcf_status check_wanted(lcf_llama *m, size_t *widened_n, bool *seen, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < specs_n(&m->config) && !status; i++) {
        tensor_spec spec = spec_at(m, i);
        const lcf_gguf_tensor *t = lcf_gguf_tensor_find(m->gguf, spec.name);
        if (!t && spec.optional)
            continue;
        if (!t)
            return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s' is missing", spec.name);
        status = check_tensor(t, &spec, err);
        seen[t - lcf_gguf_tensor_at(m->gguf, 0)] = true;
        if (spec.vector && t->type != LCF_GGUF_F32 && !lcf_add_size(widened_n, *widened_n, t->n))
            return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s': size overflows", spec.name);
    }
    return status;
}

/* Every tensor of the file must be one of ours: one that we passed over would change the result. */
static lcf_status check_tensors(lcf_llama *m, size_t *widened_n, lcf_err *err)
{
    size_t tensors_n = lcf_gguf_tensors_n(m->gguf);
    bool *seen = lcf_alloc_zero(tensors_n ? tensors_n : 1, sizeof(*seen));
    lcf_status status;

    if (!seen)
        return LCF_FAIL(err, LCF_ENOMEM, "marks for %zu tensors", tensors_n);
    *widened_n = 0;
    m->config.tied = !lcf_gguf_tensor_find(m->gguf, "output.weight");
    status = check_wanted(m, widened_n, seen, err);
    for (size_t i = 0; i < tensors_n && !status; i++)
        if (!seen[i])
            status = LCF_FAIL(err, LCF_EUNSUPPORTED, "tensor '%s' is no part of a LLaMA or Qwen 2",
                              lcf_gguf_tensor_at(m->gguf, i)->name);
    free(seen);
    return status;
}

/* Points every slot into the map; vectors of other types to their copy as f32. */
static lcf_status bind_tensors(lcf_llama *m, size_t widened_n, lcf_err *err)
{
    float *next;

    if (widened_n) {
        m->widened = lcf_alloc_aligned(widened_n, sizeof(*m->widened));
        if (!m->widened)
            return LCF_FAIL(err, LCF_ENOMEM, "%zu weights as f32", widened_n);
    }
    next = m->widened;
    for (size_t i = 0; i < specs_n(&m->config); i++) {
        tensor_spec spec = spec_at(m, i);
        const lcf_gguf_tensor *t = lcf_gguf_tensor_find(m->gguf, spec.name);
        if (!t) {
            if (spec.matrix)
                *spec.matrix = m->embed; /* tied */
        } else if (spec.matrix) {
            *spec.matrix = (lcf_llama_matrix){t->data, t->type, spec.rows, spec.cols};
        } else if (t->type == LCF_GGUF_F32) {
            *spec.vector = t->data;
        } else {
            lcf_gguf_dequantize(next, t, 0, t->n);
            *spec.vector = next;
            next += t->n;
        }
    }
    return LCF_OK;
}

void lcf_llama_matrix_rows(float *out, const lcf_llama_matrix *w, size_t first, size_t n)
{
    const lcf_gguf_tensor t = {.type = w->type, .data = w->data, .n = w->rows * w->cols};

    lcf_gguf_dequantize(out, &t, first * w->cols, n * w->cols);
}

/* What single tensors cannot show: biases everywhere or nowhere, and factors that divide. */
static lcf_status check_options(const lcf_llama *m, lcf_err *err)
{
    bool biased = m->layers[0].bq != NULL;

    for (size_t i = 0; i < m->config.layers_n; i++) {
        const lcf_llama_layer *l = &m->layers[i];
        if ((l->bq != NULL) != biased || (l->bk != NULL) != biased || (l->bv != NULL) != biased)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "layer %zu: biases of q, k and v must stand in every layer or in none",
                            i);
    }
    for (size_t i = 0; m->rope_factors && i < m->config.head_dim / 2; i++)
        if (!(m->rope_factors[i] > 0 && m->rope_factors[i] < 1e30f))
            return LCF_FAIL(err, LCF_EFORMAT, "tensor 'rope_freqs.weight': factor %g",
                            (double)m->rope_factors[i]);
    return LCF_OK;
}

static lcf_status load(lcf_llama *m, const char *path, lcf_err *err)
{
    size_t widened_n = 0;
    lcf_status status = lcf_gguf_open(&m->gguf, path, err);

    if (status)
        return status; /* names the file itself */
    status = read_config(&m->config, m->gguf, err);
    if (!status)
        status = lcf_tokenizer_from_gguf(&m->tokenizer, m->gguf, err);
    if (!status) {
        m->config.vocab_n = lcf_tokenizer_vocab_n(m->tokenizer);
        m->layers = lcf_alloc_zero(m->config.layers_n, sizeof(*m->layers));
        status = m->layers ? check_tensors(m, &widened_n, err)
                           : LCF_FAIL(err, LCF_ENOMEM, "table of %zu layers", m->config.layers_n);
    }
    if (!status)
        status = bind_tensors(m, widened_n, err);
    if (!status)
        status = check_options(m, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        return status;
    }
    lcf_gguf_id(m->id, m->gguf);
    return LCF_OK;
}

lcf_status lcf_llama_open(lcf_llama **out, const char *path, lcf_err *err)
{
    lcf_llama *m = NULL;
    lcf_status status;

    *out = NULL;
    m = lcf_alloc_zero(1, sizeof(*m));
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: model handle", path);
    status = load(m, path, err);
    if (!status) {
        *out = m;
        m = NULL;
    }
    lcf_llama_close(m);
    return status;
}

void lcf_llama_close(lcf_llama *m)
{
    if (!m)
        return;
    lcf_tokenizer_free(m->tokenizer);
    lcf_gguf_close(m->gguf);
    free(m->widened);
    free(m->layers);
    free(m);
}

/* ---- saving ------------------------------------------------------------------------------- */

static lcf_status save_size(lcf_gguf_writer *w, config_reader *r, const char *name, size_t value)
{
    if (value > UINT32_MAX)
        return LCF_FAIL(r->err, LCF_EINVAL, "%s is too large", key_of(r, name));
    return lcf_gguf_add_u32(w, key_of(r, name), (uint32_t)value, r->err);
}

static lcf_status save_scaling(lcf_gguf_writer *w, config_reader *r, const lcf_llama_config *c)
{
    bool llama3 = c->rope_scaling == LCF_ROPE_LLAMA3;
    lcf_status status = LCF_OK;

    if (c->rope_scaling == LCF_ROPE_PLAIN)
        return LCF_OK;
    status = lcf_gguf_add_string(w, key_of(r, "rope.scaling.type"), llama3 ? "llama3" : "linear",
                                 r->err);
    if (!status)
        status = lcf_gguf_add_f32(w, key_of(r, "rope.scaling.factor"), c->rope_factor, r->err);
    if (!status && llama3)
        status = lcf_gguf_add_f32(w, key_of(r, "rope.scaling.low_freq_factor"), c->rope_low_freq,
                                  r->err);
    if (!status && llama3)
        status = lcf_gguf_add_f32(w, key_of(r, "rope.scaling.high_freq_factor"), c->rope_high_freq,
                                  r->err);
    if (!status && llama3)
        status = save_size(w, r, "rope.scaling.original_context_length", c->rope_original_n);
    return status;
}

static lcf_status save_config(lcf_gguf_writer *w, const lcf_llama_config *c, lcf_gguf_type type,
                              const char *name, lcf_err *err)
{
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {
        {"vocab_size", c->vocab_n},
        {"context_length", c->context_n},
        {"embedding_length", c->dim},
        {"block_count", c->layers_n},
        {"feed_forward_length", c->ffn_dim},
        {"attention.head_count", c->heads_n},
        {"attention.head_count_kv", c->kv_heads_n},
        {"attention.key_length", c->head_dim},
        {"attention.value_length", c->head_dim},
        {"rope.dimension_count", c->head_dim},
    };
    config_reader r = {.architecture = c->rope_halves ? "qwen2" : "llama", .err = err};
    lcf_status status = lcf_gguf_add_string(w, "general.architecture", r.architecture, err);

    if (!status)
        status = lcf_gguf_add_string(w, "general.name", name, err);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && !status; i++)
        status = save_size(w, &r, sizes[i].name, sizes[i].value);
    if (!status)
        status = lcf_gguf_add_u32(w, "general.file_type", lcf_gguf_file_type(type), err);
    if (!status)
        status = lcf_gguf_add_u32(w, "general.quantization_version", 2, err);
    if (!status)
        status =
            lcf_gguf_add_f32(w, key_of(&r, "attention.layer_norm_rms_epsilon"), c->norm_eps, err);
    if (!status)
        status = lcf_gguf_add_f32(w, key_of(&r, "rope.freq_base"), c->rope_theta, err);
    return status ? status : save_scaling(w, &r, c);
}

/* Norms stay F32; a row that the type's blocks do not divide becomes F16, as elsewhere. */
static lcf_gguf_type type_of(const tensor_spec *spec, lcf_gguf_type type)
{
    if (spec->rows == 1)
        return LCF_GGUF_F32;
    return spec->cols % lcf_gguf_type_block(type) ? LCF_GGUF_F16 : type;
}

static bool is_saved(const tensor_spec *spec, const lcf_llama *view)
{
    if (spec->vector)
        return *spec->vector != NULL;
    return spec->matrix != &view->output || !view->config.tied;
}

/* Values of matrices that are not f32, for the writer, which wants all of them until it commits. */
static lcf_status widen_matrices(float **out, lcf_llama *view, lcf_err *err)
{
    size_t total = 0;
    float *next;

    *out = NULL;
    for (size_t i = 0; i < specs_n(&view->config); i++) {
        tensor_spec spec = spec_at(view, i);
        if (spec.matrix && spec.matrix->type != LCF_GGUF_F32 && is_saved(&spec, view))
            total += spec.rows * spec.cols;
    }
    if (!total)
        return LCF_OK;
    *out = next = lcf_alloc_aligned(total, sizeof(**out));
    if (!next)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu weights as f32", total);
    for (size_t i = 0; i < specs_n(&view->config); i++) {
        tensor_spec spec = spec_at(view, i);
        if (!spec.matrix || spec.matrix->type == LCF_GGUF_F32 || !is_saved(&spec, view))
            continue;
        lcf_llama_matrix_rows(next, spec.matrix, 0, spec.rows);
        *spec.matrix = (lcf_llama_matrix){next, LCF_GGUF_F32, spec.rows, spec.cols};
        next += spec.rows * spec.cols;
    }
    return LCF_OK;
}

/* view: its matrices are F32. */
static lcf_status save_tensors(lcf_gguf_writer *w, lcf_llama *view, lcf_gguf_type type,
                               lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < specs_n(&view->config) && !status; i++) {
        tensor_spec spec = spec_at(view, i);
        uint64_t dims[2] = {spec.cols, spec.rows};
        if (is_saved(&spec, view))
            status = lcf_gguf_add_tensor(w, spec.name, type_of(&spec, type), dims,
                                         spec.rows == 1 ? 1 : 2,
                                         spec.matrix ? spec.matrix->data : *spec.vector, err);
    }
    return status;
}

/* A copy of the model whose slots can be changed. dispose: free(view->layers). */
static lcf_status copy_model(lcf_llama *view, const lcf_llama *m, lcf_err *err)
{
    size_t layers_n = m->config.layers_n;

    *view = *m;
    view->layers = lcf_alloc(layers_n, sizeof(*view->layers));
    if (!view->layers)
        return LCF_FAIL(err, LCF_ENOMEM, "table of %zu layers", layers_n);
    memcpy(view->layers, m->layers, layers_n * sizeof(*view->layers));
    return LCF_OK;
}

lcf_status lcf_llama_save(const char *path, const lcf_llama *m, lcf_gguf_type type,
                          const char *name, lcf_err *err)
{
    lcf_gguf_writer *w = NULL;
    float *widened = NULL;
    lcf_llama view;
    lcf_status status;

    if (lcf_tokenizer_vocab_n(m->tokenizer) != m->config.vocab_n)
        return LCF_FAIL(err, LCF_EINVAL, "%s: %zu embeddings for a vocabulary of %zu", path,
                        m->config.vocab_n, lcf_tokenizer_vocab_n(m->tokenizer));
    status = copy_model(&view, m, err);
    if (!status)
        status = widen_matrices(&widened, &view, err);
    if (!status)
        status = lcf_gguf_create(&w, path, err);
    if (!status)
        status = save_config(w, &m->config, type, name, err);
    if (!status)
        status = lcf_tokenizer_save(m->tokenizer, w, err);
    if (!status)
        status = save_tensors(w, &view, type, err);
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    free(widened);
    free(view.layers);
    return status;
}
