/*
 * Lookups: rows of tables, or means of rows, side by side. One pass writes them where the next
 * layer reads them, and one pass adds their gradients to the tables' rows.
 *
 * Invariant: a table's row 0 that stands for padding gets no gradient.
 */
#include "common/math/rows.h"
#include "common/nn/tape_internal.h"

typedef struct lookup_note {
    lcf_lookup *parts; /* [parts_n] */
    size_t parts_n;
} lookup_note;

/* The ids of a part as places in its table's gradient by rows, plus 1; 0 for padding. NULL when out
 * of memory. */
static const uint32_t *places_of(lcf_tape *t, const lcf_lookup *part, size_t n)
{
    const size_t ids_n = part->offsets ? part->offsets[n] : n;
    const uint32_t *slot = part->table->row_grads->slot; /* the same array while rows are added */
    uint32_t *places = lcf_tape_alloc(t, ids_n, sizeof(*places));

    for (size_t i = 0; i < ids_n && !tape_failed(t); i++) {
        const uint32_t row = part->ids ? part->ids[i] : (uint32_t)i;

        if (!slot[row] && !(row == 0 && part->table->row0_zero))
            tape_grad_row(t, part->table, row);
        places[i] = slot[row];
    }
    return tape_failed(t) ? NULL : places;
}

/* One part: columns of dy, `width` floats between its rows. */
static void part_backward(lcf_tape *t, const lcf_lookup *part, const float *dy, size_t width,
                          size_t n)
{
    lcf_tensor *table = part->table;
    lcf_rows rows = {part->ids, part->offsets, n};
    size_t first = table->row0_zero;
    float *to;

    if (table->row_grads) {
        rows.ids = places_of(t, part, n);
        if (!rows.ids)
            return;
        first = 1;
        to = table->row_grads->values;
    } else {
        to = tape_grad_zeroed(t, table);
        if (!to)
            return;
        to += first * table->dims[1];
    }
    lcf_rows_scatter(to, dy, width, table->dims[1], first, &rows);
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

/* Every id is one of the table's. */
static void check_part(const lcf_lookup *part, size_t n)
{
    const size_t ids_n = part->offsets ? part->offsets[n] : n;

    for (size_t i = 0; i < n && part->offsets; i++)
        LCF_ASSERT(part->offsets[i] <= part->offsets[i + 1]);
    for (size_t i = 0; i < ids_n && part->ids; i++)
        LCF_ASSERT(part->ids[i] < part->table->dims[0]);
    LCF_ASSERT(part->ids || ids_n <= part->table->dims[0]);
}

static void part_forward(float *y, const lcf_lookup *part, size_t width, size_t n)
{
    const lcf_rows rows = {part->ids, part->offsets, n};

    check_part(part, n);
    lcf_rows_gather(y, width, part->table->data, part->table->dims[1], &rows);
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
