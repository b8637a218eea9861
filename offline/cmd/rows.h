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
/* clang-format on */

#endif
