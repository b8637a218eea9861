/* Rows of next-item training: see next_rows.h. */
#include "offline/train/next_rows.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_next_history next_rows_history(const next_rows *r, uint32_t sample)
{
    const lcf_dataset *d = &r->dataset;
    const uint64_t begin = d->user_offsets[d->sample_user[sample]];

    return (lcf_next_history){d->event_item + begin,
                              (size_t)(d->sample_history_end[sample] - begin), NULL};
}

/* Positives of valid and test. */
static lcf_status list_rows(next_rows *r, lcf_split split, lcf_err *err)
{
    const lcf_dataset *d = &r->dataset;
    const size_t begin = d->split_begin[split], end = d->split_begin[split + 1];

    r->rows[split] = lcf_alloc(end - begin + 1, sizeof(*r->rows[split]));
    if (!r->rows[split])
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", end - begin);
    for (size_t i = begin; i < end; i++)
        if (d->sample_label[i])
            r->rows[split][r->rows_n[split]++] = (uint32_t)i;
    if (!r->rows_n[split])
        return LCF_FAIL(err, LCF_EINVAL, "the %s split has no positive", LCF_SPLIT_NAMES[split]);
    return LCF_OK;
}

static int by_end(const void *left, const void *right)
{
    const next_question *a = left, *b = right;

    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return (a->sample > b->sample) - (a->sample < b->sample);
}

static bool is_question(const lcf_dataset *d, size_t sample)
{
    return d->sample_label[sample] && d->sample_item[sample] &&
           d->sample_history_end[sample] > d->user_offsets[d->sample_user[sample]];
}

/* All training positives that have a history, by user and then by age; where each user's begin, in
 * offsets [users_n + 1]. */
static void sort_questions(next_question *out, size_t *offsets, const lcf_dataset *d)
{
    const size_t n = d->split_begin[LCF_VALID];

    memset(offsets, 0, ((size_t)d->users_n + 1) * sizeof(*offsets));
    for (size_t i = 0; i < n; i++)
        offsets[d->sample_user[i]] += is_question(d, i);
    for (size_t u = 1; u <= d->users_n; u++)
        offsets[u] += offsets[u - 1];
    for (size_t i = 0; i < n; i++) /* offsets: each user's end, counting down to its begin */
        if (is_question(d, i))
            out[--offsets[d->sample_user[i]]] =
                (next_question){d->sample_history_end[i], d->sample_item[i], (uint32_t)i};
    for (size_t u = 0; u < d->users_n; u++)
        qsort(out + offsets[u], offsets[u + 1] - offsets[u], sizeof(*out), by_end);
}

/* The sequence of one user's n questions, which are moved to the others that are kept. */
static void add_sequence(next_rows *r, const next_question *questions, size_t n,
                         uint64_t user_begin, uint32_t history_max)
{
    const uint64_t end = questions[n - 1].end;
    next_sequence s = {user_begin, end, r->questions_n};

    if (end - user_begin > history_max)
        s.begin = end - history_max;
    for (size_t i = 0; i < n; i++) {
        if (questions[i].end <= s.begin)
            continue;
        r->item_count[questions[i].target]++;
        r->questions[r->questions_n++] = questions[i];
    }
    if (r->questions_n - s.first > r->longest)
        r->longest = r->questions_n - s.first;
    r->sequences[r->sequences_n++] = s;
}

static lcf_status make_sequences(next_rows *r, uint32_t history_max, lcf_err *err)
{
    const lcf_dataset *d = &r->dataset;
    size_t *offsets = lcf_alloc((size_t)d->users_n + 1, sizeof(*offsets));

    r->questions = lcf_alloc(d->split_begin[LCF_VALID] + 1, sizeof(*r->questions));
    r->sequences = lcf_alloc((size_t)d->users_n + 1, sizeof(*r->sequences));
    r->item_count = lcf_alloc_zero(d->catalogue.items_n, sizeof(*r->item_count));
    if (!offsets || !r->questions || !r->sequences || !r->item_count) {
        free(offsets);
        return LCF_FAIL(err, LCF_ENOMEM, "sequences of %u users", d->users_n);
    }
    sort_questions(r->questions, offsets, d);
    for (size_t u = 0; u < d->users_n; u++)
        if (offsets[u] < offsets[u + 1])
            add_sequence(r, r->questions + offsets[u], offsets[u + 1] - offsets[u],
                         d->user_offsets[u], history_max);
    r->sequences[r->sequences_n].first = r->questions_n;
    free(offsets);
    if (!r->questions_n)
        return LCF_FAIL(err, LCF_EINVAL, "no training positive has a history");
    return LCF_OK;
}

lcf_status next_rows_open(next_rows *out, const char *dataset_dir, uint32_t history_max,
                          lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_dataset_open(&out->dataset, dataset_dir, err);
    if (status)
        return status;
    status = make_sequences(out, history_max, err);
    if (!status)
        status = list_rows(out, LCF_VALID, err);
    if (!status)
        status = list_rows(out, LCF_TEST, err);
    if (status) {
        lcf_err_prefix(err, "%s", dataset_dir);
        next_rows_close(out);
    }
    return status;
}

void next_rows_close(next_rows *r)
{
    free(r->sequences);
    free(r->questions);
    free(r->item_count);
    free(r->rows[LCF_VALID]);
    free(r->rows[LCF_TEST]);
    if (r->dataset.samples_bundle)
        lcf_dataset_close(&r->dataset);
    memset(r, 0, sizeof(*r));
}
