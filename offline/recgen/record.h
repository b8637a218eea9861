/*
 * From candidates to a record: what the model wrote is expanded, scored and cleaned, and the best
 * candidate becomes the row's record.
 *
 * source   llm-cf.md section 3, schemas/cot_record.md
 */
#ifndef LCF_OFFLINE_RECGEN_RECORD_H
#define LCF_OFFLINE_RECGEN_RECORD_H

#include "common/store/cot_store.h"
#include "offline/recgen/engine.h"
#include "offline/recgen/score_weights.h"

typedef struct lcf_provenance { /* what all records of a job share; must outlive them */
    const lcf_dataset *dataset;
    const lcf_prompt_options *prompt;
    const char *version, *model_id, *sampling;
    size_t candidates_n;              /* asked for */
    const lcf_score_weights *weights; /* that choose the candidate; NULL: the mean of the parts */
} lcf_provenance;

/*
 * The record of a row: its candidate of the highest score, the first of equals; a rejected one
 * where none is good.
 *
 * shapes   answers [answers_n], at least 1
 * memory   text and ids of *out are its own: lcf_record_dispose, also after a failure
 */
lcf_status lcf_record_make(lcf_cot_record *out, const lcf_provenance *p, const lcf_ask *ask,
                           lcf_hash128 sample_hash, const lcf_answer *answers, size_t answers_n,
                           size_t prompt_tokens_n, lcf_err *err);
void lcf_record_dispose(lcf_cot_record *r);

#endif
