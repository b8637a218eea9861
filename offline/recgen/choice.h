/*
 * Multiple choice: questions with four answers as MMLU's CSV files give them (question, A, B, C, D,
 * letter; no header), asked five-shot by the letter's log probability.
 *
 * The prompt is that of the benchmark's authors: "The following are multiple choice questions (with
 * answers) about SUBJECT.", worked examples of the subject's dev file, the question, "Answer:"; the
 * letters A to D are compared at the first token in which they differ. Where five examples do not
 * fit into the context, fewer are shown; a question that does not fit alone loses its beginning.
 *
 * source   Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding
 */
#ifndef LCF_OFFLINE_RECGEN_CHOICE_H
#define LCF_OFFLINE_RECGEN_CHOICE_H

#include "common/base/manifest.h"
#include "common/base/pool.h"
#include "offline/llama/llama.h"

#define LCF_CHOICE_SHOTS 5

typedef struct lcf_choice_result {
    double accuracy;                /* NaN without a question */
    size_t rows, right;             /* questions asked; answered right */
    double shots;                   /* mean number of examples shown */
    size_t cut_n;                   /* questions that lost their beginning */
    double chance_low, chance_high; /* 95 % of models that guess lie within */
} lcf_choice_result;

/*
 * Asks the questions of `dir`, a folder with dev/SUBJECT_dev.csv and val/SUBJECT_val.csv (or
 * test/SUBJECT_test.csv), at most rows_max of them (0 = all), evenly spread over the subjects.
 *
 * errors   ENOENT no such folder or no subject in it; EFORMAT a row that is no question (file and
 *          line); EUNSUPPORTED the letters cannot be told apart
 * threads  one subject a task: the same bits at any number
 */
lcf_status lcf_choice_measure(lcf_choice_result *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, const char *dir, size_t rows_max,
                              size_t context_n, lcf_pool *pool, lcf_err *err);
/* The questions of such a folder, by the content of their files, as a parameter of a step's
 * manifest. errors: those of the files above */
lcf_status lcf_choice_describe(lcf_manifest *m, const char *dir, lcf_err *err);
/* The interval that holds 95 % of the accuracies of n independent guesses among four: exact
 * binomial quantiles. */
void lcf_choice_chance(double *low, double *high, size_t n);

#endif
