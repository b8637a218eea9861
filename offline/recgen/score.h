/*
 * Scores of generated chains of thought, without any neural encoder: which of the candidates is
 * kept, and why one is worth nothing.
 *
 * A text is rejected (score 0, with a reason) when it is empty, too short, not UTF-8, cut off
 * before its end, echoes prompt markers, goes in circles, copies the prompt, or answers an English
 * prompt in another language. Otherwise the score is the mean of
 *
 *   coherence     half: 1 - mean change of polarity between neighbouring sentences, polarity from a
 *                 short list of words; half: 1 - share of repeated word triples, less for every "X
 *                 and X"
 *   completeness  mean over the four requested parts (profile, target, match, variety) of how
 *                 clearly the best sentence speaks of it: cue words of the part, two for full marks
 *   relevance     half: share of the names in the text (capitalised words and numbers within
 *                 sentences) that the prompt contains; half: share of the words of the target's
 *                 title that the text contains. An invented title costs here.
 *   consistency   does the text decide as the user did: 1 when its last stance agrees, 0 when it
 *                 contradicts, one half when it takes none
 *
 * Same text, same score, on every machine. Allocates nothing; safe from any thread.
 *
 * source   llm-cf.md section 3 (what each part stands for); measures by words are our own
 */
#ifndef LCF_OFFLINE_RECGEN_SCORE_H
#define LCF_OFFLINE_RECGEN_SCORE_H

#include "common/base/str.h"

#include <stdbool.h>

typedef enum lcf_cot_part {
    LCF_COT_COHERENCE,
    LCF_COT_COMPLETENESS,
    LCF_COT_RELEVANCE,
    LCF_COT_CONSISTENCY,
} lcf_cot_part;

typedef struct lcf_cot_subject { /* what the text should be about */
    lcf_str prompt;              /* as the model read it */
    lcf_str title;               /* the target's, as the prompt shows it */
    uint8_t label;
} lcf_cot_subject;

typedef struct lcf_cot_score {
    double score;              /* in [0, 1]; records keep it as a float */
    float parts[4];            /* by lcf_cot_part, each in [0, 1] */
    const char *reject_reason; /* static; "" when the score stands */
} lcf_cot_score;

/* finished: the model ended the text itself. */
lcf_cot_score lcf_cot_score_of(lcf_str text, bool finished, const lcf_cot_subject *subject);

#endif
