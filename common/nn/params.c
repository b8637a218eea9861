/*
 * Parameters and their gradients. Invariant: list[i].offset is a multiple of 16, and the gaps
 * between parameters are zero in values and in gradients.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/nn/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_N 16

void lcf_params_init(lcf_params *p)
{
    memset(p, 0, sizeof(*p));
}

void lcf_params_dispose(lcf_params *p)
{
    free(p->list);
    free(p->values);
    lcf_params_init(p);
}

lcf_status lcf_params_add(size_t *idx, lcf_params *p, const char *name, const size_t *dims,
                          uint32_t dims_n, bool decay, lcf_err *err)
{
    lcf_param param = {
        .dims_n = dims_n, .n = 1, .offset = p->values_n, .rate = 1.0f, .decay = decay};
    size_t end;
    uint32_t d;

    LCF_ASSERT(!p->values && dims_n >= 1 && dims_n <= LCF_TENSOR_DIMS_MAX);
    LCF_ASSERT(strlen(name) < sizeof(param.name) && lcf_params_find(p, name) == (size_t)-1);
    memcpy(param.name, name, strlen(name) + 1);
    for (d = 0; d < dims_n; d++) {
        param.dims[d] = dims[d];
        if (!lcf_mul_size(&param.n, param.n, dims[d]))
            return LCF_FAIL(err, LCF_ELIMIT, "parameter %s is too large", name);
    }
    if (!lcf_add_size(&end, p->values_n, param.n) || !lcf_add_size(&end, end, ALIGN_N - 1))
        return LCF_FAIL(err, LCF_ELIMIT, "parameter %s is too large", name);
    if (lcf_grow((void **)&p->list, &p->list_capacity, p->list_n + 1, sizeof(*p->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "parameter %s", name);
    p->list[p->list_n] = param;
    if (idx)
        *idx = p->list_n;
    p->list_n++;
    p->values_n = end / ALIGN_N * ALIGN_N;
    return LCF_OK;
}

static float *zeros(size_t n)
{
    float *values = lcf_alloc_aligned(n ? n : 1, sizeof(*values));

    lcf_use_huge_pages(values, n * sizeof(*values));
    if (values)
        memset(values, 0, n * sizeof(*values));
    return values;
}

lcf_status lcf_params_seal(lcf_params *p, lcf_err *err)
{
    LCF_ASSERT(!p->values);
    p->values = zeros(p->values_n);
    if (!p->values)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu parameters", p->values_n);
    return LCF_OK;
}

lcf_status lcf_params_check_finite(const lcf_params *p, lcf_err *err)
{
    for (size_t i = 0; i < p->list_n; i++) {
        const float *values = lcf_params_value(p, i);

        for (size_t j = 0; j < p->list[i].n; j++)
            if (!isfinite(values[j]))
                return LCF_FAIL(err, LCF_EFORMAT, "param.%s[%zu] is not a finite number",
                                p->list[i].name, j);
    }
    return LCF_OK;
}

/* Half the width of the uniform draw. source: Glorot and Bengio 2010 */
static float xavier_bound(const lcf_param *param)
{
    size_t fan_in = param->dims[param->dims_n - 1];
    size_t fan_out = param->dims_n > 1 ? param->dims[param->dims_n - 2] : 1;

    return sqrtf(6.0f / (float)(fan_in + fan_out));
}

void lcf_params_fill(lcf_params *p, size_t idx, lcf_init init, float scale, uint64_t seed)
{
    const lcf_param *param = &p->list[idx];
    float *values = lcf_params_value(p, idx), bound = scale;
    lcf_rng rng;
    size_t i;

    lcf_rng_seed(&rng, seed, idx);
    if (init == LCF_INIT_XAVIER_UNIFORM)
        bound = xavier_bound(param);
    for (i = 0; i < param->n; i++)
        switch (init) {
        case LCF_INIT_ZERO:
            values[i] = 0.0f;
            break;
        case LCF_INIT_ONE:
            values[i] = 1.0f;
            break;
        case LCF_INIT_NORMAL:
            values[i] = scale * (float)lcf_rng_normal(&rng);
            break;
        case LCF_INIT_UNIFORM:
        case LCF_INIT_XAVIER_UNIFORM:
            values[i] = bound * (2.0f * lcf_rng_f32(&rng) - 1.0f);
            break;
        }
    if (param->row0_zero)
        lcf_params_zero_row0(p, idx);
}

void lcf_params_zero_row0(lcf_params *p, size_t idx)
{
    lcf_param *param = &p->list[idx];

    LCF_ASSERT(param->dims_n == 2 && param->dims[0] > 0);
    param->row0_zero = true;
    memset(lcf_params_value(p, idx), 0, param->dims[1] * sizeof(float));
}

size_t lcf_params_find(const lcf_params *p, const char *name)
{
    size_t i;

    for (i = 0; i < p->list_n; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return i;
    return (size_t)-1;
}

float *lcf_params_value(const lcf_params *p, size_t idx)
{
    LCF_ASSERT(p->values && idx < p->list_n);
    return p->values + p->list[idx].offset;
}

/* ---- gradients ---- */

lcf_status lcf_grads_init(lcf_grads *g, const lcf_params *p, lcf_err *err)
{
    *g = (lcf_grads){zeros(p->values_n), p->values_n, p, NULL};
    if (!g->values)
        return LCF_FAIL(err, LCF_ENOMEM, "gradients of %zu parameters", p->values_n);
    return LCF_OK;
}

lcf_status lcf_grads_init_by_rows(lcf_grads *g, const lcf_params *p, lcf_err *err)
{
    size_t n = p->values_n ? p->values_n : 1;
    bool failed;

    /* What tables would take of the block is never touched, so it costs no memory. */
    *g = (lcf_grads){lcf_alloc_aligned(n, sizeof(float)), p->values_n, p,
                     lcf_alloc_zero(p->list_n ? p->list_n : 1, sizeof(*g->tables))};
    failed = !g->values || !g->tables;
    for (size_t i = 0; i < p->list_n && !failed; i++) {
        lcf_row_grads *t = &g->tables[i];

        if (!p->list[i].table)
            continue;
        LCF_ASSERT(p->list[i].dims_n == 2);
        *t = (lcf_row_grads){.width = p->list[i].dims[1], .rows_n = p->list[i].dims[0]};
        t->slot = lcf_alloc_zero(t->rows_n ? t->rows_n : 1, sizeof(*t->slot));
        failed = !t->slot;
    }
    if (failed) {
        lcf_grads_dispose(g);
        return LCF_FAIL(err, LCF_ENOMEM, "gradients of %zu parameters", p->values_n);
    }
    lcf_grads_zero(g);
    return LCF_OK;
}

void lcf_grads_dispose(lcf_grads *g)
{
    for (size_t i = 0; g->tables && i < g->params->list_n; i++) {
        free(g->tables[i].slot);
        free(g->tables[i].row);
        free(g->tables[i].values);
    }
    free(g->tables);
    free(g->values);
    memset(g, 0, sizeof(*g));
}

/*
 * The next stretch of gradients from *at on, as values and their number: parameter by parameter
 * where tables stand by rows, else the whole block. False at the end.
 */
static bool next_stretch(float **values, size_t *n, const lcf_grads *g, size_t *at)
{
    if (!g->tables) {
        *values = g->values;
        *n = g->values_n;
        return (*at)++ == 0;
    }
    if (*at == g->params->list_n)
        return false;
    if (g->tables[*at].width) {
        *values = g->tables[*at].values;
        *n = g->tables[*at].n * g->tables[*at].width;
    } else {
        *values = g->values + g->params->list[*at].offset;
        *n = g->params->list[*at].n;
    }
    (*at)++;
    return true;
}

void lcf_grads_zero(lcf_grads *g)
{
    size_t at = 0, n;
    float *values;

    for (size_t i = 0; g->tables && i < g->params->list_n; i++) {
        lcf_row_grads *t = &g->tables[i];

        for (size_t j = 0; j < t->n; j++)
            t->slot[t->row[j]] = 0;
        t->n = 0;
    }
    while (next_stretch(&values, &n, g, &at))
        if (n)
            memset(values, 0, n * sizeof(*values));
}

/* Room for one more row. */
static bool rows_grow(lcf_row_grads *t)
{
    size_t capacity = t->capacity;

    return !lcf_grow((void **)&t->values, &capacity, t->n + 1, t->width * sizeof(*t->values)) &&
           !lcf_grow((void **)&t->row, &t->capacity, t->n + 1, sizeof(*t->row));
}

float *lcf_row_grads_at(lcf_row_grads *t, uint32_t row)
{
    LCF_ASSERT(row < t->rows_n);
    if (!t->slot[row]) {
        if (!rows_grow(t))
            return NULL;
        memset(t->values + t->n * t->width, 0, t->width * sizeof(*t->values));
        t->row[t->n++] = row;
        t->slot[row] = (uint32_t)t->n;
    }
    return t->values + (t->slot[row] - 1) * t->width;
}

#define ROWS_AHEAD 8

/* Asks memory for the row of sum that t's i-th will be added to: it lies anywhere. */
static void ask_for_row(const lcf_row_grads *sum, const lcf_row_grads *t, size_t i)
{
    const uint32_t slot = i < t->n ? sum->slot[t->row[i]] : 0;

    for (size_t d = 0; slot && d < t->width; d += 16)
        __builtin_prefetch(sum->values + (slot - 1) * t->width + d, 1);
}

static lcf_status rows_add(lcf_row_grads *sum, const lcf_row_grads *t)
{
    for (size_t i = 0; i < t->n; i++) {
        float *to;

        ask_for_row(sum, t, i + ROWS_AHEAD);
        to = lcf_row_grads_at(sum, t->row[i]);
        if (!to)
            return LCF_ENOMEM;
        lcf_axpy(to, 1.0f, t->values + i * t->width, t->width);
    }
    return LCF_OK;
}

lcf_status lcf_grads_add(lcf_grads *sum, const lcf_grads *g)
{
    lcf_status status = LCF_OK;

    LCF_ASSERT(sum->values_n == g->values_n && !sum->tables == !g->tables);
    if (!g->tables)
        lcf_axpy(sum->values, 1.0f, g->values, g->values_n);
    for (size_t i = 0; g->tables && i < g->params->list_n && !status; i++) {
        const lcf_param *param = &g->params->list[i];

        if (g->tables[i].width)
            status = rows_add(&sum->tables[i], &g->tables[i]);
        else
            lcf_axpy(sum->values + param->offset, 1.0f, g->values + param->offset, param->n);
    }
    return status;
}

double lcf_grads_norm(const lcf_grads *g)
{
    double sums[LCF_SQUARE_SUMS] = {0};
    size_t at = 0, n;
    float *values;

    while (next_stretch(&values, &n, g, &at))
        lcf_square_sums(sums, values, n);
    for (size_t half = LCF_SQUARE_SUMS / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sqrt(sums[0]);
}
