/*
 * Intern table: strings to indices in order of first appearance, index 0 being the empty string
 * ("unknown"). One block of bytes, one hash table; nothing is allocated per string.
 *
 * Life cycle: init -> add/find ... -> sort -> view -> dispose. Owned by its caller, one thread.
 */
#ifndef LCF_OFFLINE_DATA_INTERN_H
#define LCF_OFFLINE_DATA_INTERN_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "common/data/dataset.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_intern {
    size_t n;
    uint64_t *offsets; /* [n + 1] */
    char *chars;
    uint32_t *slots; /* [slots_n] index or 0; open addressing */
    uint32_t *sorted;
    size_t offsets_capacity, chars_capacity, slots_n;
} lcf_intern;

/* errors: ENOMEM; dispose is fine after a failure and on a struct of zeros. */
lcf_status lcf_intern_init(lcf_intern *t);
void lcf_intern_dispose(lcf_intern *t);
/* The index of that string, or 0. */
uint32_t lcf_intern_find(const lcf_intern *t, const char *text, size_t len);
/* As find, adding it when it is new. errors: ENOMEM, ELIMIT more than 2^32 - 1 strings. */
lcf_status lcf_intern_add(uint32_t *idx, lcf_intern *t, const char *text, size_t len);
/* Appends without looking for equal strings: for titles and texts, which may repeat. */
lcf_status lcf_intern_append(lcf_intern *t, const char *text, size_t len);
/* Fills `sorted`, which lcf_strings_find needs. errors: ENOMEM. */
lcf_status lcf_intern_sort(lcf_intern *t);
/* Valid until the table changes. */
lcf_strings lcf_intern_view(const lcf_intern *t);

#endif
