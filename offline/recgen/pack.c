/*
 * First-fit packing by falling length; rows of equal length keep their order.
 */
#include "offline/recgen/pack.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_status lcf_pack_init(lcf_pack *p, size_t rows_max, size_t cutoff, lcf_err *err)
{
    size_t n;

    memset(p, 0, sizeof(*p));
    if (!lcf_mul_size(&n, rows_max, cutoff))
        return LCF_FAIL(err, LCF_EINVAL, "%zu rows of %zu tokens", rows_max, cutoff);
    p->rows_max = rows_max;
    p->cutoff = cutoff;
    p->seqs = lcf_alloc_zero(rows_max, sizeof(*p->seqs));
    p->order = lcf_alloc(rows_max, sizeof(*p->order));
    p->tokens = lcf_alloc(n, sizeof(*p->tokens));
    p->segments = lcf_alloc(n, sizeof(*p->segments));
    p->positions = lcf_alloc(n, sizeof(*p->positions));
    p->targets = lcf_alloc(n, sizeof(*p->targets));
    if (p->seqs && p->order && p->tokens && p->segments && p->positions && p->targets)
        return LCF_OK;
    lcf_pack_dispose(p);
    return LCF_FAIL(err, LCF_ENOMEM, "batch of %zu rows of %zu tokens", rows_max, cutoff);
}

void lcf_pack_dispose(lcf_pack *p)
{
    free(p->seqs);
    free(p->order);
    free(p->tokens);
    free(p->segments);
    free(p->positions);
    free(p->targets);
    memset(p, 0, sizeof(*p));
}

static void sort_by_length(size_t *order, const lcf_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        while (at > 0 && rows[order[at - 1]].tokens.n < rows[i].tokens.n) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

static void place(lcf_pack *p, size_t seq, const lcf_row *row)
{
    lcf_train_seq *s = &p->seqs[seq];
    size_t at = seq * p->cutoff + s->n, n = row->tokens.n;
    uint32_t segment = s->n ? p->segments[at - 1] + 1 : 0;

    memcpy(p->tokens + at, row->tokens.ids, n * sizeof(*p->tokens));
    memcpy(p->targets + at, row->targets, n * sizeof(*p->targets));
    for (size_t i = 0; i < n; i++) {
        p->segments[at + i] = segment;
        p->positions[at + i] = (uint32_t)i;
    }
    s->n += n;
}

void lcf_pack_fill(lcf_pack *p, const lcf_row *rows, size_t n)
{
    LCF_ASSERT(n <= p->rows_max);
    p->n = 0;
    sort_by_length(p->order, rows, n);
    for (size_t i = 0; i < n; i++) {
        const lcf_row *row = &rows[p->order[i]];
        size_t seq = 0;
        LCF_ASSERT(row->tokens.n > 0 && row->tokens.n <= p->cutoff);
        while (seq < p->n && p->seqs[seq].n + row->tokens.n > p->cutoff)
            seq++;
        if (seq == p->n) {
            size_t at = seq * p->cutoff;
            p->seqs[p->n++] = (lcf_train_seq){p->tokens + at, p->targets + at, p->segments + at,
                                              p->positions + at, 0};
        }
        place(p, seq, row);
    }
}
