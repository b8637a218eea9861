/*
 * Weights of a trainer: which are trained and which stay as they are, where they begin, and the
 * model that they are. Invariant: every weight of the model has one slot; a trained one lies in
 * params, in the order of the slots, a frozen one in frozen.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "offline/llama/train_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INIT_STD 0.02f

/* Names as in GGUF's llama architecture. */
static const char *const layer_names[NET_PARAMS_N] = {"attn_norm", "attn_q",      "attn_k",
                                                      "attn_v",    "attn_output", "ffn_norm",
                                                      "ffn_gate",  "ffn_up",      "ffn_down"};

const char *train_matrix_name(size_t which)
{
    return layer_names[which];
}

/* `*` stands for any text. */
static bool glob(const char *p, const char *p_end, const char *text)
{
    if (p == p_end)
        return *text == '\0';
    if (*p == '*')
        return glob(p + 1, p_end, text) || (*text && glob(p, p_end, text + 1));
    return *p == *text && glob(p + 1, p_end, text + 1);
}

bool train_matches(const char *patterns, const char *name)
{
    while (*patterns) {
        const char *end = strchrnul(patterns, ',');

        if (glob(patterns, end, name))
            return true;
        patterns = *end ? end + 1 : end;
    }
    return false;
}

static bool is_matrix(size_t which)
{
    return which != NET_ATTN_NORM && which != NET_FFN_NORM;
}

/* Without adapters: are the model's own weights? */
static bool trains_model(const lcf_llama_trainer *t)
{
    return t->options.lora.rank == 0 && !t->options.frozen;
}

static bool has_adapter(const lcf_llama_trainer *t, size_t which)
{
    return t->options.lora.rank && is_matrix(which) &&
           train_matches(t->options.lora.targets, layer_names[which]);
}

static lcf_status add_slot(lcf_llama_trainer *t, const char *name, const size_t *dims,
                           uint32_t dims_n, bool trained, lcf_err *err)
{
    train_slot *slot = &t->slots[t->slots_n++];

    snprintf(slot->name, sizeof(slot->name), "%s", name);
    slot->trained = trained;
    return lcf_params_add(&slot->idx, trained ? &t->params : &t->frozen, name, dims, dims_n,
                          dims_n > 1, err);
}

static lcf_status add_adapter(lcf_llama_trainer *t, size_t layer, size_t which, lcf_err *err)
{
    const size_t rank = t->options.lora.rank;
    size_t out, in;
    char name[LCF_PARAM_NAME_MAX];
    lcf_status status;

    lcf_net_dims(&out, &in, &t->config, (lcf_net_param)which);
    snprintf(name, sizeof(name), "blk.%zu.%s.weight.lora_a", layer, layer_names[which]);
    status = lcf_params_add(NULL, &t->params, name, (size_t[]){rank, in}, 2, true, err);
    name[strlen(name) - 1] = 'b';
    return status ? status
                  : lcf_params_add(NULL, &t->params, name, (size_t[]){out, rank}, 2, true, err);
}

static lcf_status declare_layer(lcf_llama_trainer *t, size_t layer, lcf_err *err)
{
    const bool trained = trains_model(t);
    lcf_status status = LCF_OK;

    for (size_t which = 0; which < NET_PARAMS_N && !status; which++) {
        char name[LCF_PARAM_NAME_MAX];
        size_t dims[2];

        lcf_net_dims(&dims[0], &dims[1], &t->config, (lcf_net_param)which);
        snprintf(name, sizeof(name), "blk.%zu.%s.weight", layer, layer_names[which]);
        status = add_slot(t, name, dims, dims[1] ? 2 : 1, trained, err);
        if (!status && has_adapter(t, which))
            status = add_adapter(t, layer, which, err);
    }
    return status;
}

/* The gradients that are complete when what was declared last is. */
static void end_part(lcf_llama_trainer *t, size_t part, size_t begin)
{
    t->parts[part] = (train_part){begin, t->params.values_n, false};
}

static lcf_status declare_all(lcf_llama_trainer *t, lcf_err *err)
{
    const lcf_llama_config *c = &t->config;
    const size_t table[2] = {c->vocab_n, c->dim};
    const bool trained = trains_model(t);
    const bool tables = trained && !t->options.freeze_embeddings;
    lcf_status status = add_slot(t, "token_embd.weight", table, 2, tables, err);

    end_part(t, c->layers_n + 1, 0);
    for (size_t layer = 0; layer < c->layers_n && !status; layer++) {
        const size_t begin = t->params.values_n;

        status = declare_layer(t, layer, err);
        end_part(t, layer, begin);
    }
    if (!status) {
        const size_t begin = t->params.values_n;

        status = add_slot(t, "output_norm.weight", &c->dim, 1, trained, err);
        if (!status && !c->tied)
            status = add_slot(t, "output.weight", table, 2, tables, err);
        end_part(t, c->layers_n, begin);
    }
    return status;
}

lcf_status train_declare(lcf_llama_trainer *t, lcf_err *err)
{
    lcf_status status;

    t->slots = lcf_alloc_zero(slot_of_norm(&t->config) + 2, sizeof(*t->slots));
    t->parts = lcf_alloc_zero(t->config.layers_n + 2, sizeof(*t->parts));
    if (!t->slots || !t->parts)
        return LCF_FAIL(err, LCF_ENOMEM, "table of weights");
    status = declare_all(t, err);
    if (!status && t->params.list_n == 0 && t->options.lora.rank)
        return LCF_FAIL(err, LCF_EINVAL,
                        "no matrix matches '%s': they are attn_q, attn_k, attn_v, attn_output, "
                        "ffn_gate, ffn_up, ffn_down",
                        t->options.lora.targets);
    if (!status)
        status = lcf_params_seal(&t->frozen, err);
    return status ? status : lcf_params_seal(&t->params, err);
}

float *train_slot_value(const lcf_llama_trainer *t, size_t slot)
{
    const train_slot *s = &t->slots[slot];

    return lcf_params_value(s->trained ? &t->params : &t->frozen, s->idx);
}

static float *slot_grad(const lcf_llama_trainer *t, size_t slot)
{
    const train_slot *s = &t->slots[slot];

    return s->trained ? t->grads.values + t->params.list[s->idx].offset : NULL;
}

size_t train_adapter(const lcf_llama_trainer *t, size_t layer, size_t which, char part)
{
    char name[LCF_PARAM_NAME_MAX];

    snprintf(name, sizeof(name), "blk.%zu.%s.weight.lora_%c", layer, layer_names[which], part);
    return lcf_params_find(&t->params, name);
}

/* ---- where they begin ---- */

/* Normal(0, .02), residual projections smaller by sqrt(2 layers). source: Radford et al. 2019 */
void train_fill_model(lcf_llama_trainer *t)
{
    const float residual = INIT_STD / sqrtf(2.0f * (float)t->config.layers_n);

    for (size_t i = 0; i < t->slots_n; i++) {
        const bool in_layer = i >= SLOT_LAYER0 && i < slot_of_norm(&t->config);
        const size_t which = (i - SLOT_LAYER0) % NET_PARAMS_N;
        const bool narrow = in_layer && (which == NET_WO || which == NET_W_DOWN);
        lcf_params *p = t->slots[i].trained ? &t->params : &t->frozen;

        if (p->list[t->slots[i].idx].dims_n == 1)
            lcf_params_fill(p, t->slots[i].idx, LCF_INIT_ONE, 1.0f, t->options.seed);
        else
            lcf_params_fill(p, t->slots[i].idx, LCF_INIT_NORMAL, narrow ? residual : INIT_STD,
                            t->options.seed);
    }
}

void train_fill_adapters(lcf_llama_trainer *t)
{
    for (size_t i = 0; i < t->params.list_n && t->options.lora.rank; i++) {
        const lcf_param *p = &t->params.list[i];

        if (p->name[strlen(p->name) - 1] == 'a')
            lcf_params_fill(&t->params, i, LCF_INIT_UNIFORM, 1.0f / sqrtf((float)p->dims[1]),
                            t->options.seed);
    }
}

static void copy_vector(lcf_llama_trainer *t, size_t slot, const float *from)
{
    memcpy(train_slot_value(t, slot), from, t->config.dim * sizeof(*from));
}

static void copy_matrix(lcf_llama_trainer *t, size_t slot, const lcf_llama_matrix *from)
{
    lcf_llama_matrix_rows(train_slot_value(t, slot), from, 0, from->rows);
}

void train_fill_from(lcf_llama_trainer *t, const lcf_llama *m)
{
    copy_matrix(t, SLOT_EMBED, &m->embed);
    copy_vector(t, slot_of_norm(&t->config), m->final_norm);
    if (!m->config.tied)
        copy_matrix(t, slot_of_norm(&t->config) + 1, &m->output);
    for (size_t layer = 0; layer < m->config.layers_n; layer++) {
        const lcf_llama_layer *l = &m->layers[layer];
        const lcf_llama_matrix *const from[NET_PARAMS_N] = {
            [NET_WQ] = &l->wq,        [NET_WK] = &l->wk,         [NET_WV] = &l->wv,
            [NET_WO] = &l->wo,        [NET_W_GATE] = &l->w_gate, [NET_W_UP] = &l->w_up,
            [NET_W_DOWN] = &l->w_down};

        copy_vector(t, slot_of_layer(layer, NET_ATTN_NORM), l->attn_norm);
        copy_vector(t, slot_of_layer(layer, NET_FFN_NORM), l->ffn_norm);
        for (size_t which = 0; which < NET_PARAMS_N; which++)
            if (from[which])
                copy_matrix(t, slot_of_layer(layer, which), from[which]);
    }
}

/* ---- for the network ---- */

static lcf_net_weight bound(const lcf_llama_trainer *t, size_t slot)
{
    return (lcf_net_weight){train_slot_value(t, slot), slot_grad(t, slot)};
}

static lcf_net_weight bound_adapter(const lcf_llama_trainer *t, size_t layer, size_t which,
                                    char part)
{
    const size_t idx = train_adapter(t, layer, which, part);

    if (idx == (size_t)-1)
        return (lcf_net_weight){NULL, NULL};
    return (lcf_net_weight){lcf_params_value(&t->params, idx),
                            t->grads.values + t->params.list[idx].offset};
}

void train_bind(lcf_llama_trainer *t)
{
    lcf_net *net = &t->net;

    net->embed = bound(t, SLOT_EMBED);
    net->final_norm = bound(t, slot_of_norm(&t->config));
    net->output = t->config.tied ? net->embed : bound(t, slot_of_norm(&t->config) + 1);
    for (size_t layer = 0; layer < t->config.layers_n; layer++)
        for (size_t which = 0; which < NET_PARAMS_N; which++) {
            net->layers[layer].w[which] = bound(t, slot_of_layer(layer, which));
            if (is_matrix(which))
                net->layers[layer].lora[which] = (lcf_net_lora){
                    bound_adapter(t, layer, which, 'a'), bound_adapter(t, layer, which, 'b')};
        }
}

/* ---- as a model ---- */

const float *lcf_llama_trainer_weight(const lcf_llama_trainer *t, const char *name)
{
    for (size_t i = 0; i < t->slots_n; i++)
        if (strcmp(t->slots[i].name, name) == 0)
            return train_slot_value(t, i);
    return NULL;
}

static size_t numbers_in(const lcf_params *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->list_n; i++)
        n += p->list[i].n;
    return n;
}

void lcf_llama_trainer_count(size_t *all, size_t *trained, const lcf_llama_trainer *t)
{
    *trained = numbers_in(&t->params);
    *all = numbers_in(&t->frozen) + (t->options.lora.rank ? 0 : *trained);
}

/* Floats that merged matrices take. */
static size_t merged_n(const lcf_llama_trainer *t)
{
    size_t n = 0, out, in;

    for (size_t which = 0; which < NET_PARAMS_N; which++)
        if (has_adapter(t, which)) {
            lcf_net_dims(&out, &in, &t->config, (lcf_net_param)which);
            n += out * in * t->config.layers_n;
        }
    return n;
}

/* A weight of a layer, merged with its adapter into *room where it has one. */
static const float *merged(const lcf_llama_trainer *t, size_t layer, size_t which, float **room)
{
    const float *value = train_slot_value(t, slot_of_layer(layer, which));
    float *out_values = *room;
    size_t out, in;

    if (!has_adapter(t, which))
        return value;
    lcf_net_dims(&out, &in, &t->config, (lcf_net_param)which);
    memcpy(out_values, value, out * in * sizeof(*value));
    lcf_gemm(out_values, lcf_params_value(&t->params, train_adapter(t, layer, which, 'b')),
             lcf_params_value(&t->params, train_adapter(t, layer, which, 'a')), false, false, out,
             in, t->options.lora.rank, t->net.lora_scale, 1.0f, t->options.lora.rank, in, in);
    *room += out * in;
    return out_values;
}

static void bind_layer(lcf_llama_layer *l, const lcf_llama_trainer *t, size_t layer, float **room)
{
    lcf_llama_matrix *const to[NET_PARAMS_N] = {
        [NET_WQ] = &l->wq,        [NET_WK] = &l->wk,         [NET_WV] = &l->wv,
        [NET_WO] = &l->wo,        [NET_W_GATE] = &l->w_gate, [NET_W_UP] = &l->w_up,
        [NET_W_DOWN] = &l->w_down};

    *l = (lcf_llama_layer){
        .attn_norm = train_slot_value(t, slot_of_layer(layer, NET_ATTN_NORM)),
        .ffn_norm = train_slot_value(t, slot_of_layer(layer, NET_FFN_NORM)),
    };
    for (size_t which = 0; which < NET_PARAMS_N; which++)
        if (to[which]) {
            lcf_net_dims(&to[which]->rows, &to[which]->cols, &t->config, (lcf_net_param)which);
            to[which]->type = LCF_GGUF_F32;
            to[which]->data = merged(t, layer, which, room);
        }
}

lcf_status lcf_llama_trainer_model(lcf_llama *out, lcf_llama_trainer *t, lcf_tokenizer *tokenizer,
                                   lcf_err *err)
{
    const size_t extra = merged_n(t);
    float *room;

    memset(out, 0, sizeof(*out));
    out->config = t->config;
    out->embed = (lcf_llama_matrix){train_slot_value(t, SLOT_EMBED), LCF_GGUF_F32,
                                    t->config.vocab_n, t->config.dim};
    out->final_norm = train_slot_value(t, slot_of_norm(&t->config));
    out->output = out->embed;
    if (!t->config.tied)
        out->output.data = train_slot_value(t, slot_of_norm(&t->config) + 1);
    out->tokenizer = tokenizer;
    out->layers = lcf_alloc_zero(t->config.layers_n, sizeof(*out->layers));
    out->widened = extra ? lcf_alloc_aligned(extra, sizeof(float)) : NULL;
    if (!out->layers || (extra && !out->widened)) {
        lcf_llama_trainer_model_dispose(out);
        return LCF_FAIL(err, LCF_ENOMEM, "merged matrices, %zu floats", extra);
    }
    room = out->widened;
    for (size_t layer = 0; layer < t->config.layers_n; layer++)
        bind_layer(&out->layers[layer], t, layer, &room);
    return LCF_OK;
}

void lcf_llama_trainer_model_dispose(lcf_llama *m)
{
    free(m->layers);
    free(m->widened);
    m->layers = NULL;
    m->widened = NULL;
}
