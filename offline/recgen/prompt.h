/*
 * Prompts: a sample as text that a LLaMA reads, in two dialects.
 *
 *   recgen   the compact form for the small model that `llmcf tune` trains from scratch: one line
 *            per field, the line's first word says which. The model ends its answer with </s>.
 *            Items carry references (#1, #2, ... the history, #T the target, #R and #S related
 *            ones); the model speaks of items by reference and lcf_prompt_expand puts the names in:
 *            a model of a few million parameters chooses well whom to name, and spells badly.
 *   llama2   full English instructions in LLaMA-2's chat form, for any larger GGUF LLaMA; the
 *            wording is a template (prompt_template.h), built in or from a file. A template's [ask]
 *            is the whole question, without the chat form.
 *
 * Invariant: text from the catalogue is data. Before it enters a prompt, control characters and
 * runs of blanks become one blank and the characters that a dialect uses as structure are replaced,
 * so it can neither open nor close a field, a line or a chat marker. Control tokens (<s>, </s>) are
 * never made from text by the tokenizer.
 *
 * The version names the dialect, its revision and the options that shape the text; it enters the
 * key of every CoT record. A change of any wording here must raise the revision: a test holds the
 * rendered prompts against saved ones.
 *
 * source   llm-cf.md section 3; schemas/recgen.md
 */
#ifndef LCF_OFFLINE_RECGEN_PROMPT_H
#define LCF_OFFLINE_RECGEN_PROMPT_H

#include "common/base/manifest.h"
#include "common/data/codes.h"
#include "offline/llama/chat.h"
#include "offline/recgen/code_text.h"
#include "offline/recgen/facts.h"
#include "offline/recgen/prompt_template.h"

typedef enum lcf_dialect { LCF_DIALECT_RECGEN = 0, LCF_DIALECT_LLAMA2 = 1 } lcf_dialect;

typedef struct lcf_prompt_options {
    lcf_dialect dialect;
    size_t history_n;       /* most recent items shown, 1 .. LCF_HISTORY_MAX */
    size_t title_bytes_max; /* longer titles are cut at a word */
    lcf_template chat;      /* the local model's; PLAIN: the dialect's own marks, as text */
    const lcf_prompt_template *template; /* wording of the llama2 dialect; NULL: the built-in one */
    bool hide_related;                   /* items related to the target are not shown */
    bool hide_answer; /* the decision is not given; llama2 alone: recgen was not taught that */
    const lcf_codes *codes; /* what the template's user_code and target_code say; NULL: nothing */
    lcf_code_form code_form;
    char codes_id[17]; /* which codes they are, for the version; "": not part of it */
} lcf_prompt_options;
#define LCF_PROMPT_OPTIONS_INIT                                                                    \
    {                                                                                              \
        LCF_DIALECT_RECGEN, 8, 48, LCF_TEMPLATE_PLAIN, NULL, false, false, NULL, LCF_CODE_BITS, "" \
    }

/* errors: EUSAGE no such dialect */
lcf_status lcf_dialect_parse(lcf_dialect *out, const char *name, lcf_err *err);
const char *lcf_dialect_name(lcf_dialect dialect);

/* The built-in template of a dialect. errors: EUSAGE there is none of that name */
lcf_status lcf_prompt_builtin(lcf_prompt_template *out, const char *name, lcf_err *err);

/*
 * *out becomes *options, with the template of `file` where there is one (NULL: none).
 *
 * errors   EUSAGE options that do not go together; those of lcf_prompt_template_load
 * memory   *template and *bytes must outlive *out; free(*bytes)
 */
lcf_status lcf_prompt_open(lcf_prompt_options *out, lcf_prompt_template *template, char **bytes,
                           const lcf_prompt_options *options, const char *file, lcf_err *err);

/*
 * Opens the codes that the template of *options speaks of, from the folder `dir` (NULL: none), as
 * *codes, and points the options there.
 *
 * errors   EUSAGE codes that are spoken of and not given (file and line), given and not spoken of;
 *          those of lcf_codes_open_dir
 * memory   *codes must outlive *options; lcf_codes_close, also after a failure
 */
lcf_status lcf_prompt_open_codes(lcf_prompt_options *options, lcf_codes *codes, const char *dir,
                                 const lcf_dataset *d, const char *file, lcf_err *err);
/*
 * Puts into *options which codes of the folder `dir` they are, so that the version of a prompt that
 * speaks of them changes with them. Nothing where dir is NULL. errors: those of lcf_manifest_read
 */
lcf_status lcf_prompt_name_codes(lcf_prompt_options *options, const char *dir, lcf_err *err);
/* Whether there are words to request a chain of thought, or (not explain) to ask for Yes or No.
 * errors: EUSAGE the template has none */
lcf_status lcf_prompt_need(const lcf_prompt_options *options, bool explain, lcf_err *err);

/* What shapes prompts, into a step's manifest: their version, and the codes as an input. errors: as
 * lcf_prompt_open and lcf_manifest_input */
lcf_status lcf_prompt_describe(lcf_manifest *m, const lcf_prompt_options *options, const char *file,
                               const char *codes, lcf_err *err);

#define LCF_PROMPT_VERSION_BYTES 160
/* e.g. "recgen-1 history=8 title=48", or "plain-words-2#0123456789abcdef history=8 title=48
 * answer=no chat=chatml" */
void lcf_prompt_version(char out[LCF_PROMPT_VERSION_BYTES], const lcf_prompt_options *options);

/* Appends "Will the user like the target?"; the answer is lcf_prompt_answer. */
void lcf_prompt_decide(lcf_buf *out, const lcf_prompt_options *options, const lcf_dataset *d,
                       const lcf_facts *f);
/*
 * Appends the request for a chain of thought, the decision given. The first lcf_prompt_decide bytes
 * are the same, so that one training row teaches both (recgen dialect).
 */
void lcf_prompt_explain(lcf_buf *out, const lcf_prompt_options *options, const lcf_dataset *d,
                        const lcf_facts *f);
/*
 * The same request as chat messages, without the markers that a server puts around them: what is
 * said once, and what the user says. system stays as it is where the dialect has none.
 */
void lcf_prompt_chat(lcf_buf *system, lcf_buf *user, const lcf_prompt_options *options,
                     const lcf_dataset *d, const lcf_facts *f);
/* " Yes" or " No" as it follows lcf_prompt_decide. */
const char *lcf_prompt_answer(uint8_t label);
/* Strings that stand in no good answer: the dialect's markers. NULL ends the list. */
const char *const *lcf_prompt_markers(void);

/* Appends a name from the catalogue as data: cleaned, and cut at a word when longer than bytes_max.
 */
void lcf_prompt_name(lcf_buf *out, lcf_str name, size_t bytes_max);
void lcf_prompt_title(lcf_buf *out, const lcf_prompt_options *options, const lcf_catalogue *c,
                      uint32_t item);

/* How an item of a sample is referred to in the recgen dialect. */
typedef enum lcf_reference {
    LCF_REF_TARGET = 0x100,
    LCF_REF_RELATED, /* and + 1: the second */
} lcf_reference;     /* below 0x100: the place in the history, liked items first, counted from 1 */
void lcf_prompt_reference(lcf_buf *out, unsigned reference);
/* The reference of a history item by its place among the liked or the disliked ones. */
unsigned lcf_prompt_history_reference(const lcf_facts *f, bool liked, size_t idx);
/*
 * Appends `text` with every reference replaced by the item's title. In the llama2 dialect the text
 * is appended as it is.
 *
 * returns  false when a reference stands for no item; it is then left as it is
 */
bool lcf_prompt_expand(lcf_buf *out, const lcf_prompt_options *options, const lcf_dataset *d,
                       const lcf_facts *f, lcf_str text);

#endif
