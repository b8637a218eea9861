/* The text match, alone (knrm.c) and beside ICT (ict.c). Private to common/model. */
#ifndef LCF_COMMON_MODEL_KNRM_H
#define LCF_COMMON_MODEL_KNRM_H

#include "common/model/backbone.h"

/* Indices of its parameters. */
typedef struct knrm {
    size_t w, b;
} knrm;

lcf_status lcf_knrm_declare(knrm *s, lcf_ranker *r, lcf_err *err);
/* How near the text of each row's item is to those of its history [rows_n, dim]. */
lcf_tensor *lcf_knrm_vectors(const ranker_pass *p, const knrm *s);

#endif
