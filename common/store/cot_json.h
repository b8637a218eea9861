/*
 * CoT records as JSON lines: for people, for comparing stores, and to carry records between them.
 *
 * Numbers are written so that reading them gives the same bits: an exported record that is imported
 * is the same record.
 *
 * source   schemas/cot_record.md section "JSON lines"
 */
#ifndef LCF_COMMON_STORE_COT_JSON_H
#define LCF_COMMON_STORE_COT_JSON_H

#include "common/store/cot_maintain.h"

#include <jansson.h>
#include <stdio.h>

/* One record as a line has it (json_decref); NULL when out of memory or a text is not UTF-8. */
json_t *lcf_cot_record_to_json(const lcf_cot_record *record);
/*
 * The record that a line holds; its strings belong to `json`.
 *
 * errors   EFORMAT a key is missing, of another type or out of range (named)
 */
lcf_status lcf_cot_record_of_json(lcf_cot_record *out, const json_t *json, lcf_err *err);

/*
 * A store in numbers: records, bytes, dictionaries, the digest of its content, and how many records
 * each reason of rejection has ("kept": none). json_decref releases it.
 *
 * cost     reads the heads of all records
 */
lcf_status lcf_cot_stats_json(json_t **out, lcf_cot_store *store, lcf_err *err);

/*
 * Writes the records of a store, in key order. limit > 0 takes that many, chosen by a hash of (key,
 * seed): the same ones for the same store.
 */
lcf_status lcf_cot_export(FILE *out, uint64_t *written, const char *store_dir, size_t limit,
                          uint64_t seed, lcf_err *err);
/*
 * Adds the records of a file to a store, as lcf_cot_store_merge.
 *
 * errors   EFORMAT a line that is no record (file and line); what came before it stays
 */
lcf_status lcf_cot_import(lcf_cot_merge_counts *out, lcf_cot_store *to, FILE *in, const char *name,
                          lcf_cot_conflict conflict, void *arg, lcf_err *err);

#endif
