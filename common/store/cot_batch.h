/*
 * Records on their way into a CoT store: copied as they come, written many at a time. Internal to
 * common/store.
 */
#ifndef LCF_COMMON_STORE_COT_BATCH_H
#define LCF_COMMON_STORE_COT_BATCH_H

#include "common/store/cot_store.h"

enum { COT_BATCH_RECORDS = 512 };

typedef struct cot_batch {
    lcf_cot_store *to;
    lcf_cot_record *owned[COT_BATCH_RECORDS];
    lcf_cot_record records[COT_BATCH_RECORDS]; /* the same; strings point into `owned` */
    size_t n;
} cot_batch;

/* An lcf_cot_visit of a batch: writes them once there are enough. errors: those of putting */
lcf_status cot_batch_add(void *batch, const lcf_cot_record *record, lcf_err *err);
/* Writes what is left. errors: those of putting; the batch is empty then, too */
lcf_status cot_batch_flush(cot_batch *b, lcf_err *err);
/* Forgets what is not written yet. */
void cot_batch_discard(cot_batch *b);

#endif
