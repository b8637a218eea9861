/* The tables of users and items of a ranker, side by side, or spectral vectors. */
#include "offline/ilm/vectors.h"

#include "common/base/mem.h"
#include "common/model/ranker.h"
#include "offline/ilm/spectral.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lcf_status check(const lcf_ranker *r, const char *path, const lcf_dataset *d, lcf_err *err)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(r);

    if (c->users_n != d->users_n || c->items_n != d->catalogue.items_n)
        return LCF_FAIL(
            err, LCF_EINVAL,
            "%s is about %u users and %u items, the dataset about %u and %u: the ranker "
            "must have been trained on it",
            path, c->users_n, c->items_n, d->users_n, d->catalogue.items_n);
    return LCF_OK;
}

static float scale_of(const float *values, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)values[i] * (double)values[i];
    return sum > 0 ? (float)(1.0 / sqrt(sum / (double)n)) : 1.0f;
}

/* A table of `rows` rows, side by side with the other: both must have one width. */
static lcf_status find_table(const lcf_param **out, const lcf_params *p, const char *name,
                             size_t rows, const char *path, lcf_err *err)
{
    const size_t idx = lcf_params_find(p, name);

    if (idx == (size_t)-1)
        return LCF_FAIL(
            err, LCF_EINVAL,
            "%s has no vectors '%s': a ranker with a table of users and one of items is "
            "needed, e.g. mf or lightgcn",
            path, name);
    *out = &p->list[idx];
    if ((*out)->dims_n != 2 || (*out)->dims[0] != rows)
        return LCF_FAIL(err, LCF_EINVAL, "%s: '%s' is no table of %zu rows", path, name, rows);
    return LCF_OK;
}

static lcf_status take_tables(lcf_cf_vectors *v, const lcf_params *p, const char *path,
                              lcf_err *err)
{
    const lcf_param *items = NULL, *users = NULL;
    lcf_status status = find_table(&items, p, "item.table", v->items_n, path, err);

    if (!status && v->users_n)
        status = find_table(&users, p, "user.table", v->users_n, path, err);
    if (status)
        return status;
    if (items->dims[1] != v->dim || (users && users->dims[1] != v->dim))
        return LCF_FAIL(err, LCF_EINVAL, "%s: vectors of items of %zu, of users of %zu, not %zu",
                        path, items->dims[1], users ? users->dims[1] : v->dim, v->dim);
    memcpy(v->values, p->values + items->offset, items->n * sizeof(*v->values));
    if (users)
        memcpy(v->values + items->n, p->values + users->offset, users->n * sizeof(*v->values));
    return LCF_OK;
}

/* Where a graph makes vectors of the tables, those; else the tables. */
static lcf_status take(lcf_cf_vectors *v, lcf_ranker *r, const char *path, lcf_err *err)
{
    const size_t n = lcf_cf_entities(v);
    lcf_status status;

    v->dim = lcf_ranker_config_of(r)->dim;
    v->values = lcf_alloc(n, v->dim * sizeof(*v->values));
    if (!v->values)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu vectors of %zu", n, v->dim);
    if (lcf_ranker_takes_graph(lcf_ranker_config_of(r)->backbone))
        status = lcf_ranker_graph_vectors(v->values + v->items_n * v->dim, v->values, r, err);
    else
        status = take_tables(v, lcf_ranker_params(r), path, err);
    v->scale = status ? 1.0f : scale_of(v->values, n * v->dim);
    return status;
}

static lcf_status open_spectral(lcf_cf_vectors *out, const lcf_dataset *d, lcf_err *err)
{
    lcf_status status;
    size_t n;

    *out = (lcf_cf_vectors){
        .items_n = d->catalogue.items_n, .users_n = d->users_n, .dim = LCF_SPECTRAL_DIM};
    n = lcf_cf_entities(out) * out->dim;
    out->values = lcf_alloc(n, sizeof(*out->values));
    if (!out->values)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu vectors", lcf_cf_entities(out));
    status = lcf_spectral_vectors(out->values, d, err);
    out->scale = status ? 1.0f : scale_of(out->values, n);
    if (status)
        lcf_cf_vectors_dispose(out);
    return status;
}

/* users: an error when there are none; else they are left out then. */
static lcf_status open_vectors(lcf_cf_vectors *out, const char *ranker, const lcf_dataset *d,
                               bool users, lcf_err *err)
{
    lcf_ranker *r = NULL;
    lcf_status status = lcf_ranker_open(&r, ranker, err);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = check(r, ranker, d, err);
    if (!status) {
        out->items_n = d->catalogue.items_n;
        users = users || lcf_params_find(lcf_ranker_params(r), "user.table") != (size_t)-1;
        out->users_n = users ? d->users_n : 0;
        status = take(out, r, ranker, err);
    }
    if (status)
        lcf_cf_vectors_dispose(out);
    lcf_ranker_free(r);
    return status;
}

lcf_status lcf_cf_vectors_open(lcf_cf_vectors *out, const char *ranker, const lcf_dataset *d,
                               lcf_err *err)
{
    return ranker ? open_vectors(out, ranker, d, true, err) : open_spectral(out, d, err);
}

lcf_status lcf_cf_vectors_open_items(lcf_cf_vectors *out, const char *ranker, const lcf_dataset *d,
                                     lcf_err *err)
{
    return ranker ? open_vectors(out, ranker, d, false, err) : open_spectral(out, d, err);
}

lcf_status lcf_cf_vectors_check(const lcf_cf_vectors *v, size_t dim, float scale, const char *what,
                                lcf_err *err)
{
    /* Spectral vectors of another machine differ in their last bits. */
    if (v->dim == dim && fabsf(v->scale - scale) <= 1e-3f * scale)
        return LCF_OK;
    return LCF_FAIL(
        err, LCF_EINVAL,
        "the %s was trained on other vectors (%zu wide, scale %g) than these (%zu wide, "
        "scale %g): name the --ranker that it was trained with, or none if none was",
        what, dim, (double)scale, v->dim, (double)v->scale);
}

void lcf_cf_vectors_dispose(lcf_cf_vectors *v)
{
    free(v->values);
    memset(v, 0, sizeof(*v));
}
