/*
 * DeLong's variance from placements. With m positives, n negatives, S10 and S01 the sample
 * variances of the placements of either: var = S10 / m + S01 / n. By users, each user's placements
 * are summed and centred on what so many rows would give, and the covariance of a user's positives
 * and negatives enters, too.
 */
#include "offline/eval/delong.h"

#include "common/base/mem.h"
#include "offline/eval/score_order.h"

#include <math.h>
#include <stdlib.h>

static void count_classes(double total[2], const uint8_t *labels, size_t n)
{
    total[0] = total[1] = 0;
    for (size_t i = 0; i < n; i++)
        total[labels[i] != 0]++;
}

void lcf_placements_add(double *placements, const uint64_t *order, const uint8_t *labels, size_t n,
                        double weight)
{
    double total[2], below[2] = {0, 0};

    count_classes(total, labels, n);
    for (size_t begin = 0, end; begin < n; begin = end) {
        uint32_t rank = lcf_order_rank(order[begin]);
        double tied[2] = {0, 0};
        for (end = begin; end < n && lcf_order_rank(order[end]) == rank; end++)
            tied[labels[lcf_order_row(order[end])] != 0]++;
        for (size_t i = begin; i < end; i++) {
            uint32_t row = lcf_order_row(order[i]);
            placements[row] +=
                weight * (labels[row] ? (below[0] + tied[0] / 2) / total[0]
                                      : (total[1] - below[1] - tied[1] / 2) / total[1]);
        }
        below[0] += tied[0];
        below[1] += tied[1];
    }
}

/* users [users_n, 2]: sum over the rows of each class of placement - mean. */
static double users_variance(const double *users, const double total[2], size_t users_n)
{
    double squares[2] = {0, 0}, product = 0, count = (double)users_n;

    for (size_t u = 0; u < users_n; u++) {
        squares[0] += users[2 * u] * users[2 * u];
        squares[1] += users[2 * u + 1] * users[2 * u + 1];
        product += users[2 * u] * users[2 * u + 1];
    }
    return count / (count - 1) *
           (squares[0] / (total[0] * total[0]) + squares[1] / (total[1] * total[1]) +
            2 * product / (total[0] * total[1]));
}

lcf_status lcf_delong_compute(lcf_delong *out, const double *placements, const uint8_t *labels,
                              const uint32_t *users, size_t n, size_t users_n, lcf_err *err)
{
    double *of_user = lcf_alloc_zero(users_n + 1, 2 * sizeof(*of_user));
    double total[2], sum = 0, squares[2] = {0, 0};

    if (!of_user)
        return LCF_FAIL(err, LCF_ENOMEM, "placements of %zu users", users_n);
    count_classes(total, labels, n);
    for (size_t i = 0; i < n; i++)
        sum += labels[i] ? placements[i] : 0;
    out->auc = sum / total[1];
    for (size_t i = 0; i < n; i++) {
        double centred = placements[i] - out->auc;
        squares[labels[i] != 0] += centred * centred;
        of_user[2 * (size_t)users[i] + (labels[i] != 0)] += centred;
    }
    out->se_rows =
        sqrt(squares[1] / ((total[1] - 1) * total[1]) + squares[0] / ((total[0] - 1) * total[0]));
    out->se_users = users_n > 1 ? sqrt(users_variance(of_user, total, users_n)) : NAN;
    free(of_user);
    return LCF_OK;
}
