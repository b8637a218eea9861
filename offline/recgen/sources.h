/*
 * Sources of a tuning mixture: what each holds, and its rows as text.
 *
 * A source is a file of dialogues (dialogues.h) or a view of the project's own dataset:
 *
 *   decide    history, target -> Yes / No
 *   explain   the decision given -> the bootstrap teacher's chain of thought; the decision counts
 *             as an answer too
 *   cot       the same with the texts of a chain-of-thought store
 *   next      history -> the title of the item that was chosen next (rows with label 1)
 *   rating    history, target -> the rating that the user gave
 *   session   a user's training rows one after another, each a title -> Yes / No (sessions.h)
 *   alpaca, sharegpt, openai, text    a file
 *
 * It is written KIND[:PATH][,key=value]...; lcf_source_parse lists the keys.
 *
 * Invariant: dataset sources train on the training split alone, of a file's rows a fixed part (by
 * hash of the row's question) is held out for measuring and is never trained on, and what row i of
 * a source says is a function of (files, options, i).
 *
 * Life cycle: open -> read ... -> free. The dataset and the related items must outlive it. Read
 * only, shared between threads.
 */
#ifndef LCF_OFFLINE_RECGEN_SOURCES_H
#define LCF_OFFLINE_RECGEN_SOURCES_H

#include "common/base/manifest.h"
#include "offline/recgen/segments.h"
#include "offline/recgen/teacher.h"

#include <math.h>

#define LCF_SOURCES_MAX 32

typedef enum lcf_source_kind {
    LCF_SOURCE_DECIDE,
    LCF_SOURCE_EXPLAIN,
    LCF_SOURCE_COT,
    LCF_SOURCE_NEXT,
    LCF_SOURCE_RATING,
    LCF_SOURCE_SESSION,
    LCF_SOURCE_ALPACA,
    LCF_SOURCE_SHAREGPT,
    LCF_SOURCE_OPENAI,
    LCF_SOURCE_TEXT,
} lcf_source_kind;
#define LCF_SOURCE_KINDS_N 10

typedef struct lcf_source_spec {
    lcf_source_kind kind;
    const char *text; /* as it was written */
    lcf_str path;     /* into text; empty for what needs none */
    double weight;    /* relative to the weights of the others */
    double share;     /* of all slots; 0 = by weight */
    double part;      /* of its training rows, drawn by the seed */
    size_t rows;      /* at most so many, drawn by the seed; 0 = all */
    double hold;      /* part of a file's rows that is kept for measuring */
    bool rec;         /* recommendation; else general. What --mix divides by */
} lcf_source_spec;

const char *lcf_source_kind_name(lcf_source_kind kind);
bool lcf_source_is_of_dataset(lcf_source_kind kind);

/*
 * Reads KIND[:PATH][,weight=W][,share=S][,part=P][,rows=N][,hold=H][,group=rec|general]; a path has
 * no comma. Without more: weight 1, all rows, a twentieth of a file's rows held out, sources of the
 * dataset in group rec and files in group general. `text` must outlive *out.
 *
 * errors   EUSAGE, with the part that cannot be read
 */
lcf_status lcf_source_parse(lcf_source_spec *out, const char *text, lcf_err *err);

typedef struct lcf_sources_options {
    lcf_source_spec list[LCF_SOURCES_MAX];
    size_t n; /* 0: decide and explain, one row to three, or what the template has words for */
    lcf_prompt_options prompt;
    const char *template_file; /* the prompts' wording; NULL: that of their dialect */
    const char *codes;         /* a folder of `llmcf codes`, for a wording that speaks of them */
    lcf_chat chat;             /* of dialogues; LCF_CHATS_N = the prompts' dialect */
    double rec_share; /* of the recommendation sources together; NaN = by weights and shares */
    uint64_t seed;
} lcf_sources_options;
#define LCF_SOURCES_OPTIONS_INIT                                                            \
    {                                                                                       \
        .prompt = LCF_PROMPT_OPTIONS_INIT, .chat = LCF_CHATS_N, .rec_share = NAN, .seed = 1 \
    }

/* The template of dialogues: the one that was asked for, or the prompts' dialect. */
lcf_chat lcf_sources_chat(const lcf_sources_options *options);
/* The options as parameters and inputs of a step's manifest. */
lcf_status lcf_sources_describe(lcf_manifest *m, const lcf_sources_options *options, lcf_err *err);

typedef struct lcf_sources lcf_sources;

/*
 * d may be NULL where no source is of the dataset, related only with it.
 *
 * errors   EUSAGE a dataset source without a dataset or without words in the template, codes that
 *          are missing or have no use, shares above 1; EINVAL a source without a row
 *          to train on, no sample with a rating, a part of --mix without a source; those of files
 */
lcf_status lcf_sources_open(lcf_sources **out, const lcf_dataset *d, const lcf_related *related,
                            const lcf_sources_options *options, lcf_err *err);
void lcf_sources_free(lcf_sources *s);

typedef struct lcf_source_info {
    const lcf_source_spec *spec;
    size_t rows_n;  /* to train on */
    size_t held_n;  /* kept for measuring */
    size_t empty_n; /* left out: without an answer */
    double share;   /* of the slots, all together 1 */
} lcf_source_info;
size_t lcf_sources_n(const lcf_sources *s);
lcf_source_info lcf_sources_info(const lcf_sources *s, size_t source);
/* With the template and the codes opened, which live as long as the sources. */
const lcf_sources_options *lcf_sources_get_options(const lcf_sources *s);
const lcf_dataset *lcf_sources_dataset(const lcf_sources *s);

/* The number that the functions below take, of training row idx < rows_n and of held-out row idx <
 * held_n. */
uint32_t lcf_sources_row(const lcf_sources *s, size_t source, size_t idx);
uint32_t lcf_sources_held(const lcf_sources *s, size_t source, size_t idx);

/* How much of a row is left out because it is too long. */
typedef struct lcf_trim {
    size_t history_n; /* items of a history that are named */
    lcf_dialogue_trim dialogue;
} lcf_trim;
void lcf_trim_init(lcf_trim *trim, const lcf_sources *s);
/*
 * Leaves out more: the oldest of the history, the oldest exchanges of a conversation, then the
 * beginning of a question's input; never an instruction while there is something else, and not what
 * leaves room for more than the question's half of the cutoff.
 *
 * returns  false when nothing may be left out: the answer has to lose its end
 */
bool lcf_trim_more(lcf_trim *trim, const lcf_sources *s, size_t source, uint32_t row,
                   size_t prompt_n, size_t answer_n, size_t cutoff);

/* The row as segments. teacher_seed chooses the wording of `explain`. */
lcf_status lcf_sources_segments(lcf_segments *out, const lcf_sources *s, size_t source,
                                uint32_t row, const lcf_trim *trim, uint64_t teacher_seed,
                                lcf_err *err);
/* The row as a dialogue, without the markers of a template, appended to *out: for other programs.
 */
lcf_status lcf_sources_dialogue(lcf_dialogues *out, const lcf_sources *s, size_t source,
                                uint32_t row, uint64_t teacher_seed, lcf_err *err);
/* Segments of any sample of the dataset, also of one that is not trained on: `decide` or `explain`.
 */
lcf_status lcf_sources_sample(lcf_segments *out, const lcf_sources *s, lcf_source_kind kind,
                              size_t sample, uint64_t teacher_seed, lcf_err *err);
/*
 * The prompt alone: of the decision, or of the explanation, where in the recgen dialect the given
 * decision is a segment of its own. What is tuned, measured and generated with begins alike.
 */
lcf_status lcf_prompt_segments(lcf_segments *out, const lcf_prompt_options *options,
                               const lcf_dataset *d, const lcf_facts *f, bool explain,
                               lcf_err *err);

#endif
