/* Made-up CoT records and stores of them, each a function of its number. */
#ifndef LCF_TESTS_UNIT_STORE_RECORDS_H
#define LCF_TESTS_UNIT_STORE_RECORDS_H

#include "common/store/cot_store.h"

/* A record with its strings inside, made from its number alone. */
typedef struct made {
    lcf_cot_record record;
    char user[16], item[16], text[2048];
} made;

/* Times fall with the number: 1000000000 - number. */
void records_make(made *m, uint64_t number);
void records_assert_same(const lcf_cot_record *a, const lcf_cot_record *b);
/* A dictionary is trained after 300 records. */
lcf_status records_open(lcf_cot_store **out, const char *dir, bool write, lcf_err *err);
/* Puts the records [begin, end) in batches. */
lcf_status records_put(lcf_cot_store *s, uint64_t begin, uint64_t end, size_t batch, lcf_err *err);
/* Record `number` is there as it was made. */
void records_check(lcf_cot_store *s, uint64_t number);
void records_fresh(const char *dir);
/* A new store of the records [0, n). */
void records_fill(const char *dir, uint64_t n);

#endif
