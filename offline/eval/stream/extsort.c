/*
 * Runs are sorted by radix, stably, and stand one after the other in one temporary file; the merge
 * reads each through a window of its own and keeps the runs in a heap, the smallest next pair on
 * top.
 */
#include "offline/eval/stream/extsort.h"

#include "common/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 4096 /* pairs read from a run at a time */

typedef struct run {
    uint64_t at, end; /* pairs of the file that are not in the window yet */
    size_t next, filled;
    lcf_pair *window; /* [WINDOW]; of the run in memory: all of it */
} run;

struct lcf_extsort {
    size_t pairs_max, n;
    lcf_pair *pairs, *scratch; /* [pairs_max] */
    FILE *file;
    uint64_t spilled_n;
    run *runs;
    size_t runs_n, runs_capacity;
    size_t *heap; /* [heap_n] runs */
    size_t heap_n;
};

lcf_status lcf_extsort_create(lcf_extsort **out, size_t pairs_max, lcf_err *err)
{
    lcf_extsort *s = lcf_alloc_zero(1, sizeof(*s));

    *out = NULL;
    if (s) {
        s->pairs_max = pairs_max;
        s->pairs = lcf_alloc(pairs_max + 1, sizeof(*s->pairs));
        s->scratch = lcf_alloc(pairs_max + 1, sizeof(*s->scratch));
    }
    if (!s || !s->pairs || !s->scratch) {
        lcf_extsort_free(s);
        return LCF_FAIL(err, LCF_ENOMEM, "sort of %zu pairs at a time", pairs_max);
    }
    *out = s;
    return LCF_OK;
}

void lcf_extsort_free(lcf_extsort *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->runs_n; i++)
        if (s->runs[i].window != s->pairs)
            free(s->runs[i].window);
    if (s->file)
        fclose(s->file);
    free(s->runs);
    free(s->heap);
    free(s->pairs);
    free(s->scratch);
    free(s);
}

static void radix_pass(lcf_pair *out, const lcf_pair *in, size_t n, unsigned shift)
{
    size_t start[256] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        start[in[i].key >> shift & 255]++;
    for (size_t d = 0; d < 256; d++) {
        size_t count = start[d];
        start[d] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        out[start[in[i].key >> shift & 255]++] = in[i];
}

static void sort_pairs(lcf_extsort *s)
{
    for (unsigned shift = 0; shift < 64; shift += 16) {
        radix_pass(s->scratch, s->pairs, s->n, shift);
        radix_pass(s->pairs, s->scratch, s->n, shift + 8);
    }
}

static lcf_status add_run(lcf_extsort *s, run r, lcf_err *err)
{
    if (lcf_grow((void **)&s->runs, &s->runs_capacity, s->runs_n + 1, sizeof(*s->runs)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu runs", s->runs_n + 1);
    s->runs[s->runs_n++] = r;
    return LCF_OK;
}

static lcf_status spill(lcf_extsort *s, lcf_err *err)
{
    const run r = {s->spilled_n, s->spilled_n + s->n, 0, 0, NULL};

    if (!s->file && !(s->file = tmpfile()))
        return LCF_FAIL(err, LCF_EIO, "cannot make a temporary file: %s", strerror(errno));
    sort_pairs(s);
    if (fwrite(s->pairs, sizeof(*s->pairs), s->n, s->file) != s->n)
        return LCF_FAIL(err, errno == ENOSPC ? LCF_ENOSPC : LCF_EIO,
                        "cannot write the temporary file: %s", strerror(errno));
    s->spilled_n += s->n;
    s->n = 0;
    return add_run(s, r, err);
}

lcf_status lcf_extsort_add(lcf_extsort *s, uint64_t key, uint64_t value, lcf_err *err)
{
    if (s->n == s->pairs_max) {
        lcf_status status = spill(s, err);
        if (status)
            return status;
    }
    s->pairs[s->n++] = (lcf_pair){key, value};
    return LCF_OK;
}

/* Fills the run's window; it stays empty at the run's end. */
static lcf_status refill(lcf_extsort *s, run *r, lcf_err *err)
{
    uint64_t left = r->end - r->at;
    size_t n = left < WINDOW ? (size_t)left : WINDOW;

    r->next = r->filled = 0;
    if (!n)
        return LCF_OK;
    if (fseeko(s->file, (off_t)(r->at * sizeof(lcf_pair)), SEEK_SET) ||
        fread(r->window, sizeof(lcf_pair), n, s->file) != n)
        return LCF_FAIL(err, LCF_EIO, "cannot read the temporary file: %s", strerror(errno));
    r->at += n;
    r->filled = n;
    return LCF_OK;
}

/* Does run a come before run b? Runs were added in their order. */
static bool before(const lcf_extsort *s, size_t a, size_t b)
{
    const run *x = &s->runs[a], *y = &s->runs[b];
    uint64_t p = x->window[x->next].key, q = y->window[y->next].key;

    return p < q || (p == q && a < b);
}

static void sift_down(lcf_extsort *s, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1, which = s->heap[at];
        if (child >= s->heap_n)
            return;
        if (child + 1 < s->heap_n && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], which))
            return;
        s->heap[at] = s->heap[child];
        s->heap[child] = which;
        at = child;
    }
}

lcf_status lcf_extsort_rewind(lcf_extsort *s, lcf_err *err)
{
    const run in_memory = {0, 0, 0, s->n, s->pairs};
    lcf_status status;

    sort_pairs(s);
    free(s->scratch);
    s->scratch = NULL;
    for (size_t i = 0; i < s->runs_n; i++) {
        run *r = &s->runs[i];
        r->window = lcf_alloc(WINDOW, sizeof(*r->window));
        if (!r->window)
            return LCF_FAIL(err, LCF_ENOMEM, "windows of %zu runs", s->runs_n);
        status = refill(s, r, err);
        if (status)
            return status;
    }
    status = add_run(s, in_memory, err);
    if (status)
        return status;
    s->heap = lcf_alloc(s->runs_n, sizeof(*s->heap));
    if (!s->heap)
        return LCF_FAIL(err, LCF_ENOMEM, "merge of %zu runs", s->runs_n);
    for (size_t i = 0; i < s->runs_n; i++)
        if (s->runs[i].filled)
            s->heap[s->heap_n++] = i;
    for (size_t i = s->heap_n / 2; i-- > 0;)
        sift_down(s, i);
    return LCF_OK;
}

lcf_status lcf_extsort_next(bool *more, lcf_pair *out, lcf_extsort *s, lcf_err *err)
{
    run *r;
    lcf_status status = LCF_OK;

    *more = s->heap_n > 0;
    if (!*more)
        return LCF_OK;
    r = &s->runs[s->heap[0]];
    *out = r->window[r->next++];
    if (r->next == r->filled)
        status = refill(s, r, err);
    if (r->next == r->filled) /* the run is at its end */
        s->heap[0] = s->heap[--s->heap_n];
    sift_down(s, 0);
    return status;
}
