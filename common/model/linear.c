/*
 * The linear part of a model: one weight per user, item, brand and category (the mean of an
 * item's), and a weight per element of the extra vector.
 *
 * The history has no weights of its own, as in the published code.
 */
#include "common/model/backbone.h"

#include <stdio.h>

static lcf_status declare_fields(ranker_linear *l, lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < c->fields_n && !status; i++) {
        const lcf_ranker_field *f = &c->fields[i];
        const char *owner = LCF_FIELD_OWNER_NAMES[f->owner];
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "linear.%s.%s.%s", owner, f->name, f->dim ? "w" : "table");
        if (f->dim)
            status = lcf_ranker_add_matrix(&l->fields[i], r, name, 1, f->dim, f->dim, err);
        else
            status =
                lcf_ranker_add_table(&l->fields[i], r, name, lcf_ranker_field_rows(c, i), 1, err);
    }
    return status;
}

lcf_status lcf_ranker_add_linear(ranker_linear *l, lcf_ranker *r, bool ids_only, size_t extra_dim,
                                 lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const struct {
        const char *name;
        size_t *idx, rows;
    } tables[] = {{"linear.user.table", &l->user, c->users_n},
                  {"linear.item.table", &l->item, c->items_n},
                  {"linear.brand.table", &l->brand, c->brands_n},
                  {"linear.category.table", &l->category, c->categories_n}};
    lcf_status status = LCF_OK;

    l->ids_only = ids_only;
    for (size_t i = 0; i < (ids_only ? 2 : 4) && !status; i++)
        status = lcf_ranker_add_table(tables[i].idx, r, tables[i].name, tables[i].rows, 1, err);
    if (!status && !ids_only)
        status = declare_fields(l, r, err);
    if (!status && extra_dim)
        status =
            lcf_ranker_add_matrix(&l->extra, r, "linear.extra.w", 1, extra_dim, extra_dim, err);
    if (!status)
        status = lcf_ranker_add(&l->b, r, "linear.b", 1, 0, LCF_INIT_ZERO, 0.0f, err);
    return status;
}

/* sum [n, 1] and what one owner's fields of its first n entities weigh. */
static lcf_tensor *add_fields(const ranker_pass *p, const ranker_linear *l, lcf_tensor *sum,
                              lcf_field_owner owner, size_t n)
{
    const lcf_ranker_config *c = &p->r->config;

    for (size_t i = 0; i < c->fields_n && !l->ids_only; i++) {
        const ranker_field_batch *b = &p->batch->fields[i];
        const size_t dims[2] = {n, c->fields[i].dim};
        lcf_tensor *w = lcf_ranker_param(p, l->fields[i]), *part;

        if (c->fields[i].owner != owner)
            continue;
        if (c->fields[i].dim)
            part = lcf_op_linear(p->tape, lcf_tape_input(p->tape, b->vectors, dims, 2), w, NULL);
        else
            part = lcf_op_gather_mean(p->tape, w, b->ids, b->offsets, n);
        sum = lcf_op_add(p->tape, sum, part);
    }
    return sum;
}

/* Weights of the batch's items [items_n, 1]. */
static lcf_tensor *item_weights(const ranker_pass *p, const ranker_linear *l)
{
    const ranker_batch *b = p->batch;
    lcf_tensor *w = lcf_op_gather(p->tape, lcf_ranker_param(p, l->item), b->item_id, b->items_n);

    if (l->ids_only)
        return w;
    w = lcf_op_add(
        p->tape, w,
        lcf_op_gather(p->tape, lcf_ranker_param(p, l->brand), b->item_brand, b->items_n));
    w = lcf_op_add(p->tape, w,
                   lcf_op_gather_mean(p->tape, lcf_ranker_param(p, l->category), b->categories,
                                      b->category_offsets, b->items_n));
    return add_fields(p, l, w, LCF_FIELD_ITEM, b->items_n);
}

lcf_tensor *lcf_ranker_linear_forward(const ranker_pass *p, const ranker_linear *l,
                                      const ranker_fields *f)
{
    const ranker_batch *b = p->batch;
    lcf_tensor *sum = lcf_op_gather(p->tape, lcf_ranker_param(p, l->user), b->user, b->rows_n);

    sum = lcf_op_add(p->tape, sum, lcf_op_gather(p->tape, item_weights(p, l), b->item, b->rows_n));
    sum = add_fields(p, l, sum, LCF_FIELD_USER, b->rows_n);
    sum = add_fields(p, l, sum, LCF_FIELD_CONTEXT, b->rows_n);
    if (f->extra)
        sum = lcf_op_add(p->tape, sum,
                         lcf_op_linear(p->tape, f->extra, lcf_ranker_param(p, l->extra), NULL));
    return lcf_op_add_bias(p->tape, sum, lcf_ranker_param(p, l->b));
}
