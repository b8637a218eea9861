/* Slices by the examples that were retrieved for a row: whether there are any, how similar. */
#include "offline/eval/slices.h"

#include "common/base/mem.h"
#include "common/store/retrieved.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Score of the best example of each row of the table, NaN without any. */
static void best_scores(double *best, const lcf_eval_table *t, const lcf_retrieved *r)
{
    for (size_t i = 0; i < t->rows_n; i++) {
        const size_t first = (size_t)t->row[i] * r->rule.k;
        best[i] = NAN;
        for (size_t k = first; k < first + r->rule.k; k++)
            if (r->ids[k] != LCF_EXAMPLE_NONE)
                best[i] = fmax(best[i], (double)r->scores[k]);
    }
}

/* Which examples they are does not matter here, so any index will do. */
static lcf_status read_best(double *best, const lcf_eval_table *t, const lcf_dataset *d,
                            const char *dir, lcf_err *err)
{
    lcf_retrieved retrieved;
    const lcf_status status =
        lcf_retrieved_open_dir(&retrieved, dir, d, NULL, LCF_EXAMPLE_NONE, err);

    if (!status)
        best_scores(best, t, &retrieved);
    lcf_retrieved_close(&retrieved);
    return status;
}

static lcf_status add_presence(lcf_slices *s, const double *best, lcf_err *err)
{
    lcf_slice_dimension *d;
    lcf_status status = lcf_slices_add(&d, s, "examples", 2, err);

    if (status)
        return status;
    lcf_slice_set_name(d, 0, "with examples");
    lcf_slice_set_name(d, 1, "without examples");
    for (size_t i = 0; i < s->rows_n; i++)
        d->of[i] = isnan(best[i]);
    return LCF_OK;
}

lcf_status lcf_slices_by_examples(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                  const char *retrieved_dir, lcf_err *err)
{
    double *best = lcf_alloc(t->rows_n + 1, sizeof(*best));
    lcf_status status = best ? read_best(best, t, d, retrieved_dir, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "scores of %zu rows", t->rows_n);

    if (!status)
        status = add_presence(s, best, err);
    if (!status)
        status = lcf_slices_add_deciles(s, "similarity", best, err);
    free(best);
    return status;
}
