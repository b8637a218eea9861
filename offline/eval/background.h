/*
 * What surrounds a comparison in its report: how the arms were trained, how their scores are
 * distributed on both splits, how fast they answer, and what everything was made from. Nothing of
 * it changes a figure of the comparison.
 *
 * Life cycle: read -> the report writers -> dispose. What there is no file for is simply unknown.
 */
#ifndef LCF_OFFLINE_EVAL_BACKGROUND_H
#define LCF_OFFLINE_EVAL_BACKGROUND_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/drift.h"
#include "offline/eval/latency.h"
#include "offline/eval/table.h"
#include "offline/eval/training.h"

#include <jansson.h>

typedef struct lcf_background {
    const char *other_split;              /* "valid" of "test", and the other way round */
    lcf_training training[LCF_ARMS];      /* not known where `llmcf train` did not make the arm */
    lcf_score_sample scores[LCF_ARMS];    /* as compared; n = 0 where they are no probabilities */
    lcf_score_sample elsewhere[LCF_ARMS]; /* on the other one; n = 0 where there is none */
    lcf_latency latency[LCF_ARMS];        /* not known where no answers were given */
    json_t *sources;                      /* of lcf_sources_add */
    char *command;                        /* makes the report again */
} lcf_background;

/*
 * Reads what stands beside the arms' rows into a value of zeros (sources, scores and command are
 * filled by whoever has them). any_score: scores may be of any size, so those of the other split
 * are left alone.
 *
 * shapes   arm_dir, latency_path [LCF_ARMS]; latency_path[a] NULL: not known
 * errors   of the readers; the message names the file
 * memory   dispose releases, also after a failure
 */
lcf_status lcf_background_read(lcf_background *out, const char *const *arm_dir,
                               const char *const *latency_path, const char *split, bool any_score,
                               lcf_err *err);
void lcf_background_dispose(lcf_background *b);

/* Appends an argument as a shell reads it back, quoted where it must be. */
void lcf_shell_quote(lcf_buf *out, const char *text);

#endif
