/*
 * Lookups: rows of tables, or means of rows, side by side. One pass writes them where the next
 * layer reads them, and one pass adds their gradients to the tables' rows.
 *
 * Invariant: a table's row 0 that stands for padding gets no gradient.
 */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <string.h>

typedef struct lookup_note {
    lcf_lookup *parts; /* [parts_n] */
    size_t parts_n;
} lookup_note;

/* Where the gradient of a table's row is added; `dense` is the whole table's where there is one. */
static float *grad_of_row(lcf_tape *t, lcf_tensor *table, float *dense, uint32_t row)
{
    return dense ? dense + row * table->dims[1] : tape_grad_row(t, table, row);
}

/* One part: columns of dy, `width` floats between its rows. */
static void part_backward(lcf_tape *t, const lcf_lookup *part, const float *dy, size_t width,
                          size_t n)
{
    lcf_tensor *table = part->table;
    const size_t d = table->dims[1];
    float *dense = table->row_grads ? NULL : tape_grad_zeroed(t, table);

    for (size_t i = 0; i < n && !tape_failed(t); i++, dy += width) {
        const size_t begin = part->offsets ? part->offsets[i] : i;
        const size_t end = part->offsets ? part->offsets[i + 1] : i + 1;
        const float share = part->offsets ? 1.0f / (float)(end - begin) : 1.0f;

        for (size_t j = begin; j < end; j++) {
            const uint32_t row = part->ids ? part->ids[j] : (uint32_t)j;
            float *dx;

            if (row == 0 && table->row0_zero)
                continue;
            dx = grad_of_row(t, table, dense, row);
            if (!dx)
                return;
            lcf_axpy(dx, share, dy, d);
        }
    }
}

static void lookup_backward(lcf_tape *t, tape_node *node)
{
    const lookup_note *note = node->extra;
    const size_t width = node->out->dims[1], n = node->out->dims[0];
    const float *dy = node->out->grad;

    for (size_t i = 0; i < note->parts_n; i++) {
        lcf_tensor *table = note->parts[i].table;

        if (table->needs_grad)
            part_backward(t, &note->parts[i], dy, width, n);
        dy += table->dims[1];
    }
}

static void part_forward(float *y, const lcf_lookup *part, size_t width, size_t n)
{
    const lcf_tensor *table = part->table;
    const size_t d = table->dims[1];

    for (size_t i = 0; i < n; i++, y += width) {
        if (!part->offsets) {
            const size_t row = part->ids ? part->ids[i] : i;

            LCF_ASSERT(row < table->dims[0]);
            memcpy(y, table->data + row * d, d * sizeof(*y));
            continue;
        }
        LCF_ASSERT(part->offsets[i] <= part->offsets[i + 1]);
        memset(y, 0, d * sizeof(*y));
        for (uint32_t j = part->offsets[i]; j < part->offsets[i + 1]; j++) {
            LCF_ASSERT(part->ids[j] < table->dims[0]);
            lcf_axpy(y, 1.0f / (float)(part->offsets[i + 1] - part->offsets[i]),
                     table->data + part->ids[j] * d, d);
        }
    }
}

lcf_tensor *lcf_op_lookup(lcf_tape *t, const lcf_lookup *parts, size_t parts_n, size_t n)
{
    lcf_lookup *kept = lcf_tape_alloc(t, parts_n, sizeof(*kept));
    size_t dims[2] = {n, 0}, column = 0;
    bool needs = false;
    lookup_note *note;
    lcf_tensor *y;

    for (size_t i = 0; i < parts_n; i++) {
        dims[1] += parts[i].table->dims[1];
        needs = needs || tape_needs(t, parts[i].table, NULL, NULL);
        if (kept)
            kept[i] = parts[i];
    }
    y = tape_tensor(t, dims, 2, needs);
    note = tape_note(t, lookup_backward, y, NULL, NULL, NULL, sizeof(*note));
    if (note)
        *note = (lookup_note){kept, parts_n};
    for (size_t i = 0; i < parts_n && !tape_failed(t); i++) {
        part_forward(y->data + column, &parts[i], dims[1], n);
        column += parts[i].table->dims[1];
    }
    return y;
}

lcf_tensor *lcf_op_gather(lcf_tape *t, lcf_tensor *table, const uint32_t *ids, size_t n)
{
    return lcf_op_lookup(t, &(lcf_lookup){table, ids, NULL}, 1, n);
}

lcf_tensor *lcf_op_gather_mean(lcf_tape *t, lcf_tensor *table, const uint32_t *ids,
                               const uint32_t *offsets, size_t n)
{
    return lcf_op_lookup(t, &(lcf_lookup){table, ids, offsets}, 1, n);
}
