/*
 * Judgements: what a language model answers when it is asked whether the user will like the target,
 * for samples of a dataset: log p(Yes) - log p(No). `judge` writes them, `train` distils them.
 *
 * source   schemas/judgements.md
 */
#ifndef LCF_COMMON_DATA_JUDGEMENTS_H
#define LCF_COMMON_DATA_JUDGEMENTS_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_JUDGEMENTS_VERSION 1 /* kind "judgements" */

typedef struct lcf_judgements {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    size_t n;
    const uint64_t *row; /* [n] sample index in the dataset, ascending */
    const float *logit;  /* [n] finite */
} lcf_judgements;

/* samples_n: of the dataset they belong to. errors: as lcf_bundle_open; EFORMAT; EINVAL a row
 * beyond samples_n */
lcf_status lcf_judgements_open(lcf_judgements *out, const char *path, size_t samples_n,
                               lcf_err *err);
void lcf_judgements_close(lcf_judgements *j);
lcf_status lcf_judgements_save(const char *path, const lcf_judgements *j, lcf_err *err);

#endif
