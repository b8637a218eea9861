/*
 * External sort: pairs of 64 bits in order of the first, however many. What does not fit in memory
 * is spilled to unnamed temporary files as sorted runs, which are merged when read.
 *
 * Life cycle: create -> add ... -> rewind -> next ... -> free. One thread.
 */
#ifndef LCF_OFFLINE_EVAL_STREAM_EXTSORT_H
#define LCF_OFFLINE_EVAL_STREAM_EXTSORT_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_pair {
    uint64_t key, value;
} lcf_pair;

typedef struct lcf_extsort lcf_extsort;

/* pairs_max: pairs kept in memory (twice that room is taken while they are sorted). */
lcf_status lcf_extsort_create(lcf_extsort **out, size_t pairs_max, lcf_err *err);
void lcf_extsort_free(lcf_extsort *s); /* NULL is fine */
/* errors: EIO the temporary file; ENOMEM */
lcf_status lcf_extsort_add(lcf_extsort *s, uint64_t key, uint64_t value, lcf_err *err);
/* Ends adding. */
lcf_status lcf_extsort_rewind(lcf_extsort *s, lcf_err *err);
/* The next pair in ascending order of its key, equal keys in the order they were added; *more is
 * false at the end. errors: EIO */
lcf_status lcf_extsort_next(bool *more, lcf_pair *out, lcf_extsort *s, lcf_err *err);

#endif
