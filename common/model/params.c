/*
 * The ranker's parameters: one table of names, shapes and initial values.
 *
 * Invariant: weights files, gradients, and the optimizer see parameters in this order and under
 * these names only (schemas/ranker_weights.arrays.json).
 */
#include "common/base/mem.h"
#include "common/model/ranker_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TABLE_SCALE 0.01f
#define LABEL_SCALE 0.1f

/* One parameter of `rows` x `cols`, or of `rows` elements when cols is 0. */
static lcf_status add(size_t *idx, lcf_ranker *r, const char *name, size_t rows, size_t cols,
                      lcf_init kind, float scale, lcf_err *err)
{
    const size_t dims[2] = {rows, cols};
    lcf_status status = lcf_params_add(idx, &r->params, name, dims, cols ? 2 : 1, true, err);

    if (status)
        return status;
    LCF_ASSERT(*idx < LCF_RANKER_PARAMS_MAX);
    r->fill[*idx] = (ranker_fill){kind, scale};
    return LCF_OK;
}

/* A table whose row 0 stands for "unknown": zeros, without gradient. */
static lcf_status add_table(size_t *idx, lcf_ranker *r, const char *name, size_t rows, lcf_err *err)
{
    lcf_status status = add(idx, r, name, rows, r->config.dim, LCF_INIT_NORMAL, TABLE_SCALE, err);

    if (!status)
        r->params.list[*idx].row0_zero = true;
    return status;
}

/* A matrix [out, in] that starts uniform in +-1/sqrt(fan_in), as torch.nn.Linear does. */
static lcf_status add_matrix(size_t *idx, lcf_ranker *r, const char *name, size_t out, size_t in,
                             size_t fan_in, lcf_err *err)
{
    return add(idx, r, name, out, in, LCF_INIT_UNIFORM, 1.0f / sqrtf((float)fan_in), err);
}

static lcf_status add_bias(size_t *idx, lcf_ranker *r, const char *name, size_t out, size_t fan_in,
                           lcf_err *err)
{
    return add(idx, r, name, out, 0, LCF_INIT_UNIFORM, 1.0f / sqrtf((float)fan_in), err);
}

/* Layers "<name>.<first>" ... of widths sizes[0] -> sizes[1] -> ... */
static lcf_status add_mlp(ranker_mlp *mlp, lcf_ranker *r, const char *name, size_t first,
                          const size_t *sizes, size_t layers_n, lcf_err *err)
{
    char text[64];

    mlp->layers_n = layers_n;
    for (size_t i = 0; i < layers_n; i++) {
        lcf_status status;

        snprintf(text, sizeof(text), "%s.%zu.w", name, first + i);
        status = add_matrix(&mlp->w[i], r, text, sizes[i + 1], sizes[i], sizes[i], err);
        if (status)
            return status;
        snprintf(text, sizeof(text), "%s.%zu.b", name, first + i);
        status = add_bias(&mlp->b[i], r, text, sizes[i + 1], sizes[i], err);
        if (status)
            return status;
    }
    return LCF_OK;
}

static lcf_status declare_tables(lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    lcf_status status = add_table(&r->user_table, r, "user.table", c->users_n, err);

    if (!status)
        status = add_table(&r->item_table, r, "item.table", c->items_n, err);
    if (!status)
        status = add_table(&r->brand_table, r, "brand.table", c->brands_n, err);
    if (!status)
        status = add_table(&r->category_table, r, "category.table", c->categories_n, err);
    return status;
}

static lcf_status declare_din(lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const size_t dim = c->dim, item = 3 * dim, hidden = c->att_hidden[0];
    const size_t att[] = {hidden, c->att_hidden[1], 1};
    const size_t head[] = {dim + 2 * item + (c->ict ? dim : 0), c->head_hidden[0],
                           c->head_hidden[1], 1};
    const struct {
        const char *name;
        size_t *idx;
    } parts[] = {{"att.q.w", &r->att_q},
                 {"att.h.w", &r->att_h},
                 {"att.d.w", &r->att_d},
                 {"att.m.w", &r->att_m}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < 4 && !status; i++)
        status = add_matrix(parts[i].idx, r, parts[i].name, hidden, item, 4 * item, err);
    if (!status)
        status = add_bias(&r->att_b, r, "att.0.b", hidden, 4 * item, err);
    if (!status)
        status = add_mlp(&r->att, r, "att", 1, att, 2, err);
    if (!status)
        status = add_mlp(&r->head, r, "head", 0, head, 3, err);
    return status;
}

static lcf_status declare_layer(lcf_ranker *r, size_t layer, lcf_err *err)
{
    const size_t dim = r->config.dim, ffn = r->config.ffn_hidden;
    ranker_layer *l = &r->layers[layer];
    const struct {
        const char *name;
        size_t *idx, out, in; /* in = 0: a norm */
    } parts[] = {
        {"norm1", &l->norm1, dim, 0}, {"q", &l->q, dim, dim},   {"k", &l->k, dim, dim},
        {"v", &l->v, dim, dim},       {"o", &l->o, dim, dim},   {"norm2", &l->norm2, dim, 0},
        {"gate", &l->gate, ffn, dim}, {"up", &l->up, ffn, dim}, {"down", &l->down, dim, ffn},
    };
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !status; i++) {
        char name[64];

        snprintf(name, sizeof(name), "layer.%zu.%s.w", layer, parts[i].name);
        if (parts[i].in)
            status = add_matrix(parts[i].idx, r, name, parts[i].out, parts[i].in, parts[i].in, err);
        else
            status = add(parts[i].idx, r, name, parts[i].out, 0, LCF_INIT_ONE, 0.0f, err);
    }
    return status;
}

static lcf_status declare_ict(lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const size_t text[] = {c->text_dim, c->text_hidden, c->dim};
    const size_t x[] = {9 * (size_t)c->dim, c->x_hidden, c->dim};
    const size_t rec[] = {c->dim, c->text_hidden, c->cot_dim};
    lcf_status status = add_mlp(&r->text, r, "text", 0, text, 2, err);

    if (!status)
        status = add_mlp(&r->x, r, "x", 0, x, 2, err);
    if (!status)
        status =
            add(&r->label_table, r, "label.table", 2, c->dim, LCF_INIT_NORMAL, LABEL_SCALE, err);
    for (size_t i = 0; i < c->layers_n && !status; i++)
        status = declare_layer(r, i, err);
    if (!status)
        status = add(&r->norm, r, "norm.w", c->dim, 0, LCF_INIT_ONE, 0.0f, err);
    if (!status)
        status = add_mlp(&r->rec, r, "rec", 0, rec, 2, err);
    return status;
}

lcf_status lcf_ranker_declare(lcf_ranker *r, lcf_err *err)
{
    lcf_status status = declare_tables(r, err);

    if (!status)
        status = declare_din(r, err);
    if (!status && r->config.ict)
        status = declare_ict(r, err);
    return status;
}
