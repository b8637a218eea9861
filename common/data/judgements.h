/*
 * Judgements: what a language model answers when it is asked whether the user will like the target,
 * for samples of a dataset: log p(Yes) - log p(No), and Yes alone. `judge` writes them, `train`
 * distils the difference.
 *
 * source   schemas/judgements.md
 */
#ifndef LCF_COMMON_DATA_JUDGEMENTS_H
#define LCF_COMMON_DATA_JUDGEMENTS_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_JUDGEMENTS_VERSION 2 /* kind "judgements"; version 1 has rows and differences alone */

typedef struct lcf_judgements {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    size_t n;
    const uint64_t *row; /* [n] sample index in the dataset, ascending */
    const float *logit;  /* [n] finite: the difference */
    /* In version 1 NULL; else all are there. */
    const float *yes_logit;   /* [n] finite: of Yes, as the network gives it */
    const float *yes_logprob; /* [n] finite, <= 0: log p(Yes) over all words */
    const uint32_t *tokens;   /* [n] that the model read */
} lcf_judgements;

/*
 * samples_n: of the dataset they belong to.
 *
 * errors   as lcf_bundle_open; EFORMAT rows that do not ascend, a number that is not finite; EINVAL
 *          a row beyond samples_n; save: these, ENOSPC, EIO
 * memory   open: arrays are views into the file, valid until close
 */
lcf_status lcf_judgements_open(lcf_judgements *out, const char *path, size_t samples_n,
                               lcf_err *err);
void lcf_judgements_close(lcf_judgements *j);
lcf_status lcf_judgements_save(const char *path, const lcf_judgements *j, lcf_err *err);

#endif
