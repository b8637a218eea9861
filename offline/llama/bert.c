/*
 * BERT. What tensors there are is said once, in the two tables: opening checks and binds by walking
 * them. Weights that are not f32 are widened at open.
 *
 * Products are taken text by text, so no shape depends on what else is encoded.
 */
#include "offline/llama/bert.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MAX_CONFIG = 1 << 20, LAYERS_MAX = 1024 };

typedef struct layer {
    const float *wq, *bq, *wk, *bk, *wv, *bv, *wo, *bo, *attn_norm, *attn_norm_bias;
    const float *w_up, *b_up, *w_down, *b_down, *out_norm, *out_norm_bias;
} layer;

struct lcf_bert {
    lcf_bert_config config;
    size_t types_n;
    const float *embed, *types, *positions, *norm, *norm_bias;
    layer *layers;
    float *widened; /* owned storage of tensors that are not f32 in the file */
    lcf_tokenizer *tokenizer;
    lcf_gguf *gguf;
};

typedef struct tensor_spec {
    const char *name;
    size_t rows, cols; /* rows = 1 for a vector */
    const float **slot;
} tensor_spec;

enum { MODEL_TENSORS = 5, LAYER_TENSORS = 16 };

static tensor_spec model_spec(lcf_bert *b, size_t idx)
{
    const lcf_bert_config *c = &b->config;
    const tensor_spec table[MODEL_TENSORS] = {
        {"token_embd.weight", c->vocab_n, c->dim, &b->embed},
        {"token_types.weight", b->types_n, c->dim, &b->types},
        {"position_embd.weight", c->context_n, c->dim, &b->positions},
        {"token_embd_norm.weight", 1, c->dim, &b->norm},
        {"token_embd_norm.bias", 1, c->dim, &b->norm_bias},
    };

    return table[idx];
}

static tensor_spec layer_spec(lcf_bert *b, layer *l, size_t idx)
{
    size_t dim = b->config.dim, ffn = b->config.ffn_dim;
    const tensor_spec table[LAYER_TENSORS] = {
        {"attn_q.weight", dim, dim, &l->wq},
        {"attn_q.bias", 1, dim, &l->bq},
        {"attn_k.weight", dim, dim, &l->wk},
        {"attn_k.bias", 1, dim, &l->bk},
        {"attn_v.weight", dim, dim, &l->wv},
        {"attn_v.bias", 1, dim, &l->bv},
        {"attn_output.weight", dim, dim, &l->wo},
        {"attn_output.bias", 1, dim, &l->bo},
        {"attn_output_norm.weight", 1, dim, &l->attn_norm},
        {"attn_output_norm.bias", 1, dim, &l->attn_norm_bias},
        {"ffn_up.weight", ffn, dim, &l->w_up},
        {"ffn_up.bias", 1, ffn, &l->b_up},
        {"ffn_down.weight", dim, ffn, &l->w_down},
        {"ffn_down.bias", 1, dim, &l->b_down},
        {"layer_output_norm.weight", 1, dim, &l->out_norm},
        {"layer_output_norm.bias", 1, dim, &l->out_norm_bias},
    };

    return table[idx];
}

static size_t specs_n(const lcf_bert *b)
{
    return MODEL_TENSORS + LAYER_TENSORS * b->config.layers_n;
}

/* The idx-th tensor; its full name into `name`. */
static tensor_spec spec_at(char name[LCF_GGUF_NAME_BYTES], lcf_bert *b, size_t idx)
{
    size_t at = idx - MODEL_TENSORS;
    tensor_spec spec;

    if (idx < MODEL_TENSORS) {
        spec = model_spec(b, idx);
        snprintf(name, LCF_GGUF_NAME_BYTES, "%s", spec.name);
    } else {
        spec = layer_spec(b, &b->layers[at / LAYER_TENSORS], at % LAYER_TENSORS);
        snprintf(name, LCF_GGUF_NAME_BYTES, "blk.%zu.%s", at / LAYER_TENSORS, spec.name);
    }
    return spec;
}

/* ---- opening ------------------------------------------------------------------------------ */

static lcf_status read_size(size_t *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    uint64_t value = 0;
    lcf_status status = lcf_gguf_u64(&value, g, key, err);

    if (status)
        return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
    if (!value || value > SIZE_MAX_CONFIG)
        return LCF_FAIL(err, LCF_EFORMAT, "key '%s': %llu is not in 1 .. %d", key,
                        (unsigned long long)value, SIZE_MAX_CONFIG);
    *out = (size_t)value;
    return LCF_OK;
}

static lcf_status read_pooling(lcf_bert_pooling *out, const lcf_gguf *g, lcf_err *err)
{
    uint64_t pooling = LCF_BERT_MEAN;
    lcf_status status = lcf_gguf_u64(&pooling, g, "bert.pooling_type", NULL);

    if (status && status != LCF_ENOTFOUND)
        return lcf_gguf_u64(&pooling, g, "bert.pooling_type", err);
    if (pooling == 0) /* "none": the file leaves it to its reader */
        pooling = LCF_BERT_MEAN;
    if (pooling != LCF_BERT_MEAN && pooling != LCF_BERT_CLS)
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "bert.pooling_type %llu; 1 (mean) and 2 ([CLS]) are supported",
                        (unsigned long long)pooling);
    *out = (lcf_bert_pooling)pooling;
    return LCF_OK;
}

static lcf_status check_architecture(const lcf_gguf *g, lcf_err *err)
{
    lcf_str name = {NULL, 0};
    lcf_status status = lcf_gguf_string(&name, g, "general.architecture", err);

    if (status)
        return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
    if (name.len != 4 || memcmp(name.data, "bert", 4))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "architecture '%.*s' is no text encoder; 'bert' is supported",
                        (int)(name.len < 64 ? name.len : 64), name.data);
    return LCF_OK;
}

static lcf_status read_config(lcf_bert *b, lcf_err *err)
{
    const lcf_gguf *g = b->gguf;
    lcf_bert_config *c = &b->config;
    double eps = 0;
    lcf_status status = check_architecture(g, err);

    if (!status)
        status = read_size(&c->context_n, g, "bert.context_length", err);
    if (!status)
        status = read_size(&c->dim, g, "bert.embedding_length", err);
    if (!status)
        status = read_size(&c->layers_n, g, "bert.block_count", err);
    if (!status)
        status = read_size(&c->heads_n, g, "bert.attention.head_count", err);
    if (!status)
        status = read_size(&c->ffn_dim, g, "bert.feed_forward_length", err);
    if (!status)
        status = lcf_gguf_f64(&eps, g, "bert.attention.layer_norm_epsilon", err);
    if (!status)
        status = read_pooling(&c->pooling, g, err);
    if (status)
        return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
    if (!(eps > 0 && eps < 1) || c->dim % c->heads_n || c->layers_n > LAYERS_MAX ||
        c->context_n < 2)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%zu dimensions in %zu heads, %zu layers, a context of %zu, epsilon %g",
                        c->dim, c->heads_n, c->layers_n, c->context_n, eps);
    c->norm_eps = (float)eps;
    return LCF_OK;
}

static lcf_status read_tokenizer(lcf_bert *b, lcf_err *err)
{
    lcf_status status = lcf_tokenizer_from_gguf(&b->tokenizer, b->gguf, err);

    if (status)
        return status;
    b->config.vocab_n = lcf_tokenizer_vocab_n(b->tokenizer);
    if (lcf_tokenizer_bos(b->tokenizer) == LCF_TOKEN_NONE ||
        lcf_tokenizer_eos(b->tokenizer) == LCF_TOKEN_NONE)
        return LCF_FAIL(err, LCF_EFORMAT, "the vocabulary has no [CLS] or no [SEP]");
    return LCF_OK;
}

static lcf_status check_tensor(size_t *widened_n, bool *seen, lcf_bert *b, size_t idx, lcf_err *err)
{
    char name[LCF_GGUF_NAME_BYTES];
    tensor_spec spec = spec_at(name, b, idx);
    const lcf_gguf_tensor *t = lcf_gguf_tensor_find(b->gguf, name);
    uint64_t rows;

    if (!t)
        return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s' is missing", name);
    rows = t->dims_n > 1 ? t->dims[1] : 1;
    if (t->dims_n > 2 || t->dims[0] != spec.cols || rows != spec.rows)
        return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s' is [%llu, %llu], not [%zu, %zu]", name,
                        (unsigned long long)rows, (unsigned long long)t->dims[0], spec.rows,
                        spec.cols);
    if (!lcf_gguf_type_readable(t->type))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "tensor '%s' is of type %s, which cannot be read",
                        name, lcf_gguf_type_name(t->type));
    if (t->type != LCF_GGUF_F32 && !lcf_add_size(widened_n, *widened_n, t->n))
        return LCF_FAIL(err, LCF_EFORMAT, "tensor '%s': size overflows", name);
    seen[t - lcf_gguf_tensor_at(b->gguf, 0)] = true;
    return LCF_OK;
}

/* Every tensor of the file must be one of ours: one that we passed over would change the result. */
static lcf_status check_tensors(size_t *widened_n, lcf_bert *b, lcf_err *err)
{
    size_t tensors_n = lcf_gguf_tensors_n(b->gguf);
    const lcf_gguf_tensor *types = lcf_gguf_tensor_find(b->gguf, "token_types.weight");
    bool *seen = lcf_alloc_zero(tensors_n ? tensors_n : 1, sizeof(*seen));
    lcf_status status = LCF_OK;

    if (!seen)
        return LCF_FAIL(err, LCF_ENOMEM, "marks for %zu tensors", tensors_n);
    b->types_n = types && types->dims_n > 1 ? (size_t)types->dims[1] : 1;
    *widened_n = 0;
    for (size_t i = 0; i < specs_n(b) && !status; i++)
        status = check_tensor(widened_n, seen, b, i, err);
    for (size_t i = 0; i < tensors_n && !status; i++)
        if (!seen[i])
            status = LCF_FAIL(err, LCF_EUNSUPPORTED, "tensor '%s' is no part of a plain BERT",
                              lcf_gguf_tensor_at(b->gguf, i)->name);
    free(seen);
    return status;
}

static lcf_status bind_tensors(lcf_bert *b, size_t widened_n, lcf_err *err)
{
    float *next;

    if (widened_n) {
        b->widened = lcf_alloc_aligned(widened_n, sizeof(*b->widened));
        if (!b->widened)
            return LCF_FAIL(err, LCF_ENOMEM, "%zu weights as f32", widened_n);
    }
    next = b->widened;
    for (size_t i = 0; i < specs_n(b); i++) {
        char name[LCF_GGUF_NAME_BYTES];
        tensor_spec spec = spec_at(name, b, i);
        const lcf_gguf_tensor *t = lcf_gguf_tensor_find(b->gguf, name);
        *spec.slot = t->type == LCF_GGUF_F32 ? t->data : next;
        if (t->type != LCF_GGUF_F32) {
            lcf_gguf_dequantize(next, t, 0, t->n);
            next += t->n;
        }
    }
    return LCF_OK;
}

static lcf_status load(lcf_bert *b, const char *path, lcf_err *err)
{
    size_t widened_n = 0;
    lcf_status status = lcf_gguf_open(&b->gguf, path, err);

    if (status)
        return status; /* names the file itself */
    status = read_config(b, err);
    if (!status)
        status = read_tokenizer(b, err);
    if (!status) {
        b->layers = lcf_alloc_zero(b->config.layers_n, sizeof(*b->layers));
        status = b->layers ? check_tensors(&widened_n, b, err)
                           : LCF_FAIL(err, LCF_ENOMEM, "table of %zu layers", b->config.layers_n);
    }
    if (!status)
        status = bind_tensors(b, widened_n, err);
    if (status)
        lcf_err_prefix(err, "%s", path);
    return status;
}

lcf_status lcf_bert_open(lcf_bert **out, const char *path, lcf_err *err)
{
    lcf_bert *b = lcf_alloc_zero(1, sizeof(*b));
    lcf_status status;

    *out = NULL;
    if (!b)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: model handle", path);
    status = load(b, path, err);
    if (!status) {
        *out = b;
        b = NULL;
    }
    lcf_bert_close(b);
    return status;
}

void lcf_bert_close(lcf_bert *b)
{
    if (!b)
        return;
    lcf_tokenizer_free(b->tokenizer);
    lcf_gguf_close(b->gguf);
    free(b->widened);
    free(b->layers);
    free(b);
}

const lcf_bert_config *lcf_bert_config_of(const lcf_bert *b)
{
    return &b->config;
}

const lcf_gguf *lcf_bert_file(const lcf_bert *b)
{
    return b->gguf;
}

/* ---- forward ------------------------------------------------------------------------------ */

typedef struct scratch { /* for up to `tokens_max` tokens; one block */
    size_t tokens_max;
    float *x, *y, *q, *k, *v; /* [tokens, dim] */
    float *wide;              /* [tokens, ffn_dim] */
    float *scores;            /* [tokens, tokens] */
    float *block;
} scratch;

static lcf_status scratch_reserve(scratch *s, const lcf_bert *b, size_t n, lcf_err *err)
{
    const lcf_bert_config *c = &b->config;
    size_t row = 5 * c->dim + c->ffn_dim + n, total;

    if (n <= s->tokens_max)
        return LCF_OK;
    free(s->block);
    s->tokens_max = 0;
    s->block = lcf_mul_size(&total, n, row) ? lcf_alloc_aligned(total, sizeof(float)) : NULL;
    if (!s->block)
        return LCF_FAIL(err, LCF_ENOMEM, "scratch of %zu tokens", n);
    s->x = s->block;
    s->y = s->x + n * c->dim;
    s->q = s->y + n * c->dim;
    s->k = s->q + n * c->dim;
    s->v = s->k + n * c->dim;
    s->wide = s->v + n * c->dim;
    s->scores = s->wide + n * c->ffn_dim;
    s->tokens_max = n;
    return LCF_OK;
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

/*
 * x Phi(x) in place, Phi by the error function.
 *
 * source   Hendrycks and Gimpel 2016 (GELU); Abramowitz and Stegun 7.1.26, absolute error 1.5e-7
 */
static void gelu(float *x, size_t n)
{
    enum { PART = 256 };
    float e[PART];

    for (size_t first = 0; first < n; first += PART, x += PART) {
        size_t m = n - first < PART ? n - first : PART;
        for (size_t i = 0; i < m; i++)
            e[i] = -.5f * x[i] * x[i];
        lcf_exp(e, e, m);
        for (size_t i = 0; i < m; i++) {
            float z = fabsf(x[i]) * .70710678f, t = 1 / (1 + .3275911f * z);
            float tail =
                t *
                (.254829592f +
                 t * (-.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
            float erf_abs = 1 - tail * e[i];
            x[i] = .5f * x[i] * (1 + (x[i] < 0 ? -erf_abs : erf_abs));
        }
    }
}

static void embed_tokens(float *x, const lcf_bert *b, const uint32_t *ids, size_t n, float *y)
{
    size_t dim = b->config.dim;

    for (size_t i = 0; i < n; i++) {
        memcpy(y + i * dim, b->embed + ids[i] * dim, dim * sizeof(*y));
        add(y + i * dim, b->types, dim); /* all tokens are of the first type */
        add(y + i * dim, b->positions + i * dim, dim);
    }
    lcf_layernorm(x, y, b->norm, b->norm_bias, n, dim, b->config.norm_eps);
}

/* y = what every token takes from all others. */
static void attend(const lcf_bert *b, scratch *s, size_t n)
{
    size_t dim = b->config.dim, size = dim / b->config.heads_n;
    float scale = 1 / sqrtf((float)size);

    for (size_t head = 0; head < b->config.heads_n; head++) {
        size_t at = head * size;
        lcf_gemm(s->scores, s->q + at, s->k + at, false, true, n, n, size, scale, 0, dim, dim, n);
        lcf_softmax(s->scores, n, n);
        lcf_gemm(s->y + at, s->scores, s->v + at, false, false, n, size, n, 1, 0, n, dim, dim);
    }
}

static void run_layer(const lcf_bert *b, const layer *l, scratch *s, size_t n)
{
    size_t dim = b->config.dim, ffn = b->config.ffn_dim;
    float eps = b->config.norm_eps;

    lcf_linear(s->q, s->x, l->wq, l->bq, n, dim, dim);
    lcf_linear(s->k, s->x, l->wk, l->bk, n, dim, dim);
    lcf_linear(s->v, s->x, l->wv, l->bv, n, dim, dim);
    attend(b, s, n);
    lcf_linear(s->q, s->y, l->wo, l->bo, n, dim, dim);
    add(s->q, s->x, n * dim);
    lcf_layernorm(s->x, s->q, l->attn_norm, l->attn_norm_bias, n, dim, eps);
    lcf_linear(s->wide, s->x, l->w_up, l->b_up, n, dim, ffn);
    gelu(s->wide, n * ffn);
    lcf_linear(s->y, s->wide, l->w_down, l->b_down, n, ffn, dim);
    add(s->y, s->x, n * dim);
    lcf_layernorm(s->x, s->y, l->out_norm, l->out_norm_bias, n, dim, eps);
}

static void pool_states(float *out, const lcf_bert *b, const float *x, size_t n)
{
    size_t dim = b->config.dim;

    memcpy(out, x, dim * sizeof(*out));
    for (size_t i = 1; i < n && b->config.pooling == LCF_BERT_MEAN; i++)
        add(out, x + i * dim, dim);
    lcf_normalize(out, dim); /* a mean's divisor cancels */
}

static lcf_status embed(float *out, const lcf_bert *b, const uint32_t *ids, size_t n, scratch *s,
                        lcf_err *err)
{
    lcf_status status;

    if (!n || n > b->config.context_n)
        return LCF_FAIL(err, LCF_EINVAL, "%zu tokens; 1 to %zu are possible", n,
                        b->config.context_n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= b->config.vocab_n)
            return LCF_FAIL(err, LCF_EINVAL, "id %u in a vocabulary of %zu", ids[i],
                            b->config.vocab_n);
    status = scratch_reserve(s, b, n, err);
    if (status)
        return status;
    embed_tokens(s->x, b, ids, n, s->y);
    for (size_t i = 0; i < b->config.layers_n; i++)
        run_layer(b, &b->layers[i], s, n);
    pool_states(out, b, s->x, n);
    return LCF_OK;
}

lcf_status lcf_bert_embed(float *out, const lcf_bert *b, const uint32_t *ids, size_t n,
                          lcf_err *err)
{
    scratch s = {0};
    lcf_status status = embed(out, b, ids, n, &s, err);

    free(s.block);
    return status;
}

lcf_status lcf_bert_tokens(lcf_tokens *out, const lcf_bert *b, lcf_str text, lcf_err *err)
{
    size_t before_n = out->n, most = before_n + b->config.context_n - 1;
    lcf_status status = lcf_tokens_push(out, lcf_tokenizer_bos(b->tokenizer));

    if (!status)
        status = lcf_tokenizer_encode(out, b->tokenizer, text.data, text.len, true, err);
    if (!status) {
        out->n = out->n > most ? most : out->n;
        status = lcf_tokens_push(out, lcf_tokenizer_eos(b->tokenizer));
    }
    if (status)
        out->n = before_n;
    return status ? LCF_FAIL(err, status, "tokens of a text of %zu bytes", text.len) : LCF_OK;
}

/* ---- many texts --------------------------------------------------------------------------- */

typedef struct worker {
    scratch s;
    lcf_tokens ids;
} worker;

typedef struct encoding {
    float *out;
    const lcf_bert *b;
    const lcf_str *texts;
    worker *workers;
} encoding;

static lcf_status encode_task(void *arg, size_t task, size_t who, lcf_err *err)
{
    encoding *e = arg;
    worker *w = &e->workers[who];
    float *out = e->out + task * e->b->config.dim;
    lcf_status status;

    if (!e->texts[task].len) {
        memset(out, 0, e->b->config.dim * sizeof(*out));
        return LCF_OK;
    }
    w->ids.n = 0;
    status = lcf_bert_tokens(&w->ids, e->b, e->texts[task], err);
    return status ? status : embed(out, e->b, w->ids.ids, w->ids.n, &w->s, err);
}

lcf_status lcf_bert_encode(float *out, const lcf_bert *b, const lcf_str *texts, size_t n,
                           lcf_pool *pool, lcf_err *err)
{
    size_t threads = lcf_pool_threads(pool);
    encoding e = {out, b, texts, lcf_alloc_zero(threads, sizeof(worker))};
    lcf_status status;

    if (!e.workers)
        return LCF_FAIL(err, LCF_ENOMEM, "scratch of %zu threads", threads);
    status = lcf_pool_run(pool, n, encode_task, &e, err);
    for (size_t i = 0; i < threads; i++) {
        free(e.workers[i].s.block);
        lcf_tokens_dispose(&e.workers[i].ids);
    }
    free(e.workers);
    return status;
}
