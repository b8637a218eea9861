/* Losses of next-item models: what is a target's score worth against those of other items. */
#include "common/base/mem.h"
#include "common/model/next_item_internal.h"

#include <math.h>

#define NEVER (-1e30f) /* added to the score of a candidate that must not count */

/* The score of every query with an item of its own [n, 1]. */
static lcf_tensor *own_scores(lcf_tape *t, lcf_tensor *table, lcf_tensor *users,
                              const uint32_t *items, size_t n)
{
    return lcf_op_row_dot(t, users, lcf_op_gather(t, table, items, n));
}

/* What is added to scores [n, 1 + negatives]: minus the log of the expected count, or NEVER. */
static lcf_tensor *corrections(lcf_tape *t, const lcf_next_targets *targets)
{
    const size_t n = targets->n, width = 1 + targets->negatives_n, dims[2] = {n, width};
    float *c = lcf_tape_alloc(t, n * width, sizeof(*c)), drawn = logf((float)targets->negatives_n);

    for (size_t i = 0; i < n && c; i++)
        for (size_t j = 0; j < width; j++) {
            const uint32_t item = j ? targets->negatives[j - 1] : targets->target[i];

            c[i * width + j] = targets->log_share ? -(targets->log_share[item] + drawn) : 0.0f;
            if (j && item == targets->target[i])
                c[i * width + j] = NEVER;
        }
    return lcf_tape_input(t, c, dims, 2);
}

static lcf_tensor *sampled(lcf_tape *t, lcf_tensor *table, lcf_tensor *users,
                           const lcf_next_targets *targets)
{
    const size_t n = targets->n;
    int32_t *first = lcf_tape_alloc(t, n, sizeof(*first));
    lcf_tensor *parts[2], *scores;

    parts[0] = own_scores(t, table, users, targets->target, targets->n);
    parts[1] = lcf_op_gather(t, table, targets->negatives, targets->negatives_n);
    parts[1] = lcf_op_linear(t, users, parts[1], NULL);
    scores = lcf_op_add(t, lcf_op_concat(t, parts, 2), corrections(t, targets));
    for (size_t i = 0; i < n && first; i++)
        first[i] = 0;
    return lcf_op_cross_entropy(t, scores, first, (float)n);
}

static lcf_tensor *full(lcf_tape *t, lcf_tensor *table, lcf_tensor *users,
                        const lcf_next_targets *targets)
{
    const size_t n = targets->n;
    int32_t *column = lcf_tape_alloc(t, n, sizeof(*column));
    lcf_tensor *scores =
        lcf_op_linear(t, users, lcf_op_slice(t, table, 1, table->dims[0] - 1), NULL);

    for (size_t i = 0; i < n && column; i++)
        column[i] = (int32_t)targets->target[i] - 1;
    return lcf_op_cross_entropy(t, scores, column, (float)n);
}

static lcf_tensor *bce(lcf_tape *t, lcf_tensor *table, lcf_tensor *users,
                       const lcf_next_targets *targets)
{
    const size_t n = targets->n;
    float *labels = lcf_tape_alloc(t, 2 * n, sizeof(*labels));
    lcf_tensor *parts[2];

    for (size_t i = 0; i < 2 * n && labels; i++)
        labels[i] = i % 2 == 0;
    parts[0] = own_scores(t, table, users, targets->target, targets->n);
    parts[1] = own_scores(t, table, users, targets->negatives, targets->n);
    return lcf_op_bce_with_logits(t, lcf_op_concat(t, parts, 2), labels, NULL, (float)n);
}

lcf_tensor *lcf_next_loss(lcf_tape *tape, const lcf_next *m, lcf_grads *grads, lcf_tensor *users,
                          lcf_next_loss_kind kind, const lcf_next_targets *targets)
{
    const next_pass p = {.tape = tape, .m = m, .config = lcf_next_config_of(m), .grads = grads};
    lcf_tensor *table = lcf_next_table(&p);

    for (size_t i = 0; i < targets->n; i++)
        LCF_ASSERT(targets->target[i] > 0 && targets->target[i] < p.config->items_n);
    switch (kind) {
    case LCF_NEXT_FULL:
        return full(tape, table, users, targets);
    case LCF_NEXT_BCE:
        LCF_ASSERT(targets->negatives_n == targets->n);
        return bce(tape, table, users, targets);
    case LCF_NEXT_SAMPLED:
        break;
    }
    return sampled(tape, table, users, targets);
}
