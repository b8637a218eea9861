/* job.json: what all requests of a folder have in common, as the import of their responses needs
 * it. */
#ifndef LCF_OFFLINE_RECGEN_BATCH_JOB_H
#define LCF_OFFLINE_RECGEN_BATCH_JOB_H

#include "offline/recgen/generate.h"

typedef struct lcf_batch_job {
    lcf_prompt_options prompt; /* points into this: a job stays where it is */
    lcf_prompt_template template;
    char *template_bytes; /* NULL: the built-in template */
    size_t candidates_n;
    lcf_score_weights weights_storage;
    const lcf_score_weights *weights; /* that choose the candidate; NULL: none */
    char model_id[LCF_OPENAI_ID_BYTES];
    char version[LCF_PROMPT_VERSION_BYTES], sampling[LCF_SAMPLING_TEXT_BYTES];
} lcf_batch_job;

/* errors: as lcf_prompt_open. memory: lcf_batch_job_dispose, also after a failure */
lcf_status lcf_batch_job_of(lcf_batch_job *out, const lcf_generate_options *o, lcf_err *err);
lcf_status lcf_batch_job_save(const lcf_batch_job *job, const char *dir, lcf_err *err);
/* errors: EFORMAT, EVERSION the prompts of that version are no longer written */
/* memory: lcf_batch_job_dispose, also after a failure */
lcf_status lcf_batch_job_load(lcf_batch_job *out, const char *dir, lcf_err *err);
void lcf_batch_job_dispose(lcf_batch_job *job);

#endif
