/*
 * The layers that backbones and side modules are made of: declaring their parameters, and applying
 * them.
 *
 * Invariant: weights files, gradients, and the optimizer see parameters in the order of their
 * declaration and under these names only (schemas/ranker_weights.arrays.json).
 */
#include "common/base/mem.h"
#include "common/model/backbone.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TABLE_SCALE 0.01f

/* ---- declaring ---- */

lcf_status lcf_ranker_add(size_t *idx, lcf_ranker *r, const char *name, size_t rows, size_t cols,
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

lcf_status lcf_ranker_add_table(size_t *idx, lcf_ranker *r, const char *name, size_t rows,
                                size_t cols, lcf_err *err)
{
    lcf_status status = lcf_ranker_add(idx, r, name, rows, cols, LCF_INIT_NORMAL, TABLE_SCALE, err);

    if (!status)
        r->params.list[*idx].row0_zero = r->params.list[*idx].table = true;
    return status;
}

lcf_status lcf_ranker_add_matrix(size_t *idx, lcf_ranker *r, const char *name, size_t out,
                                 size_t in, size_t fan_in, lcf_err *err)
{
    return lcf_ranker_add(idx, r, name, out, in, LCF_INIT_UNIFORM, 1.0f / sqrtf((float)fan_in),
                          err);
}

lcf_status lcf_ranker_add_bias(size_t *idx, lcf_ranker *r, const char *name, size_t out,
                               size_t fan_in, lcf_err *err)
{
    return lcf_ranker_add(idx, r, name, out, 0, LCF_INIT_UNIFORM, 1.0f / sqrtf((float)fan_in), err);
}

lcf_status lcf_ranker_add_mlp(ranker_mlp *mlp, lcf_ranker *r, const char *name, size_t first,
                              const size_t *sizes, size_t layers_n, lcf_err *err)
{
    char text[LCF_PARAM_NAME_MAX];

    LCF_ASSERT(layers_n <= LCF_RANKER_MLP_MAX);
    mlp->layers_n = layers_n;
    for (size_t i = 0; i < layers_n; i++) {
        lcf_status status;

        snprintf(text, sizeof(text), "%s.%zu.w", name, first + i);
        status = lcf_ranker_add_matrix(&mlp->w[i], r, text, sizes[i + 1], sizes[i], sizes[i], err);
        if (status)
            return status;
        snprintf(text, sizeof(text), "%s.%zu.b", name, first + i);
        status = lcf_ranker_add_bias(&mlp->b[i], r, text, sizes[i + 1], sizes[i], err);
        if (status)
            return status;
    }
    return LCF_OK;
}

/* The normalisation of n units of hidden layer i of the head. Running statistics are parameters
 * without a gradient and without decay, which no optimizer changes. */
static lcf_status add_norm(ranker_norm *norm, lcf_ranker *r, size_t i, size_t n, lcf_err *err)
{
    const struct {
        const char *name;
        size_t *idx;
        lcf_init init;
        bool running;
    } parts[] = {{"w", &norm->w, LCF_INIT_ONE, false},
                 {"b", &norm->b, LCF_INIT_ZERO, false},
                 {"mean", &norm->mean, LCF_INIT_ZERO, true},
                 {"variance", &norm->variance, LCF_INIT_ONE, true}};
    lcf_status status = LCF_OK;

    for (size_t part = 0; part < 4 && !status; part++) {
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "head.%zu.norm.%s", i, parts[part].name);
        status = lcf_ranker_add(parts[part].idx, r, name, n, 0, parts[part].init, 0.0f, err);
        if (!status && parts[part].running)
            r->params.list[*parts[part].idx].decay = false;
    }
    return status;
}

lcf_status lcf_ranker_add_head(ranker_mlp *head, lcf_ranker *r, size_t in, lcf_err *err)
{
    const size_t sizes[] = {in, r->config.head_hidden[0], r->config.head_hidden[1], 1};
    lcf_status status = lcf_ranker_add_mlp(head, r, "head", 0, sizes, 3, err);

    r->has_head = true;
    head->normed = r->config.head_norm;
    for (size_t i = 0; i + 1 < head->layers_n && head->normed && !status; i++)
        status = add_norm(&head->norm[i], r, i, sizes[i + 1], err);
    return status;
}

/* ---- applying ---- */

lcf_tensor *lcf_ranker_param(const ranker_pass *p, size_t idx)
{
    return lcf_tape_param(p->tape, &p->r->params, p->grads, idx);
}

lcf_tensor *lcf_ranker_rows(const ranker_pass *p, lcf_tensor *x, size_t begin, size_t n)
{
    return lcf_op_slice(p->tape, x, begin, n);
}

static lcf_tensor *normed(const ranker_pass *p, const ranker_norm *norm, lcf_tensor *x)
{
    const lcf_batch_norm parts = {
        lcf_ranker_param(p, norm->w),    lcf_ranker_param(p, norm->b),
        lcf_ranker_param(p, norm->mean), lcf_ranker_param(p, norm->variance),
        LCF_RANKER_NORM_MOMENTUM,        LCF_RANKER_NORM_EPS};

    return lcf_op_batch_norm(p->tape, x, &parts);
}

/* Layer i of an MLP, with ReLU after all but the last. */
static lcf_tensor *layer(const ranker_pass *p, const ranker_mlp *mlp, size_t i, lcf_tensor *x)
{
    lcf_tensor *w = lcf_ranker_param(p, mlp->w[i]), *b = lcf_ranker_param(p, mlp->b[i]);

    if (i + 1 == mlp->layers_n)
        return lcf_op_linear(p->tape, x, w, b);
    if (mlp->normed)
        return lcf_op_relu(p->tape, normed(p, &mlp->norm[i], lcf_op_linear(p->tape, x, w, b)));
    return lcf_op_linear_relu(p->tape, x, w, b);
}

lcf_tensor *lcf_ranker_mlp_forward(const ranker_pass *p, const ranker_mlp *mlp, lcf_tensor *x)
{
    if (mlp->layers_n == 2 && !mlp->normed)
        return lcf_op_mlp(p->tape, x, lcf_ranker_param(p, mlp->w[0]),
                          lcf_ranker_param(p, mlp->b[0]), lcf_ranker_param(p, mlp->w[1]),
                          lcf_ranker_param(p, mlp->b[1]));
    for (size_t i = 0; i < mlp->layers_n; i++)
        x = layer(p, mlp, i, x);
    return x;
}

lcf_tensor *lcf_ranker_head_forward(const ranker_pass *p, const ranker_mlp *head, lcf_tensor *x)
{
    for (size_t i = 0; i < head->layers_n; i++) {
        x = layer(p, head, i, x);
        if (i + 1 < head->layers_n)
            x = lcf_op_dropout(p->tape, x, p->r->config.dropout, p->rng);
    }
    return x;
}
