/* Slices of rows by what training knew about their user and item. */
#include "offline/eval/slices.h"

#include "common/base/mem.h"

#include <inttypes.h>
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

const char *lcf_slice_dimension_name(lcf_slice_dimension dimension)
{
    static const char *const NAMES[] = {"user", "item", "history", "popularity"};

    return NAMES[dimension];
}

size_t lcf_slice_count(lcf_slice_dimension dimension)
{
    static const size_t COUNTS[] = {2, 2, HISTORY_N, DECILES};

    return COUNTS[dimension];
}

size_t lcf_slices_max(void)
{
    size_t n = 0;

    for (size_t k = 0; k < LCF_SLICE_DIMENSIONS_N; k++)
        n += lcf_slice_count((lcf_slice_dimension)k);
    return n;
}

void lcf_slice_name(char out[LCF_SLICE_NAME_MAX], lcf_slice_dimension dimension, size_t which)
{
    const char *name = lcf_slice_dimension_name(dimension);

    if (dimension == LCF_SLICE_HISTORY)
        snprintf(out, LCF_SLICE_NAME_MAX, "%s %s", name, HISTORY[which].name);
    else if (dimension == LCF_SLICE_POPULARITY)
        snprintf(out, LCF_SLICE_NAME_MAX, "%s decile %zu", name, which + 1);
    else
        snprintf(out, LCF_SLICE_NAME_MAX, "%s %s", WARMTH[which], name);
}

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

lcf_status lcf_slices_init(lcf_slices *out, const lcf_eval_table *t, const lcf_dataset *d,
                           lcf_err *err)
{
    uint32_t *users = NULL, *items = NULL, first[DECILES];
    lcf_status status = check_rows(t, d, err);
    bool ok = true;

    memset(out, 0, sizeof(*out));
    if (status)
        return status;
    users = count_training(d, d->sample_user, d->users_n);
    items = count_training(d, d->sample_item, d->catalogue.items_n);
    for (size_t k = 0; k < LCF_SLICE_DIMENSIONS_N; k++) {
        out->of[k] = lcf_alloc(t->rows_n + 1, 1);
        ok = ok && out->of[k];
    }
    if (!ok || !users || !items) {
        status = LCF_FAIL(err, LCF_ENOMEM, "slices of %zu rows", t->rows_n);
        goto done;
    }
    status = decile_bounds(first, items, d->catalogue.items_n, err);
    for (size_t i = 0; !status && i < t->rows_n; i++) {
        lcf_sample sample = lcf_dataset_sample(d, t->row[i]);
        out->of[LCF_SLICE_USER][i] = !users[sample.user];
        out->of[LCF_SLICE_ITEM][i] = !items[sample.item];
        out->of[LCF_SLICE_HISTORY][i] = history_slice(sample.history_n);
        out->of[LCF_SLICE_POPULARITY][i] = decile(first, items[sample.item]);
    }
done:
    free(users);
    free(items);
    if (status)
        lcf_slices_dispose(out);
    return status;
}

void lcf_slices_dispose(lcf_slices *s)
{
    for (size_t k = 0; k < LCF_SLICE_DIMENSIONS_N; k++)
        free(s->of[k]);
    memset(s, 0, sizeof(*s));
}
