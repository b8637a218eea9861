/*
 * Rows that the tables of many verbs have in common (common/base/options.h). A verb's `arguments`
 * has a bool `json`; other fields are named.
 */
#ifndef LCF_OFFLINE_CMD_ROWS_H
#define LCF_OFFLINE_CMD_ROWS_H

#include "common/base/options.h"

/* clang-format off */
#define LCF_ROW_DATASET(field) \
    {"dataset", "DIR", "What `llmcf prepare` made", 1, LCF_OPT_TEXT(field), LCF_REQUIRED}

/* Processors are never part of a result: `what` is what is the same, such as "result is". */
#define LCF_ROW_THREADS(group, what, field) \
    {"threads", "N", "0 takes all processors; the " what " the same (default 0)", group, \
     LCF_OPT_WHOLE(field, 0, 1024)}

/* Not above INT64_MAX: seeds stand in JSON. */
#define LCF_ROW_SEED(group, help, field) {"seed", "N", help, group, LCF_OPT_WHOLE(field, 0, INT64_MAX)}

#define LCF_ROW_FORCE(group, what, field) \
    {"force", NULL, "Also when the " what " up to date", group, LCF_OPT_FLAG(field)}

#define LCF_ROW_JSON(group, what) {"json", NULL, "Print " what, group, LCF_OPT_FLAG(json)}

/* Codes of users and items in prompts: where from, and how they are written. */
#define LCF_ROWS_CODES(group, template, dir, form) \
    {"codes", "DIR", "Made by `llmcf codes`, for a " template " that speaks of the user's or the target's " \
     "code", group, LCF_OPT_TEXT(dir)}, \
    {"code-form", "FORM", "Codes as bits (10101100...) or dotted (172.16...) (default bits)", group, \
     LCF_OPT_CHOICE(form, {"bits", LCF_CODE_BITS}, {"dotted", LCF_CODE_DOTTED})}

/* The bootstrap's view of training runs. */
#define LCF_ROW_SEEDS_HOW(group, field) \
    {"seeds", "HOW", "drawn: intervals cover new users and new training runs; fixed: new users only " \
     "(default drawn)", group, LCF_OPT_CHOICE(field, {"drawn", false}, {"fixed", true})}

#define LCF_ROW_MATRIX_TYPE(group, field) \
    {"type", "NAME", "Of the written matrices: f32, f16, bf16 or q8_0 (default f32)", group, \
     LCF_OPT_CHOICE(field, {"f32", LCF_GGUF_F32}, {"f16", LCF_GGUF_F16}, {"bf16", LCF_GGUF_BF16}, \
                    {"q8_0", LCF_GGUF_Q8_0})}

/* Values of several verbs, whose help differs. */
#define LCF_OPT_DIALECT(field) \
    LCF_OPT_CHOICE(field, {"recgen", LCF_DIALECT_RECGEN}, {"llama2", LCF_DIALECT_LLAMA2})
#define LCF_OPT_SCHEDULE(field) \
    LCF_OPT_CHOICE(field, {"cosine", LCF_LR_COSINE}, {"linear", LCF_LR_LINEAR}, \
                   {"constant", LCF_LR_CONSTANT})
/* clang-format on */

/* For LCF_OPT_PARSED: into an lcf_stops; a uint64_t from "20G" and the like; an lcf_gguf_type that
 * can be written; an lcf_precision that is fast here, so that a manifest names what is computed.
 * errors: EUSAGE */
lcf_status lcf_cmd_parse_stop(void *stops, const char *text, lcf_err *err);
lcf_status lcf_cmd_parse_bytes(void *bytes, const char *text, lcf_err *err);
lcf_status lcf_cmd_parse_type(void *type, const char *text, lcf_err *err);
lcf_status lcf_cmd_parse_precision(void *precision, const char *text, lcf_err *err);

/* Adds the records of stores to one, and says how many; of `store merge` and `merge`. errors:
 * EEXIST after all else is done: conflicts, which are named */
lcf_status lcf_cmd_merge_stores(const char *cot, const lcf_cli_texts *from_dirs, lcf_err *err);

/* For verbs with actions: a pointer to the row of that name of a table of `bytes`, whose rows of
 * `row_bytes` begin with their name, a const char *. errors: EUSAGE */
lcf_status lcf_cmd_find_action(void *row, const void *table, size_t bytes, size_t row_bytes,
                               const char *text, lcf_err *err);

#endif
