/*
 * What a CoT store keeps under a key: a head of fixed layout, then the zstd frame of the record's
 * body. The head is what whoever looks through a store asks for.
 *
 * source   schemas/cot_record.md section "The store"
 */
#ifndef LCF_COMMON_STORE_COT_VALUE_H
#define LCF_COMMON_STORE_COT_VALUE_H

#include "common/base/str.h"
#include "common/store/cot_lmdb.h"
#include "common/store/cot_store.h"

#define LCF_COT_HEAD_BYTES 68
#define LCF_COT_HEAD_CONTENT_BYTES                                 \
    44 /* of them what is of the record: without hash and checksum \
        */

/* Reasons of rejection by their number, 1 to n; 0 is "". */
typedef struct cot_reasons {
    char **texts;
    size_t n, capacity;
} cot_reasons;

void cot_reasons_dispose(cot_reasons *r);
/* What the store has beyond those that are known. errors: EFORMAT a number is missing; ENOMEM */
lcf_status cot_reasons_load(cot_reasons *r, lcf_cot_db *db, lcf_err *err);
/* The number of a text, which is added where it is new. */
lcf_status cot_reasons_number(uint32_t *number, cot_reasons *r, const char *text, lcf_err *err);
/* Forgets those added after the first n. */
void cot_reasons_drop(cot_reasons *r, size_t n);

/* The head's bytes; its reject_reason goes by its number alone. */
void cot_head_write(uint8_t out[LCF_COT_HEAD_BYTES], const lcf_cot_head *head, uint32_t reason);
/* Of a value, or of its first bytes. errors: ECHECKSUM too short or damaged; ENOTFOUND without a
 * message: a reason that is not known (yet), all else is there */
lcf_status cot_head_read(lcf_cot_head *out, const cot_reasons *r, lcf_str value, lcf_err *err);
/* The frame behind the head. */
lcf_str cot_value_frame(lcf_str value);

/* The number of a table's row, as bytes in its order. */
void cot_number_bytes(uint8_t out[4], uint32_t number);

#endif
