/*
 * The tuning mixture: which row is trained on when, and what it looks like in tokens.
 *
 * Slot after slot, a source is drawn by its share and the row is the next one of the source's own
 * seeded shuffle, so every row of a source is seen once per epoch of that source.
 *
 * Invariant: slot i is a function of (sources, options, i). lcf_mixture_seek reproduces the state
 * before any slot, which is what makes a resumed run the same run.
 *
 * A row that is longer than the cutoff loses the oldest of its history (or the beginning of its
 * question's input) first, then the end of its answer. Where nothing of the answer is left the row
 * is skipped: it keeps its slot, and no token of it counts.
 *
 * Life cycle: create -> (seek) -> next ... -> free. The sources and the tokenizer must outlive it.
 * One thread.
 */
#ifndef LCF_OFFLINE_RECGEN_MIXTURE_H
#define LCF_OFFLINE_RECGEN_MIXTURE_H

#include "offline/llama/tokenizer.h"
#include "offline/recgen/sources.h"

typedef struct lcf_row { /* one training row; owned by its caller, zero to start with */
    lcf_tokens tokens;
    int32_t *targets; /* [tokens.n]; -1 where the loss does not count */
    size_t targets_capacity;
} lcf_row;
void lcf_row_dispose(lcf_row *row);

typedef struct lcf_mixture_options {
    bool loss_on_prompt; /* count the prompt's tokens as well */
    size_t cutoff;       /* of tokens; longer rows lose something */
} lcf_mixture_options;
#define LCF_MIXTURE_OPTIONS_INIT \
    {                            \
        true, 384                \
    }

typedef struct lcf_mixture lcf_mixture;

/* tokenizer may be NULL where rows are only drawn. errors: EINVAL cutoff too small; ENOMEM */
lcf_status lcf_mixture_create(lcf_mixture **out, const lcf_sources *sources,
                              const lcf_tokenizer *tokenizer, const lcf_mixture_options *options,
                              lcf_err *err);
void lcf_mixture_free(lcf_mixture *m);

typedef struct lcf_slot {
    size_t source;
    uint32_t row;
    uint64_t seed; /* of the teacher's wording */
} lcf_slot;
/* The next slot, without its text. */
lcf_slot lcf_mixture_draw(lcf_mixture *m);
/* The next slot's row into *row; its source into *source when not NULL. */
lcf_status lcf_mixture_next(lcf_row *row, size_t *source, lcf_mixture *m, lcf_err *err);
void lcf_mixture_seek(lcf_mixture *m, uint64_t slot);
/* Rows so far that lost something at the cutoff. */
uint64_t lcf_mixture_truncated_n(const lcf_mixture *m);
/* Those of them that were skipped, without a token of their answer. */
uint64_t lcf_mixture_lost_n(const lcf_mixture *m);

/* Rows for measuring, with the loss on the answer alone: a training row by its number, a held-out
 * row of a file, and any sample of the dataset asked to decide or to explain. */
lcf_status lcf_mixture_row(lcf_row *row, lcf_mixture *m, size_t source, size_t idx, lcf_err *err);
lcf_status lcf_mixture_held_out(lcf_row *row, lcf_mixture *m, size_t source, size_t idx,
                                lcf_err *err);
lcf_status lcf_mixture_sample(lcf_row *row, lcf_mixture *m, lcf_source_kind kind, size_t sample,
                              lcf_err *err);

typedef struct lcf_mixture_statistics {
    size_t looked_n; /* rows that the figures are of: all, or evenly spread ones */
    double tokens;   /* mean of a row, after the cutoff */
    double answer_tokens;
    double truncated; /* part of the rows that lost something */
    double lost;      /* part of the rows that lost all of their answer */
} lcf_mixture_statistics;
/* Of one source's training rows, looking at no more than rows_max of them. */
lcf_status lcf_mixture_look(lcf_mixture_statistics *out, lcf_mixture *m, size_t source,
                            size_t rows_max, lcf_err *err);

/* Appends the tokens of the segments. */
lcf_status lcf_segments_encode(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                               const lcf_segments *segments, lcf_err *err);
/* The tokens of a sample's prompt, beginning with <s>: the same for tuning, measuring and
 * generating. `scratch` holds its text. */
lcf_status lcf_prompt_tokens(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                             const lcf_prompt_options *options, const lcf_dataset *d,
                             const lcf_facts *f, bool explain, lcf_buf *scratch, lcf_err *err);

/*
 * A vocabulary for these sources: learned from up to rows_max rows of each, and from every title of
 * the dataset.
 */
lcf_status lcf_vocabulary_train(lcf_tokenizer **out, const lcf_sources *sources, size_t vocab_n,
                                size_t rows_max, lcf_err *err);

#endif
