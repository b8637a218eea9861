/*
 * Weights of the features of a rationale, fitted on logged rewards (`llmcf score-cot --weights`):
 * which of a row's candidates is kept, in place of the mean of the parts of score.h. What is
 * degenerate stays rejected.
 *
 * Identity: the hash of all numbers that a score depends on; it enters the key of every record that
 * was chosen with them.
 *
 * source   schemas/score_weights.md
 */
#ifndef LCF_OFFLINE_RECGEN_SCORE_WEIGHTS_H
#define LCF_OFFLINE_RECGEN_SCORE_WEIGHTS_H

#include "offline/recgen/rationale.h"

#define LCF_SCORE_CLIP 3.0 /* of a standardised feature */
#define LCF_SCORE_WEIGHTS_ID_BYTES 33

typedef struct lcf_score_weights {
    /* a feature counts (x - mean) / spread, at most LCF_SCORE_CLIP either way; spread 0: nothing */
    double mean[LCF_RATIONALE_N], spread[LCF_RATIONALE_N], weight[LCF_RATIONALE_N];
    uint64_t prompts_n;                  /* that they were fitted on */
    double accuracy;                     /* share of pairs in order, on prompts left out */
    char id[LCF_SCORE_WEIGHTS_ID_BYTES]; /* "" while unknown */
} lcf_score_weights;

/* A standardised and clipped feature. */
double lcf_score_feature(const lcf_score_weights *w, size_t feature, double x);
/*
 * How good a text is, in (0, 1): the logistic function of the weighted sum. Two texts differ in
 * logit by what the fitted log odds of their order are.
 */
double lcf_score_weighted(const lcf_score_weights *w, lcf_str text, lcf_str prompt, uint8_t label);

void lcf_score_weights_identify(lcf_score_weights *w);
/* errors: EFORMAT what is missing or no number (named); EVERSION another version */
lcf_status lcf_score_weights_parse(lcf_score_weights *out, const json_t *json, lcf_err *err);
/* The same from a JSON file; errors also of reading it. */
lcf_status lcf_score_weights_load(lcf_score_weights *out, const char *path, lcf_err *err);
/* NULL when out of memory. memory: json_decref */
json_t *lcf_score_weights_json(const lcf_score_weights *w);
/* The file appears whole or not at all. errors: ENOMEM; ENOSPC, EIO */
lcf_status lcf_score_weights_save(const char *path, const lcf_score_weights *w, lcf_err *err);

#endif
