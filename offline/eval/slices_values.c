/* Slices by the most frequent values: brands and categories of the item, and columns of text. */
#include "offline/eval/slices.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_status lcf_slices_top(uint32_t top[LCF_SLICES_TOP], size_t *found, const size_t *rows, size_t n,
                          lcf_err *err)
{
    bool *taken = lcf_alloc_zero(n + 1, sizeof(*taken));

    if (!taken)
        return LCF_FAIL(err, LCF_ENOMEM, "counts of %zu values", n);
    for (*found = 0; *found < LCF_SLICES_TOP; (*found)++) {
        size_t best = 0;
        for (size_t v = 1; v < n; v++)
            if (!taken[v] && rows[v] && (!best || rows[v] > rows[best]))
                best = v;
        if (!best)
            break;
        taken[best] = true;
        top[*found] = (uint32_t)best;
    }
    free(taken);
    return LCF_OK;
}

static void fill_values(lcf_slice_dimension *d, const uint32_t *value, size_t rows_n,
                        const uint32_t *top, size_t top_n)
{
    for (size_t i = 0; i < rows_n; i++) {
        uint8_t which = 0;
        if (!value[i])
            continue;
        while (which < top_n && top[which] != value[i])
            which++;
        d->of[i] = which; /* top_n: one of the others */
    }
}

lcf_status lcf_slices_add_values(lcf_slices *s, const char *name, const uint32_t *value,
                                 const lcf_strings *texts, lcf_err *err)
{
    size_t *rows = lcf_alloc_zero(texts->n + 1, sizeof(*rows)), top_n;
    uint32_t top[LCF_SLICES_TOP];
    lcf_slice_dimension *d;
    lcf_status status;

    if (!rows)
        return LCF_FAIL(err, LCF_ENOMEM, "counts of %zu values", texts->n);
    for (size_t i = 0; i < s->rows_n; i++)
        rows[value[i]]++;
    status = lcf_slices_top(top, &top_n, rows, texts->n, err);
    free(rows);
    if (!status)
        status = lcf_slices_add(&d, s, name, top_n + 1, err);
    if (status)
        return status;
    for (size_t k = 0; k < top_n; k++) {
        lcf_str text = lcf_strings_get(texts, top[k]);
        lcf_slice_set_name(d, k, "%s: %.*s", d->name, (int)text.len, text.data);
    }
    lcf_slice_set_name(d, top_n, "%s: other", d->name);
    fill_values(d, value, s->rows_n, top, top_n);
    return LCF_OK;
}

static lcf_status by_brand(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                           lcf_err *err)
{
    uint32_t *value = lcf_alloc(t->rows_n + 1, sizeof(*value));
    lcf_status status;

    if (!value)
        return LCF_FAIL(err, LCF_ENOMEM, "brands of %zu rows", t->rows_n);
    for (size_t i = 0; i < t->rows_n; i++)
        value[i] = d->catalogue.item_brand[d->sample_item[t->row[i]]];
    status = lcf_slices_add_values(s, "brand", value, &d->catalogue.brand, err);
    free(value);
    return status;
}

static bool item_has(const lcf_catalogue *c, uint32_t item, uint32_t category)
{
    for (size_t k = c->category_offsets[item]; k < c->category_offsets[item + 1]; k++)
        if (c->item_categories[k] == category)
            return true;
    return false;
}

/* An item has several categories, so each of them is a dimension of one slice. */
static lcf_status add_category(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                               uint32_t category, lcf_err *err)
{
    lcf_str text = lcf_strings_get(&d->catalogue.category, category);
    lcf_slice_dimension *dimension;
    lcf_status status = lcf_slices_add(&dimension, s, "category", 1, err);

    if (status)
        return status;
    lcf_slice_set_name(dimension, 0, "category: %.*s", (int)text.len, text.data);
    for (size_t i = 0; i < t->rows_n; i++)
        if (item_has(&d->catalogue, d->sample_item[t->row[i]], category))
            dimension->of[i] = 0;
    return LCF_OK;
}

static lcf_status by_category(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                              lcf_err *err)
{
    const lcf_catalogue *c = &d->catalogue;
    size_t *rows = lcf_alloc_zero((size_t)c->categories_n + 1, sizeof(*rows)), top_n = 0;
    uint32_t top[LCF_SLICES_TOP];
    lcf_status status;

    if (!rows)
        return LCF_FAIL(err, LCF_ENOMEM, "counts of %u categories", c->categories_n);
    for (size_t i = 0; i < t->rows_n; i++) {
        uint32_t item = d->sample_item[t->row[i]];
        for (size_t k = c->category_offsets[item]; k < c->category_offsets[item + 1]; k++)
            rows[c->item_categories[k]]++;
    }
    status = lcf_slices_top(top, &top_n, rows, c->categories_n, err);
    for (size_t k = 0; k < top_n && !status; k++)
        status = add_category(s, t, d, top[k], err);
    free(rows);
    return status;
}

lcf_status lcf_slices_by_item(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                              lcf_err *err)
{
    lcf_status status = d->catalogue.brands_n > 1 ? by_brand(s, t, d, err) : LCF_OK;

    return status || d->catalogue.categories_n <= 1 ? status : by_category(s, t, d, err);
}
