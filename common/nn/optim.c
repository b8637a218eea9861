/*
 * Adam and AdamW in the arithmetic of torch.optim, learning rates, checkpoints.
 *
 * Why a table's rows have no third, lazy way that makes up for missed steps when a row is next
 * looked up and so gives what dense gives: with L2 decay each missed step is a step of a recursion
 * (the gradient is decay * value, and its moments divide each other) that has no closed form, so
 * that every missed update is made after all. Of a million rows of 32, 5,000 looked up in a step,
 * dense takes 74 ms, those updates on values that stay in the first-level cache at least 31 ms, and
 * sparse .7 ms (tests/bench/bench_table_updates, one thread, the best of three runs on a machine in
 * use): lazy would be twice as fast as dense and nowhere near sparse, for a time of last use per
 * row and a pass over the whole table before each evaluation. Without any decay a missed row's
 * moments are powers, and its updates, a factor .9 smaller each time, fall below a value's last bit
 * in some 150 steps; of our configurations only SASRec on the Amazon sets trains so.
 */
#include "common/nn/optim.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lcf_status lcf_adam_init(lcf_adam *a, const lcf_params *p, const lcf_adam_options *options,
                         lcf_err *err)
{
    memset(a, 0, sizeof(*a));
    a->options = *options;
    a->values_n = p->values_n;
    a->m = lcf_alloc_zero(p->values_n ? p->values_n : 1, sizeof(*a->m));
    a->v = lcf_alloc_zero(p->values_n ? p->values_n : 1, sizeof(*a->v));
    if (!a->m || !a->v) {
        lcf_adam_dispose(a);
        return LCF_FAIL(err, LCF_ENOMEM, "moments of %zu parameters", p->values_n);
    }
    return LCF_OK;
}

void lcf_adam_dispose(lcf_adam *a)
{
    free(a->m);
    free(a->v);
    memset(a, 0, sizeof(*a));
}

static lcf_adam_scalars adam_scalars(const lcf_adam *a, float learning_rate, float grad_scale)
{
    const lcf_adam_options *o = &a->options;
    double t = (double)a->step + 1, bias1 = 1.0 - pow(o->beta1, t), bias2 = 1.0 - pow(o->beta2, t);
    lcf_adam_scalars s = {.beta1 = o->beta1,
                          .one_minus_beta1 = (float)(1.0 - (double)o->beta1),
                          .beta2 = o->beta2,
                          .one_minus_beta2 = (float)(1.0 - (double)o->beta2),
                          .step_size = (float)(learning_rate / bias1),
                          .root_bias2 = (float)sqrt(bias2),
                          .eps = o->eps,
                          .shrink = 1.0f,
                          .l2 = 0.0f,
                          .grad_scale = grad_scale};

    return s;
}

/* A parameter's own: its rate, and decay where it applies. */
static lcf_adam_scalars scalars_for(lcf_adam_scalars s, const lcf_adam *a, const lcf_param *param,
                                    float learning_rate)
{
    const lcf_adam_options *o = &a->options;

    s.step_size *= param->rate;
    if (param->decay && o->decoupled)
        s.shrink = (float)(1.0 - (double)(learning_rate * param->rate) * o->weight_decay);
    else if (param->decay)
        s.l2 = o->weight_decay;
    return s;
}

/* The rows of a table that begin in [from, to), counted in values from the table's first. */
static void step_table(const lcf_adam *a, float *values, const lcf_param *param,
                       const lcf_row_grads *t, const lcf_adam_scalars *s, size_t from, size_t to)
{
    const size_t w = t->width, end = (to + w - 1) / w;
    size_t row = (from + w - 1) / w, idle = row; /* rows [idle, row) have no gradient */

    for (; row <= end; row++) {
        const bool touched = row < end && t->slot[row];
        size_t at = param->offset + idle * w;

        if (row < end && !touched)
            continue;
        if (idle < row && !a->options.sparse)
            lcf_adam_kernel(values + at, a->m + at, a->v + at, NULL, (row - idle) * w, s);
        at = param->offset + row * w;
        if (touched)
            lcf_adam_kernel(values + at, a->m + at, a->v + at, t->values + (t->slot[row] - 1) * w,
                            w, s);
        idle = row + 1;
    }
}

void lcf_adam_step_range(const lcf_adam *a, lcf_params *p, const lcf_grads *g, float learning_rate,
                         float grad_scale, size_t first, size_t end)
{
    const lcf_adam_scalars all = adam_scalars(a, learning_rate, grad_scale);

    LCF_ASSERT(a->values_n == p->values_n && g->values_n == p->values_n);
    for (size_t i = 0; i < p->list_n; i++) {
        const lcf_param *param = &p->list[i];
        const lcf_adam_scalars s = scalars_for(all, a, param, learning_rate);
        size_t from = param->offset, to = param->offset + param->n;

        from = from > first ? from : first;
        to = to < end ? to : end;
        if (from >= to)
            continue;
        if (g->tables && g->tables[i].width)
            step_table(a, p->values, param, &g->tables[i], &s, from - param->offset,
                       to - param->offset);
        else
            lcf_adam_kernel(p->values + from, a->m + from, a->v + from, g->values + from, to - from,
                            &s);
    }
}

void lcf_adam_advance(lcf_adam *a)
{
    a->step++;
}

void lcf_adam_step(lcf_adam *a, lcf_params *p, const lcf_grads *g, float learning_rate)
{
    lcf_adam_step_range(a, p, g, learning_rate, 1.0f, 0, p->values_n);
    lcf_adam_advance(a);
}

/* ---- the average of the weights ---- */

lcf_status lcf_ema_init(lcf_ema *e, const lcf_params *p, float decay, lcf_err *err)
{
    LCF_ASSERT(decay > 0.0f && decay < 1.0f);
    *e = (lcf_ema){decay, lcf_alloc_zero(p->values_n, sizeof(float)), p->values_n};
    if (!e->values)
        return LCF_FAIL(err, LCF_ENOMEM, "average of %zu weights", p->values_n);
    return LCF_OK;
}

void lcf_ema_dispose(lcf_ema *e)
{
    free(e->values);
    memset(e, 0, sizeof(*e));
}

void lcf_ema_step_range(const lcf_ema *e, const lcf_params *p, uint64_t step, size_t first,
                        size_t end)
{
    const float ramp = (float)(step + 1) / (float)(step + 10);
    const float share = 1.0f - (ramp < e->decay ? ramp : e->decay);

    LCF_ASSERT(step && e->values_n == p->values_n);
    for (size_t i = first; i < end; i++)
        e->values[i] += share * (p->values[i] - e->values[i]);
}

/* ---- SGD ---- */

lcf_status lcf_sgd_init(lcf_sgd *a, const lcf_params *p, float momentum, float weight_decay,
                        lcf_err *err)
{
    *a = (lcf_sgd){momentum, weight_decay, NULL, p->values_n, 0};
    a->m = lcf_alloc_zero(p->values_n ? p->values_n : 1, sizeof(*a->m));
    return a->m ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "momentum of %zu parameters", p->values_n);
}

void lcf_sgd_dispose(lcf_sgd *a)
{
    free(a->m);
    memset(a, 0, sizeof(*a));
}

static void sgd_values(float *values, float *m, const float *grad, size_t n, float momentum,
                       float decay, float rate, float grad_scale)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + (grad_scale * grad[i] + decay * values[i]);
        values[i] -= rate * m[i];
    }
}

void lcf_sgd_step_range(const lcf_sgd *a, lcf_params *p, const lcf_grads *g, float learning_rate,
                        float grad_scale, size_t first, size_t end)
{
    LCF_ASSERT(a->values_n == p->values_n && g->values_n == p->values_n && !g->tables);
    for (size_t i = 0; i < p->list_n; i++) {
        const lcf_param *param = &p->list[i];
        size_t from = param->offset, to = param->offset + param->n;

        from = from > first ? from : first;
        to = to < end ? to : end;
        if (from < to)
            sgd_values(p->values + from, a->m + from, g->values + from, to - from, a->momentum,
                       param->decay ? a->weight_decay : 0.0f, learning_rate, grad_scale);
    }
}

/* ---- learning rates ---- */

float lcf_lr_at(lcf_lr_schedule schedule, float peak, float floor, uint64_t step, uint64_t warmup,
                uint64_t total)
{
    double progress, share;

    if (step < warmup)
        return (float)((double)peak * (double)(step + 1) / (double)warmup);
    if (schedule == LCF_LR_CONSTANT)
        return peak;
    if (step >= total)
        return peak * floor;
    progress = (double)(step - warmup) / (double)(total - warmup);
    share = schedule == LCF_LR_LINEAR ? 1.0 - progress
                                      : 0.5 * (1.0 + cos(3.14159265358979323846 * progress));
    return (float)((double)peak * (floor + (1.0 - floor) * share));
}

/* ---- checkpoints ---- */

static void array_name(char name[LCF_BUNDLE_NAME_MAX], const lcf_param *param)
{
    snprintf(name, LCF_BUNDLE_NAME_MAX, "param.%s", param->name);
}

static void array_dims(uint64_t dims[LCF_BUNDLE_DIMS_MAX], const lcf_param *param)
{
    uint32_t d;

    for (d = 0; d < param->dims_n; d++)
        dims[d] = param->dims[d];
}

lcf_status lcf_checkpoint_add(lcf_bundle_writer *w, const lcf_params *p, const lcf_adam *a,
                              lcf_err *err)
{
    lcf_status status = LCF_OK;
    size_t i;

    for (i = 0; i < p->list_n && !status; i++) {
        char name[LCF_BUNDLE_NAME_MAX];
        uint64_t dims[LCF_BUNDLE_DIMS_MAX];

        array_name(name, &p->list[i]);
        array_dims(dims, &p->list[i]);
        status =
            lcf_bundle_add(w, name, LCF_F32, dims, p->list[i].dims_n, lcf_params_value(p, i), err);
    }
    if (status || !a)
        return status;
    status = lcf_bundle_add_1d(w, "adam.m", LCF_F32, a->values_n, a->m, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "adam.v", LCF_F32, a->values_n, a->v, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "adam.step", LCF_U64, 1, &a->step, err);
    return status;
}

lcf_status lcf_checkpoint_fits(const lcf_params *p, const lcf_bundle *bundle, lcf_err *err)
{
    for (size_t i = 0; i < p->list_n; i++) {
        char name[LCF_BUNDLE_NAME_MAX];
        const lcf_array *a;

        array_name(name, &p->list[i]);
        a = lcf_bundle_find(bundle, name);
        if (!a || a->n != p->list[i].n)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "the configuration asks for %s of %zu elements, the file holds %zu",
                            name, p->list[i].n, a ? a->n : (size_t)0);
    }
    return LCF_OK;
}

lcf_status lcf_checkpoint_get(lcf_params *p, lcf_adam *a, const lcf_bundle *bundle, lcf_err *err)
{
    const void *m = NULL, *v = NULL, *step = NULL, *data;
    uint64_t one = 1, n = p->values_n;
    lcf_status status = LCF_OK;
    int pass;
    size_t i;

    /* Everything is looked at before anything is changed. */
    if (a && ((status = lcf_bundle_get(&m, bundle, "adam.m", LCF_F32, &n, 1, err)) ||
              (status = lcf_bundle_get(&v, bundle, "adam.v", LCF_F32, &n, 1, err)) ||
              (status = lcf_bundle_get(&step, bundle, "adam.step", LCF_U64, &one, 1, err))))
        return status;
    for (pass = 0; pass < 2; pass++)
        for (i = 0; i < p->list_n; i++) {
            char name[LCF_BUNDLE_NAME_MAX];
            uint64_t dims[LCF_BUNDLE_DIMS_MAX];

            array_name(name, &p->list[i]);
            array_dims(dims, &p->list[i]);
            status = lcf_bundle_get(&data, bundle, name, LCF_F32, dims, p->list[i].dims_n, err);
            if (status)
                return status;
            if (pass == 1)
                memcpy(lcf_params_value(p, i), data, p->list[i].n * sizeof(float));
        }
    if (a) {
        memcpy(a->m, m, p->values_n * sizeof(float));
        memcpy(a->v, v, p->values_n * sizeof(float));
        memcpy(&a->step, step, sizeof(a->step));
    }
    return LCF_OK;
}

/* Before memory is taken for what a configuration claims: the file must hold as many elements. */
static lcf_status check_elements(const lcf_params *p, const lcf_bundle *bundle, lcf_err *err)
{
    size_t wanted = 0, found = 0;

    for (size_t i = 0; i < p->list_n; i++)
        if (!lcf_add_size(&wanted, wanted, p->list[i].n))
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

lcf_status lcf_checkpoint_open(lcf_params *p, const lcf_bundle *bundle, lcf_err *err)
{
    lcf_status status = check_elements(p, bundle, err);

    if (!status)
        status = lcf_params_seal(p, err);
    return status ? status : lcf_checkpoint_get(p, NULL, bundle, err);
}
