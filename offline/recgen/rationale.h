/*
 * Does a score tell better chains of thought from worse ones? Measured on logged rationales with
 * rewards: of each prompt a few texts, the better half against the worse half.
 *
 * The score is linear in features of (text, prompt), with weights fitted by pairwise logistic loss
 * on one half of the prompts and measured on the other: halves by a seeded shuffle, features
 * standardised with the mean and spread of the fitting half. Features see texts and prompts alone,
 * never a reward.
 *
 *   polarity, opening, closing   praise against reproach, (p - n) / (p + n + 1), in the whole text,
 *                                in its first two sentences, in its last one
 *   swing       mean change of polarity between neighbouring sentences (coherence)
 *   strong      "highly", "definitely", ...; at most 3
 *   hedges      share of "may", "might", "could", ...
 *   contrast    "however", "although", ...; at most 3
 *   negation    share of "not", "unlikely"
 *   mixed       speaks of mixed feelings
 *   repeats     share of word triples that occurred before (coherence)
 *   markup      share of characters that are markup or line ends
 *   grounded    share of words that the prompt has, too
 *   length      log of the number of words
 *   with_user, with_item   polarity times that of the prompt's first and second half: praise where
 *               the prompt praises
 *
 * A rationale for a decision of No is measured in the mirror: praise and reproach change places in
 * it, and negation counts the other way, so that weights fitted where items were liked hold there.
 *
 * source   llm-cf.md section 3; Bradley and Terry 1952 for the loss
 */
#ifndef LCF_OFFLINE_RECGEN_RATIONALE_H
#define LCF_OFFLINE_RECGEN_RATIONALE_H

#include "common/base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LCF_RATIONALE_FEATURES(X) \
    X(POLARITY, "polarity")       \
    X(OPENING, "opening")         \
    X(CLOSING, "closing")         \
    X(SWING, "swing")             \
    X(STRONG, "strong")           \
    X(HEDGES, "hedges")           \
    X(CONTRAST, "contrast")       \
    X(NEGATION, "negation")       \
    X(MIXED, "mixed")             \
    X(REPEATS, "repeats")         \
    X(MARKUP, "markup")           \
    X(GROUNDED, "grounded")       \
    X(LENGTH, "length")           \
    X(WITH_USER, "with_user")     \
    X(WITH_ITEM, "with_item")

typedef enum lcf_rationale_feature {
#define LCF_RATIONALE_ENUM(constant, name) LCF_RATIONALE_##constant,
    LCF_RATIONALE_FEATURES(LCF_RATIONALE_ENUM)
#undef LCF_RATIONALE_ENUM
        LCF_RATIONALE_N
} lcf_rationale_feature;

const char *lcf_rationale_name(lcf_rationale_feature feature);
/* shapes: out [LCF_RATIONALE_N]; label: the decision that the text explains. Allocates nothing. */
void lcf_rationale_features(double *out, lcf_str text, lcf_str prompt, uint8_t label);

typedef struct lcf_rationale_options {
    const char *input;   /* JSON lines: "prompt" and "cots", each with "text" and "reward" */
    size_t splits_n;     /* random halvings; figures are of the first one, and the mean of all */
    size_t replicates_n; /* of the bootstrap over prompts */
    uint64_t seed;
    const char *weights_out; /* receives weights fitted on all prompts; NULL: none */
} lcf_rationale_options;
#define LCF_RATIONALE_OPTIONS_INIT \
    {                              \
        NULL, 10, 1000, 1, NULL    \
    }

/*
 * *report receives the accuracies with intervals, the weights and the ablations (json_decref).
 *
 * errors   EFORMAT a line without what is needed (named); EINVAL fewer than 8 prompts that order
 *          their texts; ENOMEM; those of the file
 */
lcf_status lcf_rationale_measure(json_t **report, const lcf_rationale_options *options,
                                 lcf_err *err);

#endif
