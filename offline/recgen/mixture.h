/*
 * The tuning mixture: which row is trained on when, and what it looks like in tokens.
 *
 * Sources: DECIDE (history, target -> Yes / No), EXPLAIN (the decision given -> the teacher's chain
 * of thought; the decision counts as an answer too) and GENERAL (somebody's instructions). Slot
 * after slot, the source is drawn by its weight and the row is the next one of the source's own
 * seeded shuffle, so every row of a source is seen once per epoch of that source.
 *
 * Invariant: slot i is a function of (dataset, options, i). lcf_mixture_seek reproduces the state
 * before any slot, which is what makes a resumed run the same run.
 *
 * Life cycle: create -> (seek) -> next ... -> free. The dataset, the related items, the general
 * rows and the tokenizer must outlive it. One thread.
 */
#ifndef LCF_OFFLINE_RECGEN_MIXTURE_H
#define LCF_OFFLINE_RECGEN_MIXTURE_H

#include "offline/llama/llama_train.h"
#include "offline/recgen/general.h"
#include "offline/recgen/teacher.h"

typedef enum lcf_source { LCF_DECIDE = 0, LCF_EXPLAIN = 1, LCF_GENERAL = 2 } lcf_source;
#define LCF_SOURCES_N 3

typedef struct lcf_row { /* one training row; owned by its caller, zero to start with */
    lcf_tokens tokens;
    int32_t *targets; /* [tokens.n]; -1 where the loss does not count */
    size_t targets_capacity;
} lcf_row;
void lcf_row_dispose(lcf_row *row);

typedef struct lcf_mixture_options {
    lcf_prompt_options prompt;
    double weight[LCF_SOURCES_N]; /* relative; a source without rows is left out */
    bool loss_on_prompt;          /* count the prompt's tokens as well */
    size_t cutoff;                /* longer rows lose their end */
    uint64_t seed;
} lcf_mixture_options;
#define LCF_MIXTURE_OPTIONS_INIT                                  \
    {                                                             \
        LCF_PROMPT_OPTIONS_INIT, {0.25, 0.75, 0.25}, true, 384, 1 \
    }

typedef struct lcf_mixture lcf_mixture;

/* errors: EINVAL no training sample; ENOMEM */
lcf_status lcf_mixture_create(lcf_mixture **out, const lcf_dataset *d, const lcf_related *related,
                              const lcf_general *general, const lcf_tokenizer *tokenizer,
                              const lcf_mixture_options *options, lcf_err *err);
void lcf_mixture_free(lcf_mixture *m);
/* The next slot's row into *row; its source into *source when not NULL. */
lcf_status lcf_mixture_next(lcf_row *row, lcf_source *source, lcf_mixture *m, lcf_err *err);
lcf_status lcf_mixture_seek(lcf_mixture *m, uint64_t slot, lcf_err *err);
/* Rows that a source has for training, and those of GENERAL held out for measuring. */
size_t lcf_mixture_rows_n(const lcf_mixture *m, lcf_source source);
size_t lcf_mixture_held_out_n(const lcf_mixture *m);
uint64_t lcf_mixture_truncated_n(const lcf_mixture *m);

/*
 * Any row by number, with the loss on the answer alone: for measuring. DECIDE and EXPLAIN take a
 * sample of the dataset, GENERAL the i-th held-out instruction.
 */
lcf_status lcf_mixture_held_out(lcf_row *row, lcf_mixture *m, lcf_source source, size_t idx,
                                lcf_err *err);

/* The tokens of a sample's prompt, beginning with <s>: the same for tuning, measuring and
 * generating. */
lcf_status lcf_prompt_tokens(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                             const lcf_prompt_options *options, const lcf_dataset *d,
                             const lcf_facts *f, bool explain, lcf_buf *scratch, lcf_err *err);

/*
 * A vocabulary for these data: learned from prompts and teacher texts of up to `rows_max` training
 * samples, every title, and the general instructions.
 */
lcf_status lcf_vocabulary_train(lcf_tokenizer **out, const lcf_dataset *d,
                                const lcf_related *related, const lcf_general *general,
                                const lcf_prompt_options *options, size_t vocab_n, size_t rows_max,
                                lcf_err *err);

#endif
