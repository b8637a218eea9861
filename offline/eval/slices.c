/* Slices of rows: the list of dimensions, and those by what training knew about user and item. */
#include "offline/eval/slices.h"

#include "common/base/mem.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECILES 10

static const char *const WARMTH[] = {"warm", "cold"};
static const struct {
    uint32_t from;
    const char *name;
} HISTORY[] = {{0, "0"}, {1, "1-4"}, {5, "5-9"}, {10, "10-19"}, {20, "20"}};

#define HISTORY_N (sizeof(HISTORY) / sizeof(HISTORY[0]))

/* ---- the list ---- */

lcf_status lcf_slices_add(lcf_slice_dimension **out, lcf_slices *s, const char *name, size_t count,
                          lcf_err *err)
{
    lcf_slice_dimension *d;

    LCF_ASSERT(count < LCF_SLICE_NONE);
    if (lcf_grow((void **)&s->dimensions, &s->capacity, s->n + 1, sizeof(*s->dimensions)))
        return LCF_FAIL(err, LCF_ENOMEM, "slices by %s", name);
    d = &s->dimensions[s->n++]; /* from here on dispose releases it */
    *d = (lcf_slice_dimension){.count = count};
    snprintf(d->name, sizeof(d->name), "%s", name);
    lcf_utf8_mend(d->name);
    d->names = lcf_alloc_zero(count + 1, sizeof(*d->names));
    d->of = lcf_alloc(s->rows_n + 1, 1);
    if (!d->names || !d->of)
        return LCF_FAIL(err, LCF_ENOMEM, "slices of %zu rows by %s", s->rows_n, name);
    memset(d->of, LCF_SLICE_NONE, s->rows_n);
    s->slices_n += count;
    *out = d;
    return LCF_OK;
}

void lcf_slices_dispose(lcf_slices *s)
{
    for (size_t k = 0; k < s->n; k++) {
        free(s->dimensions[k].names);
        free(s->dimensions[k].of);
    }
    free(s->dimensions);
    memset(s, 0, sizeof(*s));
}

void lcf_slice_set_name(lcf_slice_dimension *d, size_t which, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(d->names[which], LCF_SLICE_NAME_MAX, format, args);
    va_end(args);
    lcf_utf8_mend(d->names[which]);
}

/* ---- by a value of the row ---- */

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The last decile that begins at or below the value; where several begin at it, the first. */
static uint8_t decile_of(const double *sorted, size_t n, double value)
{
    uint8_t k = 0;

    while (k + 1 < DECILES && value > sorted[n * (k + 1u) / DECILES - 1])
        k++;
    return k;
}

static void name_deciles(lcf_slice_dimension *d, const double *values, size_t rows_n)
{
    double low[DECILES], high[DECILES];

    for (size_t k = 0; k < DECILES; k++)
        low[k] = high[k] = NAN;
    for (size_t i = 0; i < rows_n; i++)
        if (d->of[i] != LCF_SLICE_NONE) {
            low[d->of[i]] = fmin(low[d->of[i]], values[i]);
            high[d->of[i]] = fmax(high[d->of[i]], values[i]);
        }
    for (size_t k = 0; k < DECILES; k++)
        lcf_slice_set_name(d, k, "%s decile %zu (%.3g to %.3g)", d->name, k + 1, low[k], high[k]);
}

lcf_status lcf_slices_add_deciles(lcf_slices *s, const char *name, const double *values,
                                  lcf_err *err)
{
    double *sorted = lcf_alloc(s->rows_n + 1, sizeof(*sorted));
    lcf_slice_dimension *d;
    size_t n = 0;
    lcf_status status;

    if (!sorted)
        return LCF_FAIL(err, LCF_ENOMEM, "deciles of %zu rows", s->rows_n);
    for (size_t i = 0; i < s->rows_n; i++)
        if (!isnan(values[i]))
            sorted[n++] = values[i];
    qsort(sorted, n, sizeof(*sorted), compare_f64);
    status = lcf_slices_add(&d, s, name, DECILES, err);
    for (size_t i = 0; !status && i < s->rows_n && n >= DECILES; i++)
        if (!isnan(values[i]))
            d->of[i] = decile_of(sorted, n, values[i]);
    if (!status)
        name_deciles(d, values, s->rows_n);
    free(sorted);
    return status;
}

/* ---- user, item, history, popularity ---- */

static uint8_t history_slice(uint32_t length)
{
    uint8_t slice = 0;

    while (slice + 1 < (uint8_t)HISTORY_N && length >= HISTORY[slice + 1].from)
        slice++;
    return slice;
}

/* Training samples of each user or item. */
static uint32_t *count_training(const lcf_dataset *d, const uint32_t *of_sample, size_t n)
{
    uint32_t *counts = lcf_alloc_zero(n + 1, sizeof(*counts));

    for (size_t i = d->split_begin[LCF_TRAIN]; counts && i < d->split_begin[LCF_TRAIN + 1]; i++)
        counts[of_sample[i]]++;
    return counts;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* first[k]: the smallest count that is in decile k or above. Item 0 is the unknown and no item. */
static lcf_status decile_bounds(uint32_t first[DECILES], const uint32_t *counts, size_t items_n,
                                lcf_err *err)
{
    size_t n = items_n ? items_n - 1 : 0;
    uint32_t *sorted = lcf_alloc(n + 1, sizeof(*sorted));

    if (!sorted)
        return LCF_FAIL(err, LCF_ENOMEM, "popularity of %zu items", n);
    memcpy(sorted, counts + 1, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_u32);
    first[0] = 0;
    for (size_t k = 1; k < DECILES; k++)
        /* one more than the last count of the deciles below, so that equal counts stay together */
        first[k] = n >= DECILES ? sorted[n * k / DECILES - 1] + 1 : UINT32_MAX;
    free(sorted);
    return LCF_OK;
}

static uint8_t decile(const uint32_t first[DECILES], uint32_t count)
{
    uint8_t k = 0;

    while (k + 1 < DECILES && count >= first[k + 1])
        k++;
    return k;
}

static lcf_status add_warmth(lcf_slices *s, const char *name, const lcf_eval_table *t,
                             const uint32_t *of_sample, const uint32_t *training, lcf_err *err)
{
    lcf_slice_dimension *d;
    lcf_status status = lcf_slices_add(&d, s, name, 2, err);

    if (status)
        return status;
    for (size_t which = 0; which < 2; which++)
        lcf_slice_set_name(d, which, "%s %s", WARMTH[which], name);
    for (size_t i = 0; i < t->rows_n; i++)
        d->of[i] = !training[of_sample[t->row[i]]];
    return LCF_OK;
}

static lcf_status add_history(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *dataset,
                              lcf_err *err)
{
    lcf_slice_dimension *d;
    lcf_status status = lcf_slices_add(&d, s, "history", HISTORY_N, err);

    if (status)
        return status;
    for (size_t which = 0; which < HISTORY_N; which++)
        lcf_slice_set_name(d, which, "history %s", HISTORY[which].name);
    for (size_t i = 0; i < t->rows_n; i++)
        d->of[i] = history_slice(lcf_dataset_sample(dataset, t->row[i]).history_n);
    return LCF_OK;
}

static lcf_status add_popularity(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *dataset,
                                 const uint32_t *training, lcf_err *err)
{
    uint32_t first[DECILES];
    lcf_slice_dimension *d = NULL;
    lcf_status status = decile_bounds(first, training, dataset->catalogue.items_n, err);

    if (!status)
        status = lcf_slices_add(&d, s, "popularity", DECILES, err);
    if (status)
        return status;
    for (size_t which = 0; which < DECILES; which++)
        lcf_slice_set_name(d, which, "popularity decile %zu", which + 1);
    for (size_t i = 0; i < t->rows_n; i++)
        d->of[i] = decile(first, training[dataset->sample_item[t->row[i]]]);
    return LCF_OK;
}

static lcf_status check_rows(const lcf_eval_table *t, const lcf_dataset *d, lcf_err *err)
{
    for (size_t i = 0; i < t->rows_n; i++) {
        if (t->row[i] >= d->samples_n)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "the predictions are about sample %" PRIu64
                            ", the dataset has %zu: they are from another dataset",
                            t->row[i], d->samples_n);
        if (!d->sample_label[t->row[i]] != !t->label[i])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "sample %" PRIu64 " has label %u in the predictions and %u in the "
                            "dataset: they are from another dataset",
                            t->row[i], t->label[i], d->sample_label[t->row[i]]);
    }
    return LCF_OK;
}

static lcf_status by_training(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                              lcf_err *err)
{
    uint32_t *users = count_training(d, d->sample_user, d->users_n);
    uint32_t *items = count_training(d, d->sample_item, d->catalogue.items_n);
    lcf_status status = users && items
                            ? LCF_OK
                            : LCF_FAIL(err, LCF_ENOMEM, "training samples of each user and item");

    if (!status)
        status = add_warmth(s, "user", t, d->sample_user, users, err);
    if (!status)
        status = add_warmth(s, "item", t, d->sample_item, items, err);
    if (!status)
        status = add_history(s, t, d, err);
    if (!status)
        status = add_popularity(s, t, d, items, err);
    free(users);
    free(items);
    return status;
}

lcf_status lcf_slices_init(lcf_slices *out, const lcf_eval_table *t, const lcf_dataset *d,
                           const lcf_slices_options *options, lcf_err *err)
{
    lcf_status status = check_rows(t, d, err);

    *out = (lcf_slices){.rows_n = t->rows_n};
    if (!status)
        status = by_training(out, t, d, err);
    if (!status)
        status = lcf_slices_by_item(out, t, d, err);
    if (!status && options->retrieved_dir)
        status = lcf_slices_by_examples(out, t, d, options->retrieved_dir, err);
    for (size_t i = 0; i < options->columns_n && !status; i++)
        status = lcf_slices_by_column(out, t, d, options->columns[i], err);
    if (status)
        lcf_slices_dispose(out);
    return status;
}
