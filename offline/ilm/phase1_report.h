/* What phase 1 gained, as JSON. source: schemas/qformer_report.md */
#ifndef LCF_OFFLINE_ILM_PHASE1_REPORT_H
#define LCF_OFFLINE_ILM_PHASE1_REPORT_H

#include "offline/ilm/phase1.h"

#include <jansson.h>

/* The caller's (json_decref); NULL when out of memory. */
json_t *phase1_report(const phase1_result *result, const lcf_qformer *m, const phase1_data *data,
                      const phase1_params *params);

#endif
