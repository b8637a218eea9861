/*
 * CoT records as protobuf messages. Behind this header stands the only file that sees protobuf-c.
 *
 * source   schemas/cot_record.proto
 */
#ifndef LCF_COMMON_STORE_COT_RECORD_H
#define LCF_COMMON_STORE_COT_RECORD_H

#include "common/base/str.h"
#include "common/store/cot_store.h"

/* Appends the message. errors: EINVAL a string is NULL or not UTF-8, a number is not finite */
lcf_status lcf_cot_record_pack(lcf_buf *out, const lcf_cot_record *record, lcf_err *err);
/*
 * The same without what the head of a stored value says (cot_value.h): key, sample hash, time and
 * score. The record was packed whole before, and so checked.
 */
lcf_status lcf_cot_record_pack_body(lcf_buf *out, const lcf_cot_record *record, lcf_err *err);
/* *out is one allocation with its strings inside. errors: EFORMAT, ENOMEM */
lcf_status lcf_cot_record_unpack(lcf_cot_record **out, const void *bytes, size_t n, lcf_err *err);
/* The same of a body; key, sample hash, time and score are those of `head`. */
lcf_status lcf_cot_record_unpack_body(lcf_cot_record **out, const lcf_cot_head *head,
                                      const void *bytes, size_t n, lcf_err *err);

#endif
