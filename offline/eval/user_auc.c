/*
 * Per-user AUC: rows are distributed to their users as keys that carry score and label, and each
 * user's few keys are sorted on their own, so that nothing is looked up out of order.
 */
#include "offline/eval/user_auc.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/eval/score_order.h"

#include <math.h>
#include <stdlib.h>

#define FEW 48 /* keys that insertion sorts faster than radix */

/* Distributes the rows by user; begin [users_max + 1], zeroed, gets where each user starts. */
static void group_by_user(uint64_t *grouped, size_t *begin, const float *scores,
                          const uint8_t *labels, const uint32_t *users, size_t n, size_t users_max)
{
    for (size_t i = 0; i < n; i++)
        begin[users[i] + 1]++;
    for (size_t u = 0; u < users_max; u++)
        begin[u + 1] += begin[u];
    for (size_t i = 0; i < n; i++)
        grouped[begin[users[i]]++] = lcf_order_key(scores[i], labels[i] != 0);
    for (size_t u = users_max; u > 0; u--) /* the loop above left each at its own end */
        begin[u] = begin[u - 1];
    begin[0] = 0;
}

static size_t most_rows(const size_t *begin, size_t users_max)
{
    size_t most = 0;

    for (size_t u = 0; u < users_max; u++)
        most = begin[u + 1] - begin[u] > most ? begin[u + 1] - begin[u] : most;
    return most;
}

static void sort_keys(uint64_t *keys, size_t n, uint64_t *scratch)
{
    if (n > FEW) {
        lcf_order_sort(keys, n, scratch);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static double count_positives(const uint64_t *keys, size_t n)
{
    uint64_t positives = 0;

    for (size_t i = 0; i < n; i++)
        positives += keys[i] & 1;
    return (double)positives;
}

static void average(lcf_user_auc *out, double *per_user, uint64_t *grouped, const size_t *begin,
                    uint64_t *scratch, size_t users_max)
{
    double sum = 0, by_rows = 0, rows = 0, by_positives = 0, positives = 0;

    *out = (lcf_user_auc){NAN, NAN, NAN, 0, 0};
    for (size_t u = 0; u < users_max; u++) {
        size_t n = begin[u + 1] - begin[u];
        double own = count_positives(grouped + begin[u], n), auc = NAN;
        if (own > 0 && own < (double)n) {
            sort_keys(grouped + begin[u], n, scratch);
            auc = lcf_auc_keys(grouped + begin[u], n);
        }
        if (per_user)
            per_user[u] = auc;
        if (isnan(auc)) {
            out->skipped_n += n > 0;
            continue;
        }
        out->users_n++;
        sum += auc;
        by_rows += (double)n * auc;
        rows += (double)n;
        by_positives += own * auc;
        positives += own;
    }
    if (!out->users_n)
        return;
    out->uauc = sum / (double)out->users_n;
    out->gauc_impressions = by_rows / rows;
    out->gauc_positives = by_positives / positives;
}

lcf_status lcf_user_auc_compute(lcf_user_auc *out, double *per_user, const float *scores,
                                const uint8_t *labels, const uint32_t *users, size_t n,
                                size_t users_max, lcf_err *err)
{
    uint64_t *grouped = NULL, *scratch = NULL;
    size_t *begin = NULL;
    size_t nan_row = lcf_scores_first_nan(scores, n);
    lcf_status status = LCF_OK;

    if (nan_row < n)
        return LCF_FAIL(err, LCF_EINVAL, "the score of row %zu is NaN", nan_row);
    grouped = lcf_alloc(n + 1, sizeof(*grouped));
    begin = lcf_alloc_zero(users_max + 1, sizeof(*begin));
    if (grouped && begin) {
        group_by_user(grouped, begin, scores, labels, users, n, users_max);
        scratch = lcf_alloc(most_rows(begin, users_max) + 1, sizeof(*scratch));
    }
    if (scratch)
        average(out, per_user, grouped, begin, scratch, users_max);
    else
        status = LCF_FAIL(err, LCF_ENOMEM, "AUC by user, %zu rows, %zu users", n, users_max);
    free(grouped);
    free(begin);
    free(scratch);
    return status;
}
