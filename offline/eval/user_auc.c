/*
 * Per-user AUC with one sort: rows are ordered by score once, then distributed to their users by a
 * stable counting sort, so that each user's rows stand in order of score without a sort of their
 * own.
 */
#include "offline/eval/user_auc.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/eval/score_order.h"

#include <math.h>
#include <stdlib.h>

/* Distributes keys [n] into grouped [n] by user; begin [users_max + 1] gets where each user starts.
 */
static void group_by_user(uint64_t *grouped, size_t *begin, const uint64_t *keys,
                          const uint32_t *users, size_t n, size_t users_max)
{
    for (size_t i = 0; i < n; i++)
        begin[users[i] + 1]++;
    for (size_t u = 0; u < users_max; u++)
        begin[u + 1] += begin[u];
    for (size_t i = 0; i < n; i++)
        grouped[begin[users[lcf_order_row(keys[i])]]++] = keys[i];
    for (size_t u = users_max; u > 0; u--) /* the loop above left each at its own end */
        begin[u] = begin[u - 1];
    begin[0] = 0;
}

static double count_positives(const uint64_t *keys, const uint8_t *labels, size_t n)
{
    double positives = 0;

    for (size_t i = 0; i < n; i++)
        positives += labels[lcf_order_row(keys[i])] != 0;
    return positives;
}

static void average(lcf_user_auc *out, double *per_user, const uint64_t *grouped,
                    const size_t *begin, const uint8_t *labels, size_t users_max)
{
    double sum = 0, by_rows = 0, rows = 0, by_positives = 0, positives = 0;

    *out = (lcf_user_auc){NAN, NAN, NAN, 0, 0};
    for (size_t u = 0; u < users_max; u++) {
        size_t n = begin[u + 1] - begin[u];
        double auc = lcf_auc_sorted(grouped + begin[u], labels, NULL, n), own;
        if (per_user)
            per_user[u] = auc;
        if (isnan(auc)) {
            out->skipped_n += n > 0;
            continue;
        }
        own = count_positives(grouped + begin[u], labels, n);
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
    uint64_t *keys = NULL, *grouped = NULL;
    size_t *begin = NULL;
    size_t nan_row = lcf_scores_first_nan(scores, n);
    lcf_status status = LCF_OK;

    if (nan_row < n)
        return LCF_FAIL(err, LCF_EINVAL, "the score of row %zu is NaN", nan_row);
    keys = lcf_alloc(n + 1, sizeof(*keys));
    grouped = lcf_alloc(n + 1, sizeof(*grouped));
    begin = lcf_alloc_zero(users_max + 1, sizeof(*begin));
    if (!keys || !grouped || !begin) {
        status = LCF_FAIL(err, LCF_ENOMEM, "AUC by user, %zu rows, %zu users", n, users_max);
        goto done;
    }
    lcf_score_order(keys, scores, n, grouped);
    group_by_user(grouped, begin, keys, users, n, users_max);
    average(out, per_user, grouped, begin, labels, users_max);
done:
    free(keys);
    free(grouped);
    free(begin);
    return status;
}
